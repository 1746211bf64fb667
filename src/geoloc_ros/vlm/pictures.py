# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens to a picture before a vision-language model gets it; the same in training."""

from __future__ import annotations

import cv2
import numpy as np

from geoloc_ros.datatypes import Image

LONGEST_STRIP = 16


def square(rgb: Image, side_px: int) -> Image:
    """A picture (H, W, 3) squeezed to a square (side_px, side_px, 3), whatever its aspect ratio.

    Each direction by itself: averaged over the area where it shrinks, linear where it grows.

    Raises:
        ValueError: it is no picture of three channels of bytes.
    """
    return _resized(_checked(rgb), side_px, side_px)


def at_most(rgb: Image, side_px: int) -> Image:
    """A picture (H, W, 3) shrunk until its longer side has at most `side_px`.

    Strips are widened until the shorter side is `LONGEST_STRIP` times shorter than the longer one:
    llama.cpp ends the process over a picture that becomes thinner than a pixel.

    Raises:
        ValueError: it is no picture of three channels of bytes.
    """
    height, width = _checked(rgb).shape[:2]
    longer = max(height, width)
    scale = min(1.0, side_px / longer)
    least = longer * scale / LONGEST_STRIP
    return _resized(rgb, *(max(1, round(max(side * scale, least))) for side in (height, width)))


def _checked(rgb: Image) -> Image:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(
            f"a picture of shape {rgb.shape} and type {rgb.dtype}; it must be (H, W, 3) bytes"
        )
    return rgb


def _resized(rgb: Image, height: int, width: int) -> Image:
    smaller = min(height, rgb.shape[0]), min(width, rgb.shape[1])
    if smaller != rgb.shape[:2]:
        rgb = _scaled(rgb, *smaller, cv2.INTER_AREA)
    if rgb.shape[:2] != (height, width):
        rgb = _scaled(rgb, height, width, cv2.INTER_LINEAR)
    return np.ascontiguousarray(rgb)


def _scaled(rgb: Image, height: int, width: int, how: int) -> Image:
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how), np.uint8)
