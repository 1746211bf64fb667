# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Points that can be found again in another picture of the same place."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Features:
    """Points of one picture.

    Attributes:
        uv: (N, 2) column and row in the full-size picture, px.
        descriptors: (N, 128) unit length.
    """

    uv: FloatArray
    descriptors: npt.NDArray[np.float32]


class FeatureExtractor:
    """SIFT (Lowe, IJCV 2004) with square-rooted descriptors (Arandjelovic, Zisserman, CVPR 2012).

    Args:
        count: most points per picture.
        work_width_px: wider pictures are reduced to this width first.
    """

    def __init__(self, count: int = 1500, work_width_px: int = 960) -> None:
        self._sift = cv2.SIFT.create(nfeatures=count, contrastThreshold=0.02)
        self._work_width_px = work_width_px

    def scale(self, width_px: int) -> float:
        """Full-size pixels per pixel that is looked at."""
        return width_px / min(width_px, self._work_width_px)

    def extract(self, rgb: Image) -> Features:
        """Points of a picture (H, W, 3) RGB."""
        gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
        height, width = gray.shape
        size = min(width, self._work_width_px)
        rows = max(1, round(height * size / width))
        if size != width:
            gray = cv2.resize(gray, (size, rows), interpolation=cv2.INTER_AREA)
        points, raw = self._sift.detectAndCompute(gray, None)
        if raw is None or not len(points):
            return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
        # pixel centres are integers: the outer edge at -0.5 stays where it is
        ratio = np.array([width / size, height / rows])
        uv = (np.array([point.pt for point in points]) + 0.5) * ratio - 0.5
        total = np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
        return Features(uv, np.asarray(np.sqrt(raw / total), dtype=np.float32))


def match(a: Features, b: Features, ratio: float = 0.8) -> tuple[Index, Index]:
    """Mutual nearest neighbours whose distance beats the second best's (Lowe's ratio test).

    Args:
        a: points of the first picture.
        b: of the second.
        ratio: the best distance must be below this share of the second best.

    Returns:
        Indices (M,) into a, and (M,) into b.
    """
    if len(a.uv) < 2 or len(b.uv) < 2:
        empty = np.zeros(0, dtype=np.intp)
        return empty, empty
    dot = a.descriptors @ b.descriptors.T
    rows = np.arange(len(a.uv))
    best = dot.argmax(axis=1)
    top = dot[rows, best]
    mutual = dot.argmax(axis=0)[best] == rows
    dot[rows, best] = -1.0
    second = dot.max(axis=1)
    # unit vectors: the squared distance is 2 - 2 dot
    distinct = (1.0 - top) < ratio**2 * (1.0 - second)
    keep = np.flatnonzero(mutual & distinct)
    return keep, best[keep]
