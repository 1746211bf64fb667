# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several indexes, one a town, searched together for a vehicle that may be in any of them.

A prior over the globe chooses softly: a town that it makes less likely than an even share would
is compared with fewer of its entries and names fewer candidates, but none is left out; a prior
that says nothing changes nothing. Towns are opened when first searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, Float32Array, FloatArray
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ConfigError, IndexMismatchError
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.geo.place_support import Support
from geoloc_ros.index.manifest import Manifest, check_model, load_manifest
from geoloc_ros.index.places import SAME_PLACE_M, one_per_place
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.sharded_index import EXACT_LIMIT, ShardedIndex

#: share of its entries that even the unlikeliest town is compared with
LEAST_EFFORT = 0.1
#: a town at least so likely, as a multiple of an even share, is searched in full
FULL_FROM = 0.5
#: places found by comparing with few of a town's entries are looked at again this far around
REFINED_M = 20.0
MOST_PER_PLACE = 20
_TINY = 1e-6  # shares that add up to an even one do so but for rounding

_Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AtlasCandidates:
    """Places of several towns, the most similar first.

    Attributes:
        towns: (K,) number of each one's town in the atlas.
        entry_ids: (K,) in its town's index.
        poses: (K, 3) anchors in the plane of its town.
        similarity: (K,) cosine similarity to the query.
        lat_deg: (K,).
        lon_deg: (K,).
        compared: entries that were looked at in all.
    """

    towns: _Whole
    entry_ids: _Whole
    poses: FloatArray
    similarity: Float32Array
    lat_deg: FloatArray
    lon_deg: FloatArray
    compared: int

    def __len__(self) -> int:
        """How many."""
        return len(self.towns)

    def taken(self, order: npt.NDArray[np.integer]) -> AtlasCandidates:
        """Some of them in another order."""
        return AtlasCandidates(
            self.towns[order],
            self.entry_ids[order],
            self.poses[order],
            self.similarity[order],
            self.lat_deg[order],
            self.lon_deg[order],
            self.compared,
        )


class Atlas:
    """Index directories of one model, opened when they are first searched.

    Attributes:
        paths: of the directories.
        manifests: what each is.
        support: the shards of all towns as places the vehicle may be at.

    Args:
        paths: at least one index directory.
        package: the model it will be asked with; None skips that comparison.
        most_open: how many towns may be in memory at once. Where there are more, the likeliest
            are searched, and one more that changes from search to search.

    Raises:
        IndexCorruptError: a directory holds no usable manifest.
        IndexMismatchError: the indexes were built with different models, or another.
        ConfigError: there is no directory, one is named twice, or `most_open` is below 2.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        package: ModelPackage | None = None,
        most_open: int | None = None,
    ) -> None:
        if not paths or len({path.resolve() for path in paths}) < len(paths):
            raise ConfigError("an atlas needs at least one index, and none of them twice")
        if most_open is not None and most_open < 2:
            raise ConfigError(f"{most_open} towns may be open; at least 2 must be")
        self.paths = tuple(paths)
        self.manifests = tuple(load_manifest(path) for path in paths)
        self._package = package
        for path, manifest in zip(paths, self.manifests, strict=True):
            _check_same(path, manifest, self.manifests[0])
            if package is not None:
                check_model(manifest, package, path)
        self.support, self._town_of = _support(self.manifests)
        self._counts = np.array([manifest.count for manifest in self.manifests])
        self._most_open = min(most_open or len(paths), len(paths))
        self._open: dict[int, ShardedIndex] = {}
        self._guest = -1

    def __len__(self) -> int:
        """How many towns."""
        return len(self.paths)

    def town(self, number: int) -> ShardedIndex:
        """A town's index, opened if it is not.

        Raises:
            IndexCorruptError: a file is missing, altered or damaged.
        """
        index = self._open.pop(number, None)
        if index is None:
            while len(self._open) >= self._most_open:
                del self._open[next(iter(self._open))]  # the one not used for longest
            index = ShardedIndex.open(self.paths[number], self._package)
        self._open[number] = index
        return index

    def shares(self, prior: PlaceMixture | None) -> FloatArray:
        """Probability (T,) of each town before it is searched; none is zero."""
        parts = self.support.weights if prior is None else self.support.shares(prior)
        return np.asarray(np.bincount(self._town_of, weights=parts), dtype=np.float64)

    def log_prior(self, prior: PlaceMixture, found: AtlasCandidates) -> FloatArray:
        """Log of how much likelier a prior makes each candidate (K,) than an even share would."""
        return self.support.log_factor(prior, found.lat_deg, found.lon_deg)

    def search(
        self, descriptor: Float32Array, k: int, prior: PlaceMixture | None = None
    ) -> AtlasCandidates:
        """The most similar places of all towns.

        With a prior, a town less than `FULL_FROM` times as likely as an even share is searched in
        part, the less likely the less: at first the descriptor is compared with that part of its
        entries, at least `LEAST_EFFORT`, then with all around what looked like it; and of k places
        it may name that part.

        Args:
            descriptor: (D,) unit vector.
            k: how many places a town may name; each names at least one.
            prior: by which towns are chosen softly; None: all alike.

        Raises:
            ConfigError: k is out of bounds.
            IndexMismatchError: the descriptor is not a finite vector of the indexes' length.
            IndexCorruptError: a file of a town is missing, altered or damaged.
        """
        if k < 1:
            raise ConfigError(f"each town may name {k} places; it must be at least 1")
        shares = self.shares(prior)
        effort = np.clip(shares / self.shares(None) / FULL_FROM, LEAST_EFFORT, 1.0)
        named = np.ceil(k * effort - _TINY).astype(np.int64)
        compared = np.ceil(self._counts * effort - _TINY).astype(np.int64)
        chosen = self._chosen(shares)
        found = [
            self._search_town(int(town), descriptor, int(named[town]), int(compared[town]))
            for town in chosen
        ]
        total = sum(entries for _, entries in found)
        places = [candidates for candidates, _ in found]
        return _merged(places, [self.manifests[t] for t in chosen], chosen, total)

    def _search_town(
        self, number: int, descriptor: Float32Array, k: int, compared: int
    ) -> tuple[Candidates, int]:
        """Places of a town, and with how many of its entries the descriptor was compared."""
        index = self.town(number)
        most = k * _entries_per_place(index.manifest.policy)
        if compared < len(index):
            coarse = one_per_place(index.search_sparse(descriptor, most, compared), k)
            fine, again = index.search_near(descriptor, most, coarse.poses[:, :2], REFINED_M)
            return one_per_place(fine, k), min(compared + again, len(index))
        if len(index) <= EXACT_LIMIT:
            return one_per_place(index.search_exact(descriptor, most), k), len(index)
        return one_per_place(index.search(descriptor, most), k), len(index)

    def _chosen(self, shares: FloatArray) -> _Whole:
        """Towns that are searched now: the likeliest, and of the others each in its turn."""
        order = np.argsort(-shares, kind="stable")
        if self._most_open >= len(self):
            return np.arange(len(self))
        others = np.sort(order[self._most_open - 1 :])
        later = others[others > self._guest]
        self._guest = int(later[0] if len(later) else others[0])
        return np.sort(np.append(order[: self._most_open - 1], self._guest))


def _entries_per_place(policy: SamplingPolicy) -> int:
    """How many entries are looked through for each distinct place: more where they lie densely."""
    if policy.kind == "grid":
        return MOST_PER_PLACE
    return int(np.clip(6.0 * SAME_PLACE_M / policy.spacing_m, 4, MOST_PER_PLACE))


def _check_same(path: Path, manifest: Manifest, first: Manifest) -> None:
    if manifest.encoder_sha256 != first.encoder_sha256 or manifest.dim != first.dim:
        raise IndexMismatchError(
            f"index {path} was built with {manifest.model}, the first one with {first.model}; "
            "an atlas needs indexes of one model"
        )


def _support(manifests: Sequence[Manifest]) -> tuple[Support, _Whole]:
    """All shards as discs, and the number of each one's town."""
    lat, lon, radius, weights, towns = [], [], [], [], []
    for number, manifest in enumerate(manifests):
        bounds = np.array([shard.bounds_m for shard in manifest.shards])
        middle = 0.5 * (bounds[:, :2] + bounds[:, 2:])
        at = manifest.frame.to_latlon(middle)
        lat.append(at[0])
        lon.append(at[1])
        sides = bounds[:, 2:] - bounds[:, :2]
        radius.append(np.maximum(np.hypot(*sides.T) / np.sqrt(12.0), 1.0))
        weights.append([float(shard.count) for shard in manifest.shards])
        towns.append(np.full(len(bounds), number))
    held = np.concatenate(weights)
    support = Support(
        np.concatenate(lat), np.concatenate(lon), np.concatenate(radius), held / held.sum()
    )
    return support, np.concatenate(towns)


def _merged(
    found: Sequence[Candidates], manifests: Sequence[Manifest], towns: _Whole, compared: int
) -> AtlasCandidates:
    """The candidates of all towns, the most similar first; among equals the first town."""
    places = [
        manifest.frame.to_latlon(candidates.poses[:, :2])
        for candidates, manifest in zip(found, manifests, strict=True)
        if len(candidates)
    ]
    similarity = np.concatenate([candidates.similarity for candidates in found])
    merged = AtlasCandidates(
        np.repeat(towns, [len(candidates) for candidates in found]),
        np.concatenate([candidates.entry_ids for candidates in found]),
        np.concatenate([candidates.poses for candidates in found]),
        similarity,
        np.concatenate([lat for lat, _ in places]),
        np.concatenate([lon for _, lon in places]),
        compared,
    )
    return merged.taken(np.argsort(-similarity, kind="stable"))


def one_per_town_and_place(found: Sequence[AtlasCandidates]) -> AtlasCandidates:
    """The best candidate of each place of several searches, whatever its heading, best first."""
    joined = AtlasCandidates(
        np.concatenate([each.towns for each in found]),
        np.concatenate([each.entry_ids for each in found]),
        np.concatenate([each.poses for each in found]),
        np.concatenate([each.similarity for each in found]),
        np.concatenate([each.lat_deg for each in found]),
        np.concatenate([each.lon_deg for each in found]),
        max(each.compared for each in found),
    )
    kept: list[int] = []
    for number in np.argsort(-joined.similarity, kind="stable").tolist():
        away = joined.poses[kept, :2] - joined.poses[number, :2]
        same = joined.towns[kept] == joined.towns[number]
        if not (same & (np.hypot(away[:, 0], away[:, 1]) <= SAME_PLACE_M)).any():
            kept.append(number)
    return joined.taken(np.array(kept, dtype=np.int64))
