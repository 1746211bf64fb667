# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A graph of neighbours, and the search along it for the entries most similar to a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.index.codes import Codes

M = 12
EF_CONSTRUCTION = 100
EF_SEARCH = 128
NONE = 65_535  # in the place of a link that is not there
_GRAPH_SEED = 100

Links = npt.NDArray[np.uint16]


def build_links(descriptors: Float32Array) -> Links:
    """Links (N, 2M) of an HNSW graph over unit vectors (Malkov and Yashunin, TPAMI 2018)."""
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=descriptors.shape[1])
    graph.init_index(
        max_elements=len(descriptors),
        M=M,
        ef_construction=EF_CONSTRUCTION,
        random_seed=_GRAPH_SEED,
    )
    graph.add_items(descriptors, np.arange(len(descriptors)), num_threads=1)
    return _links(graph.__getstate__()[0], len(descriptors))


def _links(state: dict[str, Any], count: int) -> Links:
    """The lowest level of an hnswlib graph."""
    level0 = np.asarray(state["data_level0"]).view(np.uint8).reshape(count, -1)
    words = np.ascontiguousarray(level0[:, : 4 + 8 * M]).view("<u4")
    labels = np.ascontiguousarray(level0[:, -8:]).view("<u8")[:, 0].astype(np.int64)
    degree = words[:, :1] & 0xFFFF
    used = np.arange(2 * M)[None] < degree
    links = np.full((count, 2 * M), NONE, dtype=np.uint16)
    links[labels] = np.where(used, labels[np.where(used, words[:, 1:], 0)], NONE)
    return links


@dataclass(frozen=True, slots=True)
class Graph:
    """Links between entries.

    Attributes:
        links: (N, 2M) entries that each one leads to, `NONE` where there are fewer.
    """

    links: Links

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return self.links.nbytes

    def search(
        self, codes: Codes, query: Float32Array, k: int
    ) -> tuple[npt.NDArray[np.int64], Float32Array]:
        """Labels (k,) and similarities (k,) of nearby entries, best first."""
        similarity = codes.similarity(query)
        best = np.argsort(-similarity, kind="stable")[: max(k, 0)]
        return best, similarity[best]
