# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where engines are kept: built once per machine, verified at every opening, bounded in size.

    <root>/<key>/manifest.json   the whole key, and size and sha256 of every file
    <root>/<key>/...             the engine
    <root>/<key>.partial/        being built; whoever finds one with nobody building removes it
    <root>/locks/<key>.build     held (flock) by the one process that builds
    <root>/locks/<key>.use       shared by whoever uses the engine; it is not removed meanwhile

Locks are the kernel's: it drops them when their process ends, however that ends. A lock file is
never removed. An engine appears by a rename, after its bytes have reached the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc_ros import durable
from geoloc_ros.encoders.backends.key import EngineKey
from geoloc_ros.encoders.package import file_sha256
from geoloc_ros.errors import ModelError, first_line

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
_LOCKS = "locks"
_PARTIAL = ".partial"
_DEAD = ".dead"
_POLL_S = 0.1
_MB = 1_000_000
#: an engine is about as large as the ONNX file, seldom twice that
_SPACE_FACTOR = 2


class Lease:
    """An engine that was verified and is not removed while this is held.

    Attributes:
        folder: the engine's files.
        manifest: what is written beside them.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], lock: Lock) -> None:
        self.folder, self.manifest, self._lock = folder, manifest, lock

    def close(self) -> None:
        """Let go; so does the end of its last user."""
        self._lock.close()


class Lock:
    """A lock file (flock), let go when this is closed or forgotten, or the process ends."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self, shared: bool = False, wait: bool = True) -> bool:
        """Take it; answers False if it cannot be had without waiting and must be."""
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._handle, how if wait else how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go; may be called twice."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        """Let go of a lock that was forgotten."""
        if hasattr(self, "_handle"):
            self.close()


@dataclass(frozen=True, slots=True)
class EngineCache:
    """A folder of engines, used by any number of processes at a time.

    Attributes:
        root: the folder; made when it is first needed.
        budget_mb: what engines may take together, MB.
    """

    root: Path
    budget_mb: int

    def open(self, key: EngineKey) -> Lease | None:
        """The engine of a key, every byte verified; None if there is none, or it is damaged.

        Raises:
            ModelError: the folder cannot be used.
        """
        self._prepare()
        lock = self._lock(key.digest, "use")
        try:
            lock.take(shared=True)
            folder = self.root / key.digest
            manifest = _verified(folder, key)
            if manifest is not None:
                with contextlib.suppress(OSError):  # of a disk that can only be read
                    os.utime(folder / MANIFEST)  # when it was used last
                return Lease(folder, manifest, lock)
        except ModelError as error:
            logger.warning("%s; it will be built again", error)
        lock.close()
        return None

    def build(
        self,
        key: EngineKey,
        write: Callable[[Path], None],
        source_bytes: int,
        waiting: Callable[[], None] = lambda: None,
    ) -> bool:
        """Build an engine unless it is there; if another process builds it, wait for that.

        Args:
            key: of the engine.
            write: writes its files into an empty folder.
            source_bytes: size of what it is built from.
            waiting: is called again and again while another process builds.

        Returns:
            Whether `write` was called.

        Raises:
            ModelError: the folder cannot be used, the disk is full, or the engine alone is larger
                than the budget. Whatever `write` raises passes through.
        """
        self._prepare()
        with self._builder(key, waiting):
            present = self.open(key)
            if present is not None:
                present.close()
                return False
            self._need_space(_SPACE_FACTOR * source_bytes)
            partial = self.root / (key.digest + _PARTIAL)
            shutil.rmtree(partial, ignore_errors=True)
            begun = time.monotonic()
            try:
                partial.mkdir()
                write(partial)
                self._seal(partial, key, time.monotonic() - begun)
            except OSError as error:
                raise ModelError(
                    f"the {key.words} cannot be kept in {self.root}: "
                    f"{error.strerror or first_line(error)}; free some space or mend that, then "
                    "it is built again"
                ) from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            self._shrink(key)
        return True

    def discard(self, key: EngineKey) -> None:
        """Remove an engine that turned out to be useless; whoever has loaded it keeps it."""
        dead = self.root / f"{key.digest}{_DEAD}-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            (self.root / key.digest).rename(dead)
            shutil.rmtree(dead, ignore_errors=True)

    def engines(self) -> list[tuple[Path, int]]:
        """Folders of all engines and their sizes in bytes, those not used for longest first."""
        found = []
        for manifest in self.root.glob(f"*/{MANIFEST}"):
            with contextlib.suppress(OSError):  # removed meanwhile
                folder = manifest.parent
                if not folder.suffix:
                    size = sum(path.stat().st_size for path in folder.iterdir())
                    found.append((manifest.stat().st_mtime_ns, folder, size))
        return [(folder, size) for _, folder, size in sorted(found)]

    # -- inside -----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the folder, private to this user: engines are code for the GPU."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.root / _LOCKS).mkdir(mode=0o700, exist_ok=True)
            found = self.root.stat()
        except OSError as error:
            raise ModelError(
                f"engines cannot be kept in {self.root}: {error.strerror or error}; name another "
                "folder with encoder.engine_dir"
            ) from error
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise ModelError(
                f"others may write to {self.root}, and an engine is code that the GPU runs; make "
                f"it yours alone (chmod 700) or name another folder with encoder.engine_dir"
            )

    def _lock(self, digest: str, kind: str) -> Lock:
        path = self.root / _LOCKS / f"{digest}.{kind}"
        try:
            return Lock(path)
        except OSError as error:
            raise ModelError(
                f"{path} cannot be opened: {error.strerror or error}; mend that or name another "
                "folder with encoder.engine_dir"
            ) from error

    @contextlib.contextmanager
    def _builder(self, key: EngineKey, waiting: Callable[[], None]) -> Iterator[None]:
        """Held by the one process that builds an engine."""
        with contextlib.closing(self._lock(key.digest, "build")) as lock:
            while not lock.take(wait=False):
                waiting()
                time.sleep(_POLL_S)
            yield

    def _need_space(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < size_bytes:
            raise ModelError(
                f"disk full: an engine needs about {size_bytes / _MB:.1f} MB, {self.root} has "
                f"{free / _MB:.1f} MB; free some space or name another folder with "
                "encoder.engine_dir"
            )

    def _seal(self, partial: Path, key: EngineKey, build_s: float) -> None:
        """Describe what was written, let the disk have it, and put it in its place."""
        files: dict[str, dict[str, int | str]] = {}
        total = 0
        for path in sorted(partial.iterdir()):
            durable.sync(path)
            size = path.stat().st_size
            files[path.name] = {"bytes": size, "sha256": file_sha256(path)}
            total += size
        if total > self.budget_mb * _MB:
            raise ModelError(
                f"the {key.words} takes {total / _MB:.1f} MB, all engines together may take "
                f"{self.budget_mb} MB; raise encoder.engine_budget_mb"
            )
        content = {"key": key.content, "files": files, "build_s": round(build_s, 3)}
        text = json.dumps(content, indent=1) + "\n"
        durable.write_bytes(partial / MANIFEST, text.encode())
        durable.sync(partial)
        self.discard(key)  # one that is damaged
        partial.rename(self.root / key.digest)
        durable.sync(self.root)

    def _shrink(self, kept: EngineKey) -> None:
        """Remove engines until the rest fits the budget, but none that is in use."""
        self._sweep()
        engines = self.engines()
        total = sum(size for _, size in engines)
        for folder, size in engines:
            if total <= self.budget_mb * _MB:
                return
            if folder.name != kept.digest and self._remove_if_free(folder, "use"):
                logger.info("%s was not used for longest and is removed", folder)
                total -= size
        if total > self.budget_mb * _MB:
            logger.warning(
                "engines in use take %.1f MB, encoder.engine_budget_mb is %d MB",
                total / _MB, self.budget_mb,
            )  # fmt: skip

    def _sweep(self) -> None:
        """Remove what processes left that were killed."""
        for folder in self.root.glob(f"*{_DEAD}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in self.root.glob(f"*{_PARTIAL}"):
            self._remove_if_free(folder, "build")

    def _remove_if_free(self, folder: Path, kind: str) -> bool:
        """Remove a folder unless somebody holds its lock."""
        with contextlib.closing(self._lock(folder.stem, kind)) as lock:
            if not lock.take(wait=False):
                return False
            shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()


def _verified(folder: Path, key: EngineKey) -> dict[str, Any] | None:
    """The manifest of an engine whose files are what it says; None if there is no engine.

    Raises:
        ModelError: it is of another key, cut off or altered.
    """
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = content["files"]
        if content["key"] != key.content:
            raise ModelError(f"{folder} holds an engine of another key")
        for name, file in files.items():
            path = folder / name
            if path.stat().st_size != file["bytes"] or file_sha256(path) != file["sha256"]:
                raise ModelError(f"{path} was cut off or altered")
    except FileNotFoundError as error:
        if not folder.exists():
            return None
        raise ModelError(f"{folder} lacks {Path(error.filename).name}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{folder} cannot be read: {first_line(error)}") from error
    return dict(content)
