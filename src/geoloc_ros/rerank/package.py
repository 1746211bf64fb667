# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The reranker's package: a directory with `model.json` and the files it vouches for.

A reranker belongs to one encoder, one list of questions and one vision-language model: it has
learnt how far to trust each of them. It refuses the company of others.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoloc_ros.encoders.package import verify_file
from geoloc_ros.encoders.registry import find_folder
from geoloc_ros.errors import ModelError, first_line, shown
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.rerank.text import TextEmbedder, load_embedder

SCHEMA = 1
KIND = "reranker"
ONNX = "reranker.onnx"
EMBEDDER = ("vocabulary.json", "embedder.npy")
FUSIONS = ("sum", "concat", "pairwise", "no_text")
TEXTS = ("answers", "template")


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankerPackage:
    """One trained reranker on disk.

    Attributes:
        root: its directory.
        files: file name -> sha256.
        encoder_sha256: the encoder whose candidates it orders.
        descriptor_dim: length of that encoder's descriptors.
        questions_version: of the list of questions.
        questions_sha256: identity of the list of questions.
        options: options of all questions.
        vlm: the vision-language model whose answers it knows, for people.
        vlm_sha256: identity of that model.
        top: how many candidates it orders; the others stay behind them.
        fusion: how descriptor and description meet, one of `FUSIONS`.
        text: what a description is to it, one of `TEXTS`: the answers' probabilities, or an
            embedding of the sentences they make.
        threshold: confidence from which its order is taken; below, the order is left alone.
        temperature: of its scores: softmax(score / temperature) is the chance of each candidate.
        reliability: weight of each question's answers, learnt, 0..1.
        training: command, seeds, data.
        scores: held-out figures by name.
    """

    root: Path
    name: str
    version: str
    files: dict[str, str]
    encoder_sha256: str
    descriptor_dim: int
    questions_version: int
    questions_sha256: str
    options: int
    vlm: str
    vlm_sha256: str
    top: int
    fusion: str
    text: str
    threshold: float
    temperature: float
    reliability: dict[str, float] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def save(self) -> None:
        """Write `model.json`; the files themselves are already there."""
        content = {"schema": SCHEMA, "kind": KIND, **dataclasses.asdict(self)}
        del content["root"]
        part = self.root / "model.partial"
        with part.open("w", encoding="utf-8") as file:
            file.write(json.dumps(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.root / "model.json")

    def embedder(self) -> TextEmbedder | None:
        """What turns sentences into vectors; None where descriptions are probabilities.

        Raises:
            ModelError: its files are damaged.
        """
        return None if self.text == "answers" else load_embedder(self.root, *EMBEDDER)

    def check(self, manifest: Manifest) -> None:
        """Refuse an index that it cannot order the candidates of.

        Raises:
            ModelError: no descriptions, another encoder, other questions or another model.
        """
        said = manifest.descriptions
        if said is None:
            raise ModelError(
                f"the index has no descriptions, which reranker {self.name} needs; make them: "
                "geoloc index describe INDEX --imagery FILE --vlm MODEL"
            )
        pairs = (
            ("encoder", self.encoder_sha256, manifest.encoder_sha256, manifest.model),
            ("questions", self.questions_sha256, said.questions_sha256,
             f"version {said.questions_version}"),
            ("vision-language model", self.vlm_sha256, said.vlm_sha256, said.vlm),
        )  # fmt: skip
        for what, known, found, words in pairs:
            if known != found:
                raise ModelError(
                    f"reranker {self.name} knows {what} {known[:12]}, the index is of "
                    f"{found[:12]} ({words}); describe the index with the model the reranker "
                    "knows, or train one for this index: geoloc train reranker"
                )

    def check_vlm(self, vlm: str, vlm_sha256: str) -> None:
        """Refuse a vision-language model whose answers it has not learnt to compare.

        Raises:
            ModelError: it is another one.
        """
        if vlm_sha256 != self.vlm_sha256:
            raise ModelError(
                f"reranker {self.name} knows the answers of {self.vlm} ({self.vlm_sha256[:12]}), "
                f"asked is {vlm} ({vlm_sha256[:12]}); ask that model, or train a reranker for "
                "this one: geoloc train reranker"
            )


def find_reranker(name: str) -> RerankerPackage:
    """The reranker at a path or of a name, verified.

    Raises:
        ModelError: there is none, or it was altered.
    """
    return load_reranker(find_folder(name, KIND))


def load_reranker(root: Path) -> RerankerPackage:
    """Read and verify a reranker's package.

    Raises:
        ModelError: no usable `model.json`, a value that makes no sense, or a file altered or
            missing.
    """
    path = root / "model.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        head = (content.pop("schema"), content.pop("kind"))
        if head != (SCHEMA, KIND):
            raise ModelError(f"{path} is of schema and kind {shown(head)}, not {SCHEMA}, {KIND}")
        package = RerankerPackage(root=root, **content)
        wrong = _wrong(package)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"no usable reranker at {root}: {first_line(error)}") from error
    if wrong:
        raise ModelError(f"{path}: {', '.join(wrong)} makes no sense; train the reranker again")
    for name, expected in package.files.items():
        verify_file(root / name, expected)
    return package


def _wrong(package: RerankerPackage) -> list[str]:
    """Names of the values that make no sense."""

    def number(value: object, low: float, high: float = math.inf) -> bool:
        return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]

    hashes = (package.encoder_sha256, package.questions_sha256, package.vlm_sha256)
    needed = {ONNX} | (set(EMBEDDER) if package.text == "template" else set())
    sound = {
        "name or version": all(
            isinstance(text, str) and text.isprintable()
            for text in (package.name, package.version, package.vlm)
        ),
        "files": set(package.files) == needed,
        "a sha256": all(
            re.fullmatch("[0-9a-f]{64}", h) for h in (*hashes, *package.files.values())
        ),
        "a size": all(
            type(size) is int and 1 <= size <= 2**16
            for size in (package.descriptor_dim, package.options, package.top)
        ),
        "fusion": package.fusion in FUSIONS,
        "text": package.text in TEXTS,
        "threshold": number(package.threshold, 0.0, 2.0),
        "temperature": number(package.temperature, 1e-6, 1e6),
        "reliability": all(number(value, 0.0, 1.0) for value in package.reliability.values()),
    }
    return [what for what, fits in sound.items() if not fits]
