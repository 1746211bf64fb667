# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""'Why here?': camera views beside the tiles retrieval found most alike."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.package import ReferenceSpec
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.metrics import position_error_m, yaw_error_deg
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo.se2 import compose
from geoloc_ros.imagery.crops import crops
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.report.basemap import jpeg_url
from geoloc_ros.report.run_data import RunData

PER_GROUP = 3
TILES = 5
TILE_PX = 168
APART_S = 3.0


@dataclass(frozen=True, slots=True)
class Tile:
    """One satellite crop of a card.

    Attributes:
        url: inline picture, None where there is no imagery.
        vehicle: (right, down) place of the vehicle as shares of the crop, None if outside it.
        rank: 1 is best; 0 the true place.
        similarity: to the view, NaN for the true place.
        off_m: distance to the truth, NaN if unknown.
        off_deg: heading difference to the truth, NaN if unknown.
        right: a hit, None if unknown.
    """

    url: str | None
    vehicle: tuple[float, float] | None
    rank: int
    similarity: float
    off_m: float
    off_deg: float
    right: bool | None


@dataclass(frozen=True, slots=True)
class Card:
    """One frame with its tiles."""

    url: str
    time_s: float
    row: int
    status: str
    error_m: float
    sigma_m: float
    truth_tile: Tile | None
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Cards chosen for one reason."""

    title: str
    text: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    row: int
    stamp_ns: int
    poses: FloatArray
    similarity: FloatArray
    off_m: FloatArray
    off_deg: FloatArray
    true: FloatArray


def gallery(
    run: RunData, ortho: OrthoImage | None, reference: ReferenceSpec | None
) -> tuple[Group, ...]:
    """Choose frames whose view was kept, and cut their tiles."""
    frames = _kept_frames(run)
    time_s = [float(run.time_s[frame.row]) for frame in frames]
    taken: set[float] = set()
    groups = []
    for title, text, score in _reasons(run, frames):
        chosen = pick(time_s, score, taken)
        cards = tuple(_card(run, frames[i], ortho, reference) for i in chosen)
        if cards:
            groups.append(Group(title, text, cards))
    return tuple(groups)


def _kept_frames(run: RunData) -> list[_Frame]:
    if run.retrieval is None:
        return []
    frames = []
    found = run.retrieval
    for row, stamp in enumerate(run.estimates.stamp_ns.tolist()):
        if not tables.frame_path(run.out_dir, stamp).exists():
            continue
        mine = np.flatnonzero((found.stamp_ns == stamp) & (found.rank >= 1))
        mine = mine[np.argsort(found.rank[mine], kind="stable")]
        if not len(mine):
            continue
        true = true_pose(run, stamp)
        many = np.repeat(true[None], len(mine), axis=0)
        frames.append(
            _Frame(
                row,
                stamp,
                found.poses[mine],
                found.similarity[mine],
                position_error_m(found.poses[mine], many),
                yaw_error_deg(found.poses[mine], many),
                true,
            )
        )
    return frames


def true_pose(run: RunData, stamp_ns: int) -> FloatArray:
    """True pose (3,) at a stamp, NaN where it is unknown."""
    if run.truth is None:
        return np.full(3, np.nan)
    return np.asarray(interpolate_truth(run.truth, [stamp_ns])[0][0])


def _reasons(run: RunData, frames: Sequence[_Frame]) -> list[tuple[str, str, list[float]]]:
    """(title, text, score per frame); the highest finite scores are shown."""
    if not run.has_truth:
        best = [float(frame.similarity[0]) for frame in frames]
        return [
            ("Most alike", "Frames whose best tile is most similar.", best),
            ("Least alike", "Frames whose best tile is least similar.", [-v for v in best]),
        ]
    scored, error = run.scores.scored, run.scores.error_m
    worst = [float(error[f.row]) if scored[f.row] else np.nan for f in frames]
    astray = [float(f.similarity[0]) if _misled(run, f) else np.nan for f in frames]
    clear = [float(f.similarity[0]) if _hits(run, f)[0] else np.nan for f in frames]
    return [
        (
            "Largest errors while LOCALISED",
            "Where the published pose was furthest from the truth.",
            worst,
        ),
        (
            "Retrieval led astray",
            "No right place among the first five, ordered by how alike the wrong one looks.",
            astray,
        ),
        ("Clear finds", "The right place first, ordered by similarity.", clear),
    ]


def _hits(run: RunData, frame: _Frame) -> list[bool]:
    near = frame.off_m <= run.hit.recall_radius_m
    turned = (frame.off_deg <= run.hit.recall_yaw_deg) | ~np.isfinite(frame.true[2])
    return [bool(value) for value in near & turned]


def _misled(run: RunData, frame: _Frame) -> bool:
    return bool(np.isfinite(frame.true[0])) and not any(_hits(run, frame)[:TILES])


def pick(time_s: Sequence[float], score: Sequence[float], taken: set[float]) -> list[int]:
    """The best-scoring moments that are not taken yet and not close to one another.

    Args:
        time_s: of each.
        score: of each; those that are not finite are passed over.
        taken: moments that are shown already; the picked ones are added.

    Returns:
        Places in the list, best first.
    """
    chosen: list[int] = []
    for i in sorted((i for i, v in enumerate(score) if np.isfinite(v)), key=lambda i: -score[i]):
        apart = all(abs(time_s[i] - time_s[other]) >= APART_S for other in chosen)
        if apart and time_s[i] not in taken:
            chosen.append(i)
            taken.add(time_s[i])
        if len(chosen) == PER_GROUP:
            break
    return chosen


def _card(
    run: RunData, frame: _Frame, ortho: OrthoImage | None, reference: ReferenceSpec | None
) -> Card:
    hits = _hits(run, frame)
    known = bool(np.isfinite(frame.true[0]))
    shown = min(TILES, len(frame.poses))
    vehicle = vehicle_place(run, reference)
    urls = cut(run, frame.poses[:shown], ortho, reference)
    tiles = tuple(
        Tile(
            urls[i],
            vehicle,
            i + 1,
            float(frame.similarity[i]),
            float(frame.off_m[i]),
            float(frame.off_deg[i]),
            hits[i] if known else None,
        )
        for i in range(shown)
    )
    truth_tile = None
    if np.isfinite(frame.true).all():
        url = cut(run, frame.true[None], ortho, reference)[0]
        truth_tile = Tile(url, vehicle, 0, float("nan"), 0.0, 0.0, None)
    return Card(
        url=view_url(run, frame.stamp_ns),
        time_s=float(run.time_s[frame.row]),
        row=frame.row,
        status=str(run.estimates.status[frame.row]),
        error_m=float(run.scores.error_m[frame.row]),
        sigma_m=float(run.scores.sigma_m[frame.row]),
        truth_tile=truth_tile,
        tiles=tiles,
    )


def view_url(run: RunData, stamp_ns: int) -> str:
    """Inline picture of a frame that was kept."""
    picture = tables.frame_path(run.out_dir, stamp_ns).read_bytes()
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")


def cut(
    run: RunData,
    vehicle_poses: FloatArray,
    ortho: OrthoImage | None,
    reference: ReferenceSpec | None,
) -> list[str | None]:
    """Crops at vehicle poses (N, 3) as the encoder sees them, a little larger for people.

    Returns:
        N inline pictures, heading up; None without imagery or poses.
    """
    if ortho is None or reference is None or not np.isfinite(vehicle_poses).all():
        return [None] * len(vehicle_poses)
    anchors = compose(vehicle_poses, np.array([*_anchor_offset_m(run), 0.0]))
    images, _ = crops(ortho, anchors, replace(reference, size_px=TILE_PX))
    return [jpeg_url(image) for image in images]


def _anchor_offset_m(run: RunData) -> tuple[float, float]:
    forward, left = run.summary.get("anchor_offset_m") or (0.0, 0.0)
    return float(forward), float(left)


def vehicle_place(run: RunData, reference: ReferenceSpec | None) -> tuple[float, float] | None:
    """(right, down) place of the vehicle as shares of a crop, None if it is outside."""
    if reference is None:
        return None
    forward, left = _anchor_offset_m(run)
    right = 0.5 + left / reference.extent_m
    down = 0.5 + (forward + reference.offset_forward_m) / reference.extent_m
    return (right, down) if 0.03 < right < 0.97 and 0.03 < down < 0.97 else None
