# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""True answers to the questions of `vlm/questions.yaml`, from what `scene.json` holds.

Both views are asked about the same thing: what a forward camera at the pose would have in sight,
see `scene_sight`. The views differ by their epoch - houses and trees come and go between satellite
and drive - and by what cannot be told: the slope from above, and from the road the roof of a house
too tall or too near to see it.

Left and right are of the vehicle, beyond its own lane; distances aside and ahead are from the
vehicle's pose; those of junctions follow the road.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geoloc_ros.errors import ConfigError, shown
from geoloc_ros.synthetic import scene_sight as sight
from geoloc_ros.synthetic.scene_houses import Houses
from geoloc_ros.synthetic.scene_roads import RoadMap, WayAhead
from geoloc_ros.synthetic.scene_sight import Rasters, Sight, as_seen, look, placed
from geoloc_ros.synthetic.town import Town

F64 = NDArray[np.float64]
CANNOT_TELL = "cannot_tell"
EPOCHS = {"ground": "drive", "satellite": "satellite"}
_KEYS = ("roads", "buildings", "trees", "areas", "crossings_m", "size_m", "style")
_DISTANCES = ((12.0, "under_12"), (24.0, "to_24"), (36.0, "to_36"), (48.0, "to_48"))
_SLOTS = {"near": (10.0, 20.0), "middle": (20.0, 32.0), "far": (32.0, 46.0)}
_ASIDE_M = np.arange(6.5, 21.0, 0.75)
_SURFACES = {
    sight.GRASS: "grass",
    sight.PAVED: "paved",
    sight.WATER: "water",
    sight.TREES: "trees",
    sight.ROAD: "road",
}
_WITHIN_M = 48.0
_LAWN_CELLS = 30
_OPEN_M2 = 40.0
_SLOPE = 0.02


class SceneTruth:
    """Answers for poses of one town.

    Args:
        scene: a town, or the content of its scene.json.

    Raises:
        ConfigError: the content is not that of a scene.json of this version.
    """

    def __init__(self, scene: Town | Mapping[str, Any]) -> None:
        content = scene.scene_truth() if isinstance(scene, Town) else scene
        missing = [key for key in _KEYS if key not in content]
        if missing:
            raise ConfigError(
                f"this scene.json holds no {', '.join(missing)}; make the world again with "
                "`geoloc synth`"
            )
        self._scene = content
        self._roads = RoadMap(content["roads"])
        crossings = np.asarray(content["crossings_m"], dtype=np.float64).reshape(-1, 2, 2)
        self._crossings = crossings.mean(axis=1)
        self._views = {view: _View(content, epoch) for view, epoch in EPOCHS.items()}

    def answers(self, pose: F64, view: str) -> dict[str, str]:
        """What is true at a pose.

        Args:
            pose: (3,) x_m, y_m, yaw_rad of the vehicle in the town's plane.
            view: ``ground`` or ``satellite``.

        Returns:
            Option by question, for every question.

        Raises:
            ConfigError: unknown view.
        """
        if view not in self._views:
            raise ConfigError(f"view is {shown(view)}; known: {', '.join(self._views)}")
        pose = np.asarray(pose, dtype=np.float64)
        epoch = self._views[view]
        seen = look(epoch.rasters, pose)
        way = self._roads.ahead(pose)
        out = self._road(pose, way, seen, view)
        out["crossing"] = self._crossing(pose, seen)
        out |= epoch.beside(pose, seen)
        out |= epoch.houses.answers(seen, view == "ground")
        out |= epoch.trees(pose, seen)
        out["open_ground"] = epoch.open_ground(pose, seen)
        out["lawns"] = epoch.lawns(pose, seen)
        out["driving_side"] = self._scene["driving_side"]
        out["region"] = self._scene["style"]
        return out

    def _road(self, pose: F64, way: WayAhead | None, seen: Sight, view: str) -> dict[str, str]:
        if way is None:
            return dict.fromkeys(_ROAD_QUESTIONS, CANNOT_TELL)
        road = way.road
        left, right = (w > 0 for w in road["parking_m"][:: 1 if way.forward else -1])
        return {
            "road_bend": _bend(way),
            "road_width": _binned(road["width_m"], (5.5, 7.0, 9.0), _WIDTHS),
            "centre_line": self._centre_line(road),
            "sidewalk": _binned(road["sidewalk_m"], (0.1, 1.8, 2.6), _WALKS),
            "parking_strip": _sides(left, right),
            "slope": _slope(way) if view == "ground" else CANNOT_TELL,
            **_junctions(pose, way, seen),
        }

    def _centre_line(self, road: Mapping[str, Any]) -> str:
        if road["centre"] == "none":
            return "none"
        dashed = "dashed" if road["centre"] == "dashed" else "solid"
        return f"{self._scene['centre_paint']}_{dashed}"

    def _crossing(self, pose: F64, seen: Sight) -> str:
        """The nearest crossing in sight, on whichever road."""
        local = as_seen(pose, self._crossings)
        local = local[seen.sees(local)]
        return _distance(float(np.hypot(*local.T).min())) if len(local) else "none"


class _View:
    """What one view shows: a town in one epoch."""

    def __init__(self, scene: Mapping[str, Any], epoch: str) -> None:
        self.rasters = Rasters(scene, epoch)
        self.houses = Houses(scene["buildings"])
        trees = sight.trees_of(scene, epoch)
        self._trees = np.array([[*t["xy_m"], t["height_m"]] for t in trees]).reshape(-1, 3)
        self._near = cKDTree(self._trees[:, :2]) if len(trees) else None

    def trees(self, pose: F64, seen: Sight) -> dict[str, str]:
        """How many trees are in sight on each side: those whose middle is."""
        counts = [0, 0]
        if self._near is not None:
            near = self._trees[self._near.query_ball_point(pose[:2], _WITHIN_M)]
            local = as_seen(pose, near[:, :2])
            local = local[seen.sees(local, 0.5 * near[:, 2])]
            counts = [int(np.sum(local[:, 1] > 0)), int(np.sum(local[:, 1] < 0))]
        return {
            f"trees_{side}": _binned(count, (0.5, 1.5, 3.5), ("none", "one", "few", "many"))
            for side, count in zip(("left", "right"), counts, strict=True)
        }

    def open_ground(self, pose: F64, seen: Sight) -> str:
        """The kind of open ground that fills most of what is in sight."""
        row, col = self.rasters.cells(placed(pose, _WEDGE))
        kinds = self.rasters.open[row, col][seen.sees(_WEDGE)]
        area = np.bincount(kinds, minlength=len(sight.OPEN))[1:] * _WEDGE_M2
        best = int(np.argmax(area))
        return sight.OPEN[best + 1] if area[best] >= _OPEN_M2 else sight.OPEN[0]

    def beside(self, pose: F64, seen: Sight) -> dict[str, str]:
        """What lies left and right, stretch by stretch: each strip across one has a vote.

        What stands before the rest wins a strip: a building there, or one that hides it; else the
        surface that fills most of it, narrow things weighing more.
        """
        row, col = self.rasters.cells(placed(pose, _STRIPS))
        codes = self.rasters.surface[row, col]
        solid = (codes == sight.HOUSE) | ~seen.sees(_STRIPS)
        solid &= _IN_VIEW
        house = solid.any(axis=1)
        close = house & (solid.argmax(axis=1) < _CLOSE_STEPS)
        counts = np.stack([((codes == c) & _IN_VIEW).sum(axis=1) for c in _SURFACES], axis=1)
        best = np.where(house, len(_SURFACES), np.argmax(counts * _WEIGHTS, axis=1))
        out = {}
        for name, strips in _STRETCHES.items():
            votes = np.bincount(best[strips], minlength=len(_SURFACES) + 1)
            if votes[-1] >= votes.max():
                near = 2 * close[strips].sum() >= votes[-1]
                out[name] = "house_close" if near else "house_back"
            else:
                out[name] = list(_SURFACES.values())[int(np.argmax(votes))]
        return out

    def lawns(self, pose: F64, seen: Sight) -> str:
        """On which sides grass covers more than twice what is bare or paved."""
        row, col = self.rasters.cells(placed(pose, _STRIPS))
        codes = self.rasters.surface[row, col]
        open_to_view = _IN_VIEW & seen.sees(_STRIPS)
        green = []
        for sign in (1.0, -1.0):
            side = codes[open_to_view & (sign * _STRIPS[..., 1] > 0)]
            grass, bare = int((side == sight.GRASS).sum()), int((side == sight.PAVED).sum())
            green.append(grass >= max(_LAWN_CELLS, 2 * bare))
        return _sides(*green)


def _strips() -> tuple[F64, dict[str, slice]]:
    """Places (strips, steps aside, 2) left and right, and the strips of each stretch."""
    grids, where, start = [], {}, 0
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for name, (low, high) in _SLOTS.items():
            across = np.arange(low + 0.5, high, 1.0)
            grids.append(np.stack(np.meshgrid(across, sign * _ASIDE_M, indexing="ij"), axis=-1))
            where[f"{side}_{name}"] = slice(start, start + len(across))
            start += len(across)
    return np.concatenate(grids), where


def _wedge() -> F64:
    ahead, left = np.meshgrid(np.arange(4.0, 48.0, 1.5), np.arange(-30.0, 30.1, 1.5))
    return np.stack([ahead.ravel(), left.ravel()], axis=-1)


_STRIPS, _STRETCHES = _strips()
_IN_VIEW = np.abs(_STRIPS[..., 1]) <= _STRIPS[..., 0] - sight.CAMERA_FORWARD_M
_CLOSE_STEPS = int(np.searchsorted(_ASIDE_M, 11.0))
_WEIGHTS = np.array([1.0, 1.0, 2.0, 2.0, 1.4])
_WEDGE, _WEDGE_M2 = _wedge(), 1.5 * 1.5
_WIDTHS = ("narrow", "medium", "wide", "broad")
_WALKS = ("none", "narrow", "medium", "wide")
_ROAD_QUESTIONS = (
    "road_bend", "junction_kind", "junction_distance", "side_road_left", "side_road_right",
    "road_width", "centre_line", "sidewalk", "parking_strip", "slope",
)  # fmt: skip


def _binned(value: float, limits: tuple[float, ...], names: tuple[str, ...]) -> str:
    return names[int(np.searchsorted(limits, value, side="right"))]


def _distance(away_m: float) -> str:
    return next((name for limit, name in _DISTANCES if away_m < limit), "none")


def _sides(left: bool, right: bool) -> str:
    return "both" if left and right else "left" if left else "right" if right else "none"


def _bend(way: WayAhead) -> str:
    """How far the road swings aside within 45 m, by the angle between first and last part."""
    if way.along_m[-1] < 22.0:
        return "ends"
    at = np.array([0.0, 8.0, min(way.along_m[-1], 45.0) - 8.0, min(way.along_m[-1], 45.0)])
    x, y = (np.interp(at, way.along_m, way.line_m[:, k]) for k in (0, 1))
    first, last = np.arctan2(y[1] - y[0], x[1] - x[0]), np.arctan2(y[3] - y[2], x[3] - x[2])
    turn = np.degrees(np.arctan2(np.sin(last - first), np.cos(last - first)))
    if abs(turn) < 4.0:
        return "straight"
    return ("slight" if abs(turn) < 14.0 else "strong") + ("_left" if turn > 0 else "_right")


def _slope(way: WayAhead) -> str:
    reach = min(float(way.along_m[-1]), 35.0)
    if reach < 5.0:
        return "level"
    rise = float(np.interp(reach, way.along_m, way.line_m[:, 2]) - way.line_m[0, 2]) / reach
    return "up" if rise > _SLOPE else "down" if rise < -_SLOPE else "level"


def _junctions(pose: F64, way: WayAhead, seen: Sight) -> dict[str, str]:
    """What comes first, and the first road to either side; what is out of sight is not there."""
    out = {"junction_kind": "none", "junction_distance": "none"}
    sides = ["none", "none"]
    for junction in way.junctions:
        if junction.away_m >= _WITHIN_M:
            break
        spots = as_seen(pose, np.vstack([junction.xy_m, junction.mouths_m]))
        near = junction.away_m < 8.0
        visible = [near or (bool(np.isfinite(s[0])) and bool(seen.sees(s))) for s in spots]
        if not any(visible):
            continue
        away = _distance(junction.away_m)
        if out["junction_kind"] == "none":
            out = {"junction_kind": junction.kind, "junction_distance": away}
        for k, there in enumerate((junction.left, junction.right)):
            if there and sides[k] == "none":
                sides[k] = away
    return {**out, "side_road_left": sides[0], "side_road_right": sides[1]}
