# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ways to find the entries of a shard that are most similar to a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy.typing as npt

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.index.clusters import Clusters
from geoloc_ros.index.codes import Codes, Found, Rows
from geoloc_ros.index.graph import Graph

Arrays = dict[str, npt.NDArray[Any]]
#: of each file the type of its numbers and its shape; None, which may come first, is any length
Shapes = dict[str, tuple[str, tuple[int | None, ...]]]


class Search(Protocol):
    """Finds entries.

    Attributes:
        PARTS: names of its files.
        PARAMETERS: how it is built; in the manifest.
    """

    PARTS: ClassVar[tuple[str, ...]]
    PARAMETERS: ClassVar[dict[str, int]]

    @staticmethod
    def build(descriptors: Float32Array) -> tuple[Rows, Arrays]:
        """The order (N,) entries shall have, and its files for entries in that order.

        Args:
            descriptors: (N, D) unit vectors, N >= 1.
        """

    @staticmethod
    def shapes(count: int, dim: int) -> Shapes:
        """What the files of so many entries hold."""

    @classmethod
    def load(cls, arrays: Arrays, codes: Codes) -> Search:
        """From its files.

        Raises:
            ValueError: says what is wrong with them.
        """

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""

    @staticmethod
    def find(parts: Sequence[tuple[Codes, Any]], query: Float32Array, k: int) -> Found:
        """The rows most similar to a query, but for few.

        Args:
            parts: at least one: entries, and what finds them.
            query: (D,) unit vector.
            k: how many; fewer come back if there are fewer.

        Returns:
            Numbers of parts (K,), rows in them (K,) and similarities (K,), best first; among
            equals the first.
        """


SEARCHES: dict[str, type[Search]] = {"clusters": Clusters, "hnsw": Graph}
DEFAULT_SEARCH = "clusters"
