# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The manifest: what an index directory promises, down to every byte.

`manifest.json` is written in one canonical form that contains the hash of everything else in it.
Reading renders it again and compares bytes, so that any altered bit is noticed, and every other
file of the index is bound by its size and sha256.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import GeolocError, IndexCorruptError, IndexMismatchError, shown
from geoloc_ros.geo.wgs84 import MAX_RANGE_M, LatLon, LocalFrame
from geoloc_ros.index import quadtree
from geoloc_ros.index.codes import STORAGES
from geoloc_ros.index.descriptions import DESCRIBED_PARTS, DescriptionRecord
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.records import ShardRecord, check_size, parts_of, shard_from_content
from geoloc_ros.index.search import SEARCHES

SCHEMA = 4
NAME = "manifest.json"
NEW = "manifest.json.new"  # until it takes the place of the old one
_MOST = 65_535  # entries of a shard


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageryRecord:
    """Where the satellite picture came from and how it may be used.

    Attributes:
        source: file name or server.
        sha256: of the pixels that were indexed.
        gsd_m: ground sampling distance, m/px.
        licence: empty if unknown.
        attribution: text to show beside pictures; empty if unknown.
    """

    source: str
    sha256: str
    gsd_m: float
    licence: str = ""
    attribution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about an index but its entries.

    Attributes:
        encoder_sha256: identity of the encoder pair that made the descriptors.
        preprocessing_sha256: identity of what happened to the pixels.
        model: name and version, for people.
        dim: length of a descriptor.
        metric: `cosine`: inner product of unit vectors.
        storage: how descriptors are stored, one of `codes.STORAGES`.
        query: the view the matching query encoder needs.
        reference: how crops were cut.
        policy: how poses were sampled.
        roads_sha256: of the road layer they were sampled along; empty for a grid.
        origin: of the local plane, WGS84.
        search: how entries are found: the kind, one of `search.SEARCHES`, and its parameters.
        imagery: provenance.
        shards: sorted by cell.
        datum: geodetic datum of the origin.
        schema: of the manifest.
        descriptions: who described the tiles; None if nobody did.
        updates: how often entries were changed since it was built.
    """

    encoder_sha256: str
    preprocessing_sha256: str
    model: str
    dim: int
    metric: str
    storage: str
    query: QuerySpec
    reference: ReferenceSpec
    policy: SamplingPolicy
    origin: LatLon
    search: dict[str, str | int]
    imagery: ImageryRecord
    shards: tuple[ShardRecord, ...]
    roads_sha256: str = ""
    datum: str = "WGS84"
    schema: int = SCHEMA
    descriptions: DescriptionRecord | None = None
    updates: int = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Which files each shard has."""
        described = DESCRIBED_PARTS if self.descriptions is not None else ()
        return (*parts_of(self.storage, str(self.search["kind"])), *described)

    @property
    def count(self) -> int:
        """Entries of all shards."""
        return sum(shard.count for shard in self.shards)

    @property
    def frame(self) -> LocalFrame:
        """The local plane of the poses."""
        return LocalFrame(self.origin)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """West, south, east, north of all entries."""
        west, south, east, north = zip(*(shard.bounds_m for shard in self.shards), strict=True)
        return min(west), min(south), max(east), max(north)

    @property
    def sha256(self) -> str:
        """Identity of the whole index: hash over everything in the manifest."""
        return digest(self._content())

    def _content(self) -> dict[str, Any]:
        content = {"schema": self.schema, **dataclasses.asdict(self)}
        return {**content, "query": self.query.content(), "policy": self.policy.content()}

    def render(self) -> str:
        """The canonical text of `manifest.json`."""
        content = self._content()
        return json.dumps({**content, "manifest_sha256": digest(content)}, indent=1) + "\n"


def search_record(kind: str) -> dict[str, str | int]:
    """What a manifest says about a kind of search."""
    return {"kind": kind, **SEARCHES[kind].PARAMETERS}


def parse(text: str, path: Path) -> Manifest:
    """Read the text of a manifest.

    Raises:
        IndexCorruptError: not the bytes that were written.
        IndexMismatchError: another schema.
    """
    try:
        content = json.loads(text)
        schema = content["schema"]
        del content["manifest_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexCorruptError(f"{path} is damaged ({error}); build the index again") from error
    if schema != SCHEMA:
        raise IndexMismatchError(
            f"{path} is of schema {shown(schema)}, this version reads {SCHEMA}; remove the index "
            "and build it again"
        )
    try:
        manifest = _from_content(content)
        intact = manifest.render() == text
        _check_values(manifest)
    except (
        KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
        GeolocError,
    ) as error:  # fmt: skip
        raise IndexCorruptError(f"{path} is damaged ({error}); build the index again") from error
    if not intact:
        raise IndexCorruptError(f"{path} was altered after it was written; build the index again")
    return manifest


def _from_content(content: dict[str, Any]) -> Manifest:
    content["query"] = QuerySpec(**content["query"])
    content["reference"] = ReferenceSpec(**content["reference"])
    content["policy"] = SamplingPolicy(**content["policy"])
    content["origin"] = LatLon(**content["origin"])
    content["imagery"] = ImageryRecord(**content["imagery"])
    parts = parts_of(content["storage"], content["search"]["kind"])
    if content["descriptions"] is not None:
        content["descriptions"] = DescriptionRecord(**content["descriptions"])
        parts = (*parts, *DESCRIBED_PARTS)
    content["shards"] = tuple(shard_from_content(shard, parts) for shard in content["shards"])
    return Manifest(**content)


def _check_values(m: Manifest) -> None:
    """Refuse values that no build writes, even where the hash is right.

    Raises:
        ValueError: says which.
    """
    shards, picture = m.shards, m.imagery
    files = [file for shard in shards for file in shard.files.values()]
    texts = (m.model, m.datum, picture.source, picture.licence, picture.attribution)
    hashes = [m.encoder_sha256, m.preprocessing_sha256, picture.sha256, *(f.sha256 for f in files)]
    hashes += [m.roads_sha256] if m.roads_sha256 else []
    view, crop, policy = m.query, m.reference, m.policy
    sides = (view.width_px, view.height_px, crop.size_px, m.dim)
    lengths = (crop.extent_m, picture.gsd_m)
    sound = {
        "a text": all(isinstance(text, str) for text in texts),
        "a sha256": all(isinstance(h, str) and re.fullmatch("[0-9a-f]{64}", h) for h in hashes),
        "roads_sha256": bool(m.roads_sha256) == (m.policy.kind == "roads"),
        "metric or storage": m.metric == "cosine" and m.storage in STORAGES,
        "query.view": view.view in ("perspective", "ground_plane", "panorama"),
        "query.elevations_deg": -90.0 <= view.elevations_deg[0] <= view.elevations_deg[1] <= 90.0,
        "query.centre_azimuth_deg": _number(view.centre_azimuth_deg, 0.0, 360.0),
        "query.alignment": view.alignment
        in (("north", "heading") if view.view == "panorama" else ("",)),
        "a size or dim": all(_whole(side, 1, 2**16) for side in sides),
        "a length": all(_number(length, 1e-3, MAX_RANGE_M) for length in lengths),
        "query": _number(view.hfov_deg, 0.0, 360.0) and _number(view.extent_m, 0.0, MAX_RANGE_M),
        "reference.offset_forward_m": _number(crop.offset_forward_m, -MAX_RANGE_M, MAX_RANGE_M),
        "policy": _whole(policy.headings, 1, 360) and _whole(policy.seed, 0, 2**31 - 1),
        "policy.north_up": isinstance(policy.north_up, bool)
        and (not policy.north_up or view.view == "panorama"),
        "search": _finds(m.search),
        "a shard's cell": all(quadtree.sound(shard.cell) for shard in shards)
        and not quadtree.overlap([shard.cell for shard in shards]),
        "a shard's count": all(0 < shard.count <= _MOST for shard in shards),
        "a shard's bounds_m": all(
            quadtree.sound(shard.cell) and quadtree.holds(shard.cell, shard.bounds_m)
            for shard in shards
        ),
        "a file's bytes": all(_whole(file.bytes, 0, 2**63) for file in files),
        "updates": _whole(m.updates, 0, 2**31),
        "descriptions": m.descriptions is None or _says(m.descriptions),
    }
    for what, fits in sound.items():
        if not fits:
            raise ValueError(f"{what} makes no sense")


def _finds(search: dict[str, str | int]) -> bool:
    """Whether this is what a build says, which may have been one with other numbers."""
    numbers = {name: value for name, value in search.items() if name != "kind"}
    return set(search_record(str(search["kind"]))) == {"kind", *numbers} and all(
        _whole(value, 1, 2**16) for value in numbers.values()
    )


def _says(said: DescriptionRecord) -> bool:
    hashes = (said.questions_sha256, said.vlm_sha256)
    return (
        isinstance(said.vlm, str)
        and all(isinstance(h, str) and re.fullmatch("[0-9a-f]{64}", h) for h in hashes)
        and _whole(said.questions_version, 1, 2**31)
        and _whole(said.options, 1, 2**16)
        and _number(said.within_m, 0.0, MAX_RANGE_M)
        and _number(said.within_deg, 0.0, 180.0)
    )


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, float | int) and low <= value <= high


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and low <= value <= high


def load_manifest(root: Path) -> Manifest:
    """Read the manifest of an index directory.

    Raises:
        IndexCorruptError: missing, unreadable or altered.
        IndexMismatchError: another schema.
    """
    path = root / NAME
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IndexCorruptError(
            f"no usable index at {root}: {error}; make one with 'geoloc index build'"
        ) from error
    manifest = parse(text, path)
    if not manifest.shards:
        raise IndexCorruptError(f"{path} lists no shard; build the index again")
    return manifest


def check_model(manifest: Manifest, package: ModelPackage, root: Path) -> None:
    """Refuse an index that another encoder made.

    Raises:
        IndexMismatchError: encoder, preprocessing, dimension or metric differ.
    """
    pairs = (
        ("descriptor length", manifest.dim, package.descriptor_dim),
        ("metric", manifest.metric, package.metric),
        ("encoder", manifest.encoder_sha256[:12], package.encoder_sha256[:12]),
        ("preprocessing", manifest.preprocessing_sha256[:12], package.preprocessing_sha256[:12]),
    )
    for what, found, wanted in pairs:
        if found != wanted:
            raise IndexMismatchError(
                f"index {root} was built with {what} {found} ({manifest.model}), model "
                f"{package.name} {package.version} has {wanted}; "
                f"build it again: geoloc index build ... --model {package.root}"
            )


def check_sizes(manifest: Manifest, root: Path) -> None:
    """See that every file of an index is there and as long as it should be.

    Raises:
        IndexCorruptError: one is missing or of another size.
    """
    for record in manifest.shards:
        for part, file in record.files.items():
            check_size(record.path(root, part), file)
