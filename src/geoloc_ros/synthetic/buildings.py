# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Lots along the roads of a made town, and the buildings on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.gardens import Gardener
from geoloc_ros.synthetic.layout import Area, Building, Occupancy, Part, rectangle
from geoloc_ros.synthetic.plots import Plots, parking_slots, pick, tinted
from geoloc_ros.synthetic.roadnet import Road, normals
from geoloc_ros.synthetic.styles import BUILDING_TYPES, BuildingType, Rgb, Style
from geoloc_ros.synthetic.terrain import Terrain

F64 = NDArray[np.float64]
TRIMS: tuple[Rgb, ...] = (
    (238, 236, 230),
    (90, 70, 55),
    (60, 62, 66),
    (120, 40, 36),
    (50, 80, 60),
    (210, 200, 180),
)


@dataclass
class _Row:
    """What the houses of one terrace share."""

    kind: BuildingType
    setback_m: float
    depth_m: float
    storeys: int
    roof: str
    roof_rgb: Rgb
    facade: Rgb
    left: int


class LotBuilder:
    """Walks along roads and puts buildings where the ground is free."""

    def __init__(
        self,
        rng: np.random.Generator,
        style: Style,
        terrain: Terrain,
        taken: Occupancy,
        size_m: float,
    ) -> None:
        """Prepare; the town's busy centre and the share of changed buildings are drawn here."""
        self.rng, self.style, self.terrain, self.taken = rng, style, terrain, taken
        self.size_m = size_m
        self.centre = rng.uniform(-0.25, 0.25, 2) * size_m
        self.core_m = rng.uniform(0.12, 0.26) * size_m
        self.change_share = rng.uniform(0.035, 0.075)
        self.plots = Plots()
        self.gardener = Gardener(rng, style, taken, self.plots)
        self.row: _Row | None = None

    def along(self, road: Road, side: int) -> None:
        """Fill one side (+1 left, -1 right) of a road with lots."""
        rng, line = self.rng, road.centreline_m[:, :2]
        s_axis = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        left = normals(line)
        s = rng.uniform(1, 6)
        mix_bias = rng.uniform(0.5, 1.6, len(BUILDING_TYPES))
        self.row = None
        while s < s_axis[-1] - 4:
            k = int(np.searchsorted(s_axis, s))
            if self.row is not None and self.row.left > 0:
                self.row.left -= 1
                kind = self.row.kind
            else:
                kind = self._kind(line[min(k, len(line) - 1)], mix_bias)
                self.row = self._start_row(kind)
            width = rng.uniform(*kind.width_m)
            mid = s + 0.5 * width
            if mid > s_axis[-1] - 2:
                break
            at = np.array([np.interp(mid, s_axis, line[:, i]) for i in (0, 1)])
            n = side * left[min(int(np.searchsorted(s_axis, mid)), len(left) - 1)]
            if rng.random() < 0.05 and self.row is None:  # an empty lot
                s += width
                continue
            placed = self._lot(road, at, n, kind, width)
            if not placed:  # a smaller house may still fit
                narrow = max(0.62 * width, kind.width_m[0] * 0.8)
                mid += 0.5 * (narrow - width)
                at = np.array([np.interp(mid, s_axis, line[:, i]) for i in (0, 1)])
                width = narrow
                placed = self._lot(road, at, n, kind, width, 0.72)
            if placed:
                s += width + rng.uniform(*kind.gap_m) * (1 if rng.random() < 0.85 else 3)
            else:
                s += rng.uniform(2.0, 6.0)
                self.row = None

    def _start_row(self, kind: BuildingType) -> _Row | None:
        """Begin a terrace if this kind of building stands wall to wall."""
        if kind.gap_m[0] > 0 or kind.gap_m[1] > 0.5:
            return None
        rng, style = self.rng, self.style
        roof = str(rng.choice(kind.roofs))
        palette = style.flat_roofs if roof == "flat" else style.roofs
        return _Row(
            kind,
            float(rng.uniform(*kind.setback_m)),
            float(rng.uniform(*kind.depth_m)),
            int(rng.integers(kind.storeys[0], kind.storeys[1] + 1)),
            roof,
            palette[int(rng.integers(len(palette)))],
            style.facades[int(rng.integers(len(style.facades)))],
            int(rng.integers(3, 10)),
        )

    def _kind(self, at: F64, bias: F64) -> BuildingType:
        share = np.exp(-(((np.linalg.norm(at - self.centre)) / self.core_m) ** 2))
        mix = self.style.centre_mix if self.rng.random() < share else self.style.mix
        order = list(BUILDING_TYPES)
        return BUILDING_TYPES[
            pick(self.rng, {k: w * bias[order.index(k)] for k, w in mix.items()})
        ]

    def _lot(
        self, road: Road, at: F64, n: F64, kind: BuildingType, width: float, shrink: float = 1.0
    ) -> bool:
        rng = self.rng
        depth, setback = rng.uniform(*kind.depth_m), rng.uniform(*kind.setback_m)
        if self.row is not None:
            depth, setback = self.row.depth_m, self.row.setback_m
        depth *= shrink
        front = road.half_m + 0.6
        yaw = float(np.arctan2(n[1], n[0]) - np.pi / 2)
        yaw_jitter = rng.normal(0, 0.004 + 0.1 * self.style.curviness * (kind.gap_m[1] > 4))
        centre = at + n * (front + setback + 0.5 * depth)
        body = rectangle(
            centre, yaw + yaw_jitter, width - (1.8 if kind.gap_m[0] == 0 else 0.6), depth
        )
        if np.abs(centre).max() > 0.5 * self.size_m + 30 or not self.taken.free(body):
            return False
        building = self.raise_building(kind, centre, yaw + yaw_jitter, width, depth)
        self._grounds(building, kind, at, n, front, setback, width, depth, yaw)
        self.taken.mark(building.parts[0].corners(-0.6 if kind.gap_m[0] == 0 else 1.0))
        for part in building.parts[1:]:
            self.taken.mark(part.corners(0.2))
        return True

    def raise_building(
        self, kind: BuildingType, centre: F64, yaw: float, width: float, depth: float
    ) -> Building:
        """Design a building on a rectangle and keep it."""
        rng, style = self.rng, self.style
        storeys = int(rng.integers(kind.storeys[0], kind.storeys[1] + 1))
        row = self.row if self.row is not None and self.row.kind is kind else None
        if row is not None and rng.random() < 0.8:
            storeys = row.storeys
        eaves = storeys * kind.storey_m + rng.uniform(0.0, 0.5)
        roof = row.roof if row is not None else str(rng.choice(kind.roofs))
        turned = 0.0 if width >= depth or kind.gap_m[0] == 0 else np.pi / 2
        if kind.name in ("detached", "woodhouse", "smallhouse") and rng.random() < 0.3:
            turned = np.pi / 2 - turned
        part = _part(rng, centre, yaw, width, depth, eaves, roof, turned)
        parts = [part]
        if rng.random() < kind.wing:
            parts += self._wing(part, eaves, roof)
        corners = np.vstack([p.corners() for p in parts])
        flat = roof == "flat"
        palette = style.flat_roofs if flat else style.roofs
        roof_rgb = tinted(rng, palette[int(rng.integers(len(palette)))])
        if row is not None and rng.random() < 0.75:
            roof_rgb = tinted(rng, row.roof_rgb, 5.0)
        before = tinted(rng, palette[int(rng.integers(len(palette)))], 16.0)
        facade = tinted(rng, style.facades[int(rng.integers(len(style.facades)))], 11.0)
        if row is not None and rng.random() < 0.7:
            facade = tinted(rng, row.facade, 6.0)
        building = Building(
            len(self.plots.buildings),
            kind.name,
            tuple(parts),
            float(self.terrain.height_m(corners).mean()),
            storeys,
            kind.storey_m,
            float(kind.window_m * rng.uniform(0.8, 1.25)),
            kind.shop,
            facade,
            TRIMS[int(rng.integers(len(TRIMS)))],
            roof_rgb,
            before,
            "none",
            float(rng.random()),
            bool(rng.random() < style.solar),
        )
        self.plots.buildings.append(building)
        return building

    def age(self) -> tuple[Building, ...]:
        """The buildings, 3 to 8 % of them built, gone or re-roofed since the satellite passed."""
        rng, buildings = self.rng, self.plots.buildings
        changed = rng.permutation(len(buildings))[: round(self.change_share * len(buildings))]
        fate = dict.fromkeys(range(len(buildings)), "none")
        for k in changed:
            fate[int(k)] = str(rng.choice(["built", "gone", "reroofed"], p=[0.35, 0.25, 0.4]))
        return tuple(
            replace(
                b, change=fate[k], roof_before=b.roof_before if fate[k] == "reroofed" else b.roof
            )
            for k, b in enumerate(buildings)
        )

    def _wing(self, main: Part, eaves: float, roof: str) -> list[Part]:
        """A lower or equal wing behind the main part, if the ground there is free."""
        rng = self.rng
        width, depth = rng.uniform(0.35, 0.55) * main.width_m, rng.uniform(0.5, 0.9) * main.depth_m
        c, s = np.cos(main.yaw_rad), np.sin(main.yaw_rad)
        side = rng.choice([-1.0, 1.0])
        local = np.array([side * 0.5 * (main.width_m - width), 0.5 * (main.depth_m + depth) - 0.3])
        centre = np.array([main.x_m, main.y_m]) + local @ np.array([[c, s], [-s, c]])
        height = eaves if rng.random() < 0.5 or eaves < 4 else eaves - 2.7
        wing = _part(rng, centre, main.yaw_rad, width, depth, height, roof, np.pi / 2)
        return [wing] if self.taken.free(wing.corners()) else []

    def _grounds(
        self,
        building: Building,
        kind: BuildingType,
        at: F64,
        n: F64,
        front: float,
        setback: float,
        width: float,
        depth: float,
        yaw: float,
    ) -> None:
        """The lot's ground, drive, parking, hedge or fence."""
        rng, style, out = self.rng, self.style, self.plots
        gap = float(np.mean(kind.gap_m))
        back = rng.uniform(4, 14) if gap > 0.5 else rng.uniform(2, 8)
        total = setback + depth + back
        mid = at + n * (front + 0.5 * total - 0.4)
        paved = kind.name in ("perimeter", "shophouse", "warehouse", "store")
        green = rng.random() < (0.12 if paved else style.lawn)
        out.areas.append(
            Area(
                "lawn" if green else "yard",
                rectangle(mid, yaw, width + 0.8 * gap, total),
                float(rng.random()),
            )
        )
        self._access(kind, at, n, front, setback, width, depth, yaw)
        if not paved:
            if setback > 1.2:
                self.gardener.front_line(at, n, front, width + 0.9 * gap, yaw)
            self.gardener.fill(at, n, front + setback + depth, back, width + 0.8 * gap, yaw, front)

    def _access(
        self,
        kind: BuildingType,
        at: F64,
        n: F64,
        front: float,
        setback: float,
        width: float,
        depth: float,
        yaw: float,
    ) -> None:
        """Customer parking, drive or garden path between road and house."""
        rng, out = self.rng, self.plots
        along = np.array([np.cos(yaw), np.sin(yaw)])
        if kind.name == "store":
            self._store_parking(at, n, front, setback, width, yaw)
        elif rng.random() < kind.drive and setback > 2:
            x = rng.choice([-1, 1]) * rng.uniform(0.3, 0.5) * width
            length = setback + rng.uniform(0, 0.5) * depth
            spot = at + along * x + n * (front + 0.5 * length - 0.8)
            out.areas.append(
                Area(
                    "drive",
                    rectangle(spot, yaw, rng.uniform(2.6, 5.0), length + 1.6),
                    float(rng.random()),
                )
            )
            if setback > 4.5:
                car = at + along * x + n * (front + rng.uniform(2.6, setback - 1.6))
                out.slots.append(
                    (float(car[0]), float(car[1]), float(yaw + rng.choice([-1, 1]) * np.pi / 2))
                )
        elif setback > 1.5:
            path = at + n * (front + 0.5 * setback)
            out.areas.append(
                Area("drive", rectangle(path, yaw, 1.3, setback + 1), float(rng.random()))
            )

    def _store_parking(
        self, at: F64, n: F64, front: float, setback: float, width: float, yaw: float
    ) -> None:
        depth = setback - 3
        spot = at + n * (front + 0.5 * depth)
        area = Area(
            "parking", rectangle(spot, yaw, width + 6, depth), float(self.rng.random()), yaw
        )
        if self.taken.free(rectangle(spot, yaw, width, depth - 2)):
            self.plots.areas.append(area)
            self.plots.slots += parking_slots(area, width + 6, depth)
            self.taken.mark(area.polygon_m)


def _part(
    rng: np.random.Generator,
    centre: F64,
    yaw: float,
    width: float,
    depth: float,
    eaves: float,
    roof: str,
    turned: float,
) -> Part:
    """A part whose ridge runs along its width axis; `turned` swaps the axes."""
    if turned > 0.1:
        yaw, width, depth = yaw + np.pi / 2, depth, width
    rise = {
        "flat": rng.uniform(0.3, 0.9),
        "mansard": rng.uniform(3.0, 4.2),
        "shed": 0.16 * depth,
    }.get(roof, 0.5 * depth * rng.uniform(0.42, 0.85))
    if depth > 20 and roof in ("gable", "hip"):
        rise = 0.5 * depth * 0.2
    return Part(
        float(centre[0]),
        float(centre[1]),
        float(yaw),
        float(width),
        float(depth),
        float(eaves),
        roof,
        float(rise),
    )
