# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a vision-language model said of an index's tiles: thinning, storage, look-up.

A description is one vector: the probabilities of all options of all questions, one after the
other, a byte each. Entries lie so densely that neighbours show the same; so entries share the
description of a representative that lies within a tolerance of position and heading.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.geo.se2 import wrap_angle

#: description vectors (V, T) uint8, and for each entry its row among them (N,) int32
ANSWERS, ROWS = "answers.npy", "answer_rows.npy"
DESCRIBED_PARTS = (ANSWERS, ROWS)
FULL = 255

ByteArray = npt.NDArray[np.uint8]
RowArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionRecord:
    """Who described the tiles of an index, what was asked, and how densely; in the manifest.

    Attributes:
        questions_version: of the list of questions.
        questions_sha256: identity of the list of questions.
        options: length of a description: options of all questions.
        vlm: name and version of the model, for people.
        vlm_sha256: identity of the model's files.
        within_m: an entry shares a description no farther off than this.
        within_deg: nor turned by more than this.
    """

    questions_version: int
    questions_sha256: str
    options: int
    vlm: str
    vlm_sha256: str
    within_m: float
    within_deg: float

    def is_alike(self, other: DescriptionRecord | None) -> bool:
        """Whether another says the same of every tile: its names, for people, may differ."""
        return other is not None and self == replace(
            other, vlm=self.vlm, questions_version=self.questions_version
        )


def representatives(poses: FloatArray, within_m: float, within_deg: float) -> RowArray:
    """Entries that speak for all: each entry lies within the tolerance of the one it is given.

    Taken greedily in the order of the entries; then each entry is given the nearest that was
    taken, a degree counting as much as `within_m / within_deg`.

    Args:
        poses: (N, 3) x_m, y_m, yaw_rad.
        within_m: largest distance, 0 for none.
        within_deg: largest turn, 0 for none.

    Returns:
        (N,) number of the entry that speaks for each.
    """
    from scipy.spatial import cKDTree

    poses = np.asarray(poses, dtype=np.float64)
    speaker = np.arange(len(poses), dtype=np.int32)
    if within_m <= 0.0 or within_deg <= 0.0 or not len(poses):
        return speaker
    tree, turn_rad = cKDTree(poses[:, :2]), math.radians(within_deg)
    cost = np.full(len(poses), np.inf)
    for i, pose in enumerate(poses):
        if np.isfinite(cost[i]):
            continue
        near = np.array(tree.query_ball_point(pose[:2], within_m), dtype=np.int64)
        turn = np.abs(wrap_angle(poses[near, 2] - pose[2]))
        near, turn = near[turn <= turn_rad], turn[turn <= turn_rad]
        away = np.hypot(*(poses[near, :2] - pose[:2]).T) / within_m + turn / turn_rad
        closer = away < cost[near]
        speaker[near[closer]], cost[near[closer]] = i, away[closer]
        speaker[i], cost[i] = i, -1.0
    return speaker


def quantise(answers: Float32Array) -> ByteArray:
    """Probabilities (..., T) in bytes; the error is at most 1 / 510."""
    return np.asarray(np.rint(np.clip(answers, 0.0, 1.0) * FULL), dtype=np.uint8)


def dequantise(answers: ByteArray) -> Float32Array:
    """Probabilities (..., T) from bytes."""
    return np.asarray(answers / np.float32(FULL), dtype=np.float32)


class Descriptions:
    """The descriptions of a shard's entries, looked up by row.

    Attributes:
        answers: (V, T) bytes.
        rows: (N,) which of them speaks for each entry; -1 for none.
    """

    def __init__(self, answers: ByteArray, rows: RowArray) -> None:
        self.answers, self.rows = answers, rows

    def __len__(self) -> int:
        """How many tiles were described."""
        return len(self.answers)

    def with_new(
        self, entries: npt.NDArray[np.int64], answers: ByteArray, spoken: npt.NDArray[np.int64]
    ) -> Descriptions:
        """And what is newly said of some entries.

        Args:
            entries: (E,) their rows.
            answers: (V, T) of tiles, zeros where the model said nothing.
            spoken: (E,) which of these speaks for each.
        """
        heard = answers.any(axis=1)
        number = np.where(heard, len(self.answers) + np.cumsum(heard) - 1, -1)
        rows = self.rows.copy()
        rows[entries] = number[spoken]
        return Descriptions(np.concatenate([self.answers, answers[heard]]), rows)

    def of(self, rows: npt.NDArray[np.int64]) -> Float32Array:
        """Descriptions (n, T) of entries; zeros where the model said nothing of a tile."""
        spoken = self.rows[rows]
        said = spoken >= 0
        found = np.zeros((*spoken.shape, self.answers.shape[1]), dtype=np.float32)
        found[said] = dequantise(self.answers[spoken[said]])
        return found


def sound(answers: npt.NDArray[Any], rows: npt.NDArray[Any], count: int, options: int) -> bool:
    """Whether a shard's two arrays fit each other, its entries and the questions."""
    return (
        answers.dtype == np.uint8
        and answers.ndim == 2
        and answers.shape[1] == options
        and rows.dtype == np.int32
        and rows.shape == (count,)
        and bool(((rows >= -1) & (rows < len(answers))).all())
    )
