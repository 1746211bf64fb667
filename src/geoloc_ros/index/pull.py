# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pulling a region of an index from a folder or a server: planned first, verified, resumed.

The result is an index of its own: the manifest of the source with fewer shards. A file counts
only when its size and sha256 are what the manifest says; files that are there already, under
whatever name, do not come again.
"""

from __future__ import annotations

import errno
import logging
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tqdm import tqdm

from geoloc_ros import durable
from geoloc_ros.errors import IndexBuildError, IndexCorruptError, IndexError_, IndexPullError
from geoloc_ros.index.assembly import Assembly
from geoloc_ros.index.manifest import NAME, Manifest, load_manifest
from geoloc_ros.index.pull_plan import (
    Plan,
    Stock,
    bytes_to_come,
    check_space,
    held_bytes,
    old_manifest,
)
from geoloc_ros.index.records import FileRecord, check_file
from geoloc_ros.index.source import Source, Told

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of a pull.

    Attributes:
        manifest: of the index that is there now.
        files: how many came.
        bytes: of these files.
        new: whether the index is another one than before.
    """

    manifest: Manifest
    files: int
    bytes: int
    new: bool


def pull(plan: Plan, connections: int = 4, progress: bool = True) -> Pulled:
    """Carry out a plan; the index at its place, if any, stays as it is until the new one is whole.

    Args:
        plan: of `make_plan`.
        connections: files that come at a time.
        progress: show progress bars on stderr.

    Returns:
        What came.

    Raises:
        IndexPullError: the source does not answer, or the disk is full. What has come is kept:
            pull again.
        IndexCorruptError: the source's files are not what its manifest says.
        IndexBuildError: another command is writing there, or did so in the meantime.
    """
    place = Assembly(plan.out, plan.manifest)
    try:
        with place:
            old = old_manifest(plan.out, plan.rests_on_old)
            if plan.rests_on_old and old != plan.old:
                raise IndexBuildError(
                    f"{plan.out} was changed by another command; run the same command again"
                )
            found = _there(Stock(plan.out, old), place, progress)
            missing = {file: name for name, file in place.files.items() if file not in found}
            if not missing and _is_current(plan.out, place, found):
                place.discard()
                return Pulled(plan.manifest, 0, 0, new=False)
            place.prune()
            check_space(plan.out, bytes_to_come(plan.out, missing))
            _fetch_all(plan.source, place, missing, connections, progress)
            found |= {file: place.whole(file) for file in missing}
            manifest = place.complete(found)
            return Pulled(manifest, len(missing), sum(file.bytes for file in missing), new=True)
    except OSError as error:
        raise _stopped(error, plan) from error


def _there(stock: Stock, place: Assembly, progress: bool) -> dict[FileRecord, Path]:
    """Files that need not come, every byte verified."""
    names = {file: name for name, file in place.files.items()}
    candidates = {file: list(stock.candidates(name, file)) for file, name in names.items()}
    total = sum(file.bytes for file, paths in candidates.items() if paths)
    found = {}
    with _bar("verify", total, progress and total > 0) as bar:
        for file, paths in candidates.items():
            for path in paths:
                try:
                    check_file(path, file)
                except IndexCorruptError as error:
                    _LOG.warning("%s; it comes again", error)
                    if path == place.whole(file):
                        path.unlink()
                else:
                    found[file] = path
                    break
            bar.update(file.bytes if paths else 0)
    return found


def _is_current(out: Path, place: Assembly, found: dict[FileRecord, Path]) -> bool:
    """Whether the index that is there is the one that is wanted, and nothing else lies there."""
    try:
        if load_manifest(out) != place.manifest:
            return False
    except IndexError_:
        return False
    wanted = {out / name for name in place.files} | {out / NAME}
    lying = {path for path in out.rglob("*") if path.is_symlink() or not path.is_dir()}
    return lying == wanted and all(
        found[file] == out / name or _is_sound(out / name, file)
        for name, file in place.files.items()
    )


def _is_sound(path: Path, file: FileRecord) -> bool:
    try:
        check_file(path, file)
    except IndexCorruptError:
        return False
    return True


def _fetch_all(
    source: Source,
    place: Assembly,
    missing: dict[FileRecord, str],
    connections: int,
    progress: bool,
) -> None:
    """Let all missing files come, several at a time; the first that fails ends it."""
    lock = Lock()
    with (
        _bar("pull", sum(file.bytes for file in missing), progress) as bar,
        ThreadPoolExecutor(connections) as pool,
    ):

        def told(count: int) -> None:
            with lock:
                bar.update(count)

        jobs = [
            pool.submit(_fetch, source, place, name, file, told) for file, name in missing.items()
        ]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            source.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(source: Source, place: Assembly, name: str, file: FileRecord, told: Told) -> None:
    """Let one file come, go on where it stopped, and verify it."""
    part = place.part(file)
    if part.is_symlink() or held_bytes(part, file.bytes + 1) > file.bytes:
        part.unlink()
    told(held_bytes(part, file.bytes))
    for last in (False, True):
        pieced = source.fetch(name, file.bytes, part, told)
        try:
            check_file(part, file)
            break
        except IndexCorruptError as error:
            told(-held_bytes(part, file.bytes))
            part.unlink()
            if last or not pieced:
                raise IndexCorruptError(
                    f"{name} from {source.shown} is not what its {NAME} says: sha256 differs from "
                    f"{file.sha256[:12]}; it was altered, or is being changed just now: run the "
                    "same command again, the rest is kept"
                ) from error
    durable.sync(part)
    part.replace(place.whole(file))


def _stopped(error: OSError, plan: Plan) -> IndexPullError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    left = bytes_to_come(plan.out, plan.to_come) / 1e6
    advice = f"free some space ({left:,.1f} MB or less are still to come)" if full else "mend that"
    return IndexPullError(
        f"{'disk full' if full else 'cannot write'} while pulling to {plan.out}: {error}; "
        f"{advice} and run the same command again: what has come is kept. The old index, if any, "
        "is untouched"
    )


def _bar(title: str, total: int, progress: bool) -> tqdm:
    return tqdm(
        total=total, desc=title, unit="B", unit_scale=True, unit_divisor=1000, disable=not progress
    )
