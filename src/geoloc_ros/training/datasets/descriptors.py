# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a split's pictures, kept on disk: a run that stops goes on where it was.

A side (queries or references) is a folder `DATASET-SPLIT-SIDE-KEY` with one array file for every
`CHUNK` pictures, `part-00000.SHA256.npy`, complete or absent. The key covers the encoder's files,
what they run on, what is done to pictures before, the pictures' names and their files' sizes:
nothing is ever found under the key of something else. A file that does not hold what its name
says is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.errors import DatasetError
from geoloc_ros.index.arrays import from_bytes, to_bytes
from geoloc_ros.training.datasets.base import Pictures
from geoloc_ros.training.datasets.preparation import Preparation

_log = logging.getLogger(__name__)

Side = Literal["queries", "references"]
SCHEMA = 2
ON_CPU = "ort-cpu"
#: pictures a file; what is lost at most when a run is ended
CHUNK = 1024
_DIGITS = 24


@dataclass(frozen=True)
class DescriptorCache:
    """Where descriptors are kept.

    Attributes:
        folder: holds a folder for each side of each split of each model.
        batch: pictures the encoder gets at a time.
        readers: threads that read pictures.
        runs_on: the encoder's back end, of which descriptors differ a little from those of others.
    """

    folder: Path
    batch: int = 32
    readers: int = 4
    runs_on: str = ON_CPU

    def describe(
        self,
        side: Side,
        preparation: Preparation,
        encoder: Encoder,
        tell: Callable[[int], object] = lambda done: None,
    ) -> Float32Array:
        """Descriptors (N, D) of one side, from the cache as far as they are there.

        Args:
            side: which pictures.
            preparation: the split, the model and what happens between them.
            encoder: of that model.
            tell: is told how many pictures were done since the last time, cached ones included.

        Raises:
            DatasetError: a picture is unreadable, or the cache cannot be written.
            ModelError: the encoder fails.
        """
        pictures: Pictures = getattr(preparation.split, side)
        place = self.folder / folder_name(side, preparation, self.runs_on)
        dim = preparation.package.descriptor_dim
        found = np.empty((len(pictures), dim), dtype=np.float32)
        for part, start in enumerate(range(0, len(pictures), CHUNK)):
            rows = range(start, min(start + CHUNK, len(pictures)))
            kept = _read(place, part, (len(rows), dim))
            if kept is None:
                kept = self._encode(side, preparation, encoder, rows, tell)
                _write(place, part, kept)
            else:
                tell(len(rows))
            found[rows.start : rows.stop] = kept
        return found

    def _encode(
        self,
        side: Side,
        preparation: Preparation,
        encoder: Encoder,
        rows: range,
        tell: Callable[[int], object],
    ) -> Float32Array:
        """Descriptors of some pictures; the next batch is read while one is encoded."""
        load = preparation.query if side == "queries" else preparation.reference
        encode = encoder.encode_query if side == "queries" else encoder.encode_reference
        batches = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
        done = []
        with ThreadPoolExecutor(self.readers) as pool:
            for images in _ahead(pool, load, batches):
                done.append(encode(images))
                tell(len(images))
        return np.concatenate(done)


def _ahead(
    pool: ThreadPoolExecutor, load: Callable[[int], Image], batches: list[range]
) -> Iterator[Image]:
    """Stacks (B, H, W, 3) of pictures, in order; one batch more than is asked for is read."""
    waiting = [pool.submit(load, row) for row in batches[0]]
    for following in [*batches[1:], range(0)]:
        current, waiting = waiting, [pool.submit(load, row) for row in following]
        yield np.stack([future.result() for future in current])


def folder_name(side: Side, preparation: Preparation, runs_on: str = ON_CPU) -> str:
    """Name of the folder of one side; the same name is the same descriptors."""
    split, package = preparation.split, preparation.package
    pictures: Pictures = getattr(split, side)
    file = package.query_file if side == "queries" else package.reference_file
    digest = hashlib.sha256()
    content = [
        SCHEMA,
        package.files.get(file, package.encoder_sha256),
        package.preprocessing_sha256,
        package.resize,
        preparation.texts[0 if side == "queries" else 1],
        runs_on,
    ]
    digest.update(json.dumps(content).encode())
    for name, path in zip(pictures.ids, pictures.paths, strict=True):
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DatasetError(
                f"cannot read {path}: {error.strerror or error}; unpack the data set again"
            ) from error
        digest.update(f"{name}\0{size}\0".encode())
    return f"{split.dataset}-{split.name}-{side}-{digest.hexdigest()[:_DIGITS]}"


def _read(place: Path, part: int, shape: tuple[int, int]) -> Float32Array | None:
    """A part that was kept, None if there is none or it is spoilt."""
    for path in sorted(place.glob(f"part-{part:05d}.*.npy")):
        content = bytearray(path.read_bytes())
        try:
            kept = from_bytes(content, "<f4", shape)
        except ValueError:
            kept = None
        digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
        if kept is not None and path.name == f"part-{part:05d}.{digest}.npy":
            return np.asarray(kept, dtype=np.float32)
        _log.warning("%s does not hold what its name says and is made again", path)
        path.unlink()
    return None


def _write(place: Path, part: int, descriptors: Float32Array) -> None:
    """Keep a part; it appears when it is complete."""
    content = to_bytes(np.ascontiguousarray(descriptors, dtype="<f4"))
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    path = place / f"part-{part:05d}.{digest}.npy"
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        place.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DatasetError(
            f"cannot keep descriptors in {place}: {error.strerror or error}; free some space, or "
            "name another folder with --cache"
        ) from error
