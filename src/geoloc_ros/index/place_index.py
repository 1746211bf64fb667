# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The seam between retrieval and everything else, and its implementation on shards.

The rest of the package knows `PlaceIndex` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray, Mask, Region
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexMismatchError
from geoloc_ros.index.descriptions import Descriptions
from geoloc_ros.index.local_field import Kernel, LocalField, sane_rows
from geoloc_ros.index.manifest import Manifest, check_model, load_manifest
from geoloc_ros.index.shard import Shard, open_answers, open_shard

EXACT_LIMIT = 8000  # up to so many entries, comparing with each is faster than the graphs
_COVERAGE_M = 10.0  # a place is covered if an entry lies within this


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

    def vectors(self, entry_ids: npt.NDArray[np.int64]) -> Float32Array:
        """Descriptors (n, D) of entries."""

    def descriptions(self, entry_ids: npt.NDArray[np.int64]) -> Float32Array | None:
        """What a vision-language model said of entries' tiles (n, T); None: nothing of any."""


class ShardedIndex:
    """An index directory in memory.

    Entry ids number the entries of all shards in the order of the manifest.

    Attributes:
        manifest: what the index is.
        poses: (E, 3) anchors x_m, y_m, yaw_rad.
        descriptors: (E, D) unit vectors.
    """

    def __init__(
        self, manifest: Manifest, shards: list[Shard], described: Descriptions | None = None
    ) -> None:
        self.manifest = manifest
        self._described = described
        self.poses = np.concatenate([shard.poses for shard in shards])
        self.descriptors = np.concatenate([shard.descriptors for shard in shards])
        starts = np.cumsum([0, *(shard.record.count for shard in shards)])
        self._graphs = [(shard.record.bounds_m, shard) for shard in shards]
        self._starts = starts
        self._field = LocalField(self.poses, self.descriptors, Kernel.of(manifest.policy))
        reach = max(_COVERAGE_M, self._field.kernel.reach_m)
        self._cells, self._coverage_m = _occupied(self.poses, reach)

    @classmethod
    def open(
        cls,
        path: Path,
        package: ModelPackage | None = None,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> ShardedIndex:
        """Verify and load an index directory.

        Args:
            path: the directory.
            package: the model it will be asked with; None skips that comparison.
            progress: is told before each shard how many of how many are done; may raise to stop.

        Raises:
            IndexCorruptError: a file is missing, altered or damaged.
            IndexMismatchError: built with another encoder, dimension or schema.
        """
        manifest = load_manifest(path)
        if package is not None:
            check_model(manifest, package, path)
        shards = []
        for done, record in enumerate(manifest.shards):
            progress(done, len(manifest.shards))
            shards.append(open_shard(path, record, manifest.dim))
        return cls(manifest, shards, open_descriptions(path, manifest))

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.poses)

    def search(self, descriptor: Float32Array, k: int, region: Region | None = None) -> Candidates:
        """The k most similar entries.

        Args:
            descriptor: (D,) unit vector.
            k: how many.
            region: only entries inside this disc.

        Returns:
            At most k candidates, best first; fewer, or none, where there are fewer.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        query = self._checked(descriptor)
        if region is None:
            if len(self) <= EXACT_LIMIT:
                return self._exact(query, k, None)
            return self._by_graph(query, k, None)
        inside = self._inside(region)
        count = int(np.count_nonzero(inside))
        if count <= EXACT_LIMIT:
            return self._exact(query, k, inside)
        found = self._by_graph(query, 4 * k, inside, region)
        if len(found) < min(k, count):
            return self._exact(query, k, inside)
        return _first(found, k)

    def search_exact(
        self, descriptor: Float32Array, k: int, region: Region | None = None
    ) -> Candidates:
        """Like `search`, by comparing with every entry: the reference.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        inside = None if region is None else self._inside(region)
        return self._exact(self._checked(descriptor), k, inside)

    def search_sparse(self, descriptor: Float32Array, k: int, compared: int) -> Candidates:
        """Like `search_exact`, among so many entries only, spread evenly over the index.

        Args:
            descriptor: (D,) unit vector.
            k: how many.
            compared: entries to compare with, at least 1.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        inside = np.zeros(len(self), dtype=np.bool_)
        count = max(min(compared, len(self)), 1)
        inside[np.arange(count) * len(self) // count] = True
        return self._exact(self._checked(descriptor), k, inside)

    def search_near(
        self, descriptor: Float32Array, k: int, xy_m: FloatArray, radius_m: float
    ) -> tuple[Candidates, int]:
        """Like `search_exact`, among entries near one of some places.

        Args:
            descriptor: (D,) unit vector.
            k: how many.
            xy_m: (P, 2) the places.
            radius_m: how near.

        Returns:
            The candidates, and with how many entries the descriptor was compared.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        inside = np.zeros(len(self), dtype=np.bool_)
        for x_m, y_m in np.asarray(xy_m, dtype=np.float64):
            inside |= self._inside(Region(float(x_m), float(y_m), radius_m))
        return self._exact(self._checked(descriptor), k, inside), int(np.count_nonzero(inside))

    def search_graph(self, descriptor: Float32Array, k: int) -> Candidates:
        """Like `search`, always by the graphs, however small the index.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        return self._by_graph(self._checked(descriptor), k, None)

    def similarity_at(
        self, descriptor: Float32Array, poses: FloatArray
    ) -> tuple[Float32Array, Mask]:
        """Similarity of an image at any poses, interpolated between entries.

        Args:
            descriptor: (D,) unit vector.
            poses: (N, 3) anchors x_m, y_m, yaw_rad.

        Returns:
            Similarity (N,), 0 where not supported, and (N,) whether entries are near enough in
            position and heading to say anything.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        return self._field(self._checked(descriptor), poses)

    def coverage(self, xy_m: FloatArray) -> Mask:
        """Whether positions lie in the indexed area: an entry is within about 10 m.

        Args:
            xy_m: (N, 2).
        """
        xy = np.asarray(xy_m, dtype=np.float64).reshape(-1, 2)
        sane = sane_rows(xy)
        keys = _cell_keys(np.where(sane[:, None], xy, 0.0), self._coverage_m)
        place = np.minimum(np.searchsorted(self._cells, keys), len(self._cells) - 1)
        return np.asarray(sane & (self._cells[place] == keys))

    def vectors(self, entry_ids: npt.NDArray[np.int64]) -> Float32Array:
        """Descriptors (n, D) of entries."""
        return np.asarray(self.descriptors[entry_ids])

    def descriptions(self, entry_ids: npt.NDArray[np.int64]) -> Float32Array | None:
        """What a vision-language model said of entries' tiles.

        Args:
            entry_ids: (n,).

        Returns:
            (n, T) probabilities of all options, zeros for a tile of which nothing was said; None
            if the index has no descriptions (`geoloc index describe` makes them).
        """
        return None if self._described is None else self._described.of(entry_ids)

    def _checked(self, descriptor: Float32Array) -> Float32Array:
        query = np.ascontiguousarray(descriptor, dtype=np.float32)
        # a sum that is finite has finite parts
        if query.shape != (self.manifest.dim,) or not math.isfinite(query @ query):
            raise IndexMismatchError(
                f"query descriptor of shape {query.shape} (finite: {np.isfinite(query).all()}); "
                f"this index needs a finite vector of length {self.manifest.dim}"
            )
        return query

    def _inside(self, region: Region) -> Mask:
        dx, dy = self.poses[:, 0] - region.x_m, self.poses[:, 1] - region.y_m
        return np.asarray(dx * dx + dy * dy <= region.radius_m**2)

    def _exact(self, query: Float32Array, k: int, inside: Mask | None) -> Candidates:
        if inside is None:
            ids, similarity = np.arange(len(self)), self.descriptors @ query
        else:
            ids = np.flatnonzero(inside)
            similarity = self.descriptors[ids] @ query
        if len(ids) > 4 * k:
            top = np.argpartition(-similarity, k)[: max(k, 0)]
            ids, similarity = ids[top], similarity[top]
        return self._ranked(ids, similarity, k)

    def _by_graph(
        self, query: Float32Array, k: int, inside: Mask | None, region: Region | None = None
    ) -> Candidates:
        """Search every shard the region touches; entries outside are dropped afterwards.

        hnswlib's own filter raises where it allows fewer labels than k.
        """
        ids: list[npt.NDArray[np.int64]] = []
        similarity: list[Float32Array] = []
        for start, (bounds, shard) in zip(self._starts[:-1], self._graphs, strict=True):
            if k > 0 and (region is None or _touches(bounds, region)):
                labels, values = shard.search(query, k)
                ids.append(labels + start)
                similarity.append(values)
        if not ids:
            return self._ranked(np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
        all_ids, all_values = np.concatenate(ids), np.concatenate(similarity)
        if inside is not None:
            kept = inside[all_ids]
            all_ids, all_values = all_ids[kept], all_values[kept]
        return self._ranked(all_ids, all_values, k)

    def _ranked(self, ids: npt.NDArray[np.int64], similarity: Float32Array, k: int) -> Candidates:
        order = np.lexsort((ids, -similarity))[: max(k, 0)]
        chosen = ids[order].astype(np.int64)
        return Candidates(chosen, self.poses[chosen], similarity[order].astype(np.float32))


def open_descriptions(path: Path, manifest: Manifest) -> Descriptions | None:
    """What was said of an index's tiles, None if nothing.

    Args:
        path: the index directory, whose shards were opened.
        manifest: of the index.

    Raises:
        IndexCorruptError: arrays do not fit.
    """
    record = manifest.descriptions
    if record is None:
        return None
    parts = [open_answers(path, shard, record.options) for shard in manifest.shards]
    return Descriptions(record, [answers for answers, _ in parts], [rows for _, rows in parts])


def _first(found: Candidates, k: int) -> Candidates:
    return Candidates(found.entry_ids[:k], found.poses[:k], found.similarity[:k])


def _touches(bounds: tuple[float, float, float, float], region: Region) -> bool:
    west, south, east, north = bounds
    dx = max(west - region.x_m, 0.0, region.x_m - east)
    dy = max(south - region.y_m, 0.0, region.y_m - north)
    return bool(dx * dx + dy * dy <= region.radius_m**2)


def _cell_keys(xy_m: FloatArray, side_m: float) -> npt.NDArray[np.int64]:
    cells = np.floor(xy_m / side_m).astype(np.int64) + (1 << 24)
    return np.asarray((cells[:, 0] << 32) | cells[:, 1])


def _occupied(poses: FloatArray, reach_m: float) -> tuple[npt.NDArray[np.int64], float]:
    """Sorted keys of all cells within reach of an entry, and the side of a cell."""
    side_m = reach_m / 2.0
    own = np.unique(np.floor(poses[:, :2] / side_m), axis=0)
    spread = np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(-1, 2)
    spread = spread[(np.maximum(np.abs(spread) - 0.5, 0.0) ** 2).sum(axis=1) <= 4.0]
    cells = (own[:, None, :] + spread[None]).reshape(-1, 2)
    return np.unique(_cell_keys((cells + 0.5) * side_m, side_m)), side_m
