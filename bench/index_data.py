# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a made country of any size that are spread like those of real crops and cameras.

Streets cross squares of 1 km; entries follow each other every 3 m in two headings. What a crop
looks like is partly the same everywhere, partly a kind of street that comes again elsewhere, and
partly its own, which changes along the street; all of that lies in few of the dimensions. A camera
sees its place only in part. The shares are fitted to descriptors of `models/perspective` in a made
town; `statistics` is what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from geoloc_ros.datatypes import Float32Array, FloatArray

BLOCK_M, STREETS, STEP_M = 1000.0, 8, 3.0
KINDS, KIND_M = 9, 60.0
#: shares of a crop's square length: everywhere the same, of its kind of street, its own
COMMON, KIND = 0.20, 0.38
#: its own part changes along the street over so many metres, and a share of it at every step
CHANGES_M, ROUGH = 40.0, 0.24
#: variance of dimension i is 1 / (i + 1 + SOFT) ** FALL of the first one's
FALL, SOFT = 0.6, 6.0
#: what a camera shares with the crop at its place, as a cosine
SEEN = 0.52


def unit(rows: FloatArray | Float32Array) -> Float32Array:
    """Rows (N, D) at length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True)
class Country:
    """A made country.

    Attributes:
        dim: length of a descriptor.
        seed: of everything in it.
    """

    dim: int
    seed: int = 1

    def blocks(self, count: int) -> Iterator[tuple[FloatArray, Float32Array]]:
        """Anchors (n, 3) and descriptors (n, D) of one square after another, `count` in all."""
        side = int(np.ceil(np.sqrt(count / self._per_block)))
        left = count
        for number in range(side * side):
            poses, descriptors = self._block(number % side, number // side)
            if left <= 0:
                return
            yield poses[:left], descriptors[:left]
            left -= len(poses)

    def seen(self, crops: Float32Array, seed: int) -> Float32Array:
        """What cameras make of the places of crops (N, D)."""
        rng = np.random.default_rng([self.seed, 3, seed])
        other = unit(rng.normal(size=crops.shape) * self._spread)
        return unit(SEEN * crops + np.sqrt(1.0 - SEEN**2) * other)

    @property
    def _per_block(self) -> int:
        return 2 * STREETS * int(BLOCK_M / STEP_M)

    @property
    def _spread(self) -> FloatArray:
        """Standard deviation of each dimension."""
        falling = (np.arange(self.dim) + 1.0 + SOFT) ** (-0.5 * FALL)
        order = np.random.default_rng([self.seed, 0]).permutation(self.dim)
        return np.asarray((falling / np.linalg.norm(falling))[order])

    def _block(self, column: int, row: int) -> tuple[FloatArray, Float32Array]:
        everywhere = np.random.default_rng([self.seed, 1])
        common = unit(everywhere.normal(size=(1, self.dim)) * self._spread)
        kinds = unit(everywhere.normal(size=(KINDS, self.dim)) * self._spread)
        rng = np.random.default_rng([self.seed, 2, column, row])
        poses, own, kind = [], [], []
        for street in range(STREETS):
            poses += self._street(rng, street, np.array([column, row]) * BLOCK_M)
            for _ in range(2):
                own.append(self._walk(rng))
                stretch = int(KIND_M / STEP_M)
                kind.append(
                    np.repeat(rng.integers(0, KINDS, len(own[-1]) // stretch + 1), stretch)
                )
                kind[-1] = kind[-1][: len(own[-1])]
        parts = np.sqrt(COMMON) * common + np.sqrt(KIND) * kinds[np.concatenate(kind)]
        parts = parts + np.sqrt(1.0 - COMMON - KIND) * np.concatenate(own)
        return np.concatenate(poses), unit(parts)

    def _street(
        self, rng: np.random.Generator, number: int, corner_m: FloatArray
    ) -> list[FloatArray]:
        """Anchors of a street in both headings."""
        along = np.arange(int(BLOCK_M / STEP_M)) * STEP_M
        across = np.full_like(along, round(rng.uniform(0.0, BLOCK_M), 1))
        east = number % 2 == 0
        xy_m = np.stack([along, across] if east else [across, along], axis=1) + corner_m
        yaw = 0.0 if east else 0.5 * np.pi
        return [
            np.column_stack([xy_m, np.full(len(along), heading)]) for heading in (yaw, yaw - np.pi)
        ]

    def _walk(self, rng: np.random.Generator) -> FloatArray:
        """What is its own of each crop along a street (n, D), of unit length on average."""
        count = int(BLOCK_M / STEP_M)
        fresh = rng.normal(size=(count, self.dim)) * self._spread
        keep = np.exp(-STEP_M / CHANGES_M)
        new = np.sqrt(1.0 - keep**2)
        fresh[0] /= new
        walk = lfilter([new], [1.0, -keep], fresh, axis=0)
        rough = rng.normal(size=walk.shape) * self._spread
        return np.asarray(np.sqrt(1.0 - ROUGH) * walk + np.sqrt(ROUGH) * rough)


def statistics(crops: Float32Array, queries: Float32Array) -> dict[str, float]:
    """How descriptors are spread: what decides how hard they are to search.

    Args:
        crops: (N, D) unit vectors, more than 1000.
        queries: (Q, D) unit vectors.
    """
    among = -np.sort(-(crops[:: max(len(crops) // 300, 1)] @ crops.T), axis=1)
    asked = -np.sort(-(queries @ crops.T), axis=1)
    variances = np.linalg.eigvalsh(np.cov(crops.T.astype(np.float64)))
    found = {
        "dimensions": float(variances.sum() ** 2 / (variances**2).sum()),
        "common": float(np.linalg.norm(crops.mean(axis=0))),
    }
    found |= {f"crop_{k}": float(among[:, k].mean()) for k in (1, 5, 10, 1000)}
    return found | {f"query_{k}": float(asked[:, k - 1].mean()) for k in (1, 10, 100, 1000)}
