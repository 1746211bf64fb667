# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from files and bytes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ImageDecodeError


def decode_rgb(data: bytes, name: str = "image") -> Image:
    """Decode JPEG, PNG or whatever OpenCV knows to (H, W, 3) RGB.

    Orientation tags are ignored, as cameras on vehicles are calibrated for the stored pixels.

    Args:
        data: the encoded picture.
        name: what to call it in messages.

    Raises:
        ImageDecodeError: the bytes are no picture.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise ImageDecodeError(f"{name} cannot be decoded: {error.err}") from error
    if bgr is None:
        raise ImageDecodeError(
            f"{name} ({len(data)} bytes) is no JPEG, PNG or other known picture, or is damaged; "
            "open it in a viewer, or convert it to JPEG or PNG"
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_rgb(path: Path) -> Image:
    """Read a picture file as (H, W, 3) RGB; see `decode_rgb`.

    Raises:
        ImageDecodeError: the file is missing, unreadable or no picture.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageDecodeError(f"cannot read picture {path}: {error.strerror}") from error
    return decode_rgb(data, str(path))
