# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories from wherever they were kept: recordings, replay folders, text files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.tf_tracks import is_tf, read_tf_track
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError, TrajectoryError
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.track_files import read_text_track
from geoloc_ros.evaluation.tracks import (
    LARGEST_M,
    UNKNOWN_HEIGHT_M2,
    Fixes,
    Track,
    in_order,
)
from geoloc_ros.geo.rotations import turns_about_z
from geoloc_ros.geo.wgs84 import LocalFrame

TRACK_TYPES = (*messages.COVARIANCE_POSE_TYPES, *messages.POSE_TYPES, *messages.FIX_TYPES)

_RECORDINGS = (".mcap", ".db3", ".bag")
_PLANAR = [0, 1, 5]


def read_track(name: str, axes: str | None = None) -> tuple[Track | Fixes, str]:
    """Read a trajectory.

    Of a recording, poses that are not finite and fixes without a fix are left out: nothing was
    claimed then. Of a replay folder, only LOCALISED frames are poses.

    Args:
        name: path of a text file, a recording, or a folder that `geoloc replay` wrote; that of a
            recording may be followed by a colon and a topic (`run.mcap:/amcl_pose`), and must be
            where several topics hold trajectories, or by two frames of its transforms
            (`run.mcap:/tf:map.base_link`).
        axes: which way the axes of a text file point, see `track_files.AXES`.

    Returns:
        The trajectory, and what is wrong with a recording after the part that could be read, or
        nothing.

    Raises:
        TrajectoryError: there is no trajectory in it, or a topic or axes do not go with it.
        BagError: the recording or the topic cannot be read.
        ReplayOutputError: the folder's files are damaged.
    """
    path, topic = _path_and_topic(name)
    if path.suffix in _RECORDINGS or (path / "metadata.yaml").exists():
        if axes:
            raise TrajectoryError(f"{path} is a recording, whose axes are those of ROS; no --axes")
        return read_tf_track(path, topic) if is_tf(topic) else _read_recording(path, topic)
    if topic:
        raise TrajectoryError(f"{path} is no recording, so it has no topic {topic}")
    if not path.is_dir():
        return read_text_track(path, axes), ""
    if axes:
        raise TrajectoryError(f"{path} is a folder, whose axes are those of ROS; no --axes")
    return _read_replay(path), ""


def _path_and_topic(name: str) -> tuple[Path, str]:
    """Split `PATH:/TOPIC`; topics begin with a slash."""
    path, colon, topic = name.rpartition(":/")
    if not colon or Path(name).exists():
        return Path(name), ""
    return Path(path), f"/{topic}"


def _read_replay(folder: Path) -> Track:
    if not (folder / "estimates.parquet").exists():
        raise TrajectoryError(
            f"{folder} is no rosbag2 folder (no metadata.yaml), nor one that 'geoloc replay' "
            "wrote (no estimates.parquet)"
        )
    estimates = tables.read_estimates(folder)
    claimed = np.flatnonzero(estimates.localised & np.isfinite(estimates.poses).all(axis=1))
    if not len(claimed):
        raise TrajectoryError(
            f"{folder}: no frame is LOCALISED at a place, so there is no trajectory"
        )
    stamps = estimates.stamp_ns[claimed]
    order, notes = in_order(stamps)
    rows = claimed[order]
    x_m, y_m, yaw = estimates.poses[rows].T
    return Track(
        name=str(folder),
        stamp_ns=stamps[order],
        positions_m=np.column_stack([x_m, y_m, np.full(len(rows), np.nan)]),
        rotations=turns_about_z(yaw),
        cov_xy_yaw=estimates.cov_xy_yaw[rows],
        frame="map",
        plane=tables.read_plane(folder),
        notes=(*notes, f"{len(claimed)} of {len(estimates)} frames are LOCALISED"),
    )


# -- recordings -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Read:
    """What was read of one topic."""

    stamps: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    frame: str = ""
    empty: int = 0
    damage: str = ""


def _read_recording(path: Path, wanted: str) -> tuple[Track | Fixes, str]:
    with BagReader(path) as bag:
        topic = bag.select(TRACK_TYPES, wanted, f"{path}:")
        kind = next(found.msgtype for found in bag.topics() if found.name == topic)
        read = _messages(bag, topic, kind)
    name = f"{path}:{topic}"
    if not read.stamps:
        raise TrajectoryError(
            f"{name} holds no {'fix' if kind in messages.FIX_TYPES else 'pose'} in "
            f"{read.empty} messages{'; ' if read.damage else ''}{read.damage}"
        )
    order, notes = in_order(np.array(read.stamps, dtype=np.int64))
    if read.empty:
        what = "have no fix" if kind in messages.FIX_TYPES else "hold no pose"
        notes = (*notes, f"{read.empty} messages {what}, which is taken as no claim")
    values = [read.values[row] for row in order]
    stamps = np.array(read.stamps, dtype=np.int64)[order]
    if kind in messages.FIX_TYPES:
        return _fixes(name, stamps, values, notes), read.damage
    track = _track(name, stamps, values, read.frame)
    plane = _plane_beside(path)
    return replace(track, plane=plane, notes=(*notes, *track.notes)), read.damage


def _messages(bag: BagReader, topic: str, kind: str) -> _Read:
    read = _Read()
    try:
        for stamp, _, message in bag.messages((topic,)):
            value = _value(message, kind)
            if value is None:
                read.empty += 1
                continue
            read.stamps.append(stamp)
            read.values.append(value)
            read.frame = read.frame or messages.frame_name(message.header.frame_id)
    except BagError as error:
        read.damage = str(error)
    return read


def _value(message: Any, kind: str) -> Any:  # noqa: ANN401 - by kind, see below
    """A fix with altitude and covariance, or a pose matrix with a covariance or None."""
    if kind in messages.FIX_TYPES:
        fix = messages.fix(message)
        return None if fix is None else (*fix, messages.fix_covariance(message))
    found: tuple[FloatArray, FloatArray | None] | None
    if kind in messages.COVARIANCE_POSE_TYPES:
        found = messages.covariance_pose(message)
    else:
        matrix = messages.pose_matrix(message)
        found = None if matrix is None else (matrix, None)
    return None if found is None or np.abs(found[0]).max() > LARGEST_M else found


def _fixes(name: str, stamps: Any, values: list[Any], notes: tuple[str, ...]) -> Fixes:  # noqa: ANN401
    cov = np.array([covariance for _, _, covariance in values])
    altitude_m = np.array([altitude for _, altitude, _ in values])
    altitude_m[cov[:, 2, 2] >= UNKNOWN_HEIGHT_M2] = np.nan
    return Fixes(
        name=name,
        stamp_ns=stamps,
        lat_deg=np.array([position.lat_deg for position, _, _ in values]),
        lon_deg=np.array([position.lon_deg for position, _, _ in values]),
        altitude_m=altitude_m,
        cov_xy=cov[:, :2, :2],
        notes=notes,
    )


def _track(name: str, stamps: Any, values: list[Any], frame: str) -> Track:  # noqa: ANN401
    matrices = np.array([matrix for matrix, _ in values])
    positions = matrices[:, :3, 3].copy()
    cov: FloatArray | None = None
    notes: tuple[str, ...] = ()
    if values[0][1] is not None:
        full = np.array([covariance for _, covariance in values])
        positions[full[:, 2, 2] >= UNKNOWN_HEIGHT_M2, 2] = np.nan
        cov = full[:, _PLANAR][:, :, _PLANAR]
        if not cov.any():
            cov, notes = None, ("its covariance is zero in every message: none is published",)
    return Track(
        name=name,
        stamp_ns=stamps,
        positions_m=positions,
        rotations=matrices[:, :3, :3],
        cov_xy_yaw=cov,
        frame=frame,
        notes=notes,
    )


def _plane_beside(path: Path) -> LocalFrame | None:
    """Where the frame of a replay's own `trajectory.mcap` lies."""
    return tables.read_plane(path.parent) if path.name == "trajectory.mcap" else None
