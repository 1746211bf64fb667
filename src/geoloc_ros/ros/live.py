# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle being followed live: what arrives, what of it is used, what may be said meanwhile.

Callbacks put messages down and are gone; one worker thread picks them up. Of every camera only
the newest image is kept, of a rig's the newest few, so that nothing queues. No rclpy here: time
comes in as a number.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from geoloc_ros import messages
from geoloc_ros.config import Config
from geoloc_ros.datatypes import (
    FloatArray,
    GeoPrior,
    Odometry,
    PoseEstimate,
    Reason,
    Status,
)
from geoloc_ros.errors import BagError, CameraError, GeolocError, ModelError
from geoloc_ros.filtering.estimate import nowhere
from geoloc_ros.filtering.late_knowledge import WINDOW_NS
from geoloc_ros.filtering.status import TRACKING
from geoloc_ros.geo.far import far_poses
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.rig import Rig
from geoloc_ros.ros.cameras import Cameras
from geoloc_ros.ros.conclusions import LEAP_M, Conclusion, Said
from geoloc_ros.ros.loading import Loaded
from geoloc_ros.ros.mailbox import Mailbox
from geoloc_ros.ros.node_config import LocalizerConfig
from geoloc_ros.ros.odometry_trail import OdometryTrail
from geoloc_ros.ros.scenes import Scene, SceneFilter
from geoloc_ros.ros.time_window import refusal
from geoloc_ros.stage_clock import StageClock
from geoloc_ros.tracker import Tracked, Tracker

logger = logging.getLogger(__name__)
NS = 1_000_000_000
KEPT_OF_RIG = 3
T = TypeVar("T")


class Live:
    """One activation of the localizer.

    Attributes:
        said: the latest conclusion, for anybody to read.
        received: images that arrived.
        refused: images that were not used, by reason.
        images: wait for the worker.
        plane: of the map frame.
        cameras: what is known of the cameras.
        stages: CPU time of the worker's thread per stage, all frames together.
        used_at_ns: when a frame was used last, on the clock of arrivals.

    Args:
        node: parameters of the node.
        config: the tree.
        loaded: model, encoder and index.
        plane: of the map frame; an index of another plane does not move it.
    """

    def __init__(
        self, node: LocalizerConfig, config: Config, loaded: Loaded, plane: LocalFrame
    ) -> None:
        self.said = Said()
        self.received = 0
        self.refused: Counter[Reason] = Counter()
        self.plane = plane
        self.cameras = Cameras(config.input.base_frame)
        self.used_at_ns: int | None = None
        self.stages = StageClock(time.thread_time)
        self._node = node
        self._loaded = loaded
        self._tracker = Tracker(
            config,
            loaded.package,
            loaded.encoder,
            loaded.index,
            use_odometry=node.odometry_source != "images",
            use_height=node.use_height,
            stage=self.stages,
            reranker=loaded.reranker,
        )
        self._scenes = SceneFilter(loaded.reranker) if loaded.reranker else None
        self._odometry = OdometryTrail()
        self._jobs: deque[Callable[[], None]] = deque()
        self.images = Mailbox(1 if self._tracker.rig is None else KEPT_OF_RIG)
        self._initial_poses = 0
        self._lost_after_m = config.filter.lost_after_m
        self._blind_m = 0.0
        self._moved_at_ns: int | None = None
        self._odometry_timeout_s = config.input.odometry_timeout_s
        self._T_map_odom: FloatArray | None = None

    # -- called from anywhere: put down and leave -----------------------------------------------

    def image(self, camera: str, message: Any, now_ns: int) -> None:  # noqa: ANN401
        """An image has arrived; it waits for the worker, in place of one that still waits."""
        self.received += 1
        stamp_ns = messages.stamp_ns(message, 0)
        reason = refusal(self._node, stamp_ns, now_ns)
        if reason is not None:
            self.refused[reason] += 1
            return
        self.images.put(camera, stamp_ns, message)

    def odometry(self, message: Any, now_ns: int) -> None:  # noqa: ANN401
        """A nav_msgs/Odometry has arrived."""
        self._take_odometry(messages.odometry(message, now_ns), now_ns)

    def height(self, message: Any, now_ns: int) -> None:  # noqa: ANN401
        """A sensor_msgs/Range has arrived."""
        stamp_ns, height_m = messages.stamp_ns(message, now_ns), messages.height_m(message)
        if refusal(self._node, stamp_ns, now_ns) is None:
            self.post(lambda: self._tracker.add_height(stamp_ns, height_m))

    def camera_info(self, camera: str, message: Any) -> None:  # noqa: ANN401
        """A CameraInfo has arrived; most only repeat the one before."""
        if self.cameras.is_news(camera, message):
            info = messages.camera_info(message)
            self.post(lambda: self._set_camera(camera, info))

    def transforms(self, message: Any) -> None:  # noqa: ANN401
        """A tf2_msgs/TFMessage has arrived."""
        self.post(lambda: self._add_transforms(message))

    def odometry_transform(self, message: Any, now_ns: int) -> None:  # noqa: ANN401
        """A transform odom_frame to base_frame, a geometry_msgs/TransformStamped."""
        place, turn = message.transform.translation, message.transform.rotation
        stamp_ns = messages.stamp_ns(message, now_ns)
        pose = np.array([place.x, place.y, messages.yaw_of(turn)])
        self._take_odometry(Odometry(stamp_ns, pose), now_ns)

    def prior(self, prior: GeoPrior) -> None:
        """Soft knowledge, in the plane of the map frame."""
        self.post(lambda: self._apply(prior))

    @property
    def hears_scenes(self) -> bool:
        """Whether there is a reranker, whom descriptions of scenes are for."""
        return self._scenes is not None

    def scene(self, scene: Scene) -> None:
        """A vision-language model's description of a frame; without a reranker nobody hears it.

        Raises:
            SceneError: the reranker does not know such a one.
        """
        if self._scenes is not None:
            self._scenes.check(scene, self.cameras.names)
            self.post(lambda: self._describe(scene))

    def initial_pose(self, stamp_ns: int, mean: FloatArray, cov_xy_yaw: FloatArray) -> None:
        """Somebody says where the vehicle is, in the map frame.

        Raises:
            GeodesyError: nobody can be there.
        """
        self.plane.position(float(mean[0]), float(mean[1]))
        cov_xy_yaw = cov_xy_yaw + np.diag([0.25, 0.25, 1e-3])  # nobody knows better than that
        self._initial_poses += 1  # each is a source of its own: none repeats another
        source = f"initialpose {self._initial_poses}"
        said = GeoPrior.gaussian(stamp_ns, mean, cov_xy_yaw, 0.9, source, supersedes=True)
        self.prior(said)

    def clock_jumped(self) -> None:
        """Time has gone back: what was known of the past is of no use."""
        self.post(self._restart)

    def relocalize(self) -> None:
        """Forget where the vehicle is and search again."""
        self.post(self._forget)

    def reconfigure(self, config: Config, node: LocalizerConfig) -> None:
        """Go on with other values of filter, search and view, and of what is read each time."""
        self._node = node
        self._lost_after_m = config.filter.lost_after_m
        self.post(lambda: self._tracker.localizer.reconfigure(config))

    def load_index(self, loaded: Loaded) -> Future[None]:
        """Swap the index; the future holds the error if the belief cannot be carried over."""
        return self._ask(lambda: self._swap(loaded))

    def post(self, job: Callable[[], None]) -> None:
        """Let the worker do something between two frames."""
        self._jobs.append(job)

    # -- called by the worker ---------------------------------------------------------------------

    def work(self) -> Conclusion | None:
        """Take in what has arrived, then follow one frame; None when there is none to follow."""
        while self._jobs:
            job = self._jobs.popleft()
            try:
                job()
            except (GeolocError, BagError) as error:
                logger.warning("%s", error)
        for name, stamp_ns, message in self.images.take(self._tracker.knows):
            if not self._tracker.add_frame(stamp_ns, message, name):
                self.refused[Reason.BAD_STAMP] += 1
        tracked = self._tracker.newest()
        return None if tracked is None else self._conclude(tracked)

    def counts(self) -> dict[str, int]:
        """What became of the images."""
        return {
            "frames_received": self.received,
            "frames_used": self.said.used,
            "frames_dropped": self.images.replaced + self._tracker.counts.dropped,
            "frames_refused": sum(self.refused.values()),
        }

    @property
    def rig(self) -> Rig[Any] | None:
        """Gathers what several cameras take at once; None where each camera is for itself."""
        return self._tracker.rig

    def held_transform(self, now_ns: int) -> FloatArray | None:
        """Planar map to odom (3,) to be held up between frames; None while no place is held."""
        said = self.status_now(now_ns) or self.said.estimate
        if said is None or said.status not in TRACKING:
            return None
        return self._T_map_odom

    def reasons_now(self, now_ns: int) -> tuple[Reason, ...]:
        """Why nothing is concluded at the moment, if nothing is."""
        if self.used_at_ns is not None and not self._silent(now_ns):
            return ()
        missing = self.cameras.missing()
        return missing if missing else (Reason.STALE_FRAME,)

    def status_now(self, now_ns: int) -> PoseEstimate | None:
        """The latest estimate as it must be read when images have stopped; None while they come.

        A place that was held is held by odometry alone for as far as the filter would hold it
        against the images, then given up.

        Args:
            now_ns: time of the same clock that was used for arrivals.
        """
        said = self.said.estimate
        reasons = self.reasons_now(now_ns)
        if not reasons:
            return None
        if said is None:
            return nowhere(now_ns, Status.UNINITIALISED, set(reasons), math.nan)
        status = said.status
        if status in TRACKING:
            lost = self._blind_m + self._unheard_m(now_ns) > self._lost_after_m
            status = Status.LOST if lost else Status.DEGRADED
            self.said.held = self.said.held and not lost
        if self._unheard_m(now_ns) > 0.0:
            reasons = (*reasons, Reason.NO_ODOMETRY)
        return replace(said, status=status, reasons=tuple(sorted({*said.reasons, *reasons})))

    def _unheard_m(self, now_ns: int) -> float:
        """How far the vehicle may have driven since odometry fell silent, too.

        As fast as it drove then, and at a walk at least: nobody knows whether it stands.
        """
        heard_ns = self._moved_at_ns or self.used_at_ns
        silent_s = 0.0 if heard_ns is None else (now_ns - heard_ns) / NS
        if silent_s < self._odometry_timeout_s:
            return 0.0
        return silent_s * max(self._odometry.speed_mps(), 1.0)

    # -- inside -----------------------------------------------------------------------------------

    def _silent(self, now_ns: int) -> bool:
        since = self.used_at_ns
        return since is None or abs(now_ns - since) > self._node.stale_after_s * NS

    def _ask(self, job: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()

        def run() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(job())
            except Exception as error:  # noqa: BLE001 - handed to whoever asked
                answer.set_exception(error)

        self.post(run)
        return answer

    def _take_odometry(self, sample: Odometry, now_ns: int) -> None:
        if refusal(self._node, sample.stamp_ns, now_ns) is None:
            self._moved_at_ns = now_ns
            self.post(lambda: self._add_odometry(sample))

    def _add_odometry(self, sample: Odometry) -> None:
        self._blind_m += self._odometry.add(sample)
        self._tracker.add_odometry(sample)

    def _set_camera(self, name: str, info: messages.CameraInfoData) -> None:
        self.cameras.set_info(name, info)
        self._make_view(name)

    def _add_transforms(self, message: Any) -> None:  # noqa: ANN401
        for name in self.cameras.add_transforms(message):
            self._make_view(name)

    def _make_view(self, name: str) -> None:
        """Tell the tracker about a camera, as soon as lens and mount are known."""
        try:
            found = self.cameras.model(name)
            if found is None:
                self._tracker.forget_camera(name)
            else:
                self._tracker.set_camera(name, *found)
                self.cameras.usable(name)
        except CameraError as error:
            self._tracker.forget_camera(name)
            self.cameras.unusable(name, str(error))
            raise

    def _restart(self) -> None:
        self.images.clear()
        self._odometry = OdometryTrail()
        self._tracker.restart()
        if self._scenes is not None:
            self._scenes.restart()
        self.used_at_ns = None
        self._say_nothing()

    def _forget(self) -> None:
        self._tracker.localizer.belief.reset()
        self._say_nothing()

    def _say_nothing(self) -> None:
        """What was said does not hold any more."""
        self._T_map_odom = self.said.estimate = None
        self.said.held = False

    def _swap(self, loaded: Loaded) -> None:
        self._tracker.localizer.swap_index(loaded.index)
        self._loaded = loaded
        if loaded.reranker is not None:
            try:
                loaded.reranker.package.check(loaded.index.manifest)
            except ModelError as error:
                logger.warning("scene descriptions will tell nothing about this index: %s", error)

    def _apply(self, prior: GeoPrior) -> None:
        last = self.said.estimate
        if last is not None and last.stamp_ns - prior.stamp_ns > WINDOW_NS:
            late_s, known_s = (last.stamp_ns - prior.stamp_ns) / NS, WINDOW_NS / NS
            text = "a prior is not heard: %s speaks %.1f s late, the way driven is known for %g s"
            logger.warning(text, prior.source, late_s, known_s)
            return
        change = PlaneChange(self.plane, self._loaded.index.manifest.frame)
        prior = replace(prior, means=far_poses(change, prior.means))
        self._tracker.localizer.apply_prior(prior)

    def _describe(self, scene: Scene) -> None:
        if self._scenes is not None and self._scenes.admits(scene.stamp_ns):
            self._tracker.localizer.describe(scene.stamp_ns, scene.reply, scene.camera)

    def _conclude(self, tracked: Tracked) -> Conclusion:
        found = self._tracker.localizer.last_candidates
        change = PlaneChange(self._loaded.index.manifest.frame, self.plane)
        pose, cov = change.pose_and_covariance(tracked.estimate.pose, tracked.estimate.cov_xy_yaw)
        estimate = replace(tracked.estimate, pose=pose, cov_xy_yaw=cov)
        if found is not None:
            found = replace(found, poses=change.poses(found.poses))
        self._blind_m = 0.0
        if self._scenes is not None:
            self._scenes.looked_at(estimate.stamp_ns)
        self.said.estimate = estimate
        self.said.coverage = self._tracker.localizer.last_coverage
        self.said.used += 1
        before, self.said.held = self.said.held, estimate.status in TRACKING
        if estimate.status is Status.LOCALISED:
            self.said.fix_stamp_ns = estimate.stamp_ns
        leapt = self._odometry.leap_m(self._T_map_odom, estimate.stamp_ns, pose) > LEAP_M
        if math.isfinite(pose[0]):
            self._T_map_odom = self._odometry.map_to_odom(estimate.stamp_ns, pose)
        anew = self.said.held and (leapt or not before)
        return Conclusion(estimate, found, self._T_map_odom, tracked, anew)
