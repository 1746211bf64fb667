# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Putting an index together from files that are there, and into the place of the old one."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from geoloc_ros import durable
from geoloc_ros.errors import IndexBuildError, IndexCorruptError
from geoloc_ros.index.manifest import NAME, Manifest, parse
from geoloc_ros.index.records import FileRecord, check_file
from geoloc_ros.index.source import files_of
from geoloc_ros.index.workplace import Workplace

#: files that came, by their hash, until the index is complete; survives an interruption
_FETCHED, _PART = "fetched", ".part"


class Assembly(Workplace):
    """The place of a build, for an index whose files come from elsewhere.

    What an earlier assembly left there is kept, whatever index it was for: files go by their hash.

    Args:
        out: where the index shall be, from `check_out`.
        manifest: what it shall be.
    """

    def __init__(self, out: Path, manifest: Manifest) -> None:
        super().__init__(out, dataclasses.replace(manifest, shards=()), np.zeros((0, 3)))
        self.manifest = manifest
        self.files = files_of(manifest)
        self._fingerprint = "put together from files\n"

    def __enter__(self) -> Assembly:
        """Take the place.

        Raises:
            IndexBuildError: another command holds it, or an unfinished build lies there.
            OSError: the disk refuses.
        """
        try:
            super().__enter__()
            pool = self.root / _FETCHED
            if pool.is_symlink():  # what it leads to is not ours to write to, nor to prune
                pool.unlink()
            pool.mkdir(exist_ok=True)
            self._gather()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def part(self, file: FileRecord) -> Path:
        """Where a file that comes goes until it is whole."""
        return beginning(self.out, file)

    def whole(self, file: FileRecord) -> Path:
        """Where a file lies that has come and was verified."""
        return fetched(self.out, file)

    def complete(self, found: Mapping[FileRecord, Path]) -> Manifest:
        """Lay the files out and put the index in its place.

        Args:
            found: where each file lies, verified. Files in other places stay there.

        Raises:
            IndexCorruptError: a copy is not what was copied.
            OSError: the disk refuses.
        """
        text = self.manifest.render()
        if parse(text, self.root / NAME) != self.manifest:
            raise IndexCorruptError(f"the manifest of {self.out} cannot be read again")
        uses = Counter(self.files.values())
        for name, file in self.files.items():
            target, source = self.root / name, found[file]
            target.parent.mkdir(parents=True, exist_ok=True)
            uses[file] -= 1
            own = source.parent == self.root / _FETCHED
            share(source, target, file, move=own and not uses[file])
        for folder in {(self.root / name).parent for name in self.files}:
            durable.sync(folder)
        shutil.rmtree(self.root / _FETCHED)
        return self.finish(list(self.manifest.shards))

    def prune(self) -> None:
        """Remove what came for other indexes."""
        wanted = {file.sha256 for file in self.files.values()}
        for path in (self.root / _FETCHED).iterdir():
            if path.name.removesuffix(_PART) not in wanted:
                path.unlink()

    def discard(self) -> None:
        """Remove the place: it is not needed."""
        shutil.rmtree(self.root)

    def _gather(self) -> None:
        """Put files that were laid out already back; clear what an interruption left."""
        for name, file in self.files.items():
            path = self.root / name
            if path.is_file() and not path.is_symlink() and not self.whole(file).exists():
                path.replace(self.whole(file))
        shutil.rmtree(self.root / "shards", ignore_errors=True)
        (self.root / "shards").mkdir()
        (self.root / NAME).unlink(missing_ok=True)

    def _empty(self) -> None:
        """Keep files: those that are wanted will be known by their hash."""
        if self.has_records:
            raise IndexBuildError(
                f"{self.root} holds an unfinished build of {self.out}; finish it, or remove that "
                "folder"
            )
        kept = [self.root / name for name in (_FETCHED, "shards")]
        for path in self.root.iterdir():
            if path.is_dir() and path not in kept:
                shutil.rmtree(path)


def fetched(out: Path, file: FileRecord) -> Path:
    """Where a file lies beside an index that is being put together at `out`."""
    return out.with_name(f"{out.name}.partial") / _FETCHED / file.sha256


def beginning(out: Path, file: FileRecord) -> Path:
    """Where it lies until it is whole."""
    path = fetched(out, file)
    return path.with_name(path.name + _PART)


def share(source: Path, target: Path, file: FileRecord, move: bool = False) -> None:
    """The same file at another place: a hard link where the disk can, else a verified copy.

    Args:
        source: the file; what links lead to is meant.
        target: replaced if it exists.
        file: what it must be.
        move: whether it may be moved instead of copied.

    Raises:
        IndexCorruptError: the copy is not the file.
        OSError: the disk refuses.
    """
    target.unlink(missing_ok=True)
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        if move:
            source.replace(target)
            return
        shutil.copyfile(source, target)
        durable.sync(target)
        check_file(target, file)
