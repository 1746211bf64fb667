# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made trajectories and the files that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.evaluation.tracks import Track
from geoloc_ros.geo.rotations import matrix_from_rpy, quat_xyzw_from_matrix, transform

START_NS = 1_700_000_000_123_456_789


def winding(count: int = 200, rate_hz: float = 10.0, start_ns: int = START_NS) -> Track:
    """A drive of 5 m/s on a winding road that rises and falls."""
    t = np.arange(count) / rate_hz
    yaw = 0.3 + 0.8 * np.sin(t / 4.0)
    step = 5.0 / rate_hz
    xyz = np.column_stack(
        [np.cumsum(step * np.cos(yaw)), np.cumsum(step * np.sin(yaw)), 2.0 * np.sin(t / 3.0)]
    )
    rpy = np.column_stack([0.02 * np.sin(t), 0.03 * np.cos(t), yaw])
    turns = [matrix_from_rpy(*angles) for angles in rpy]
    stamps = start_ns + np.round(t * 1e9).astype(np.int64)
    return Track("made", stamps, xyz, np.array(turns))


def shaken(track: Track, rng: np.random.Generator, sigma_m: float = 0.5) -> Track:
    """The same drive with errors of position and orientation, and stamps 3 ms late."""
    noise = rng.normal(0.0, sigma_m, track.positions_m.shape)
    turns = [matrix_from_rpy(*rng.normal(0.0, 0.03, 3)) for _ in range(len(track))]
    return Track(
        "shaken", track.stamp_ns + 3_000_000, track.positions_m + noise, track.rotations @ turns
    )


def write_tum(path: Path, track: Track) -> Path:
    """`stamp tx ty tz qx qy qz qw`, the stamp with all its digits."""
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for stamp, xyz, turn in zip(track.stamp_ns, track.positions_m, track.rotations, strict=True):
        values = " ".join(f"{v:.12g}" for v in [*xyz, *quat_xyzw_from_matrix(turn)])
        lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {values}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_euroc(path: Path, track: Track) -> Path:
    """The ground truth of EuRoC, whose quaternion begins with w, with velocities."""
    lines = ["#timestamp, p_x, p_y, p_z, q_w, q_x, q_y, q_z, v_x, v_y, v_z"]
    for stamp, xyz, turn in zip(track.stamp_ns, track.positions_m, track.rotations, strict=True):
        x, y, z, w = quat_xyzw_from_matrix(turn)
        lines.append(",".join([str(stamp), *(f"{v:.12g}" for v in (*xyz, w, x, y, z)), "0,0,0"]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_kitti(path: Path, track: Track) -> Path:
    """Rows of pose matrices as they are."""
    poses = zip(track.rotations, track.positions_m, strict=True)
    rows = [transform(*pose)[:3].ravel() for pose in poses]
    np.savetxt(path, np.array(rows), fmt="%.12g")
    return path


def write_poses(path: Path, track: Track, cov: FloatArray, topic: str = "/pose") -> Path:
    """A recording of PoseWithCovarianceStamped; cov is (6, 6) and the same for all."""
    with BagWriter(path) as bag:
        for stamp, xyz, turn in zip(
            track.stamp_ns, track.positions_m, track.rotations, strict=True
        ):
            bag.write_pose_with_covariance(topic, int(stamp), transform(turn, xyz), cov)
    return next(path.glob("*.mcap"))
