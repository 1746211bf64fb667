# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Symmetric InfoNCE, smoothed labels, learned temperature (Sample4Geo, arXiv 2303.11851).

Beside it what a teacher says: not which crop is right, but how alike it finds each of them.
"""

from __future__ import annotations

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.errors import TrainingError

MAX_SCALE = 100.0


def masked_cross_entropy(logits: Tensor, ignore: Tensor, smoothing: float) -> Tensor:
    """Cross entropy whose target of row i is column i, over the columns not ignored.

    With label smoothing e the target is (1 - e) on column i and e spread evenly over all columns
    of the row that count (Szegedy et al., CVPR 2016).

    Args:
        logits: (N, M), M >= N.
        ignore: (N, M) bool, True where a column is neither positive nor negative of the row.
        smoothing: e, in 0..1.

    Returns:
        Scalar mean over rows.

    Raises:
        TrainingError: shapes do not fit, or a positive is ignored.
    """
    rows, columns = logits.shape
    if ignore.shape != logits.shape or columns < rows:
        raise TrainingError(
            f"logits {tuple(logits.shape)} and mask {tuple(ignore.shape)} do not fit: "
            "both must be (N, M) with M >= N"
        )
    if bool(ignore.diagonal().any()):
        raise TrainingError("a positive pair is masked out; exclude the diagonal from the mask")
    log_prob = torch.log_softmax(logits.masked_fill(ignore, float("-inf")), dim=1)
    counted = (~ignore).sum(dim=1)
    spread = log_prob.masked_fill(ignore, 0.0).sum(dim=1) / counted
    return -((1.0 - smoothing) * log_prob.diagonal() + smoothing * spread).mean()


def layout_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy of what an encoder says stands in each cell and of what does.

    Args:
        logits: (N, rows, columns, C).
        shares: the same shape, sums to 1 over C.

    Returns:
        Scalar mean over all cells, nats.
    """
    return -(shares * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1).mean()


def info_nce(
    query: Tensor,
    reference: Tensor,
    scale: Tensor,
    ignore: Tensor,
    smoothing: float = 0.1,
) -> Tensor:
    """Symmetric InfoNCE over a batch.

    Args:
        query: (N, D) unit vectors.
        reference: (M, D) unit vectors; the first N belong to the queries in order, the others are
            extra negatives.
        scale: inverse temperature, scalar; capped at `MAX_SCALE`.
        ignore: (N, M) bool pairs that are neither right nor wrong (too near to call).
        smoothing: label smoothing.

    Returns:
        Scalar: mean of query -> reference and reference -> query cross entropy.
    """
    logits = scale.clamp(max=MAX_SCALE) * query.float() @ reference.float().T
    count = len(query)
    forward = masked_cross_entropy(logits, ignore, smoothing)
    backward = masked_cross_entropy(logits[:, :count].T, ignore[:, :count].T, smoothing)
    return 0.5 * (forward + backward)


def _disagreement(student: Tensor, teacher: Tensor, ignore: Tensor) -> Tensor:
    """Kullback-Leibler divergence of row-wise softmaxes (N, M) over the columns not ignored."""
    lowest = torch.finfo(student.dtype).min
    said = torch.log_softmax(student.masked_fill(ignore, lowest), dim=1)
    meant = torch.log_softmax(teacher.masked_fill(ignore, lowest), dim=1)
    return (meant.exp() * (meant - said)).masked_fill(ignore, 0.0).sum(dim=1).mean()


def relation_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    scale: Tensor,
    ignore: Tensor,
    sharpen: float = 1.0,
) -> Tensor:
    """How far a student's idea of what is alike is from its teacher's, in both directions.

    Both turn the similarities of a query to all references of the batch, and of a reference to
    all queries, into probabilities; the loss is the Kullback-Leibler divergence of the student's
    from the teacher's (distillation: Hinton et al., 2015). It is zero where all similarities are
    those of the teacher, however many numbers either's descriptors have.

    Args:
        student: queries (N, D) and references (M, D), unit vectors.
        teacher: the same pictures' (N, E) and (M, E), unit vectors.
        scale: inverse temperature of both, scalar; it learns nothing here.
        ignore: (N, M) pairs that are not compared.
        sharpen: by how much more the teacher's similarities weigh, so that it is surer.

    Returns:
        Scalar, nats.
    """
    factor = scale.detach().clamp(max=MAX_SCALE)
    said = factor * student[0].float() @ student[1].float().T
    meant = (sharpen * factor * teacher[0].float() @ teacher[1].float().T).detach()
    count = len(said)
    forward = _disagreement(said, meant, ignore)
    square = said[:, :count].T, meant[:, :count].T, ignore[:, :count].T
    return 0.5 * (forward + _disagreement(*square))
