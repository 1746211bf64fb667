# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists without a world: random places, a noisy encoder, a model that is mostly right."""

import functools
from pathlib import Path

import numpy as np

from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.training.reranker_lists import Lists
from geoloc_ros.training.reranker_train import Told
from geoloc_ros.vlm.questions import load_questions

DIM, TOP = 16, 6
QUESTIONS = load_questions()


def toy_encoder() -> ModelPackage:
    return ModelPackage(
        root=Path("nowhere"),
        name="toy",
        version="1",
        query=QuerySpec(view="perspective", height_px=8, width_px=16, hfov_deg=90.0),
        reference=ReferenceSpec(size_px=8, extent_m=72.0, offset_forward_m=30.0),
        mean=(0.4, 0.4, 0.4),
        std=(0.2, 0.2, 0.2),
        descriptor_dim=DIM,
        files={"query.onnx": "a" * 64, "reference.onnx": "b" * 64},
    )


def answers(rng, options, accuracy=0.85):
    """Probabilities (..., T) that a model gives where options (..., questions) are true."""
    out = np.zeros((*options.shape[:-1], QUESTIONS.total_options), np.float32)
    for j, question in enumerate(QUESTIONS.questions):
        count = len(question.options)
        wrong = rng.random(options.shape[:-1]) > accuracy
        chosen = (options[..., j] + wrong * rng.integers(1, count, wrong.shape)) % count
        shares = np.full((*wrong.shape, count), 0.2 / (count - 1))
        np.put_along_axis(shares, chosen[..., None], 0.8, axis=-1)
        out[..., QUESTIONS.slices[question.id]] = shares
    return out


@functools.cache
def toy_lists(count=240, seed=0, accuracy=0.85) -> Told:
    """Lists whose first is right in about half; what is said of them tells the right one."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(count, TOP, DIM)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=2, keepdims=True)
    right = np.zeros((count, TOP), bool)
    right[np.arange(count), rng.choice(TOP, count, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])] = True
    sizes = [len(question.options) for question in QUESTIONS.questions]
    options = np.stack([rng.integers(0, size, (count, TOP)) for size in sizes], axis=-1)
    similarity = np.sort(rng.uniform(0.3, 0.7, (count, TOP)), axis=1)[:, ::-1]
    lists = Lists(
        town=np.repeat([1, 2], count // 2),
        poses=np.zeros((count, 3)),
        rows=np.arange(count),
        query=descriptors[right],
        places=np.zeros((count, TOP, 3)),
        entries=np.arange(count * TOP).reshape(count, TOP),
        similarity=similarity.astype(np.float32),
        descriptors=descriptors,
        correct=right,
    )
    query = answers(rng, options[right], accuracy)
    return Told(lists, query, answers(rng, options, accuracy))
