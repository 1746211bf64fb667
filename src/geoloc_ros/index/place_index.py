# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The seam between retrieval and everything else: what the pipeline asks of an index."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray, Mask, Region
from geoloc_ros.index.manifest import Manifest

_Ids = npt.NDArray[np.int64]


@runtime_checkable
class PlaceIndex(Protocol):
    """What the pipeline asks of an index."""

    @property
    def manifest(self) -> Manifest:
        """What the index is."""

    def search(self, descriptor: Float32Array, k: int, region: Region | None = None) -> Candidates:
        """The k most similar entries, best first, fewer if there are fewer."""

    def similarity_at(
        self, descriptor: Float32Array, poses: FloatArray
    ) -> tuple[Float32Array, Mask]:
        """Similarity (N,) at poses (N, 3) and whether entries support it (N,)."""

    def coverage(self, xy_m: FloatArray) -> Mask:
        """Whether positions (N, 2) lie in the indexed area, (N,)."""

    def expect(self, xy_m: FloatArray) -> None:
        """The vehicle will be at positions (N, 2), the first soonest: what is there may load."""

    def vectors(self, entry_ids: _Ids) -> Float32Array:
        """Descriptors (n, D) of entries."""

    def descriptions(self, entry_ids: _Ids) -> Float32Array | None:
        """What a vision-language model said of entries' tiles (n, T); None: nothing of any."""
