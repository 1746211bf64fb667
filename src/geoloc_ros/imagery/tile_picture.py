# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One tile's picture: what its bytes are, before and after they are decoded.

Bytes of tiles come from servers and from files of others. Nothing is decoded before its header
has said how large it is.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ImageDecodeError

#: Largest side of a tile, px; usual are 256 and 512.
MAX_TILE_PX = 2048
#: Largest encoded tile, bytes; a photograph of 512 x 512 px takes 0.1 to 0.7 MB.
MAX_TILE_BYTES = 8 << 20

_FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
_MODES = ("RGB", "RGBA", "L", "LA", "P", "1")
_BOMBS = (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning)
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError)


def look(data: bytes, name: str, side_px: int | None = None) -> tuple[str, int]:
    """What a tile's header says, without decoding it.

    Args:
        data: the encoded picture.
        name: what to call it in messages.
        side_px: the side it must have; None: any square.

    Returns:
        The format (`jpg`, `png` or `webp`) and the side in pixels.

    Raises:
        ImageDecodeError: no such picture, not square, of another size, or larger than
            `MAX_TILE_PX` or `MAX_TILE_BYTES`.
    """
    with _opened(data, name, side_px) as picture:
        return _FORMATS[str(picture.format)], int(picture.width)


def decode(data: bytes, name: str, side_px: int | None = None) -> Image:
    """Decode a tile.

    Args:
        data: the encoded picture.
        name: what to call it in messages.
        side_px: the side it must have; None: any square.

    Returns:
        (side, side, 4) uint8 red, green, blue, opacity.

    Raises:
        ImageDecodeError: see `look`; or the picture is damaged.
    """
    with _opened(data, name, side_px) as picture:
        try:
            return np.asarray(picture.convert("RGBA"), dtype=np.uint8)
        except _DAMAGE as error:
            raise ImageDecodeError(
                f"{name} ({len(data)} bytes of {picture.format}) is damaged: {error}"
            ) from error


def _opened(data: bytes, name: str, side_px: int | None) -> Any:  # noqa: ANN401 - Pillow's image
    if len(data) > MAX_TILE_BYTES:
        raise ImageDecodeError(
            f"{name} has {len(data) / 1e6:.1f} MB; a tile has at most "
            f"{MAX_TILE_BYTES / 1e6:.1f} MB"
        )
    try:
        picture = Pillow.open(io.BytesIO(data), formats=tuple(_FORMATS))
    except _BOMBS as error:
        raise ImageDecodeError(
            f"{name} ({len(data)} bytes) unpacks to more than a tile of {MAX_TILE_PX}x"
            f"{MAX_TILE_PX} px: {error}"
        ) from error
    except (UnidentifiedImageError, *_DAMAGE) as error:
        raise ImageDecodeError(f"{name} is {describe(data)}, not JPEG, PNG or WebP") from error
    width, height = picture.size
    wanted = f"{side_px}x{side_px} px" if side_px else f"square, at most {MAX_TILE_PX} px a side"
    if width != height or width > MAX_TILE_PX or side_px not in (None, width):
        picture.close()
        raise ImageDecodeError(f"{name} is {width}x{height} px; it must be {wanted}")
    if picture.mode not in _MODES:
        picture.close()
        raise ImageDecodeError(
            f"{name} holds pixels of mode {picture.mode}; 8-bit colours, grey or a palette are "
            "read"
        )
    return picture


def describe(data: bytes) -> str:
    """What bytes that are no picture are, for a message: `an HTML page ('Sign in')`."""
    if not data:
        return "empty"
    text = data[:4096].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    said = " ".join((title[1] if title else text[:200]).split())
    said = "".join(c if c.isprintable() else "?" for c in said)[:60]
    if re.match(r"<!doctype html|<html|<head|<body", text, re.IGNORECASE):
        return f"an HTML page ({said!r})"
    if text[:1] in ("<", "{", "["):
        return f"{'XML' if text[0] == '<' else 'JSON'} ({said!r})"
    return f"{len(data)} bytes of something else"
