# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A `PlaceIndex` on a directory of shards, of which as many are in memory as a budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray, Mask, Region
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import IndexMismatchError
from geoloc_ros.index.blocks import SIDE_M, Blocks, Bounds
from geoloc_ros.index.local_field import Kernel
from geoloc_ros.index.manifest import Manifest, check_model, check_sizes, load_manifest
from geoloc_ros.index.quadtree import corner_m
from geoloc_ros.index.residency import Residency
from geoloc_ros.index.shard import Shard, open_shard, search_together

EXACT_LIMIT = 8000  # up to so many entries, each is compared
BUDGET_MB = 2048
_FIELD_SHARE = 0.25  # of the budget that local fields may take
_ONE_FIELD_SHARE = 0.5  # of that, up to which the whole map is one field
_MB = 1_000_000

_Ids = npt.NDArray[np.int64]
_Rows = Callable[[int, Shard], _Ids | None]
_Part = tuple[_Ids, FloatArray, Float32Array]


class ShardedIndex:
    """An index directory; see `PlaceIndex`.

    Entry ids number the entries of all shards in the order of the manifest.

    Args:
        manifest: what the index is.
        read: reads and verifies the shard of a number.
        budget_mb: memory that shards and local fields may take, MB.

    Attributes:
        manifest: what the index is.
        budget_mb: memory that shards and local fields may take, MB.
        residency: the shards in memory.
    """

    def __init__(
        self, manifest: Manifest, read: Callable[[int], Shard], budget_mb: float = BUDGET_MB
    ) -> None:
        self.manifest, self.budget_mb = manifest, budget_mb
        records = manifest.shards
        budget = int(_MB * budget_mb)
        sizes = [sum(file.bytes for file in record.files.values()) for record in records]
        for_fields = int(_FIELD_SHARE * budget)
        self.residency = Residency(read, sizes, budget - for_fields)
        self._starts = np.cumsum([0, *(record.count for record in records)])
        self._bounds = np.array([record.bounds_m for record in records]).reshape(-1, 4)
        small = 4 * manifest.dim * manifest.count <= _ONE_FIELD_SHARE * for_fields
        side_m = math.inf if small and self.residency.fits else SIDE_M
        self._blocks = Blocks(self._between, Kernel.of(manifest.policy), side_m, for_fields)

    @classmethod
    def open(
        cls,
        path: Path,
        package: ModelPackage | None = None,
        progress: Callable[[int, int], None] = lambda done, of: None,
        budget_mb: float = BUDGET_MB,
    ) -> ShardedIndex:
        """Open an index directory, and load and verify it if it fits in the budget.

        Of one that does not, sizes are compared now, and every shard is verified when it is read.

        Args:
            path: the directory.
            package: the model it will be asked with; None skips that comparison.
            progress: is told before each shard how many of how many are done; may raise to stop.
            budget_mb: memory that shards and local fields may take, MB.

        Raises:
            IndexCorruptError: a file is missing, altered or damaged.
            IndexMismatchError: built with another encoder, dimension or schema.
        """
        manifest = load_manifest(path)
        if package is not None:
            check_model(manifest, package, path)
        check_sizes(manifest, path)
        index = cls(manifest, lambda n: open_shard(path, manifest.shards[n], manifest), budget_mb)
        if index.residency.fits:
            for number in range(len(manifest.shards)):
                progress(number, len(manifest.shards))
                index.residency.load(number)
        index._blocks.prepare()
        return index

    def __len__(self) -> int:
        """Number of entries."""
        return int(self._starts[-1])

    # -- search ---------------------------------------------------------------------------------

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
        if region is not None:
            return self._search_region(query, k, region)
        if len(self) <= EXACT_LIMIT:
            return self.search_exact(query, k)
        return self.search_approximate(query, k)

    def search_exact(
        self, descriptor: Float32Array, k: int, region: Region | None = None
    ) -> Candidates:
        """Like `search`, by comparing with every entry: the reference.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        query = self._checked(descriptor)
        if region is None:
            return self._compared(query, k, range(len(self._bounds)), lambda number, shard: None)
        return self._compared(
            query, k, self._touching(region), lambda number, shard: _inside(shard, region)
        )

    def search_sparse(self, descriptor: Float32Array, k: int, compared: int) -> Candidates:
        """Like `search_exact`, among so many entries only, spread evenly over the index.

        Args:
            descriptor: (D,) unit vector.
            k: how many.
            compared: entries to compare with, at least 1.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        count = max(min(compared, len(self)), 1)
        chosen = np.arange(count) * len(self) // count

        def rows(number: int, shard: Shard) -> _Ids:
            first, last = np.searchsorted(chosen, self._starts[number : number + 2])
            return np.asarray(chosen[first:last] - self._starts[number])

        return self._compared(self._checked(descriptor), k, range(len(self._bounds)), rows)

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
        places = np.asarray(xy_m, dtype=np.float64)
        regions = [Region(float(x_m), float(y_m), radius_m) for x_m, y_m in places]
        touched = sorted({number for region in regions for number in self._touching(region)})
        compared = 0

        def rows(number: int, shard: Shard) -> _Ids:
            nonlocal compared
            near = [_inside(shard, region) for region in regions]
            chosen = np.unique(np.concatenate(near))
            compared += len(chosen)
            return chosen

        return self._compared(self._checked(descriptor), k, touched, rows), compared

    def search_approximate(self, descriptor: Float32Array, k: int) -> Candidates:
        """Like `search`, never by comparing with every entry, however small the index.

        Raises:
            IndexMismatchError: the descriptor is not a finite vector of the index's length.
        """
        query, parts = self._checked(descriptor), []
        k = min(k, len(self))
        if k > 0:
            for batch in self.residency.batches(range(len(self._bounds))):
                places, rows, similarity = search_together([shard for _, shard in batch], query, k)
                for place in np.unique(places):
                    mine, (number, shard) = places == place, batch[place]
                    parts.append(self._part(number, shard, rows[mine], similarity[mine]))
        return _ranked(parts, k)

    def _search_region(self, query: Float32Array, k: int, region: Region) -> Candidates:
        """Comparing with all inside, but for shards in which they are too many."""
        parts = []
        for number, shard in self.residency.scan(self._touching(region)):
            rows = _inside(shard, region)
            if len(rows) > EXACT_LIMIT and k > 0:
                labels, similarity = shard.search(query, 4 * k)
                inside = np.isin(labels, rows)
                if np.count_nonzero(inside) >= min(k, len(rows)):
                    parts.append(self._part(number, shard, labels[inside], similarity[inside]))
                    continue
            parts.append(self._best(query, k, number, shard, rows))
        return _ranked(parts, k)

    def _compared(
        self, query: Float32Array, k: int, numbers: Iterable[int], rows: _Rows
    ) -> Candidates:
        scan = self.residency.scan(numbers)
        return _ranked([self._best(query, k, n, shard, rows(n, shard)) for n, shard in scan], k)

    def _best(
        self, query: Float32Array, k: int, number: int, shard: Shard, rows: _Ids | None
    ) -> _Part:
        """The k most similar of a shard's rows, of all if none are named, in no order."""
        similarity, k = shard.codes.similarity(query, rows), max(k, 0)
        if len(similarity) > 4 * k:
            top = np.argpartition(-similarity, k)[:k]
            similarity = similarity[top]
            rows = top if rows is None else rows[top]
        elif rows is None:
            rows = np.arange(len(similarity))
        return self._part(number, shard, rows, similarity)

    def _part(self, number: int, shard: Shard, rows: _Ids, similarity: Float32Array) -> _Part:
        return rows + self._starts[number], shard.anchors(rows), similarity

    # -- the map at a place ---------------------------------------------------------------------

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
        return self._blocks.similarity(self._checked(descriptor), poses)

    def coverage(self, xy_m: FloatArray) -> Mask:
        """Whether positions lie in the indexed area: an entry is within about 10 m.

        Args:
            xy_m: (N, 2).
        """
        return self._blocks.coverage(xy_m)

    def expect(self, xy_m: FloatArray) -> None:
        """Let shards load beside everything else where the vehicle may soon be.

        Args:
            xy_m: (N, 2), the most urgent first.
        """
        if self.residency.fits:
            return
        west, south, east, north = self._bounds.T
        urgent: dict[int, None] = {}
        for x_m, y_m in np.asarray(xy_m, dtype=np.float64).reshape(-1, 2):
            near = (west - SIDE_M <= x_m) & (x_m <= east + SIDE_M)
            near &= (south - SIDE_M <= y_m) & (y_m <= north + SIDE_M)
            urgent |= dict.fromkeys(np.flatnonzero(near).tolist())
        self.residency.expect(list(urgent))

    def _between(self, bounds: Bounds) -> tuple[FloatArray, Float32Array]:
        """Poses and descriptors of the entries in a rectangle."""
        west, south, east, north = bounds
        low, high = self._bounds[:, :2], self._bounds[:, 2:]
        touched = (low <= (east, north)).all(axis=1) & (high >= (west, south)).all(axis=1)
        poses = [np.zeros((0, 3))]
        descriptors = [np.zeros((0, self.manifest.dim), dtype=np.float32)]
        for _, shard in self.residency.shards(np.flatnonzero(touched).tolist()):
            xy = shard.poses[:, :2]
            rows = np.flatnonzero(((xy >= (west, south)) & (xy <= (east, north))).all(axis=1))
            poses.append(shard.anchors(rows))
            descriptors.append(shard.codes.decode(rows))
        return np.concatenate(poses), np.concatenate(descriptors)

    # -- entries --------------------------------------------------------------------------------

    def entries(self, region: Region | None = None) -> tuple[_Ids, FloatArray]:
        """Ids (n,) and poses (n, 3) of the entries in a disc, or of all."""
        numbers: Sequence[int] = range(len(self._bounds))
        if region is not None:
            numbers = self._touching(region)
        ids, poses = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 3))]
        for number, shard in self.residency.scan(numbers):
            rows = np.arange(len(shard.codes)) if region is None else _inside(shard, region)
            ids.append(rows + self._starts[number])
            poses.append(shard.anchors(rows))
        return np.concatenate(ids), np.concatenate(poses)

    def anchors(self, entry_ids: _Ids) -> FloatArray:
        """Poses (n, 3) of entries, NaN of those in a damaged shard."""
        found = np.full((len(entry_ids), 3), np.nan)
        for shard, rows, members in self._by_shard(entry_ids):
            found[members] = shard.anchors(rows)
        return found

    def vectors(self, entry_ids: _Ids) -> Float32Array:
        """Descriptors (n, D) of entries, zeros of those in a damaged shard."""
        found = np.zeros((len(entry_ids), self.manifest.dim), dtype=np.float32)
        for shard, rows, members in self._by_shard(entry_ids):
            found[members] = shard.codes.decode(rows)
        return found

    def descriptions(self, entry_ids: _Ids) -> Float32Array | None:
        """What a vision-language model said of entries' tiles.

        Args:
            entry_ids: (n,).

        Returns:
            (n, T) probabilities of all options, zeros for a tile of which nothing was said; None
            if the index has no descriptions (`geoloc index describe` makes them).
        """
        if self.manifest.descriptions is None:
            return None
        found = np.zeros((len(entry_ids), self.manifest.descriptions.options), dtype=np.float32)
        for shard, rows, members in self._by_shard(entry_ids):
            if shard.said is not None:
                found[members] = shard.said.of(rows)
        return found

    def _by_shard(self, entry_ids: _Ids) -> Iterable[tuple[Shard, _Ids, _Ids]]:
        """Shards that entries lie in, rows of the entries there, and which of the ids they are."""
        ids = np.asarray(entry_ids, dtype=np.int64)
        numbers = np.searchsorted(self._starts, ids, side="right") - 1
        for number, shard in self.residency.shards(np.unique(numbers).tolist()):
            members = np.flatnonzero(numbers == number)
            yield shard, ids[members] - self._starts[number], members

    def _touching(self, region: Region) -> list[int]:
        at = np.array([region.x_m, region.y_m])
        gap = np.maximum(np.maximum(self._bounds[:, :2] - at, at - self._bounds[:, 2:]), 0.0)
        near: list[int] = np.flatnonzero((gap**2).sum(axis=1) <= region.reach_m2).tolist()
        return near

    def _checked(self, descriptor: Float32Array) -> Float32Array:
        query = np.ascontiguousarray(descriptor, dtype=np.float32)
        # a sum that is finite has finite parts
        if query.shape != (self.manifest.dim,) or not math.isfinite(query @ query):
            raise IndexMismatchError(
                f"query descriptor of shape {query.shape} (finite: {np.isfinite(query).all()}); "
                f"this index needs a finite vector of length {self.manifest.dim}"
            )
        return query


def _inside(shard: Shard, region: Region) -> _Ids:
    """Rows of a shard's entries in a disc."""
    west, south = corner_m(shard.record.cell)
    dx = shard.offsets[:, 0] - np.float32(region.x_m - west)
    dy = shard.offsets[:, 1] - np.float32(region.y_m - south)
    return np.flatnonzero(dx * dx + dy * dy <= region.reach_m2)


def _ranked(parts: Sequence[_Part], k: int) -> Candidates:
    """The k most similar of all parts, the most similar first; among equals the first entry."""
    if not parts:
        return Candidates(np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0, np.float32))
    ids, poses, similarity = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.lexsort((ids, -similarity))[: max(k, 0)]
    return Candidates(
        ids[order].astype(np.int64), poses[order], similarity[order].astype(np.float32)
    )
