# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the model answers in towns it never saw: as torch computes it and as llama.cpp does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.datatypes import Image
from geoloc_ros.training.gguf_export import Quantization
from geoloc_ros.training.pictures import to_tensor
from geoloc_ros.training.vlm_data import GROUND, SATELLITE, VlmData
from geoloc_ros.training.vlm_export import write_files
from geoloc_ros.training.vlm_nets import TinyVlm
from geoloc_ros.training.vlm_prompts import Prompts
from geoloc_ros.training.vlm_scores import Said
from geoloc_ros.vlm.llama_session import LlamaSession

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QuantizationLoss:
    """What eight bits cost, on the same pictures.

    Attributes:
        pictures: how many.
        accuracy_f32: share of right answers of the file in 32-bit floats.
        accuracy_q8: of the shipped one.
        changed: share of answers that differ.
        shifted: mean distance of the probabilities of an option.
        seconds: per picture with all questions, shipped file.
        threads: of that.
    """

    pictures: int
    accuracy_f32: float
    accuracy_q8: float
    changed: float
    shifted: float
    seconds: float
    threads: int


def some_rows(data: VlmData, each: int) -> IntArray:
    """About `each` camera views and as many crops, evenly from all towns."""
    views = np.linspace(0, data.views - 1, min(each, data.views)).astype(np.int64)
    crops = np.linspace(0, data.crops - 1, min(each, data.crops)).astype(np.int64)
    return np.concatenate([np.unique(views), data.views + np.unique(crops)])


@torch.inference_mode()
def torch_answers(
    model: TinyVlm, prompts: Prompts, images: Image, wording: str = "name", batch: int = 16
) -> Float32Array:
    """Probabilities (N, Q, most options) of pictures (N, S, S, 3), in 32-bit floats."""
    model.eval()
    branches = prompts.every(wording)
    out = []
    for start in range(0, len(images), batch):
        said = model(to_tensor(images[start : start + batch]), branches)
        out.append(option_probabilities(said[..., prompts.letters].numpy(), prompts))
    return np.concatenate(out)


def llama_answers(session: LlamaSession, prompts: Prompts, images: Image) -> Float32Array:
    """The same from the files of a model, asked by name."""
    texts = prompts.tokens()
    letters = prompts.letters.numpy()
    out = []
    for image in images:
        session.look(session.marker, image)
        out.append(session.continue_with(texts)[:, letters])
    return option_probabilities(np.stack(out), prompts)


def option_probabilities(letters: npt.NDArray[np.floating], prompts: Prompts) -> Float32Array:
    """Softmax over each question's own letters, 0 elsewhere.

    Args:
        letters: (..., Q, most options) logits.
        prompts: the questions.
    """
    there = np.arange(letters.shape[-1]) < np.array(prompts.options)[:, None]
    shown = np.where(there, letters, -np.inf).astype(np.float64)
    raised = np.exp(shown - shown.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)


def _said(probabilities: Float32Array, data: VlmData, rows: IntArray) -> Said:
    views = np.where(rows < data.views, GROUND, SATELLITE)
    return Said(probabilities, data.answers[rows].astype(np.int64), views, data.towns[rows])


def ask_torch(
    model: TinyVlm, prompts: Prompts, data: VlmData, rows: IntArray, wording: str = "name"
) -> Said:
    """What a model in training says of some pictures, with the truth beside it."""
    parts = [
        torch_answers(model, prompts, data.pictures(rows[i : i + 256]), wording)
        for i in range(0, len(rows), 256)
    ]
    return _said(np.concatenate(parts), data, rows)


def ask_files(
    files: tuple[Path, Path], prompts: Prompts, data: VlmData, rows: IntArray, threads: int
) -> tuple[Said, float]:
    """What a language model and vision tower on disk say of some pictures.

    Returns:
        The answers, and seconds per picture with all questions.

    Raises:
        ModelError: llama.cpp does not take the files.
        ConfigError: llama-cpp-python is missing.
    """
    session = LlamaSession(*files, n_threads=threads, exact=True, gpu=False)
    parts, seconds = [], 0.0
    try:
        llama_answers(session, prompts, data.pictures(rows[:2]))  # warm
        for i in range(0, len(rows), 256):
            images = data.pictures(rows[i : i + 256])
            started = time.perf_counter()
            parts.append(llama_answers(session, prompts, images))
            seconds += time.perf_counter() - started
    finally:
        session.close()
    return _said(np.concatenate(parts), data, rows), seconds / len(rows)


def quantization_loss(
    model: TinyVlm, prompts: Prompts, data: VlmData, each: int, threads: int
) -> QuantizationLoss:
    """Write the model in both precisions and ask llama.cpp.

    Args:
        model: trained weights.
        prompts: the questions.
        data: unseen towns.
        each: pictures of each view.
        threads: of llama.cpp.
    """
    rows = some_rows(data, each)
    kinds: tuple[Quantization, Quantization] = ("F32", "Q8_0")
    found = []
    for kind in kinds:
        with TemporaryDirectory() as folder:
            files = write_files(model, Path(folder), kind)
            found.append(ask_files(files, prompts, data, rows, threads))
    (exact, _), (small, seconds) = found
    best = [said.probabilities.argmax(axis=2) for said in (exact, small)]
    truth = exact.answers
    there = exact.probabilities > 0.0
    return QuantizationLoss(
        pictures=len(rows),
        accuracy_f32=float((best[0] == truth)[truth >= 0].mean()),
        accuracy_q8=float((best[1] == truth)[truth >= 0].mean()),
        changed=float((best[0] != best[1])[truth >= 0].mean()),
        shifted=float(np.abs(exact.probabilities - small.probabilities)[there].mean()),
        seconds=seconds,
        threads=threads,
    )
