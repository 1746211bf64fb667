# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Building an index on object storage, where nothing can be renamed: files first, manifest last.

    <out>/shards/...             the cells' files, each there when it is whole
    <out>/manifest.json          written last: an index without it is none
    <out>.partial/fingerprint.txt, done/...   what is being built, which cells are finished

An index that is already at a place is never touched: it could not be replaced in one step.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError, first_line
from geoloc_ros.index.manifest import NAME, Manifest
from geoloc_ros.index.quadtree import Cell
from geoloc_ros.index.records import ShardRecord, stem_of
from geoloc_ros.index.shelf import FINGERPRINT, ObjectFolder, Shelf, open_storage
from geoloc_ros.index.workplace import completed, fingerprint_of, known_record

_LOG = logging.getLogger(__name__)

#: storages without folders; asked to make one, they would make a bucket of that name
_FLAT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}


class ObjectPlace:
    """`<out>.partial` and `<out>` on object storage; see `workplace.Workplace`.

    Nothing holds the place: two builds of the same index write the same bytes, and a build of
    another one is refused until the unfinished one is removed.

    Args:
        url: where the index shall be, e.g. `s3://bucket/town.index`.
        draft: its manifest without shards.
        anchors: (N, 3) poses asked for.

    Raises:
        IndexBuildError: the name is that of a bucket, or see `open_storage`.
    """

    def __init__(self, url: str, draft: Manifest, anchors: FloatArray) -> None:
        self.out = url.rstrip("/")
        if "/" not in url.partition("://")[2].rstrip("/"):
            raise IndexBuildError(
                f"--out {url} names no place in a bucket; give one, e.g. s3://bucket/town.index"
            )
        self._storage, self._root = open_storage(self.out)
        self._partial = self._root + ".partial"
        self._draft = draft
        self._fingerprint = fingerprint_of(draft, anchors)
        self._noted: set[str] = set()

    def __enter__(self) -> ObjectPlace:
        """Take what an earlier build of the same index left there.

        Raises:
            IndexBuildError: an index is there, or an unfinished build of another one; or the
                storage cannot be reached.
            OSError: the storage refuses.
        """
        try:
            self._take()
        except (IndexBuildError, OSError):
            raise
        except Exception as error:  # every storage has errors of its own
            raise IndexBuildError(
                f"cannot reach {self.out}: {first_line(error)}; check its name and your "
                "credentials for it, or give a folder"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Let go; what is finished stays."""

    def _take(self) -> None:
        storage, known = self._storage, f"{self._partial}/{FINGERPRINT}"
        storage.invalidate_cache()
        begun = storage.cat_file(known).decode() if storage.exists(known) else ""
        if begun != self._fingerprint:
            if storage.exists(f"{self._root}/{NAME}"):
                raise IndexBuildError(
                    f"{self.out} holds an index already, and object storage cannot replace it in "
                    "one step; choose another --out, or remove it"
                )
            if begun:
                raise IndexBuildError(
                    f"{self.out}.partial and {self.out}/shards belong to an unfinished build of "
                    "another index; remove both, or choose another --out"
                )
            if storage.exists(f"{self._root}/shards"):
                raise IndexBuildError(
                    f"{self.out}/shards exists and no build that goes on made it; choose another "
                    "--out, or remove it"
                )
            if storage.exists(self._partial):
                storage.rm(self._partial, recursive=True)
            self._make_folders()
            storage.pipe_file(known, self._fingerprint.encode())
        done = f"{self._partial}/done"
        if storage.exists(done):
            self._noted = {name.rpartition("/")[2] for name in storage.ls(done, detail=False)}

    def _make_folders(self) -> None:
        named = self._storage.protocol
        if _FLAT.isdisjoint([named] if isinstance(named, str) else named):
            for folder in (f"{self._partial}/done", f"{self._root}/shards"):
                self._storage.makedirs(folder, exist_ok=True)

    @property
    def kept_in(self) -> str:
        """Where finished shards stay when a build stops."""
        return self.out

    def need_space(self, size_bytes: int) -> None:
        """Object storage does not say how much it has left."""

    def shelf(self, remote: bool) -> Shelf:
        """Where a cell's files go, from this process or from other machines."""
        return ObjectFolder(self.out)

    def finished(self, cell: Cell) -> ShardRecord | None:
        """The record of a cell that an earlier build finished; count 0 if it has no entry.

        Files are known by their size: their bytes were compared when they were made.
        """
        path = self._record_path(cell)
        if path.rpartition("/")[2] not in self._noted:
            return None
        try:
            text = self._storage.cat_file(path).decode()
            record = known_record(cell, text, self._draft)
            sizes = {
                part: self._storage.size(record.path(Path(self._root), part).as_posix())
                for part in record.files
            }
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            _LOG.warning("shard %s of an earlier build is done again: %s", cell, error)
            return None
        if any(sizes[part] != file.bytes for part, file in record.files.items()):
            _LOG.warning("shard %s of an earlier build is done again: not whole", cell)
            return None
        return record

    def keep(self, record: ShardRecord) -> None:
        """Note that a cell's files are there.

        Raises:
            OSError: the storage refuses.
        """
        content = json.dumps(dataclasses.asdict(record)).encode()
        self._write(self._record_path(record.cell), content)

    def keep_empty(self, cell: Cell) -> None:
        """Note that a cell has no entry.

        Raises:
            OSError: the storage refuses.
        """
        self._write(self._record_path(cell), b"0")

    def finish(self, records: list[ShardRecord]) -> Manifest:
        """Write the manifest; from then on the index is one.

        Raises:
            IndexBuildError: there is no entry at all.
            OSError: the storage refuses.
        """
        manifest = completed(self._draft, records)
        self._write(f"{self._root}/{NAME}", manifest.render().encode())
        self._storage.rm_file(f"{self._partial}/{FINGERPRINT}")
        self._storage.rm(self._partial, recursive=True)
        return manifest

    def _write(self, path: str, content: bytes) -> None:
        self._storage.pipe_file(path, content)

    def _record_path(self, cell: Cell) -> str:
        return f"{self._partial}/done/{stem_of(cell)}.json"
