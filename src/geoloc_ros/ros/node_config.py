# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that only a live node has: files, frames, topics, limits of age.

They stand beside the tree of `geoloc_ros.config` and are checked the same way. No rclpy here: the
parameter reference is written on machines without ROS, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from geoloc_ros.checked import Checked, param
from geoloc_ros.config import WorkerConfig
from geoloc_ros.errors import ConfigError, shown


def user_path(text: str) -> Path:
    """A path that may begin with ~.

    Raises:
        ConfigError: there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"path {shown(text)} cannot be used: {error}") from error


#: read when a node starts
READ_ONLY = ("autostart", "diagnostics_every_s", "bond")
#: beginnings of what is read when the localizer is configured: files, topics, frames, and whatever
#: cannot change under a belief
LOCALIZER_FIXED = (
    "random_seed",
    "encoder_threads",
    "encoder.",
    "input.",
    "view.yaw_step_deg",
    "search.reranker",
    "search.memory_budget_mb",
    "index",
    "model",
    "cameras",
    "image_transport",
    "odometry_source",
    "use_height",
    "map_frame",
    "odom_frame",
    "publish_tf",
    "saved_pose_file",
    "save_pose_every_s",
    "record_",
)
#: parameters of the tree that play no part in the node: what a recording is asked for, and scoring
NOT_OF_NODE = (
    "input.image_topic",
    "input.camera_info_topic",
    "input.odometry_topic",
    "input.height_topic",
    "vlm.",
    "score.",
)
VLM_FIXED = ("answerer", "camera", "image_transport", "worker.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizerConfig(Checked):
    """The localizer node."""

    autostart: bool = param(False, "configure and activate at start; false: a manager does")
    index: str = param("", "directory of the index; 'geoloc index build' makes one")
    model: str = param("", "model package, by name or directory; empty: the index's own")
    cameras: str = param(
        "",
        "names of several cameras, comma separated: topics NAME/image, NAME/camera_info; they "
        "take turns, or make one panorama if the model wants such; empty: one camera on image, "
        "camera_info",
    )
    image_transport: str = param(
        "raw",
        "type of the image topics: raw (sensor_msgs/Image on image) or compressed "
        "(sensor_msgs/CompressedImage on image/compressed)",
        choices=("raw", "compressed"),
    )
    odometry_source: str = param(
        "topic",
        "motion from nav_msgs/Odometry on odom, from tf (odom_frame to input.base_frame), or from "
        "the images themselves",
        choices=("topic", "tf", "images"),
    )
    use_height: bool = param(
        False, "expect height above ground, sensor_msgs/Range on height; aerial vehicles need it"
    )
    map_frame: str = param("map", "frame of published poses; its origin is that of the index")
    odom_frame: str = param("odom", "frame of odometry, child of the published transform")
    publish_tf: bool = param(
        False, "publish map_frame to odom_frame; one node only may (REP-105), not beside an EKF"
    )
    transform_tolerance_s: float = param(
        0.2, "the published transform is dated ahead by this, s", ge=0.0, le=10.0
    )
    altitude_mode: str = param(
        "fixed",
        "altitude of the fix: fixed (altitude_m) or nan, NavSatFix's word for unknown, with which "
        "robot_localization drops a fix",
        choices=("fixed", "nan"),
    )
    altitude_m: float = param(
        0.0, "altitude published in mode fixed, m above the ellipsoid", ge=-1000.0, le=20_000.0
    )
    max_image_age_s: float = param(
        2.0, "older images are refused; 0: none is, s", ge=0.0, le=3600.0
    )
    max_image_lead_s: float = param(
        0.5,
        "images and priors from further in the future are refused; 0: none is, s",
        ge=0.0,
        le=3600.0,
    )
    stale_after_s: float = param(
        1.0, "without a usable image for so long, LOCALISED becomes DEGRADED, s", ge=0.1, le=60.0
    )
    saved_pose_file: str = param(
        "", "where the last pose is kept; empty: ~/.ros/geoloc_ros/NODE.json; 'none': nowhere"
    )
    save_pose_every_s: float = param(5.0, "how often it is kept, s", ge=0.5, le=3600.0)
    saved_pose_share: float = param(
        0.5, "probability that a vehicle is still where its saved pose says", ge=0.01, le=0.95
    )
    saved_pose_sigma_m: float = param(
        10.0, "how far it may have been moved, added to the saved covariance, m", ge=0.0, le=1e4
    )
    diagnostics_every_s: float = param(1.0, "period of /diagnostics, s", ge=0.1, le=60.0)
    bond: bool = param(True, "hold a bond with nav2's lifecycle manager, if bondpy is installed")
    record_frames: bool = param(
        False, "write weighed camera frames to record_dir; pictures of streets show people"
    )
    record_dir: str = param("", "where frames are written when record_frames is set")


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmConfig(Checked):
    """The vision-language node."""

    autostart: bool = param(False, "configure and activate at start; false: a manager does")
    answerer: str = param(
        "",
        "who answers: a model package, by name or directory; 'rules' is a stand-in for tests, not "
        "for vehicles",
    )
    camera: str = param("", "name of the camera; empty: topics image, camera_info")
    image_transport: str = param(
        "raw", "type of the image topic, as for the localizer", choices=("raw", "compressed")
    )
    pause_s: float = param(0.0, "rest between two questions, s", ge=0.0, le=600.0)
    max_image_age_s: float = param(
        5.0, "older images are not asked about; 0: all are, s", ge=0.0, le=3600.0
    )
    diagnostics_every_s: float = param(1.0, "period of /diagnostics, s", ge=0.1, le=60.0)
    bond: bool = param(True, "hold a bond with nav2's lifecycle manager, if bondpy is installed")
    worker: WorkerConfig = field(default_factory=WorkerConfig)
