# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What an engine is good for, spelled out: engines that differ in any of it share no folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from geoloc_ros.digest import digest
from geoloc_ros.encoders.backends.base import BATCHES, EngineBackend, Job
from geoloc_ros.encoders.onnx_backend import INPUT

#: of the code that builds engines; raised when it builds other ones from the same key
RECIPE = 1


@dataclass(frozen=True, slots=True)
class EngineKey:
    """Everything an engine depends on.

    Attributes:
        content: JSON of it.
    """

    content: dict[str, Any]

    @property
    def digest(self) -> str:
        """Name of the engine's folder: 32 hex digits."""
        return digest(self.content)[:32]

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"{self.content['backend']} engine {self.content['precision']}"


def engine_key(backend: EngineBackend, job: Job) -> EngineKey:
    """The key of the engine that a back end of this machine needs for a job.

    Raises:
        ModelError: the machine does not tell what it is.
    """
    usual, most = BATCHES[job.network.side]
    shapes = [list(job.network.shape(images)) for images in (1, usual, most)]
    return EngineKey(
        {
            "recipe": RECIPE,
            "onnx_sha256": job.network.sha256,
            "backend": backend.name,
            "precision": job.precision,
            "shapes": {INPUT: shapes},
            "flags": backend.flags(job),
            "calibration": job.calibration,
            "machine": backend.machine(),
        }
    )
