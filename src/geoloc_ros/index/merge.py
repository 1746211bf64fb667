# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Joining indexes that were built alike, e.g. on several machines, into one.

What is said of the imagery is joined, too. A manifest has one record of it, so the record of a
merged index names all sources, licences and attributions, each once, with "; " between them; its
`sha256` is that of the parts' hashes, and `gsd_m` that of the coarsest part. The same goes for
`roads_sha256`. A merged index cannot be described any more: describe its parts first.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from geoloc_ros.errors import IndexBuildError, IndexMismatchError, shown
from geoloc_ros.index.assembly import Assembly
from geoloc_ros.index.diff import SEARCH_NUMBERS, header_difference
from geoloc_ros.index.manifest import ImageryRecord, Manifest, load_manifest
from geoloc_ros.index.quadtree import Cell, upwards
from geoloc_ros.index.records import FileRecord, ShardRecord, check_file
from geoloc_ros.index.workplace import check_out

#: What indexes that were built alike may differ in.
_FREE = ("model", "imagery", "roads_sha256", "shards", "updates")
_BETWEEN = "; "
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Claim:
    """A shard, and the index that has it."""

    record: ShardRecord
    root: Path


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a merge.

    Attributes:
        manifest: of the new index.
        twice: cells that several indexes had, with the very same files.
        preferred: cells that several indexes had with different files, or divided otherwise; one
            index was preferred.
    """

    manifest: Manifest
    twice: int
    preferred: int


def merge_indexes(
    roots: Sequence[Path], out: Path, prefer: str = "", progress: bool = True
) -> Merged:
    """Join index directories.

    Args:
        roots: of the indexes, at least two.
        out: where the new index shall be; may be one of them.
        prefer: whose shards are taken where several indexes have different ones of a cell, or
            divide it otherwise: `first`, `last`, or the path of one, as in `roots`; empty:
            nobody's.
        progress: show a progress bar on stderr.

    Raises:
        IndexMismatchError: they were not built alike, or a licence would be lost.
        IndexBuildError: different shards of one cell, disk full, or `out` is something else.
        IndexCorruptError: one is damaged.
    """
    if len(roots) < 2 or len({root.resolve() for root in roots}) < len(roots):
        raise IndexBuildError("a merge needs at least two indexes, and none of them twice")
    if prefer not in ("", "first", "last") and Path(prefer) not in roots:
        raise IndexBuildError(
            f"--prefer is {prefer!r}; it must be first, last, or one of "
            f"{', '.join(map(str, roots))}"
        )
    try:
        out = check_out(out)
        manifests = {root: load_manifest(root) for root in roots}
        first = manifests[roots[0]]
        for root in roots[1:]:
            check_same_build(first, manifests[root], str(roots[0]), str(root))
        claims, twice, preferred = _settled(manifests, prefer)
        manifest = _joined_manifest(manifests, claims)
        files = {
            file: claim.record.path(claim.root, part)
            for claim in claims
            for part, file in claim.record.files.items()
        }
        with Assembly(out, manifest) as place:
            return Merged(place.complete(_verified(files, progress)), twice, preferred)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise IndexBuildError(
            f"{'disk full' if full else 'cannot write'} while merging to {out}: {error}; mend "
            "that and run the same command again. The old index, if any, is untouched"
        ) from error


def _joined_manifest(manifests: Mapping[Path, Manifest], claims: list[_Claim]) -> Manifest:
    return dataclasses.replace(
        next(iter(manifests.values())),
        imagery=joined_imagery({str(root): m.imagery for root, m in manifests.items()}),
        roads_sha256=_joined_sha256(m.roads_sha256 for m in manifests.values()),
        shards=tuple(_records(claims)),
        updates=max(m.updates for m in manifests.values()),
    )


def check_same_build(one: Manifest, other: Manifest, name: str, other_name: str) -> None:
    """See that shards of two indexes may lie in one.

    Raises:
        IndexMismatchError: says all that differs.
    """
    differs = header_difference(one, other, leave_out=(*_FREE, *SEARCH_NUMBERS))
    if differs:
        what = ", ".join(f"{field.name} ({_short(field.old)}, {_short(field.new)})"
                         for field in differs)  # fmt: skip
        raise IndexMismatchError(
            f"{name} and {other_name} were not built alike: {what}; build them with the same "
            "model, sampling and origin"
        )


def joined_imagery(records: Mapping[str, ImageryRecord]) -> ImageryRecord:
    """One record that says what all do.

    Args:
        records: by the name of their index.

    Raises:
        IndexMismatchError: one states a licence or an attribution, another does not: what is
            stated would then be said of all, and that nothing is known of a part would be lost.
    """
    found = list(dict.fromkeys(records.values()))
    if len(found) == 1:
        return found[0]
    for what in ("licence", "attribution"):
        silent = [name for name, record in records.items() if not getattr(record, what)]
        if silent and len(silent) < len(records):
            raise IndexMismatchError(
                f"{', '.join(silent)} states no {what} of its imagery, other indexes do; state "
                "it with 'geoloc imagery import' and build that index again, lest it be taken for "
                "theirs"
            )
    return ImageryRecord(
        source=_joined(record.source for record in found),
        sha256=_joined_sha256(record.sha256 for record in found),
        gsd_m=max(record.gsd_m for record in found),
        licence=_joined(record.licence for record in found),
        attribution=_joined(record.attribution for record in found),
    )


def _settled(manifests: Mapping[Path, Manifest], prefer: str) -> tuple[list[_Claim], int, int]:
    """The shards to take, how many cells were there twice, and how many were disputed."""
    chosen: list[_Claim] = []
    disputed: list[list[_Claim]] = []
    twice, unsettled = 0, []
    for claims in _by_ground(manifests):
        theirs = list(_by_index(claims).values())
        if all(_records(one) == _records(theirs[0]) for one in theirs):
            chosen += theirs[0]
            twice += len(theirs) > 1
            continue
        disputed.append(claims)
        taken = _winner(claims, prefer)
        chosen += taken
        unsettled += [] if taken else [claims]
    if unsettled:
        rows = [
            f"{min(c.record.cell for c in claims)} of {' and '.join(map(str, _by_index(claims)))}"
            for claims in unsettled
        ]
        raise IndexBuildError(
            f"{len(rows)} cells have different shards: {', '.join(rows[:_SHOWN])}"
            f"{', ...' if len(rows) > _SHOWN else ''}; say whose to take: --prefer first, last, "
            "or one of the indexes ('geoloc index diff' shows more)"
        )
    return sorted(chosen, key=lambda claim: claim.record.cell), twice, len(disputed)


def _by_ground(manifests: Mapping[Path, Manifest]) -> Iterable[list[_Claim]]:
    """Claims on the same ground: of one cell, or of cells that lie in it in other indexes."""
    known = {record.cell for manifest in manifests.values() for record in manifest.shards}
    grounds: dict[Cell, list[_Claim]] = {}
    for root, manifest in manifests.items():
        for record in manifest.shards:
            largest = [cell for cell in upwards(record.cell) if cell in known][-1]
            grounds.setdefault(largest, []).append(_Claim(record, root))
    return grounds.values()


def _by_index(claims: list[_Claim]) -> dict[Path, list[_Claim]]:
    found: dict[Path, list[_Claim]] = {}
    for claim in claims:
        found.setdefault(claim.root, []).append(claim)
    return found


def _records(claims: list[_Claim]) -> list[ShardRecord]:
    return [claim.record for claim in claims]


def _winner(claims: list[_Claim], prefer: str) -> list[_Claim]:
    """The shards to take of disputed ground; none if nobody was preferred that has some."""
    theirs = _by_index(claims)
    if prefer == "first":
        return next(iter(theirs.values()))
    if prefer == "last":
        return next(reversed(theirs.values()))
    return theirs.get(Path(prefer), []) if prefer else []


def _verified(files: Mapping[FileRecord, Path], progress: bool) -> dict[FileRecord, Path]:
    """The same, every byte compared."""
    total = sum(file.bytes for file in files)
    with tqdm(total=total, desc="verify", unit="B", unit_scale=True, disable=not progress) as bar:
        for file, path in files.items():
            check_file(path, file)
            bar.update(file.bytes)
    return dict(files)


def _joined(texts: Iterable[str]) -> str:
    pieces = [piece for text in texts for piece in text.split(_BETWEEN)]
    return _BETWEEN.join(dict.fromkeys(piece for piece in pieces if piece))


def _joined_sha256(hashes: Iterable[str]) -> str:
    found = sorted(set(hashes))
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()


def _short(value: object) -> str:
    text = shown(value) if value is not None else "nothing"
    return text[1:13] if isinstance(value, str) and len(value) == 64 else text
