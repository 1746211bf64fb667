# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From trained weights to a model package: checked ONNX files, one or two, and their card."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import nn  # noqa: TID253

from geoloc_ros.encoders.card_rules import QUERY_FILE, REFERENCE_FILE, SHARED_FILE
from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.onnx_writer import OPSET, write_onnx
from geoloc_ros.training.pair import SMALL, EncoderPair

LOG = logging.getLogger(__name__)
# Of a file of small encoders, which ship with the package.
MAX_BYTES = 15_000_000
PARITY = 1e-4


def export_onnx(
    encoder: nn.Module,
    height: int,
    width: int,
    path: Path,
    *,
    any_size: bool = False,
    max_bytes: int | None = MAX_BYTES,
) -> float:
    """Write one encoder as ONNX (`image` (N, 3, H, W) -> `descriptor` (N, D)) and check it.

    Args:
        encoder: the network; exported in evaluation mode.
        height: rows of its input.
        width: columns of its input.
        path: file to write.
        any_size: leave rows and columns open.
        max_bytes: of the file; None: any number.

    Returns:
        Largest difference between torch and ONNX Runtime over a batch of another size.

    Raises:
        TrainingError: the difference exceeds 1e-4, or the file is too large.
    """
    import onnxruntime

    encoder = copy.deepcopy(encoder).cpu().eval()
    noise = torch.Generator().manual_seed(0)
    part = path.with_suffix(".part")
    example = torch.randn(2, 3, height, width, generator=noise)
    write_onnx(encoder, example, part, any_size=any_size)
    with torch.no_grad():
        probe = torch.randn(5, 3, height, width, generator=noise)
        expected = encoder(probe).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(part), options, providers=["CPUExecutionProvider"])
    found = session.run(["descriptor"], {"image": probe.numpy()})[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY:
        raise TrainingError(
            f"{path.name} differs from torch by {difference:.1e}; at most {PARITY}"
        )
    if max_bytes is not None and part.stat().st_size > max_bytes:
        raise TrainingError(f"{path.name} has {part.stat().st_size} bytes; at most {max_bytes}")
    part.replace(path)
    return difference


def export_package(
    pair: EncoderPair,
    root: Path,
    *,
    name: str,
    version: str,
    training: dict[str, Any],
    scores: dict[str, Any],
) -> ModelPackage:
    """Write `query.onnx` and `reference.onnx`, or `encoder.onnx` for both, and `model.json`.

    Args:
        pair: trained encoders.
        root: model directory, made if missing.
        name: of the package.
        version: of the package.
        training: provenance: command, seeds, data.
        scores: validation figures.

    Raises:
        TrainingError: an encoder fails its checks.
    """
    card, side = pair.card, pair.card.reference.size_px
    rows, columns = card.query.height_px, card.query.width_px
    most = MAX_BYTES if pair.kind in SMALL else None
    root.mkdir(parents=True, exist_ok=True)
    if pair.shared:
        names = [SHARED_FILE]
        differ = (rows, columns) != (side, side)
        path = root / SHARED_FILE
        parity = export_onnx(pair.query, rows, columns, path, any_size=differ, max_bytes=most)
    else:
        names = [QUERY_FILE, REFERENCE_FILE]
        parity = max(
            export_onnx(pair.query, rows, columns, root / QUERY_FILE),
            export_onnx(pair.reference, side, side, root / REFERENCE_FILE),
        )
    package = dataclasses.replace(
        card,
        root=root,
        name=name,
        version=version,
        files={name: file_sha256(root / name) for name in names},
        training={**training, "onnx_opset": OPSET, "onnx_parity": float(f"{parity:.1e}")},
        scores={k: round(v, 4) if math.isfinite(v) else None for k, v in scores.items()},
    )
    package.save()
    LOG.info("exported %s, parity %.1e", root, parity)
    return package
