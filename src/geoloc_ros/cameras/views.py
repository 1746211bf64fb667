# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the encoder looks at: the seam between a camera frame and a `View`.

Three kinds of view exist, `PerspectiveView`, `GroundPlaneView` and `PanoramaView`; `make_views`
picks the one a model was trained on. Mount conventions are in `cameras.mounts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy.typing as npt

from geoloc_ros.cameras.ground_plane import GroundPlaneView, overhead
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import Attitude, mount_from_pitch
from geoloc_ros.cameras.panorama import PanoramaView
from geoloc_ros.cameras.perspective import PerspectiveView
from geoloc_ros.datatypes import Image, View
from geoloc_ros.encoders.package import ModelPackage

__all__ = [
    "GroundPlaneView",
    "PanoramaView",
    "PerspectiveView",
    "ViewBuilder",
    "make_panorama_views",
    "make_views",
    "mount_from_pitch",
    "overhead",
]


class ViewBuilder(Protocol):
    """Turns camera frames into views."""

    @property
    def needs_height(self) -> bool:
        """True if `build` cannot work without `height_m`."""

    @property
    def reduction(self) -> int:
        """How much shorter the sides of a picture may be, 1, 2, 4 or 8, and the view lose nothing.

        A view that reads every second pixel needs half of a picture; a JPEG decodes so at once.
        """

    def build(
        self,
        rgb: Image,
        height_m: float | None = None,
        attitude: Attitude | None = None,
        reduction: int = 1,
    ) -> View:
        """The view of one frame.

        Args:
            rgb: (H, W, 3) uint8.
            height_m: height of the camera above ground; None: the z of its mount.
            attitude: roll and pitch of the base frame against the horizon, rad (REP-103: positive
                pitch is nose down); None: level.
            reduction: by how much the sides of `rgb` are shorter than those of the camera's frame.

        Raises:
            CameraError: the frame is no 8-bit colour picture, its size does not belong to the
                camera, or the height is missing or not positive.
        """


def make_views(
    camera: CameraModel, T_base_camera: npt.ArrayLike, package: ModelPackage
) -> ViewBuilder:
    """The view builder a model needs, unseen pixels in the model's mean colour.

    Args:
        camera: intrinsics.
        T_base_camera: (4, 4) mount, optical frame to base.
        package: the model.

    Raises:
        CameraError: the camera or its mount cannot give this view.
    """
    if package.query.view == "panorama":
        return make_panorama_views({"": (camera, T_base_camera)}, package)
    kind = PerspectiveView if package.query.view == "perspective" else GroundPlaneView
    return kind(camera, T_base_camera, package.query, _mean_colour(package))


def make_panorama_views(
    cameras: Mapping[str, tuple[CameraModel, npt.ArrayLike]], package: ModelPackage
) -> PanoramaView:
    """The view builder of a panorama model, unseen pixels in the model's mean colour.

    Args:
        cameras: of the rig, by name, the leading one first: intrinsics and mount (4, 4), optical
            frame to base.
        package: the model.

    Raises:
        CameraError: the model wants no panorama, or the cameras see nothing of it.
    """
    return PanoramaView(cameras, package.query, _mean_colour(package))


def _mean_colour(package: ModelPackage) -> tuple[float, float, float]:
    red, green, blue = (255.0 * channel for channel in package.mean)
    return red, green, blue
