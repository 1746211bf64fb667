# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From trained weights to the package of a vision-language model: two GGUF files, model.json."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.errors import TrainingError
from geoloc_ros.training.gguf_export import (
    PROJECTOR,
    TEXT_ARCHITECTURE,
    Quantization,
    write_projector,
    write_text_model,
)
from geoloc_ros.training.vlm_nets import TinyVlm
from geoloc_ros.training.vlm_scores import Said, fit_temperatures, score_questions
from geoloc_ros.vlm.package import VlmPackage, model_file
from geoloc_ros.vlm.questions import VIEWS, QuestionSet

NAME, VERSION = "geoloc-vlm-tiny", "0.1.0"
MAX_BYTES = 30_000_000


def write_files(model: TinyVlm, folder: Path, quantization: Quantization) -> tuple[Path, Path]:
    """Write the language model and the vision tower.

    Returns:
        Their paths.

    Raises:
        TrainingError: a weight is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, vision = model.weights()
    paths = folder / f"text-{quantization}.gguf", folder / f"mmproj-{quantization}.gguf"
    parts = [path.with_suffix(".part") for path in paths]
    write_text_model(parts[0], model.language.spec, text, quantization)
    write_projector(parts[1], model.vision.spec, vision, quantization)
    for part, path in zip(parts, paths, strict=True):
        part.replace(path)
    return paths


def describe_package(
    model: TinyVlm, files: tuple[Path, Path], questions: QuestionSet, training: dict[str, Any]
) -> VlmPackage:
    """The package of two files as yet without figures; nothing is written.

    Args:
        model: what the files hold.
        files: the language model and the vision tower, in the package's directory.
        questions: those it was trained for.
        training: provenance: command, seeds, data.

    Raises:
        TrainingError: the files exceed 30 MB together.
    """
    text, mmproj = (model_file(path) for path in files)
    if text.bytes + mmproj.bytes > MAX_BYTES:
        raise TrainingError(
            f"the model has {text.bytes + mmproj.bytes} bytes; at most {MAX_BYTES}: train a "
            "smaller one"
        )
    return VlmPackage(
        root=files[0].parent,
        name=NAME,
        version=VERSION,
        text=text,
        mmproj=mmproj,
        architecture=TEXT_ARCHITECTURE,
        projector=PROJECTOR,
        image_size=model.vision.spec.image_px,
        image_fit="square",
        template="plain",
        asked_by="name",
        question_set={"version": questions.version, "sha256": questions.sha256},
        training=training,
        licence="Apache-2.0",
    )


def with_figures(
    package: VlmPackage, said: Said, questions: QuestionSet, figures: dict[str, float]
) -> VlmPackage:
    """The package with temperatures, reliabilities and scores of its answers in unseen towns."""
    temperatures = fit_temperatures(said)
    scores = score_questions(said, questions)
    temperature = {
        view: {
            question.id: float(temperatures[v, q])
            for q, question in enumerate(questions.questions)
            if view in question.views
        }
        for v, view in enumerate(VIEWS)
    }
    reliability = {
        view: {s.question: round(s.accuracy, 4) for s in scores if s.view == view}
        for view in VIEWS
    }
    rounded = {k: round(v, 4) if np.isfinite(v) else None for k, v in figures.items()}
    table = [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(s).items()}
        for s in scores
    ]
    return replace(
        package,
        temperature=temperature,
        reliability=reliability,
        scores={**rounded, "questions": table},
    )
