# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Positions that a recording's satellite receiver gave, and which of them can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.checked import Checked, param
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError, GeodesyError, TrainingError
from geoloc_ros.geo.rotations import rpy_from_matrix
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.training.damage import Damage

IntArray = npt.NDArray[np.int64]
# What to do about fixes that are refused.
_ADVICE = {
    "no_fix": "choose another receiver with --truth, or record where it sees the sky",
    "no_covariance": "say how good fixes without covariance are (--assume-sigma)",
    "large_covariance": "raise --max-sigma ({max_sigma_m:g} m now)",
    "far_from_imagery": "give --imagery of where it was driven",
    "no_pose_of_its_stamp": "a pose needs the stamp of its fix; give {topic} itself as --truth",
    "malformed": "its type is not that of ROS; choose another topic with --truth",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate(Checked):
    """When a position, and the pose of a frame that follows from it, is trusted."""

    max_sigma_m: float = param(1.5, "largest standard deviation of a fix, m", ge=0.01, le=50.0)
    assumed_sigma_m: float = param(
        0.0, "what a fix without covariance is taken for, m; 0: it is refused", ge=0.0, le=50.0
    )
    window_m: float = param(
        15.0, "way before and behind a frame on which fixes and odometry must agree, widened up "
        "to fourfold until fixes tell the heading, m",
        ge=3.0, le=200.0,
    )  # fmt: skip
    max_yaw_sigma_deg: float = param(
        3.0, "largest standard deviation of a heading that follows from fixes, degrees",
        ge=0.1, le=45.0,
    )  # fmt: skip


@dataclass(frozen=True)
class Fixes:
    """Trusted positions of a drive, in the order of their stamps.

    Attributes:
        stamp_ns: (M,) strictly ascending.
        xy_m: (M, 2) of the antenna on the plane.
        sigma_m: (M,) standard deviations.
        yaw_rad: (M,) heading of the vehicle, NaN where the truth has none.
        antenna_m: (2,) of the antenna in the base frame, forward and left.
        read: how many the recording holds.
        refused: how many of them were not trusted, by reason.
        notes: what had to be assumed.
    """

    stamp_ns: IntArray
    xy_m: FloatArray
    sigma_m: FloatArray
    yaw_rad: FloatArray
    antenna_m: FloatArray
    read: int
    refused: dict[str, int]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many."""
        return len(self.stamp_ns)

    @property
    def know_heading(self) -> bool:
        """Whether the truth says where the vehicle looked."""
        return bool(len(self) and np.isfinite(self.yaw_rad).all())


def read_fixes(
    reader: BagReader, recording: Recording, topic: str, plane: LocalFrame, gate: Gate,
    damage: Damage,
) -> Fixes:  # fmt: skip
    """Read the truth of a recording: a NavSatFix, or a PoseStamped with a NavSatFix beside it.

    Args:
        reader: of the recording, open.
        recording: the same.
        topic: of the truth.
        plane: on which positions are given.
        gate: what is trusted.
        damage: told what is wrong with the recording, of which the rest is read.

    Raises:
        BagError: no such topic, or of another type.
        TrainingError: no position can be trusted; says why each was refused.
    """
    recording.check_truth(topic)
    kinds = {t.name: t.msgtype for t in reader.topics()}
    is_pose = kinds[topic] in messages.POSE_TYPES
    fix_topic = _fix_beside(reader, topic) if is_pose else topic
    yaws = _headings(reader, topic, damage) if is_pose else None
    rows: list[tuple[int, float, float, float, float]] = []
    refused: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for stamp, _, message in damage.until(reader.messages((fix_topic,))):
        row = _judged(message, plane, gate)
        if isinstance(row, tuple) and yaws is not None and stamp not in yaws:
            row = "no_pose_of_its_stamp"
        if isinstance(row, str):
            refused[row] += 1
            continue
        frames[messages.frame_name(message.header.frame_id)] += 1
        rows.append((stamp, *row, yaws[stamp] if yaws is not None else np.nan))
    read = len(rows) + sum(refused.values())
    if not rows:
        way = advice(refused, _ADVICE, max_sigma_m=gate.max_sigma_m, topic=fix_topic)
        raise TrainingError(
            f"none of the {read} fixes of {fix_topic} in {reader.path} can be trusted: "
            + "; ".join([way, *damage.lines()])
        )
    antenna, notes = _antenna(recording, frames)
    table = {row[0]: row[1:] for row in sorted(rows, key=lambda row: row[0])}
    values = np.array(list(table.values()))
    return Fixes(
        np.array(list(table), dtype=np.int64), values[:, :2], values[:, 2], values[:, 3],
        antenna, read, dict(refused), notes,
    )  # fmt: skip


def _judged(message: Any, plane: LocalFrame, gate: Gate) -> tuple[float, float, float] | str:  # noqa: ANN401
    """x, y and standard deviation of a fix, or why it is not trusted."""
    try:
        found, sigma_m = messages.fix(message), messages.fix_sigma_m(message)
    except BagError:
        return "malformed"
    if found is None:
        return "no_fix"
    if np.isnan(sigma_m):
        if not gate.assumed_sigma_m:
            return "no_covariance"
        sigma_m = gate.assumed_sigma_m
    if sigma_m > gate.max_sigma_m:
        return "large_covariance"
    try:
        x_m, y_m = plane.to_xy(found[0].lat_deg, found[0].lon_deg)[0].tolist()
    except GeodesyError:
        return "far_from_imagery"
    return x_m, y_m, sigma_m


def _headings(reader: BagReader, topic: str, damage: Damage) -> dict[int, float]:
    """Yaw of each PoseStamped by its stamp."""
    found = {}
    for stamp, _, message in damage.until(reader.messages((topic,))):
        try:
            matrix = messages.pose_matrix(message)
        except BagError:
            damage.malformed(topic)
            continue
        if matrix is not None:
            found[stamp] = float(rpy_from_matrix(matrix[:3, :3])[2])
    return found


def _fix_beside(reader: BagReader, topic: str) -> str:
    """The fix that says where the frame of a pose lies: in its folder, or the only one.

    Raises:
        BagError: there is none, or several and none beside it.
    """
    names = [t.name for t in reader.of_type(messages.FIX_TYPES)]
    folder = topic.rsplit("/", 1)[0]
    beside = [name for name in names if name.rsplit("/", 1)[0] == folder] or names
    if len(beside) != 1:
        raise BagError(
            f"truth {topic} is a pose in its own frame and {len(beside)} NavSatFix topics may say "
            f"where that frame lies ({', '.join(beside) or 'none'}); use --truth with a NavSatFix"
        )
    return beside[0]


def _antenna(recording: Recording, frames: Counter[str]) -> tuple[FloatArray, tuple[str, ...]]:
    """Where the antenna lies on the vehicle, and what had to be assumed."""
    frame_id = frames.most_common(1)[0][0]
    place = recording.place_of(frame_id)
    if place is None:
        note = (
            f"/tf_static does not say where {frame_id or 'the antenna'} lies on the vehicle: "
            "it is taken to be at the base"
        )
        return np.zeros(2), (note,)
    return place[:2], ()


def advice(counts: Mapping[str, int], ways: Mapping[str, str], **values: object) -> str:
    """Counts by reason, the commonest first, and what to do about that one.

    Args:
        counts: by reason.
        ways: what to do about each, with names of values in braces.
        values: by name.
    """
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if not ordered:
        return "none at all; 'geoloc bag info' tells what a recording holds"
    counted = ", ".join(f"{count} {why}" for why, count in ordered)
    return f"{counted}; {ways[ordered[0][0]].format_map(values)}"
