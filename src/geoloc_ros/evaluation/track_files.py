# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories in text files: TUM, KITTI and EuRoC, told apart by their rows.

TUM     `stamp tx ty tz qx qy qz qw`, stamp in seconds, separated by white space
        (https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats)
KITTI   the first three rows of a pose matrix, 12 numbers, no stamp
        (Geiger et al., Are we ready for autonomous driving?, CVPR 2012; odometry development kit)
EuRoC   `stamp,px,py,pz,qw,qx,qy,qz,...`, stamp in integer nanoseconds, separated by commas
        (Burri et al., The EuRoC micro aerial vehicle datasets, IJRR 2016)

Stamps are read as decimal numbers, so that none is rounded to what a float can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import GeodesyError, TrajectoryError, shown
from geoloc_ros.evaluation.tracks import LARGEST_M, Track, in_order
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_quat_xyzw

AXES = ("ros", "camera")
"""`ros`: x forward, y left, z up (REP-103); `camera`: x right, y down, z forward."""

_ORTHOGONAL_WITHIN = 1e-2
_MAX_STAMP_NS = 2**63 - 1

_Parsed = tuple[int, FloatArray, FloatArray]


def read_text_track(path: Path, axes: str | None = None) -> Track:
    """Read a TUM, KITTI or EuRoC file.

    Args:
        path: the file.
        axes: which way its axes point, one of `AXES`; default: those of a camera for KITTI, whose
            development kit defines them so, of ROS for the others. The poses come back in those
            of ROS.

    Raises:
        TrajectoryError: no such file, no rows, a row of another form, a value that is not finite,
            or a rotation that is none; the message names the line.
    """
    rows = _rows(path)
    kind, parse = _format(path, *rows[0])
    stamps, positions, rotations = [], [], []
    for line, text in rows:
        try:
            stamp, position, rotation = parse(text)
            _check_position(position)
        except (ValueError, GeodesyError) as error:
            raise TrajectoryError(f"{path}, line {line}: {error}") from error
        stamps.append(stamp)
        positions.append(position)
        rotations.append(rotation)
    stamped = kind != "KITTI"
    stamp_ns = np.array(stamps if stamped else range(len(rows)), dtype=np.int64)
    order, notes = in_order(stamp_ns)
    track = Track(
        name=str(path),
        stamp_ns=stamp_ns,
        positions_m=np.array(positions),
        rotations=np.array(rotations),
        stamped=stamped,
        notes=notes,
    ).rows(order)
    given = axes or ("ros" if stamped else "camera")
    return track if given == "ros" else _from_camera_axes(track)


def _rows(path: Path) -> list[tuple[int, str]]:
    """Number and text of every line that is neither empty nor a comment."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise TrajectoryError(
            f"cannot read {path}: {why}; give a TUM, KITTI or EuRoC text file, a recording, or a "
            "folder that 'geoloc replay' wrote"
        ) from error
    stripped = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    rows = [(number, text) for number, text in stripped if text and not text.startswith("#")]
    if not rows:
        raise TrajectoryError(f"{path} holds no poses; was anything written to it?")
    return rows


def _format(path: Path, line: int, text: str) -> tuple[str, Callable[[str], _Parsed]]:
    commas = "," in text
    count = len(text.split(",") if commas else text.split())
    if commas and count >= 8:
        return "EuRoC", _euroc
    if not commas and count == 8:
        return "TUM", _tum
    if not commas and count == 12:
        return "KITTI", _kitti
    raise TrajectoryError(
        f"{path}, line {line}: {count} values separated by {'commas' if commas else 'white space'}"
        "; TUM has 8 and KITTI 12 separated by white space, EuRoC at least 8 separated by commas"
    )


def _tum(text: str) -> _Parsed:
    fields = text.split()
    values = _numbers(fields, 8)
    return _stamp_ns(fields[0], 1_000_000_000), values[1:4], matrix_from_quat_xyzw(values[4:8])


def _euroc(text: str) -> _Parsed:
    fields = text.split(",")[:8]
    values = _numbers(fields, 8)
    w, x, y, z = values[4:8]
    return _stamp_ns(fields[0].strip(), 1), values[1:4], matrix_from_quat_xyzw([x, y, z, w])


def _kitti(text: str) -> _Parsed:
    matrix = _numbers(text.split(), 12).reshape(3, 4)
    rotation = matrix[:, :3]
    off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if off > _ORTHOGONAL_WITHIN or np.linalg.det(rotation) < 0.0:
        raise ValueError(f"its first three columns are no rotation (off by {off:.2g})")
    return 0, matrix[:, 3], rotation


def _numbers(fields: list[str], count: int) -> FloatArray:
    if len(fields) != count:
        raise ValueError(f"{len(fields)} values where {count} are needed")
    try:
        values = np.array([float(field) for field in fields])
    except ValueError:
        text = shown(" ".join(fields))
        raise ValueError(f"a value is no number: {text}; a heading begins with #") from None
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; leave out rows without a pose")
    return values


def _check_position(position_m: FloatArray) -> None:
    worst = float(np.abs(position_m).max())
    if worst > LARGEST_M:
        raise ValueError(
            f"a coordinate of {worst:.3g} m; none on Earth is above {LARGEST_M:.0e} m"
        )


def _stamp_ns(text: str, ns_per_unit: int) -> int:
    try:
        ns = Decimal(text) * ns_per_unit
    except InvalidOperation:
        raise ValueError(f"the stamp {shown(text)} is no number") from None
    if not 0 <= ns <= _MAX_STAMP_NS:
        raise ValueError(f"the stamp {shown(text)} is negative, or too large for nanoseconds")
    if ns_per_unit == 1 and ns != ns.to_integral_value():
        raise ValueError(f"the stamp {shown(text)} is no integer; EuRoC has nanoseconds")
    return round(ns)


def _from_camera_axes(track: Track) -> Track:
    """World and body turned from camera axes to those of ROS; distances and angles stay."""
    turn = R_BODY_OPTICAL
    rotations = track.rotations
    return Track(
        name=track.name,
        stamp_ns=track.stamp_ns,
        positions_m=track.positions_m @ turn.T,
        rotations=None if rotations is None else turn @ rotations @ turn.T,
        stamped=track.stamped,
        notes=(*track.notes, "its axes are taken for a camera's: x right, y down, z forward"),
    )
