# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a trained reranker to its package: one ONNX file, checked, temperatures, and the card."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.encoders.onnx_backend import open_session
from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import TrainingError
from geoloc_ros.rerank.language import INPUTS, OUTPUTS
from geoloc_ros.rerank.package import EMBEDDER, ONNX, RerankerPackage
from geoloc_ros.rerank.text import TextEmbedder, save_embedder
from geoloc_ros.training.export import PARITY
from geoloc_ros.training.onnx_writer import OPSET
from geoloc_ros.training.reranker_lists import joined
from geoloc_ros.training.reranker_nets import Judge
from geoloc_ros.training.reranker_score import Scores, fit_temperature, table_text
from geoloc_ros.training.reranker_train import Told, judged
from geoloc_ros.vlm.questions import QuestionSet

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a reranker belongs to and how it came about; same for all variants of a training."""

    encoder: ModelPackage
    questions: QuestionSet
    vlm: str
    vlm_sha256: str
    top: int
    training: dict[str, Any]
    table: tuple[Scores, ...]


def export_variant(
    judge: Judge,
    fusion: str,
    text: str,
    embedder: TextEmbedder,
    threshold: float,
    validation: Sequence[Told],
    provenance: Provenance,
    root: Path,
) -> RerankerPackage:
    """Write a reranker's package with its card.

    Args:
        judge: scorer and gate.
        fusion: of the scorer.
        text: `answers` or `template`.
        embedder: of the sentences, written if `text` is `template`.
        threshold: confidence from which its order is taken.
        validation: lists to fit the temperatures on, as this variant sees them.
        provenance: what it belongs to.
        root: directory to write.

    Raises:
        TrainingError: ONNX and torch disagree.
    """
    root.mkdir(parents=True, exist_ok=True)
    parity = export_judge(judge, root / ONNX)
    names = [ONNX]
    if text == "template":
        save_embedder(embedder, root, *EMBEDDER)
        names += EMBEDDER
    score = np.concatenate([judged(judge, told)[0] for told in validation])
    lists = joined([told.lists for told in validation])
    questions, reliability = provenance.questions, judge.scorer.reliability.weights()
    weights = reliability.detach().numpy().round(4).tolist()
    asked = [question.id for question in questions.questions]
    package = RerankerPackage(
        root=root,
        name="geoloc-reranker",
        version=VERSION,
        files={name: file_sha256(root / name) for name in names},
        encoder_sha256=provenance.encoder.encoder_sha256,
        descriptor_dim=provenance.encoder.descriptor_dim,
        questions_version=questions.version,
        questions_sha256=questions.sha256,
        options=questions.total_options,
        vlm=provenance.vlm,
        vlm_sha256=provenance.vlm_sha256,
        top=provenance.top,
        fusion=fusion,
        text=text,
        threshold=threshold,
        temperature=fit_temperature(score, lists),
        reliability=dict(zip(asked, weights, strict=True)) if text == "answers" else {},
        training={**provenance.training, "onnx_opset": OPSET, "onnx_parity": f"{parity:.1e}"},
        scores={row.name: dataclasses.asdict(row) for row in provenance.table},
    )
    package.save()
    (root / "README.md").write_text(card(package, provenance), encoding="utf-8")
    return package


def export_judge(judge: Judge, path: Path) -> float:
    """Write scorer and gate as ONNX, for any number of candidates from two, and check it.

    Returns:
        Largest difference between torch and ONNX Runtime for another number of candidates.

    Raises:
        TrainingError: the difference exceeds 1e-4.
    """
    judge.eval()
    part = path.with_suffix(".part")
    axes = {0: "batch", 1: "candidates"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            judge, _example(judge, 2, 10), str(part), dynamo=False, opset_version=OPSET,
            input_names=list(INPUTS), output_names=list(OUTPUTS),
            dynamic_axes={
                "query_descriptor": {0: "batch"}, "query_text": {0: "batch"},
                "similarity": axes, "descriptors": axes, "texts": axes, "score": axes,
                "confidence": {0: "batch"},
            },
        )  # fmt: skip
        probe = _example(judge, 1, 7)
        expected = judge(*probe)
    session = open_session(part, 1, INPUTS, OUTPUTS)
    given = {name: value.numpy() for name, value in zip(INPUTS, probe, strict=True)}
    asked = [item.name for item in session.get_inputs()]
    found = session.run(list(OUTPUTS), {name: given[name] for name in asked})
    difference = max(
        float(np.abs(a - b.numpy()).max()) for a, b in zip(found, expected, strict=True)
    )
    if not difference <= PARITY:
        raise TrainingError(
            f"{path.name} differs from torch by {difference:.1e}; at most {PARITY}"
        )
    part.replace(path)
    return difference


def _example(judge: Judge, batch: int, count: int) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    spec = judge.scorer.spec
    size, total = spec.descriptor_dim, sum(spec.blocks)
    return (
        torch.randn(batch, size),
        torch.rand(batch, total),
        torch.rand(batch, count).sort(dim=1, descending=True).values,
        torch.randn(batch, count, size),
        torch.rand(batch, count, total),
    )


def card(package: RerankerPackage, provenance: Provenance) -> str:
    """Markdown text of the package's README."""
    training = package.training
    trusted = sorted(package.reliability.items(), key=lambda item: -item[1])
    weights = "\n".join(f"| {question} | {weight:.2f} |" for question, weight in trusted)
    reliability = (
        f"\n## Weight of each question, learnt\n\n| question | weight |\n|---|---|\n{weights}\n"
        if trusted
        else ""
    )
    words = "probabilities of all answers"
    if package.text == "template":
        words = (
            "sentences made of the likeliest answers, embedded by latent semantic analysis fitted "
            "on such sentences (local and word-counting; it knows nothing of language beyond them)"
        )
    lists, settings = training["lists"], training["settings"]
    return f"""# {package.name} {package.version}

Orders the first {package.top} places that the encoder retrieves, by what a vision-language model
says of the camera view and said of each place's satellite tile. It abstains where it is not sure
to help. After GeoVLM (arXiv 2505.13669).

| | |
|---|---|
| encoder | {training["encoder"]} ({package.encoder_sha256[:12]}) |
| answers by | {package.vlm} ({package.vlm_sha256[:12]}) |
| questions | version {package.questions_version} ({package.questions_sha256[:12]}) |
| description | {words} |
| fusion | {package.fusion} |
| confidence needed | {package.threshold:g} |
| licence | {package.licence} |

## Training

- {lists["train"]} views of made towns {training["train_seeds"][0]}-{training["train_seeds"][-1]}
  with their first {package.top} places; no town of the styles
  {", ".join(training["left_out_styles"])}.
- Margin ranking loss (m = {settings["margin"]:g}), {settings["epochs"]} epochs, seed \
{settings["seed"]}; the gate learns on the same lists, scored by scorers of the other half of the
  towns, when the new first is right and the old one is not; and, with as much weight, on the same
  lists with answers to other views.
- Again: `{training["command"]}`

## Validation

`same`: {lists["same"]} other views of the training towns; `cross`: {lists["cross"]} views of towns
{", ".join(str(seed) for seed in training["validation_seeds"])}, of all styles. R@1: the first
place lies within 8 m and 22.5 degrees; gains are relative to the encoder's order, gated. The
fusion was chosen, and the confidence needed was set, on these same lists: `bench/vlm_rerank.py`
has held-out towns.
`*_shuffled`: learnt and tested with answers to other views; `best_shuffled`: the shipped one,
tested so.

{table_text(provenance.table)}
{reliability}
## Limits

Made towns only. It knows how far to trust one model's answers to one list of questions, and
refuses an index described by another.
"""
