# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Arrays as files: NumPy's format, always in the one form that is written here.

A file must begin with the very bytes that would be written for what it is to hold: nothing in it
is ever parsed, and the same array is the same file, whichever version of NumPy wrote it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_BEGIN = b"\x93NUMPY\x01\x00"
_SIZE_AT, _TEXT_AT, _ALIGNED = len(_BEGIN), len(_BEGIN) + 2, 64


def to_bytes(array: npt.NDArray[Any]) -> bytes:
    """What a file holds that `numpy.load` reads as this array."""
    return _header(array.dtype, array.shape) + array.tobytes()


def no_array(dtype: str, shape: tuple[int | None, ...]) -> str:
    """What a file holds that is not the array it should be."""
    wanted = ", ".join("any" if length is None else str(length) for length in shape)
    return f"no array of {dtype} ({wanted})"


def most_bytes(dtype: str, shape: tuple[int | None, ...]) -> int:
    """How long a file can be that holds an array of this shape, or one with fewer rows."""
    kind = np.dtype(dtype)
    known = tuple(length for length in shape if length is not None)
    return len(_header(kind, known)) + kind.itemsize * math.prod(known)


def from_bytes(content: bytearray, dtype: str, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    """The array that a file holds; it shares the memory of the bytes.

    Args:
        content: of the file.
        dtype: type of its numbers.
        shape: its shape; the first length may be None, then it follows from that of the file.

    Raises:
        ValueError: it holds anything else.
    """
    kind = np.dtype(dtype)
    begin = _TEXT_AT + int.from_bytes(content[_SIZE_AT:_TEXT_AT], "little")
    first, *others = (-1 if length is None else length for length in shape)
    row = kind.itemsize * math.prod(others)
    count = max(len(content) - begin, 0) // max(row, 1) if first < 0 else first
    found = (count, *others)
    if content[:begin] != _header(kind, found) or len(content) - begin != count * row:
        raise ValueError(no_array(dtype, shape))
    return np.frombuffer(content, dtype=kind, offset=begin).reshape(found)


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    size = -(-(_TEXT_AT + len(text) + 1) // _ALIGNED) * _ALIGNED - _TEXT_AT
    return _BEGIN + size.to_bytes(2, "little") + text.ljust(size - 1).encode() + b"\n"
