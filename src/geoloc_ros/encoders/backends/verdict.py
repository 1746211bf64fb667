# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What an engine of less than fp32 costs on the area's own pictures, and whether that is accepted.

The figures are written beside the engine; it is used only where they keep the limits of the
configuration in force.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc_ros import durable
from geoloc_ros.config import EncoderConfig
from geoloc_ros.encoders.backends.cache import Lease
from geoloc_ros.errors import ModelError, first_line

FILE = "verdict.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Figures of an engine against the same network in fp32 on the CPU.

    Attributes:
        pictures: how many were described.
        kind: what they are: `tiles` of the imagery, or `views` of a recording.
        index_sha256: identity of the index they were searched in.
        drift_mean: of 1 - cosine.
        drift_p99: what 99 of 100 descriptors keep within.
        drift_max: the largest.
        recall_1: share of pictures whose place is found first, fp32 and engine.
        recall_10: share of those whose place is among the first ten.
    """

    pictures: int
    kind: str
    index_sha256: str
    drift_mean: float
    drift_p99: float
    drift_max: float
    recall_1: tuple[float, float]
    recall_10: tuple[float, float]

    @property
    def recall_loss(self) -> float:
        """By how much recall@1 falls."""
        return self.recall_1[0] - self.recall_1[1]

    def refusal(self, config: EncoderConfig) -> str:
        """Which limit it breaks, with the figures; empty if none."""
        broken = []
        if not self.drift_p99 <= config.max_drift:
            broken.append(
                f"drift {self.drift_p99:.2g} (encoder.max_drift is {config.max_drift:g})"
            )
        if not self.recall_loss <= config.max_recall_loss:
            broken.append(
                f"recall@1 {self.recall_1[1]:.3f} instead of {self.recall_1[0]:.3f} "
                f"(encoder.max_recall_loss is {config.max_recall_loss:g})"
            )
        where = f"on {self.pictures} {self.kind} of the area"
        return f"{where}: {', '.join(broken)}" if broken else ""


def write_verdict(lease: Lease, verdict: Verdict) -> None:
    """Keep figures beside the engine they are about.

    Raises:
        OSError: the disk refuses.
    """
    content = {"files": lease.manifest["files"], **dataclasses.asdict(verdict)}
    durable.replace_bytes(lease.folder / FILE, (json.dumps(content, indent=1) + "\n").encode())


def read_verdict(lease: Lease) -> Verdict | None:
    """The figures of an engine; None if it was never measured.

    Raises:
        ModelError: they cannot be read, or are about another engine.
    """
    path: Path = lease.folder / FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("files") != lease.manifest["files"]:
            raise ModelError(f"{path} is about another engine; measure this one")
        for name in ("drift_mean", "drift_p99", "drift_max"):
            content[name] = float(content[name])
        for name in ("recall_1", "recall_10"):
            fp32, engine = content[name]
            content[name] = float(fp32), float(engine)
        return Verdict(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}") from error
