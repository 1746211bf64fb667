# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A tiny vision-language model at random that wants to answer with a letter."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.training.gguf_export import (
    Quantization,
    TextSpec,
    VisionSpec,
    write_projector,
    write_text_model,
)
from geoloc_ros.training.vocabulary import Vocabulary, learn_vocabulary
from geoloc_ros.vlm.package import VlmPackage, model_file
from geoloc_ros.vlm.questions import LETTERS, load_questions, prompt

WIDTH = 64
IMAGE_PX = 64


def random_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Any]:
    """Weights at random of these shapes, scaled so that activations neither vanish nor blow up."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            weights[name] = 0.1 * values + np.float32("norm" in name or ".ln" in name)
        elif name in ("token_embd.weight", "v.position_embd.weight"):
            weights[name] = 0.5 * values
        else:
            weights[name] = values / np.float32(math.sqrt(math.prod(shape[1:])))
    return {name: np.asarray(value, np.float32) for name, value in weights.items()}


def question_vocabulary() -> Vocabulary:
    questions = load_questions().questions
    return learn_vocabulary(
        "\n" + prompt(question, paraphrased)
        for question in questions
        for paraphrased in (False, True)
    )


def text_spec() -> TextSpec:
    return TextSpec(vocabulary=question_vocabulary(), width=WIDTH, layers=2, heads=4, ffn=96)


def vision_spec() -> VisionSpec:
    return VisionSpec(image_px=IMAGE_PX, width=64, layers=2, heads=4, ffn=96, text_width=WIDTH)


def text_weights(spec: TextSpec, seed: int = 1, eager: bool = True) -> dict[str, np.ndarray]:
    """At random; `eager` to answer with letters: they alone point where every text ends."""
    weights = random_weights(spec.shapes(), seed)
    if eager:
        embeddings, ids = weights["token_embd.weight"], spec.vocabulary.ids
        embeddings[:, 0] = 0.5
        embeddings[[ids["▁" + letter] for letter in LETTERS[:12]], 0] = -1.5
        embeddings[[ids["\nAnswer:"], ids[":"]], 0] = 30.0  # a name ends with a colon
        weights["output_norm.weight"][0] = -1.0
    return weights


def make_tiny(
    folder: Path,
    seed: int = 1,
    quantization: Quantization = "F32",
    eager: bool = True,
) -> VlmPackage:
    """Write the two files and the card into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    text, vision, questions = text_spec(), vision_spec(), load_questions()
    eyes = random_weights(vision.shapes(), seed + 100)
    write_text_model(folder / "text.gguf", text, text_weights(text, seed, eager), quantization)
    write_projector(folder / "mmproj.gguf", vision, eyes, quantization)
    package = VlmPackage(
        root=folder,
        name=folder.name,
        version="1",
        text=model_file(folder / "text.gguf"),
        mmproj=model_file(folder / "mmproj.gguf"),
        architecture="llama",
        projector="janus_pro",
        image_size=IMAGE_PX,
        image_fit="square",
        template="plain",
        question_set={"version": questions.version, "sha256": questions.sha256},
        licence="Apache-2.0",
    )
    package.save()
    return package
