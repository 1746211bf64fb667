# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a back end is: a name, whether it can work on this machine, how it opens a session.

Everything a library of NVIDIA's is asked for stands behind these two classes; keys, cache,
parity, fallback and switching are written against them and know no GPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.onnx_backend import INPUT, OUTPUT, QUERY, REFERENCE
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError

#: from the most exact to the fastest
PRECISIONS = ("fp32", "fp16", "int8")
#: images of the batch that an engine is made fastest for, and of the largest it takes: a vehicle
#: asks about one view, or about a panorama turned 24 ways; an index is built from many crops
BATCHES = {QUERY: (1, 24), REFERENCE: (16, 32)}

#: is told how much of a build is done, 0..1 or None where nobody knows, and what is being done
Tell = Callable[[float | None, str], None]


class Session(Protocol):
    """Runs a network; what ONNX Runtime's sessions look like."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Float32Array]) -> Sequence[Any]:
        """The outputs of some names, for inputs by name."""


@dataclass(frozen=True, slots=True)
class Network:
    """One side of a model package: images (N, 3, H, W) float32 in, descriptors (N, D) out.

    Attributes:
        package: the model.
        side: `query` or `reference`; one ONNX file may be both, for images of two sizes.
    """

    package: ModelPackage
    side: str

    def __post_init__(self) -> None:
        """See that the package has it.

        Raises:
            ModelError: it has not.
        """
        if self.name not in self.package.files:
            raise ModelError(
                f"model {self.package.name} has no {self.name}; its card lists "
                f"{', '.join(sorted(self.package.files)) or 'no file'}"
            )

    @property
    def name(self) -> str:
        """Of its file."""
        return self.package.file_of(self.side)

    @property
    def path(self) -> Path:
        """The file."""
        return self.package.root / self.name

    @property
    def sha256(self) -> str:
        """Of the file, as the model card vouches for it."""
        return self.package.files[self.name]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        if self.side == QUERY:
            return self.package.query.height_px, self.package.query.width_px
        return self.package.reference.size_px, self.package.reference.size_px

    def shape(self, images: int) -> tuple[int, int, int, int]:
        """Of the input for so many images."""
        return images, 3, *self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run, and how.

    Attributes:
        network: what.
        precision: one of `PRECISIONS`.
        threads: of the CPU, where that matters.
        workspace_mb: GPU memory that trials of a build may take, MB.
        calibration: sha256 of the images that int8 ranges are taken from; empty for the others.
        images: .npy file with these images, (N, H, W, 3) uint8; only a build reads it.
    """

    network: Network
    precision: str = "fp32"
    threads: int = 1
    workspace_mb: int = 1024
    calibration: str = ""
    images: Path | None = field(default=None, compare=False)


class Backend(ABC):
    """Runs ONNX files as they are.

    Attributes:
        name: as the configuration names it.
        precisions: in which it can run.
    """

    name: str
    precisions: tuple[str, ...] = ("fp32",)

    @abstractmethod
    def trouble(self) -> str:
        """Why it cannot work on this machine; empty if nothing speaks against it so far."""

    @abstractmethod
    def open(self, job: Job, engine: Path | None = None) -> Session:
        """A session that several threads may run.

        Args:
            job: what to run.
            engine: folder of the engine, for back ends that build one.

        Raises:
            ModelError: it cannot be opened, with the reason.
        """


class EngineBackend(Backend):
    """Turns an ONNX file into an engine for this machine, in minutes, before it can run it."""

    @abstractmethod
    def machine(self) -> dict[str, str]:
        """What an engine is good for: GPU, compute capability, versions of libraries and driver.

        Raises:
            ModelError: the machine does not tell.
        """

    @abstractmethod
    def flags(self, job: Job) -> dict[str, str | int | bool]:
        """What the builder is told, apart from shapes: part of an engine's key."""

    @abstractmethod
    def build(self, job: Job, folder: Path, tell: Tell) -> None:
        """Write an engine's files into an empty folder.

        Args:
            job: what to build.
            folder: the folder.
            tell: see `Tell`.

        Raises:
            ModelError: the library refuses, with its words.
            OSError: the disk refuses.
        """


class InParts:
    """Batches of any length on a session that takes so many images at most.

    Args:
        session: the session.
        most: images of its largest batch.
    """

    def __init__(self, session: Session, most: int) -> None:
        self._session, self._most = session, most

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Float32Array]) -> Sequence[Any]:
        """See `Session.run`."""
        batch = inputs[INPUT]
        parts = [
            self._session.run(outputs, {INPUT: batch[first : first + self._most]})
            for first in range(0, len(batch), self._most)
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def describe_with(session: Session, batch: Float32Array) -> Float32Array:
    """Descriptors (N, D) that a session gives for a batch (N, 3, H, W)."""
    found: Float32Array = session.run([OUTPUT], {INPUT: batch})[0]
    return found
