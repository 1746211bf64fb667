# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An encoder without a network, for tests and demonstrations: pooled colours, projected."""

from __future__ import annotations

import cv2
import numpy as np

from geoloc_ros.datatypes import Float32Array, Image

_SIDE = 8


class FakeEncoder:
    """Describes an image by its colours on a coarse raster.

    Images are shrunk by area to 8 x 8, contrast is normalised, and a fixed random matrix projects
    the result to the descriptor (Johnson and Lindenstrauss: distances survive). Query and
    reference are treated alike, so it works where the query is itself an overhead crop.

    Args:
        dim: length of a descriptor.
        seed: of the projection.
    """

    def __init__(self, dim: int = 64, seed: int = 0) -> None:
        self.dim = dim
        rng = np.random.default_rng(seed)
        self._projection = rng.normal(size=(_SIDE * _SIDE * 3, dim)).astype(np.float32)

    def encode_query(self, views: Image) -> Float32Array:
        """Unit descriptors (N, D) of views (N, H, W, 3)."""
        return self._encode(views)

    def encode_reference(self, crops: Image) -> Float32Array:
        """Unit descriptors (N, D) of crops (N, S, S, 3)."""
        return self._encode(crops)

    def _encode(self, images: Image) -> Float32Array:
        size = (_SIDE, _SIDE)
        small = np.array(
            [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images],
            dtype=np.float32,
        ).reshape(len(images), -1)
        small -= small.mean(axis=1, keepdims=True)
        features = small @ self._projection
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        features[norm[:, 0] < 1e-6] = self._projection[0]
        norm = np.linalg.norm(features, axis=1, keepdims=True)
        return np.asarray(features / norm, dtype=np.float32)
