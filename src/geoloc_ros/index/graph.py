# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A graph of neighbours: HNSW (Malkov and Yashunin, TPAMI 2018) as hnswlib builds it.

Of its levels the lowest is kept: a search begins at entries spread over the shard, which finds as
much as a descent from the top does. Links are plain numbers that are checked when they are read;
hnswlib itself trusts its files, and never sees one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.index import scan
from geoloc_ros.index.codes import Codes, Found, Rows, contenders, ranked

LINKS, DEGREES = "links.npy", "degrees.npy"

_M = 16
_EF_CONSTRUCTION = 100
_EF = 48  # entries a search keeps in view
_BEGINNINGS = 256
_SEED = 100


@dataclass(frozen=True, slots=True)
class Graph:
    """Links between the rows of a shard; see `search.Search`.

    Attributes:
        links: (L,) uint16 rows that each row leads to, one row after the other.
        edges: (N + 1,) uint32 where those of each row begin.
    """

    PARTS: ClassVar[tuple[str, ...]] = (LINKS, DEGREES)
    PARAMETERS: ClassVar[dict[str, int]] = {"M": _M, "ef_construction": _EF_CONSTRUCTION}

    links: npt.NDArray[np.uint16]
    edges: npt.NDArray[np.uint32]

    @staticmethod
    def build(descriptors: Float32Array) -> tuple[Rows, dict[str, npt.NDArray[Any]]]:
        """By hnswlib in one thread, always the same; entries stay where they are."""
        import hnswlib

        count = len(descriptors)
        graph = hnswlib.Index(space="ip", dim=descriptors.shape[1])
        graph.init_index(
            max_elements=count, M=_M, ef_construction=_EF_CONSTRUCTION, random_seed=_SEED
        )
        graph.add_items(descriptors, np.arange(count), num_threads=1)
        links, degrees = _lowest_level(graph.__getstate__()[0], count)
        return np.arange(count), {LINKS: links, DEGREES: degrees}

    @staticmethod
    def shapes(count: int, dim: int) -> dict[str, tuple[str, tuple[int | None, ...]]]:
        """Links (L,) and how many each row has (N,)."""
        return {LINKS: ("uint16", (None,)), DEGREES: ("uint8", (count,))}

    @classmethod
    def load(cls, arrays: dict[str, npt.NDArray[Any]], codes: Codes) -> Graph:
        """From its files."""
        links, degrees = arrays[LINKS], arrays[DEGREES]
        edges = np.append(0, np.cumsum(degrees, dtype=np.int64))
        if edges[-1] != len(links) or not (links < len(codes)).all():
            raise ValueError(f"links that are not between {len(codes)} entries")
        return cls(links, edges.astype(np.uint32))

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self.links.nbytes + self.edges.nbytes

    @staticmethod
    def find(parts: Sequence[tuple[Codes, Graph]], query: Float32Array, k: int) -> Found:
        """The rows most similar to a query that are reached; of a part of which too few are, all.

        An entry that links lead to from nowhere is never found; copies of one are such entries.
        """
        view, found = max(_EF, contenders(k)), []
        for number, (part, own) in enumerate(parts):
            count = len(part)
            begin = np.arange(min(_BEGINNINGS, count)) * count // min(_BEGINNINGS, count)
            rows, values = scan.follow(query, part.tables, own.links, own.edges, begin, view)
            if len(rows) < min(k, count):
                rows, values = np.arange(count), part.similarity(query)
            found.append((np.full(len(rows), number), rows, values))
        return ranked([part for part, _ in parts], query, found, k)


def _lowest_level(
    state: dict[str, Any], count: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Links of the lowest level of an hnswlib graph, row by row, and how many each row has."""
    elements = np.asarray(state["data_level0"]).view(np.uint8).reshape(count, -1)
    words = np.ascontiguousarray(elements[:, : 4 + 8 * _M]).view("<u4")
    labels = np.ascontiguousarray(elements[:, state["label_offset"] :]).view("<u8")[:, 0]
    row_of = labels.astype(np.int64)
    place = np.argsort(row_of)
    degrees = (words[:, 0] & 0xFFFF)[place]
    used = np.arange(2 * _M)[None] < degrees[:, None]
    links = row_of[words[:, 1:][place][used]]
    return links.astype(np.uint16), degrees.astype(np.uint8)
