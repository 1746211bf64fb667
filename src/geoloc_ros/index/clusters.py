# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An inverted file (Jégou et al., TPAMI 2011): descriptors sorted by cluster, few looked through.

Camera images look little like the satellite crops among which they are sought. Clusters are ranked
by the same product as the entries themselves, and those that rank high are read from end to end;
a graph of neighbours has to be followed far for queries that resemble no entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.index import scan
from geoloc_ros.index.codes import Codes, Found, Rows, contenders, ranked

CENTRES, EDGES = "centres.npy", "edges.npy"

_PER_CLUSTER = 20  # entries, on average
_ROUNDS = 5  # of k-means
#: a search looks into so many clusters and this share of them
_PROBES, _SHARE = 256, 0.022
_ALIKE = 8  # clusters whose order is left alone
_BLOCK = 2048  # descriptors compared with all centres at a time


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which rows of a shard belong together; see `search.Search`.

    Attributes:
        centres: (K, D) unit vectors, coded in steps of the entries' dimensions.
        edges: (K + 1,) row at which each cluster begins.
    """

    PARTS: ClassVar[tuple[str, ...]] = (CENTRES, EDGES)
    PARAMETERS: ClassVar[dict[str, int]] = {"per_cluster": _PER_CLUSTER, "rounds": _ROUNDS}

    centres: Codes
    edges: Rows

    @staticmethod
    def build(descriptors: Float32Array) -> tuple[Rows, dict[str, npt.NDArray[Any]]]:
        """K-means (Lloyd, 1982), always the same; clusters that are alike lie side by side."""
        count = len(descriptors)
        wanted = max(1, count // _PER_CLUSTER)
        centres = descriptors[np.arange(wanted) * count // wanted]
        for _ in range(_ROUNDS):
            order, edges, centres = _round(descriptors, centres)
        after = _side_by_side(centres)
        order = np.concatenate([order[edges[i] : edges[i + 1]] for i in after])
        edges = np.append(0, np.cumsum(np.diff(edges)[after]))
        centres = centres[after]
        norm = np.linalg.norm(centres, axis=1, keepdims=True)
        unit = centres / np.maximum(norm, np.float32(1e-6))
        return order, {CENTRES: unit.astype(np.float16), EDGES: edges.astype(np.uint32)}

    @staticmethod
    def shapes(count: int, dim: int) -> dict[str, tuple[str, tuple[int | None, ...]]]:
        """Centres (K, D) and edges (K + 1,)."""
        return {CENTRES: ("float16", (None, dim)), EDGES: ("uint32", (None,))}

    @classmethod
    def load(cls, arrays: dict[str, npt.NDArray[Any]], codes: Codes) -> Clusters:
        """From its files."""
        centres, edges = arrays[CENTRES].astype(np.float32), arrays[EDGES].astype(np.int64)
        if (
            len(edges) < 2
            or edges[0] != 0
            or edges[-1] != len(codes)
            or (np.diff(edges) < 1).any()
        ):
            raise ValueError(f"clusters that do not divide {len(codes)} entries")
        if len(centres) != len(edges) - 1 or not (np.abs(centres) <= 1.0).all():
            raise ValueError(f"centres that are not those of {len(edges) - 1} clusters")
        return cls(codes.coarsely(centres), edges)

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self.centres.nbytes + self.edges.nbytes

    @staticmethod
    def find(parts: Sequence[tuple[Codes, Clusters]], query: Float32Array, k: int) -> Found:
        """The rows most similar to a query in the clusters of all parts most similar to it."""
        codes = [part for part, _ in parts]
        wanted, most = min(k, sum(map(len, codes))), contenders(k)
        ranks = [scan.similarities(query, own.centres.tables) for _, own in parts]
        every = np.concatenate(ranks)
        probes = _PROBES + math.ceil(_SHARE * len(every))
        while True:
            limit = np.float32(-np.inf)
            if probes < len(every):
                limit = np.partition(every, len(every) - probes)[len(every) - probes]
            best, seen = scan.nothing_found(most), 0
            for number, (part, own) in enumerate(parts):
                own_ranks = ranks[number]
                seen = scan.nearest(
                    query, part.tables, own.edges, own_ranks, limit, number, best, seen
                )
            if seen >= wanted:
                marks, rows, values = best
                return ranked(codes, query, [(marks[:seen], rows[:seen], values[:seen])], k)
            probes *= 2


def _round(descriptors: Float32Array, centres: Float32Array) -> tuple[Rows, Rows, Float32Array]:
    """One round of k-means.

    Args:
        descriptors: (N, D).
        centres: (K, D).

    Returns:
        The order (N,) of the descriptors by the centre nearest to each, edges (K + 1,) of the
        clusters in it, and their means (K, D). Clusters without an entry are lost.
    """
    half = 0.5 * (centres**2).sum(axis=1)
    blocks = range(0, len(descriptors), _BLOCK)
    found = [(descriptors[i : i + _BLOCK] @ centres.T - half).argmax(axis=1) for i in blocks]
    nearest = np.concatenate(found)
    order = np.argsort(nearest, kind="stable")
    first = np.flatnonzero(np.diff(nearest[order], prepend=-1))
    edges = np.append(first, len(nearest))
    sums = np.add.reduceat(descriptors[order], first, axis=0)
    return order, edges, np.asarray(sums / np.diff(edges)[:, None], dtype=np.float32)


def _side_by_side(centres: Float32Array) -> Rows:
    """An order (K,) of centres (K, D) in which those that are alike follow each other.

    A search chooses them together, so memory is read in longer runs. They are halved again and
    again where they differ most (Bentley's k-d tree, 1975).
    """
    done, halves = [], [np.arange(len(centres))]
    while halves:
        rows = halves.pop()
        if len(rows) <= _ALIKE:
            done.append(rows)
            continue
        widest = centres[rows].var(axis=0).argmax()
        rows = rows[np.argsort(centres[rows, widest], kind="stable")]
        halves += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
    return np.concatenate(done)
