# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole pictures, as data sets hold them, brought to the size a model was trained on.

Views and satellite crops are warped to size and never come here. A published score belongs to one
way of resizing: the model card names it (`ModelPackage.resize`).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as Pillow

from geoloc_ros.datatypes import Image

_Resize = Callable[[Image, int, int], Image]


def _opencv(how: int) -> _Resize:
    def resize(rgb: Image, height: int, width: int) -> Image:
        return np.asarray(cv2.resize(rgb, (width, height), interpolation=how), dtype=np.uint8)

    return resize


def _pillow(how: Pillow.Resampling) -> _Resize:
    def resize(rgb: Image, height: int, width: int) -> Image:
        return np.asarray(Pillow.fromarray(rgb).resize((width, height), how), dtype=np.uint8)

    return resize


#: name in a model card -> how: OpenCV's, and Pillow's, which average where they shrink
RESIZES: dict[str, _Resize] = {
    "area": _opencv(cv2.INTER_AREA),
    "linear": _opencv(cv2.INTER_LINEAR),
    "linear_exact": _opencv(cv2.INTER_LINEAR_EXACT),
    "cubic": _opencv(cv2.INTER_CUBIC),
    "pillow_bilinear": _pillow(Pillow.Resampling.BILINEAR),
    "pillow_bicubic": _pillow(Pillow.Resampling.BICUBIC),
}


def resized(rgb: Image, height_px: int, width_px: int, how: str) -> Image:
    """A picture in another size; one that has it already is returned as it is.

    Args:
        rgb: (H, W, 3) uint8.
        height_px: rows wanted.
        width_px: columns wanted.
        how: a key of `RESIZES`.

    Returns:
        (height_px, width_px, 3) uint8.
    """
    if rgb.shape[:2] == (height_px, width_px):
        return rgb
    return RESIZES[how](np.ascontiguousarray(rgb), height_px, width_px)
