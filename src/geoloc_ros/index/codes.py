# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How descriptors are stored: unit vectors in few bytes, compared with a whole query."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array

STORAGES = ("int8", "float16", "float32")
DEFAULT_STORAGE = "int8"
LEVELS = 127

Rows = npt.NDArray[np.int64]


class Codes:
    """Unit vectors as they are stored.

    Args:
        array: (N, D) numbers: int8, float16 or float32.
        scale: (D,) float32 what a step of each dimension of int8 is worth; None of other kinds.
    """

    def __init__(self, array: npt.NDArray[Any], scale: Float32Array | None = None) -> None:
        self.array, self.scale = array, scale

    @classmethod
    def encode(cls, descriptors: Float32Array, storage: str) -> Codes:
        """Store unit vectors (N, D)."""
        if storage != "int8":
            return cls(np.ascontiguousarray(descriptors, dtype=storage))
        scale = np.maximum(np.abs(descriptors).max(axis=0), 1e-6).astype(np.float32) / LEVELS
        return cls(np.rint(descriptors / scale).astype(np.int8), scale)

    def __len__(self) -> int:
        """How many vectors."""
        return len(self.array)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.array.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self.array.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def norms(self) -> Float32Array:
        """Lengths (N,) of the vectors as they are stored."""
        scale = np.float32(1.0) if self.scale is None else self.scale
        return np.asarray(np.linalg.norm(self.array * scale, axis=1), dtype=np.float32)

    def decode(self, rows: Rows | None = None) -> Float32Array:
        """Unit vectors (n, D) of rows (n,), of all if none are named."""
        found = (self.array if rows is None else self.array[rows]).astype(np.float32)
        if self.scale is not None:
            found *= self.scale
        norm = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(norm, np.float32(1e-12)), dtype=np.float32)

    def similarity(self, query: Float32Array, rows: Rows | None = None) -> Float32Array:
        """Product (n,) of a vector (D,) with rows (n,), with all if none are named."""
        return self.decode(rows) @ query
