# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The values that travel between stages: frames, views, motion, candidates, estimates.

Conventions: the world is the index's local plane (x east, y north, metres; `geo.wgs84`),
`yaw_rad` is counter-clockwise from east, the base frame is x forward, y left, z up, an optical
frame is z forward, x right, y down, `T_target_source` takes source points to target, covariances
are ordered (x, y, yaw) in m and rad, stamps are integer nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from geoloc_ros.errors import ImageDecodeError
from geoloc_ros.geo.wgs84 import LatLon

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Status(str, Enum):
    """What the localizer dares to say about itself."""

    UNINITIALISED = "UNINITIALISED"
    SEARCHING = "SEARCHING"
    AMBIGUOUS = "AMBIGUOUS"
    LOCALISED = "LOCALISED"
    DEGRADED = "DEGRADED"
    LOST = "LOST"


class Reason(str, Enum):
    """Why the status is not simply LOCALISED."""

    NO_FRAME_YET = "no_frame_yet"
    TWO_MODES = "two_modes"
    WIDE_SPREAD = "wide_spread"
    LOW_SIMILARITY = "low_similarity"
    NO_ODOMETRY = "no_odometry"
    BAD_ODOMETRY = "bad_odometry"
    OUTSIDE_INDEX = "outside_index"
    STALE_FRAME = "stale_frame"
    BAD_IMAGE = "bad_image"
    BAD_CAMERA_INFO = "bad_camera_info"
    FROZEN_VIEW = "frozen_view"
    FRAME_SIZE_CHANGED = "frame_size_changed"
    CLOCK_JUMP = "clock_jump"
    UNCONFIRMED = "unconfirmed"
    NO_HEIGHT = "no_height"
    NO_CAMERA_INFO = "no_camera_info"
    NO_MOUNT = "no_mount"
    BAD_STAMP = "bad_stamp"


@dataclass(frozen=True, slots=True)
class Odometry:
    """One sample of dead reckoning: the vehicle's pose in the drifting `odom` frame.

    Attributes:
        stamp_ns: time of validity.
        pose: (3,) x_m, y_m, yaw_rad in the odom frame.
        speed_mps: forward speed, NaN if unknown.
        yaw_rate_radps: turn rate, NaN if unknown.
    """

    stamp_ns: int
    pose: FloatArray
    speed_mps: float = float("nan")
    yaw_rate_radps: float = float("nan")


@dataclass(frozen=True)
class CameraFrame:
    """One camera image, decoded when it is first looked at; most never are.

    Attributes:
        stamp_ns: time of capture.
        decode: answers the picture (H, W, 3) RGB, or raises ImageDecodeError.
        height_m: height above ground of an aerial vehicle's camera, None if unknown.
        decode_reduced: answers a picture whose sides are shorter by at most the factor it is
            given, 1, 2, 4 or 8, and by which; None: the picture can only be decoded whole.
        camera: name of the camera that took it.
        parts: what each camera of a rig took at about this time; empty where one camera is all.
            The picture is that of the first of them.
    """

    stamp_ns: int
    decode: Callable[[], Image]
    height_m: float | None = None
    decode_reduced: Callable[[int], tuple[Image, int]] | None = None
    camera: str = ""
    parts: tuple[CameraFrame, ...] = ()

    @cached_property
    def rgb(self) -> Image | None:
        """The picture (H, W, 3), None if it is unusable."""
        try:
            return self.decode()
        except ImageDecodeError:
            return None

    def reduced(self, factor: int) -> tuple[Image | None, int]:
        """The picture as small as may be, None if it is unusable, and its reduction.

        Args:
            factor: by which the sides may be shorter, 1, 2, 4 or 8.
        """
        if factor == 1 or self.decode_reduced is None or "rgb" in self.__dict__:
            return self.rgb, 1
        try:
            return self.decode_reduced(factor)
        except ImageDecodeError:
            return None, 1


@dataclass(frozen=True, slots=True)
class Motion:
    """What the vehicle did between two stamps, with its uncertainty.

    Attributes:
        from_ns: start.
        to_ns: end.
        increment: (3,) dx forward, dy left, dyaw, in the base frame at `from_ns`.
        cov_xy_yaw: (3, 3) of the increment.
        reasons: what is wrong with the odometry behind it, if anything.
    """

    from_ns: int
    to_ns: int
    increment: FloatArray
    cov_xy_yaw: FloatArray
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What the encoder looks at: a rectified crop or an overhead patch.

    Attributes:
        image: (H, W, 3) RGB.
        mask: (H, W), False where the camera saw nothing.
        anchor_offset_m: (forward, left) of the view's anchor in the base frame. Every index entry
            is an anchor pose; for a perspective view the anchor is the vehicle itself, for an
            overhead patch it is the patch's centre.
        anchor_yaw_rad: heading of the anchor in the base frame: a rear camera looks along pi.
    """

    image: Image
    mask: Mask
    anchor_offset_m: tuple[float, float] = (0.0, 0.0)
    anchor_yaw_rad: float = 0.0

    @property
    def anchor(self) -> FloatArray:
        """The anchor's pose in the base frame, (3,)."""
        return np.array([*self.anchor_offset_m, self.anchor_yaw_rad])


@dataclass(frozen=True, slots=True)
class Candidates:
    """Retrieved index entries, best first.

    Attributes:
        entry_ids: (K,) int64.
        poses: (K, 3) anchor poses x_m, y_m, yaw_rad in the index's plane.
        similarity: (K,) cosine similarity to the query.
    """

    entry_ids: npt.NDArray[np.int64]
    poses: FloatArray
    similarity: Float32Array

    def __len__(self) -> int:
        """How many candidates."""
        return len(self.entry_ids)


@dataclass(frozen=True, slots=True)
class Region:
    """A disc of the local plane to which a search is restricted; one below 0 m is empty."""

    x_m: float
    y_m: float
    radius_m: float

    @property
    def reach_m2(self) -> float:
        """The square of the radius, with the radius's sign."""
        return math.copysign(self.radius_m**2, self.radius_m)


@dataclass(frozen=True, slots=True)
class GeoPrior:
    """Late or early knowledge of place: a mixture of Gaussians, and the rest of the world.

    Attributes:
        stamp_ns: the time it speaks about.
        means: (K, 3) x_m, y_m, yaw_rad; beyond the plane's range as `geo.far` says.
        covs_xy_yaw: (K, 3, 3); a yaw variance above 3 rad^2 means heading is unknown.
        shares: (K,) probability of each; they add up to less than one, and what is left is the
            probability that the prior is wrong altogether.
        source: who said it; what it says replaces what it said before.
        supersedes: whether it stands above what images have said so far, as an operator's word
            does.
    """

    stamp_ns: int
    means: FloatArray
    covs_xy_yaw: FloatArray
    shares: FloatArray
    source: str
    supersedes: bool = False

    @classmethod
    def gaussian(
        cls,
        stamp_ns: int,
        mean: FloatArray,
        cov_xy_yaw: FloatArray,
        share: float,
        source: str,
        *,
        supersedes: bool = False,
    ) -> GeoPrior:
        """One Gaussian: mean (3,), covariance (3, 3), and the share it is trusted."""
        shares = np.array([share])
        return cls(stamp_ns, mean[None], cov_xy_yaw[None], shares, source, supersedes)


@dataclass(frozen=True, slots=True)
class PoseEstimate:
    """Where the vehicle is, how sure we are, and why.

    Attributes:
        stamp_ns: capture time of the frame.
        status: see `Status`.
        reasons: why, sorted.
        pose: (3,) x_m, y_m, yaw_rad in the index's plane; NaN while there is no belief.
        cov_xy_yaw: (3, 3), finite and positive definite whenever the pose is finite.
        position: the same place as latitude and longitude, None while there is none.
        similarity: similarity of the image at the estimate, NaN if not measured.
        spread_m: root mean square spread of the whole belief.
    """

    stamp_ns: int
    status: Status
    reasons: tuple[Reason, ...]
    pose: FloatArray
    cov_xy_yaw: FloatArray
    position: LatLon | None
    similarity: float
    spread_m: float
