# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a vehicle's messages to its poses: what live node and replay have in common.

Messages go in as they come; each frame is paired with the motion since the frame before and walks
down the spine. Replay takes every frame, the live node the newest. For a model of panoramas the
cameras are a rig, whose images of one moment are one frame.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from geoloc_ros import messages
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.views import ViewBuilder, make_panorama_views, make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import (
    CameraFrame,
    FloatArray,
    Image,
    Motion,
    Odometry,
    PoseEstimate,
)
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.words import NO_CALIBRATION
from geoloc_ros.errors import ImageDecodeError, OdometryError
from geoloc_ros.filtering.visual_odometry import PlanarVisualOdometry
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.pipeline import GeoLocalizer, StageTimer, untimed
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rig import Rig
from geoloc_ros.synchronizer import NS, Counts, Paired, Synchronizer

logger = logging.getLogger(__name__)

#: below the horizon; motion is seen well by cameras that look down so steeply
LOOKS_DOWN_DEG = 45.0


@dataclass(frozen=True, slots=True)
class Tracked:
    """A frame and what was concluded when it had been seen."""

    frame: CameraFrame
    estimate: PoseEstimate


class Tracker:
    """Follows a vehicle.

    Attributes:
        localizer: the spine.
        rig: gathers what several cameras take at once; None where each camera is for itself.

    Args:
        config: the tree.
        package: the model.
        encoder: of the model.
        index: built with the model.
        use_odometry: False when motion comes from the images themselves.
        use_height: True when heights above ground are expected.
        stage: wraps each stage.
        reranker: compares what is said of frames with the index's descriptions, if there is one.
        before: is told the stamp of each frame before the frame is looked at; late knowledge that
            has arrived by then is handed to the localizer there.
    """

    def __init__(
        self,
        config: Config,
        package: ModelPackage,
        encoder: Encoder,
        index: PlaceIndex,
        *,
        use_odometry: bool = True,
        use_height: bool = False,
        stage: StageTimer = untimed,
        reranker: LanguageReranker | None = None,
        before: Callable[[int], None] | None = None,
    ) -> None:
        if package.calibration.missing:
            logger.warning("%s has no calibration: %s", package.name, NO_CALIBRATION)
        self._before = before
        self._package = package
        self._views: dict[str, ViewBuilder] = {}
        self._cameras: dict[str, tuple[CameraModel, FloatArray]] = {}
        self.rig: Rig[Any] | None = None
        if package.query.view == "panorama":
            tolerance_ns = int(config.input.rig_tolerance_s * NS)
            self.rig = Rig(tolerance_ns, int(config.input.clock_jump_s * NS))
        self.localizer = GeoLocalizer(
            config, package, encoder, index, self._views, stage, reranker
        )
        self._pairs: Synchronizer[Any] = Synchronizer(config, use_odometry, use_height)
        self._stage = stage
        self._use_odometry = use_odometry
        self._eyes: PlanarVisualOdometry | None = None
        self._eyes_camera = ""

    @property
    def counts(self) -> Counts:
        """What became of the frames."""
        return self._pairs.counts

    def knows(self, camera: str) -> bool:
        """Whether a camera's lens and mount are known."""
        return camera in self._cameras

    def set_camera(self, name: str, camera: CameraModel, T_base_camera: FloatArray) -> None:
        """Learn a camera's lens and mount, or that they have changed.

        Args:
            name: of the camera.
            camera: intrinsics.
            T_base_camera: (4, 4) mount, optical frame to base.

        Raises:
            CameraError: the camera or its mount cannot give the model's view.
        """
        if self.rig is None:
            self._views[name] = make_views(camera, T_base_camera, self._package)
            self._cameras[name] = camera, T_base_camera
        else:
            self._set_rig(self.rig, {**self._cameras, name: (camera, T_base_camera)})
        leads = self.rig is not None and name in self._views
        if not self._use_odometry and (self._eyes is None or name == self._eyes_camera or leads):
            self._eyes = PlanarVisualOdometry(camera, T_base_camera)
            self._eyes_camera = name
            if self._eyes.below_horizon_deg < LOOKS_DOWN_DEG:
                logger.warning(
                    "camera %r looks %.0f degrees below the horizon and there is no odometry; "
                    "distances are seen well only by one that looks down (%.0f or more): give "
                    "odometry, or expect to find no place",
                    name, self._eyes.below_horizon_deg, LOOKS_DOWN_DEG,
                )  # fmt: skip

    def _set_rig(self, rig: Rig[Any], cameras: dict[str, tuple[CameraModel, FloatArray]]) -> None:
        """Stitch these cameras; the one that looks most nearly ahead leads.

        Raises:
            CameraError: one of them sees nothing of the panorama.
        """
        order = sorted(cameras, key=lambda name: (-round(cameras[name][1][0, 2], 6), name))
        cameras = {name: cameras[name] for name in order}
        views = {order[0]: make_panorama_views(cameras, self._package)} if order else {}
        self._views.clear()  # the localizer reads the same dictionary
        self._views.update(views)
        self._cameras = cameras
        rig.set_cameras(order)

    def forget_camera(self, name: str) -> None:
        """Take no frames of a camera until it is set again."""
        if self._cameras.pop(name, None) is None:
            return
        if self.rig is None:
            del self._views[name]
            self._pairs.forget(name)
            return
        self._set_rig(self.rig, self._cameras)
        if not self._cameras:
            self._pairs.forget("")

    def restart(self) -> None:
        """Forget all that was heard and believed: the clock has gone back."""
        self._pairs.restart()
        if self.rig is not None:
            self.rig.restart()
        if self._eyes is not None:
            self._eyes.reset()
        self.localizer.restart()

    def add_odometry(self, odometry: Odometry) -> None:
        """Take one odometry sample; samples may come late or out of order."""
        self._pairs.add_odometry(odometry)

    def add_height(self, stamp_ns: int, height_m: float) -> None:
        """Take one height above ground."""
        self._pairs.add_height(stamp_ns, height_m)

    def add_frame(self, stamp_ns: int, message: Any, camera: str = "") -> bool:  # noqa: ANN401
        """Take one image message of a camera that is known; answers whether it was not stale."""
        if self.rig is None:
            return self._pairs.add_frame(stamp_ns, message, camera)
        late = self.rig.late
        for shot in self.rig.add(stamp_ns, message, camera):
            self._pairs.add_frame(shot.stamp_ns, shot.payloads)
        return self.rig.late == late

    def every(self, flush: bool = False) -> Iterator[Tracked]:
        """What is concluded from every frame whose motion is known, or at the end from all."""
        if self.rig is not None and flush:
            for shot in self.rig.flush():
                self._pairs.add_frame(shot.stamp_ns, shot.payloads)
        for pair in self._pairs.ready(flush):
            yield self._follow(pair)

    def newest(self) -> Tracked | None:
        """What is concluded from the newest frame whose motion is known; older ones are lost."""
        pair = self._pairs.newest()
        return None if pair is None else self._follow(pair)

    def _follow(self, pair: Paired[Any]) -> Tracked:
        if self._before is not None:
            self._before(pair.stamp_ns)
        if pair.reset:
            self.localizer.restart()
        frame = self._frame(pair) if self.rig is None else self._rig_frame(pair)
        return Tracked(frame, self.localizer.localize(frame, self._motion(pair, frame)))

    def _frame(self, pair: Paired[Any]) -> CameraFrame:
        return CameraFrame(
            pair.stamp_ns,
            partial(messages.image_rgb, pair.payload),
            pair.height_m,
            partial(messages.reduced_rgb, pair.payload),
            pair.camera,
        )

    def _rig_frame(self, pair: Paired[Any]) -> CameraFrame:
        """A shot as a frame of the leading camera, with a frame of each camera as its parts."""
        leading = next(iter(self._views), "")
        parts = {
            name: self._frame(replace(pair, payload=message, camera=name))
            for name, message in pair.payload.items()
            if name in self._cameras
        }
        decode = partial(_picture, parts.get(leading))
        return CameraFrame(
            pair.stamp_ns, decode, pair.height_m, camera=leading, parts=tuple(parts.values())
        )

    def _motion(self, pair: Paired[Any], frame: CameraFrame) -> Motion:
        """Odometry's motion, or the one seen in the images where there is no odometry."""
        if self._eyes is None or frame.camera != self._eyes_camera:
            return pair.motion
        if pair.reset:
            self._eyes.reset()
        with self._stage("decode"):
            rgb = frame.rgb
        try:
            with self._stage("odometry"):
                return self._eyes.step(pair.stamp_ns, rgb, pair.height_m) or pair.motion
        except OdometryError as error:  # no height was ever given: pair.motion says no_odometry
            logger.info("no motion from images: %s", error)
            return pair.motion


def _picture(part: CameraFrame | None) -> Image:
    """The picture of the leading camera.

    Raises:
        ImageDecodeError: it took none, or an unusable one.
    """
    rgb = None if part is None else part.rgb
    if rgb is None:
        raise ImageDecodeError("the leading camera of the rig has no usable picture here")
    return rgb
