# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Structural check of an hnswlib file before hnswlib parses it.

hnswlib (0.8) reads sizes, links and labels from the file and uses them as they are: links beyond
the last element or over-long lists become reads and writes outside its memory
(nmslib/hnswlib issues 673 and 677). The layout, little-endian:

    header   96 bytes: see `_HEADER`
    level 0  per element: uint32 (count in the low 16 bits, flags above), 2M uint32 links,
             D float32, uint64 label
    upper    per element: uint32 size in bytes, then per level: uint32 count, M uint32 links
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import IndexCorruptError

_HEADER = struct.Struct("<QQQQQQiIQQQdQ")
_MAX_LEVEL = 32


def check_graph(path: Path, count: int, dim: int, m: int) -> None:
    """Refuse a graph file whose structure is not exactly that of `count` vectors of length `dim`.

    Args:
        path: the file.
        count: entries it must hold, labelled 0..count-1.
        dim: length of a vector.
        m: links per element and upper level.

    Raises:
        IndexCorruptError: any size, count, link or label is out of bounds, or bytes are missing
            or left over.
    """
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise IndexCorruptError(f"cannot read {path}: {error}; build the index again") from error
    problem = _problem(content, count, dim, m)
    if problem:
        raise IndexCorruptError(f"{path} is no sound graph: {problem}; build the index again")


def _problem(content: npt.NDArray[np.uint8], count: int, dim: int, m: int) -> str:
    links_bytes = 4 + 2 * m * 4
    element_bytes = links_bytes + dim * 4 + 8
    level0_end = _HEADER.size + count * element_bytes
    if len(content) < level0_end:
        return f"{len(content)} bytes, at least {level0_end} expected"
    header = _HEADER.unpack(content[: _HEADER.size].tobytes())
    expected = (0, count, count, element_bytes, element_bytes - 8, links_bytes)
    max_level, entry = header[6], header[7]
    if header[:6] != expected or header[8:11] != (m, 2 * m, m):
        return "its header does not fit the manifest"
    if not (0 <= max_level <= _MAX_LEVEL and entry < count):
        return "its entry point is out of bounds"
    elements = content[_HEADER.size : level0_end].reshape(count, element_bytes)
    problem = _level0_problem(elements, count, m)
    if problem:
        return problem
    levels = _upper_levels(content, level0_end, count, m)
    if isinstance(levels, str):
        return levels
    if levels.max(initial=0) != max_level or levels[entry] != max_level:
        return "its entry point is not on the top level"
    return ""


def _level0_problem(elements: npt.NDArray[np.uint8], count: int, m: int) -> str:
    words = np.ascontiguousarray(elements[:, : 4 + 8 * m]).view("<u4")
    degree = words[:, 0]
    if (degree > 2 * m).any():
        return "a link list is too long or an element is marked as deleted"
    used = np.arange(2 * m)[None, :] < degree[:, None]
    if (words[:, 1:][used] >= count).any():
        return "a link leads out of bounds"
    labels = np.ascontiguousarray(elements[:, -8:]).view("<u8")[:, 0]
    if not np.array_equal(np.sort(labels), np.arange(count, dtype=np.uint64)):
        return "its labels are not 0..count-1"
    return ""


def _upper_levels(
    content: npt.NDArray[np.uint8], start: int, count: int, m: int
) -> npt.NDArray[np.int64] | str:
    """Level of every element, or what is wrong with the upper link lists."""
    if (len(content) - start) % 4:
        return "bytes are missing or left over"
    words = content[start:].view("<u4") if start % 4 == 0 else content[start:].copy().view("<u4")
    sizes: list[int] = []
    lists: list[int] = []
    position, level_bytes = 0, 4 + 4 * m
    for _ in range(count):
        if position >= len(words):
            return "upper link lists are missing"
        size = int(words[position])
        if size % level_bytes or size // level_bytes > _MAX_LEVEL:
            return "an upper link list has an odd size"
        sizes.append(size // level_bytes)
        lists.extend(range(position + 1, position + 1 + size // 4, m + 1))
        position += 1 + size // 4
    if position != len(words):
        return "bytes are missing or left over"
    starts = np.array(lists, dtype=np.int64)
    levels = np.array(sizes, dtype=np.int64)
    if len(starts):
        rows = words[starts[:, None] + np.arange(m + 1)]
        of_level = np.concatenate([np.arange(1, n + 1) for n in sizes if n])
        used = np.arange(m)[None, :] < rows[:, :1]
        targets = np.where(used, rows[:, 1:], 0)
        if (rows[:, 0] > m).any() or (targets >= count).any():
            return "an upper link leads out of bounds"
        if (np.where(used, levels[targets], _MAX_LEVEL) < of_level[:, None]).any():
            return "an upper link leads to an element that is not on that level"
    return levels
