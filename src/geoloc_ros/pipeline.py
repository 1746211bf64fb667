# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The spine: the way of one frame, from pixels to a pose with covariance. Read this first.

`GeoLocalizer` is synchronous and deterministic. It knows no clock, no thread and no ROS: the live
node and `geoloc replay` are thin callers of the same object.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from geoloc_ros.cameras.views import ViewBuilder
from geoloc_ros.config import Config
from geoloc_ros.datatypes import (
    CameraFrame,
    Candidates,
    FloatArray,
    GeoPrior,
    Image,
    Motion,
    PoseEstimate,
    Reason,
    View,
)
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import CameraError
from geoloc_ros.filtering.belief import Belief
from geoloc_ros.filtering.frozen_view import FrozenView
from geoloc_ros.filtering.status import TRACKING
from geoloc_ros.filtering.warm_up import warm_up
from geoloc_ros.geo import se2
from geoloc_ros.geo.planes import PlaneChange
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.index.places import one_per_place
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rerank.scenes import Scenes
from geoloc_ros.vlm.answerer import Reply, SceneDescription

#: an aerial vehicle lower than this stands on the ground and sees nothing of use
MIN_HEIGHT_M = 2.0

#: a camera that was silent for so long loses its turn
TURN_NS = 1_000_000_000
#: driving for which the map is read ahead
LOOK_AHEAD_S = 10.0

#: wraps each stage, so that a caller that owns a clock can time it
StageTimer = Callable[[str], AbstractContextManager[object]]


def untimed(_: str) -> AbstractContextManager[object]:
    """No clock: the stage just runs."""
    return nullcontext()


class GeoLocalizer:
    """Camera frames and odometry in, pose estimates out.

    Attributes:
        belief: what is believed about the vehicle's pose.
        last_candidates: vehicle poses retrieved for the latest searched frame, for scoring and
            display; None where the latest frame was not searched.
        last_anchor_offset_m: where the anchor of the latest view lies, forward and left.
        scene: the newest frame that was described, and what was said of it; None before any.

    Args:
        config: the tree.
        package: the model.
        encoder: of the model.
        index: built with the model.
        views: what is made of each camera's frames, by the camera's name. Cameras may come and
            change later.
        stage: wraps each stage.
        reranker: compares what is said of frames with the index's descriptions, if there are any.
    """

    def __init__(
        self,
        config: Config,
        package: ModelPackage,
        encoder: Encoder,
        index: PlaceIndex,
        views: Mapping[str, ViewBuilder],
        stage: StageTimer = untimed,
        reranker: LanguageReranker | None = None,
    ) -> None:
        self.belief = Belief(
            config.filter,
            package.calibration,
            config.random_seed,
            index.manifest.count,
            index.manifest.policy.miss_sigma,
        )
        warm_up()
        self.last_candidates: Candidates | None = None
        self.last_anchor_offset_m = (0.0, 0.0)
        self.scene: SceneDescription | None = None
        self._config = config
        self._encoder = encoder
        self._index = index
        self._views = views
        self._stage = stage
        self._scenes = Scenes(reranker)
        self._frozen: dict[str, FrozenView] = {}
        self._heard_ns: dict[str, int] = {}
        self._looked_with = ""
        self._plane = index.manifest.frame

    def localize(self, frame: CameraFrame, motion: Motion) -> PoseEstimate:
        """Take one frame and the motion since the last one; say where the vehicle is."""
        # Move the belief by what the vehicle did since the last frame
        with self._stage("filter"):
            if Reason.CLOCK_JUMP in motion.reasons:
                self._forget_scenes()
            self.belief.predict(motion)
            wanted = self.belief.wants_image() and self._its_turn(frame)

        # Weigh it by how well each place explains the image
        self.last_candidates = None
        fault = self._look(frame) if wanted else None

        # Say where the vehicle is, how sure we are, and why
        with self._stage("filter"):
            estimate = self.belief.estimate(frame.stamp_ns)

        # Let the map be read where the vehicle will be
        if estimate.status in TRACKING:
            self._index.expect(_ahead(estimate.pose, motion))
        return self._placed(estimate, fault)

    def restart(self) -> None:
        """Forget what was believed, said and searched: the clock has gone back."""
        self.belief.reset(Reason.CLOCK_JUMP)
        self._forget_scenes()

    def _forget_scenes(self) -> None:
        self.scene = None
        self._scenes.forget()

    def apply_prior(self, prior: GeoPrior) -> None:
        """Let late knowledge speak about the time it carries."""
        self.belief.apply_prior(prior)

    def describe(self, stamp_ns: int, reply: Reply, camera: str = "") -> GeoPrior | None:
        """Take in what was said of a frame, however late; one of an older frame changes nothing.

        It tells between the places that were retrieved there, if a reranker is sure of it.

        Args:
            stamp_ns: capture time of the frame.
            reply: what was said.
            camera: whose frame it is.

        Returns:
            What the reranker made of it, None if nothing.
        """
        if self.scene is not None and stamp_ns < self.scene.stamp_ns:
            return None
        self.scene = SceneDescription(stamp_ns, reply)
        with self._stage("rerank"):
            prior = self._scenes.prior(self._index, stamp_ns, reply, camera)
        if prior is not None:
            self.belief.apply_prior(prior)
        return prior

    def swap_index(self, index: PlaceIndex) -> None:
        """Go on with another index of the same model; the belief is carried over.

        Raises:
            GeodesyError: the belief lies beyond the new index's plane.
        """
        change = PlaneChange(self._plane, index.manifest.frame)
        self.belief.rebase(change, index.manifest.count, index.manifest.policy.miss_sigma)
        self._index, self._plane = index, index.manifest.frame
        self.last_candidates = None
        self._scenes.forget()

    def reconfigure(self, config: Config) -> None:
        """Go on with other values of `filter`, `search` and `view`."""
        self.belief.reconfigure(config.filter)
        self._config = config
        self._frozen.clear()

    def _its_turn(self, frame: CameraFrame) -> bool:
        """Whether a frame may be weighed: cameras that are not silent take turns."""
        self._heard_ns[frame.camera] = frame.stamp_ns
        others = (stamp for name, stamp in self._heard_ns.items() if name != frame.camera)
        alone = all(abs(frame.stamp_ns - stamp) > TURN_NS for stamp in others)
        if frame.camera == self._looked_with and not alone:
            return False
        self._looked_with = frame.camera
        return True

    def _look(self, frame: CameraFrame) -> Reason | None:
        """Weigh the belief by a frame; answers why not, if it cannot be used."""
        # Decode the image
        views = self._views[frame.camera]
        with self._stage("decode"):
            rgb, reduction = frame.reduced(views.reduction)

        # Cut what the encoder looks at
        with self._stage("view"):
            view, fault = self._view(views, rgb, frame.height_m, reduction)
        if view is None:
            self.belief.miss()
            return fault
        self.last_anchor_offset_m = view.anchor_offset_m

        # Describe the image
        with self._stage("encode"):
            descriptor = self._encoder.encode_query(view.image[None])[0]
        frozen = self._frozen.setdefault(frame.camera, FrozenView(self._config.view))
        if frozen.check(descriptor, self.belief.distance_m):
            self.belief.miss()
            return Reason.FROZEN_VIEW

        # Retrieve similar places over the whole index
        with self._stage("search"):
            if self.belief.wants_candidates():
                found = one_per_place(
                    self._index.search(descriptor, self._config.search.candidates)
                )
                self.last_candidates = _to_vehicle(found, view)
                self._scenes.searched(frame, descriptor, found, self.last_candidates.poses, view)

        # Compare the image with the map at every pose the vehicle may have
        with self._stage("filter"):
            self.belief.update(_similarity(self._index, descriptor, view), self.last_candidates)
        return None

    def _view(
        self, views: ViewBuilder, rgb: Image | None, height_m: float | None, reduction: int
    ) -> tuple[View | None, Reason | None]:
        if rgb is None:
            return None, Reason.BAD_IMAGE
        height_m = None if height_m is None else height_m - self._config.view.relief_m
        if views.needs_height and (height_m is None or height_m < MIN_HEIGHT_M):
            return None, Reason.NO_HEIGHT
        try:
            view = views.build(rgb, height_m, reduction=reduction)
        except CameraError:
            return None, Reason.FRAME_SIZE_CHANGED
        if np.count_nonzero(view.mask) < self._config.view.min_valid_share * view.mask.size:
            return None, Reason.BAD_IMAGE
        return view, None

    def _placed(self, estimate: PoseEstimate, fault: Reason | None) -> PoseEstimate:
        reasons = estimate.reasons if fault is None else tuple(sorted({*estimate.reasons, fault}))
        position = estimate.position
        x_m, y_m, yaw_rad = estimate.pose.tolist()
        if math.isfinite(x_m + y_m + yaw_rad):
            position = self._plane.position(x_m, y_m)
        return replace(estimate, reasons=reasons, position=position)


def _ahead(pose: FloatArray, motion: Motion) -> FloatArray:
    """Positions (N, 2) of the next seconds if the vehicle goes on as it did, from now on."""
    seconds = max((motion.to_ns - motion.from_ns) / 1e9, 0.01)
    away = np.arange(LOOK_AHEAD_S + 1.0) * (np.hypot(*motion.increment[:2]) / seconds)
    ahead = np.array([math.cos(pose[2]), math.sin(pose[2])])
    return np.asarray(pose[:2] + away[:, None] * ahead)


def _to_vehicle(candidates: Candidates, view: View) -> Candidates:
    """Vehicle poses of retrieved anchors, which lie at `view.anchor` in the base frame."""
    return replace(candidates, poses=se2.compose(candidates.poses, se2.inverse(view.anchor)))


def _similarity(
    index: PlaceIndex, descriptor: npt.NDArray[np.float32], view: View
) -> Callable[[FloatArray], tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Similarity of the image at any vehicle poses (N, 3), and where the index has support."""
    anchor = view.anchor
    if not anchor.any():  # the anchor is the vehicle itself
        return partial(index.similarity_at, descriptor)

    def at(poses: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        return index.similarity_at(descriptor, se2.compose(poses, anchor))

    return at
