# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The directory an index is built in, and how it takes the place of the old one."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from geoloc_ros import durable
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError, IndexCorruptError, shown
from geoloc_ros.index.manifest import NAME, NEW, SCHEMA, Manifest
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.records import (
    ShardRecord,
    is_part,
    read_file,
    shard_from_content,
    stem_of,
)
from geoloc_ros.index.shelf import COMING, FINGERPRINT, OwnFolder, SharedFolder, Shelf

_LOG = logging.getLogger(__name__)

#: held while a build runs; a folder beside `out` that lacks it is somebody else's
_LOCK = "geoloc-build.lock"
_DONE = "done"
_REPLACED = "replaced"


class Workplace:
    """`<out>.partial`: held by one build at a time, kept when a build stops, renamed at the end.

    Args:
        out: where the index shall be, from `check_out`.
        draft: its manifest without shards.
        anchors: (N, 3) poses asked for; with the draft they are the build's fingerprint.
    """

    def __init__(self, out: Path, draft: Manifest, anchors: FloatArray) -> None:
        self.out = out
        self.root = _partial(out)
        self._draft = draft
        self._lock: IO[bytes] | None = None
        self._fingerprint = fingerprint_of(draft, anchors)

    def __enter__(self) -> Workplace:
        """Take the place, and what an earlier build of the same index left there.

        Raises:
            IndexBuildError: another command holds it.
            OSError: the disk refuses.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self._take()
        if not self.out.exists() and (self.root / _REPLACED).is_dir():
            # a build was stopped between its two renames
            (self.root / _REPLACED).rename(self.out)
        known = self.root / FINGERPRINT
        if not known.is_file() or known.read_text(encoding="utf-8") != self._fingerprint:
            self._empty()
            durable.write_bytes(known, self._fingerprint.encode())
        # of these, a build may have been stopped before it made them or after it removed them
        (self.root / "shards").mkdir(exist_ok=True)
        (self.root / _DONE).mkdir(exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go; what is finished stays."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def kept_in(self) -> str:
        """Where finished shards stay when a build stops; empty if nothing can be written."""
        return str(self.root) if os.access(self.root, os.W_OK) else ""

    def need_space(self, size_bytes: int) -> None:
        """Refuse to begin what cannot fit.

        Raises:
            IndexBuildError: less than `size_bytes` free, finished shards counted.
        """
        there = sum(path.stat().st_size for path in (self.root / "shards").iterdir())
        free = shutil.disk_usage(self.root).free
        if free + there < size_bytes:
            raise IndexBuildError(
                f"disk full: the index needs about {size_bytes / 1e6:.3f} MB, "
                f"{self.root.parent} has {(free + there) / 1e6:.3f} MB for it; free "
                "some space or sample less densely (--spacing, --pitch, --headings)"
            )

    def finished(self, cell: Cell) -> ShardRecord | None:
        """The record of a cell that an earlier build finished; count 0 if it has no entry."""
        path = self._record_path(cell)
        try:
            record = known_record(cell, path.read_text(encoding="utf-8"), self._draft)
            for part, file in record.files.items():
                read_file(record.path(self.root, part), file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, IndexCorruptError) as error:
            _LOG.warning("shard %s of an earlier build is done again: %s", cell, error)
            return None
        return record

    def shelf(self, remote: bool) -> Shelf:
        """Where a cell's files go, from this process or from other machines."""
        return SharedFolder(self.root, self._fingerprint) if remote else OwnFolder(self.root)

    def keep(self, record: ShardRecord) -> None:
        """Note that a cell's files are written.

        Raises:
            OSError: the disk refuses.
        """
        content = json.dumps(dataclasses.asdict(record)).encode()
        durable.write_bytes(self._record_path(record.cell), content)

    def keep_empty(self, cell: Cell) -> None:
        """Note that a cell has no entry.

        Raises:
            OSError: the disk refuses.
        """
        durable.write_bytes(self._record_path(cell), b"0")

    @property
    def has_records(self) -> bool:
        """Whether cells are finished."""
        return any((self.root / _DONE).glob("*"))

    def finish(self, records: list[ShardRecord]) -> Manifest:
        """Write the manifest and put the new index in the place of the old one.

        Args:
            records: of all cells that have entries, sorted.

        Raises:
            IndexBuildError: there is no entry at all.
            OSError: the disk refuses.
        """
        manifest = completed(self._draft, records)
        durable.write_bytes(self.root / NAME, manifest.render().encode())
        durable.sync(self.root / "shards")
        if (self.root / COMING).exists():
            shutil.rmtree(self.root / COMING, ignore_errors=True)
        shutil.rmtree(self.root / _DONE)
        (self.root / FINGERPRINT).unlink()
        durable.sync(self.root)
        if self.out.exists():
            self.out.rename(self.root / _REPLACED)
        self.root.rename(self.out)
        durable.sync(self.out.parent)
        shutil.rmtree(self.out / _REPLACED, ignore_errors=True)
        (self.out / _LOCK).unlink()
        return manifest

    def _take(self) -> None:
        lock = (self.root / _LOCK).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_nlink == 0:
                raise BlockingIOError("it has just finished")
        except BlockingIOError as error:
            lock.close()
            raise IndexBuildError(
                f"another command is writing {self.root}; wait for it or choose another folder"
            ) from error
        self._lock = lock

    def _empty(self) -> None:
        for path in self.root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()

    def _record_path(self, cell: Cell) -> Path:
        return self.root / _DONE / f"{stem_of(cell)}.json"


def fingerprint_of(draft: Manifest, anchors: FloatArray) -> str:
    """Identity of what is asked of a build."""
    digest = hashlib.sha256(draft.render().encode())
    digest.update(np.ascontiguousarray(anchors).reshape(-1).view(np.uint8).data)  # no copy
    return digest.hexdigest()


def known_record(cell: Cell, text: str, draft: Manifest) -> ShardRecord:
    """What an earlier build noted of a cell; count 0 and no files if it has no entry.

    Raises:
        ValueError, KeyError, TypeError: it is no such note.
    """
    content = json.loads(text)
    if content == 0:
        return ShardRecord(cell=cell, count=0, bounds_m=(0.0, 0.0, 0.0, 0.0), files={})
    return shard_from_content(content, draft.parts)


def completed(draft: Manifest, records: list[ShardRecord]) -> Manifest:
    """The manifest with its shards.

    Raises:
        IndexBuildError: there is no entry at all.
    """
    if not records:
        raise IndexBuildError(
            "nothing to index: no crop shows enough imagery (at least 60 % valid pixels); "
            "check the imagery for holes and that it is larger than one crop"
        )
    return dataclasses.replace(draft, shards=tuple(records))


def check_out(out: Path, name: str = "--out") -> Path:
    """See that an index may be written to a folder; nothing is changed.

    Args:
        out: the folder, which need not exist; an index there will be replaced.
        name: what the command calls it, for messages.

    Returns:
        The folder that links lead to.

    Raises:
        IndexBuildError: it has no name of its own, is a link that leads nowhere, or holds files
            that no build wrote; or `<out>.partial` does.
        OSError: it cannot be read.
    """
    if out.name in ("", ".."):
        raise IndexBuildError(
            f"{name} is {str(out)!r}, which is no folder of its own; choose one, e.g. town.index"
        )
    if out.is_symlink() and not out.exists():
        raise IndexBuildError(f"{name} {out} is a link that leads nowhere; remove the link")
    out = out.resolve()
    foreign = _foreign(out)
    if foreign:
        raise IndexBuildError(
            f"{out} exists and is no index: {foreign}; choose another {name} or remove it"
        )
    partial = _partial(out)
    empty = not partial.exists() or (partial.is_dir() and not any(partial.iterdir()))
    if not empty and not (partial / _LOCK).is_file():
        raise IndexBuildError(
            f"{partial}, where {out} would be built, exists and no build made it; choose another "
            f"{name} or rename it"
        )
    return out


def current(out: Path) -> Path:
    """Where the index of a place lies: there, or set aside by a command that was stopped."""
    aside = _partial(out) / _REPLACED
    return aside if aside.is_dir() and not out.exists() else out


def _partial(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _foreign(out: Path) -> str:
    """What tells that a place is no index; empty if it is one, or nothing."""
    if not out.is_dir():
        return "it is a file" if out.exists() else ""
    own = {NAME, NEW, "shards"}
    if (out / _LOCK).is_file():  # a build was stopped just after its last rename
        own |= {_LOCK, _REPLACED}
    names = sorted(path.name for path in out.iterdir())
    strays = [name for name in names if name not in own]
    files = sorted(path.name for path in (out / "shards").glob("*"))
    strays += [f"shards/{name}" for name in files if not is_part(name)]
    if strays:
        schema = _schema(out / NAME)
        if schema not in (None, SCHEMA):
            return f"it holds {strays[0]} and is of schema {shown(schema)}, not {SCHEMA}"
        return f"it holds {strays[0]}"
    return f"its {NAME} is not an index's" if names and _schema(out / NAME) is None else ""


def _schema(path: Path) -> object:
    """The schema of a manifest, intact or not; None if it is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(content, dict) and {"schema", "manifest_sha256"} <= set(content)
    return content["schema"] if known else None
