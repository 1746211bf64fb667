# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT as the rest of the package sees it, on a machine that has none: builds are counted."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros import durable
from geoloc_ros.encoders.backends.base import EngineBackend, Job, Session, Tell
from geoloc_ros.encoders.backends.native import calibration_batches
from geoloc_ros.encoders.backends.ort import OrtCpu
from geoloc_ros.encoders.backends.progress import Phases
from geoloc_ros.errors import ModelError

PLAN = "engine.plan"


@dataclass(frozen=True)
class FakeTensorRT(EngineBackend):
    """Its engine is the ONNX file, which ONNX Runtime runs on the CPU.

    Attributes:
        log: a line is added for every build: process, precision, calibration pictures.
        gpu: the card.
        missing: why it does not work here.
        takes_s: how long a build takes.
        waits_for: file; a build goes on when it exists.
        ends: what goes wrong while building: `raises`, `full` (disk), `hangs`, `dies`.
        noise: is added to every number of a descriptor.
        breaks_at: file; a session fails while it exists.
    """

    log: Path
    gpu: str = "Fake GPU"
    missing: str = ""
    takes_s: float = 0.0
    waits_for: Path | None = None
    ends: str = ""
    noise: float = 0.0
    breaks_at: Path | None = None

    name = "tensorrt"
    precisions = ("fp32", "fp16", "int8")

    def trouble(self) -> str:
        return self.missing

    def machine(self) -> dict[str, str]:
        return {"gpu": self.gpu, "compute_capability": "8.7", "driver": "1", "tensorrt": "10.3"}

    def flags(self, job: Job) -> dict[str, str | int | bool]:
        return {"fp16": job.precision != "fp32", "workspace_mb": job.workspace_mb}

    def build(self, job: Job, folder: Path, tell: Tell) -> None:
        with self.log.open("a") as log:
            log.write(f"{os.getpid()} {job.precision} {_calibrated(job)}\n")
        content = job.network.path.read_bytes()
        phases, steps = Phases(), 5
        phases.begin("build", None, steps)
        for step in range(steps):
            time.sleep(self.takes_s / steps)
            phases.step("build", step)
            tell(phases.done, "build")
            while self.waits_for is not None and not self.waits_for.exists():
                time.sleep(0.05)
        if self.ends == "raises":
            raise ModelError("TensorRT cannot build: no kernel for GridSample")
        if self.ends in ("hangs", "dies"):
            (folder / PLAN).write_bytes(content[: len(content) // 2])
            if self.ends == "dies":
                os.abort()
            time.sleep(600.0)
        if self.ends == "full":
            (folder / PLAN).symlink_to("/dev/full")
        durable.write_bytes(folder / PLAN, content)

    def open(self, job: Job, engine: Path | None = None) -> Session:
        assert engine is not None
        assert (engine / PLAN).read_bytes() == job.network.path.read_bytes()
        return FakeSession(OrtCpu().open(job), self)

    @property
    def count(self) -> int:
        """How many engines were built."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


def _calibrated(job: Job) -> int:
    count = 0
    if job.precision == "int8":
        batches = calibration_batches(job)
        while (batch := batches()) is not None:
            assert batch.shape[1:] == job.network.shape(1)[1:]
            count += len(batch)
    return count


class FakeSession:
    def __init__(self, session: Session, fake: FakeTensorRT) -> None:
        self._session, self._fake = session, fake
        self._rng = np.random.default_rng(5)

    def run(self, outputs, inputs):
        if self._fake.breaks_at is not None and self._fake.breaks_at.exists():
            raise RuntimeError("an illegal memory access was encountered")
        (found,) = self._session.run(outputs, inputs)
        found = found + self._fake.noise * self._rng.normal(size=found.shape).astype(np.float32)
        return [found / np.linalg.norm(found, axis=1, keepdims=True)]
