# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The words of sampling: the policy stored with an index, and a road."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import IndexBuildError


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPolicy:
    """How densely poses are sampled; part of the index's manifest.

    Attributes:
        kind: `roads` along centrelines, `grid` over the imagery.
        spacing_m: mean distance of anchors along a road, per direction.
        lateral_m: anchors lie within this distance left or right of the centreline.
        yaw_deg: headings lie within this angle of the road's direction.
        turns: whether arcs from road to road are sampled at junctions and sharp bends.
        both_ways_on_oneway: whether one-way roads are also sampled against the traffic.
        pitch_m: distance of grid points.
        headings: number of headings per grid point.
        seed: phase of the sequence.
        north_up: every place is held once, its crop cut with north up, whatever way a vehicle may
            go there; a panorama is turned to find out (`yaw_hypotheses`). Yaw, turns, directions
            and headings play no part then.
    """

    kind: Literal["roads", "grid"] = "roads"
    spacing_m: float = 1.5
    lateral_m: float = 4.0
    yaw_deg: float = 12.0
    turns: bool = True
    both_ways_on_oneway: bool = False
    pitch_m: float = 6.0
    headings: int = 16
    seed: int = 0
    north_up: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled.

        Raises:
            IndexBuildError: a parameter is out of bounds.
        """
        bounds = {
            "spacing_m": (0.1, 100.0),
            "lateral_m": (0.0, 50.0),
            "yaw_deg": (0.0, 180.0),
            "pitch_m": (0.1, 1000.0),
            "headings": (1, 360),
            "seed": (0, 2**31 - 1),
        }
        if self.kind not in ("roads", "grid"):
            raise IndexBuildError(f"sampling kind is {self.kind!r}; choose roads or grid")
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise IndexBuildError(
                    f"sampling {name} is {value}; it must lie in [{low}, {high}]"
                )

    def content(self) -> dict[str, Any]:
        """What is written of it; nothing of north up where it is not, as before there was such."""
        content = dataclasses.asdict(self)
        if not self.north_up:
            del content["north_up"]
        return content

    @property
    def miss_sigma(self) -> tuple[float, float]:
        """How far a pose lies from the entry that stands for it, one sigma: m per axis, rad.

        Where north is up, the angle is that of entries that are as dense as along roads.
        """
        if self.kind == "roads":
            return 2.5, math.radians(6.0)
        step = 0.0 if self.north_up else 2.0 * math.pi / self.headings
        # of a uniform distribution; never less than what scattered entries leave
        return max(2.5, self.pitch_m / math.sqrt(12.0)), max(
            math.radians(6.0), step / math.sqrt(12)
        )


@dataclass(frozen=True, slots=True)
class Road:
    """A centreline in the local plane.

    Attributes:
        xy_m: (N, 2) vertices, N >= 2.
        oneway: traffic runs from the first to the last vertex only.
    """

    xy_m: FloatArray
    oneway: bool = False


def roads_sha256(roads: Sequence[Road]) -> str:
    """Identity of a road layer: vertices to the millimetre, their order, and one-way flags."""
    digest = hashlib.sha256()
    for road in roads:
        digest.update(f"{len(road.xy_m)} {road.oneway} ".encode())
        digest.update(np.round(1000.0 * road.xy_m).astype("<i8").tobytes())
    return digest.hexdigest()
