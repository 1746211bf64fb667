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

from geoloc_ros.cameras.views import PanoramaView, ViewBuilder
from geoloc_ros.config import Config
from geoloc_ros.datatypes import (
    CameraFrame,
    Candidates,
    Float32Array,
    FloatArray,
    GeoPrior,
    Image,
    Mask,
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
from geoloc_ros.yaw_hypotheses import YawHypotheses

#: an aerial vehicle lower than this stands on the ground and sees nothing of use
MIN_HEIGHT_M = 2.0

#: a camera that was silent for so long loses its turn
TURN_NS = 1_000_000_000
#: driving for which the map is read ahead
LOOK_AHEAD_S = 10.0

#: similarity of a frame at vehicle poses (N, 3), and where the index has support
SimilarityAt = Callable[[FloatArray], tuple[Float32Array, Mask]]

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
        last_coverage: share of the latest view that its cameras saw; NaN before any.
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
        self._config = config
        self._query = package.query
        self._yaws = self._yaws_for(index)
        self.belief = Belief(
            config.filter,
            package.calibration,
            config.random_seed,
            *_poses_of(index, self._yaws),
        )
        warm_up()
        self.last_candidates: Candidates | None = None
        self.last_anchor_offset_m = (0.0, 0.0)
        self.last_coverage = math.nan
        self.scene: SceneDescription | None = None
        self._encoder = encoder
        self._index = index
        self._views = views
        self._stage = stage
        self._scenes = Scenes(reranker)
        self._frozen: dict[str, dict[float, FrozenView]] = {}
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
        yaws = self._yaws_for(index)
        self.belief.rebase(change, *_poses_of(index, yaws))
        self._index, self._plane, self._yaws = index, index.manifest.frame, yaws
        self.last_candidates = None
        self._scenes.forget()

    def reconfigure(self, config: Config) -> None:
        """Go on with other values of `filter`, `search` and `view`.

        How panoramas are turned changes with the next index.
        """
        self.belief.reconfigure(config.filter)
        self._config = config
        self._frozen.clear()

    def _yaws_for(self, index: PlaceIndex) -> YawHypotheses | None:
        """The ways views are turned before they are compared; None where tiles are turned."""
        if not index.manifest.policy.north_up:
            return None
        return YawHypotheses(self._config.view.yaw_step_deg, self._query.width_px)

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
        # Decode the image, of a rig all
        builder = self._views[frame.camera]
        with self._stage("decode"):
            parts = frame.parts or (frame,)
            pictures = {part.camera: part.reduced(builder.reduction) for part in parts}

        # Cut what the encoder looks at
        with self._stage("view"):
            view, fault = self._view(builder, pictures, frame.height_m)
        if view is None:
            self.belief.miss()
            return fault
        self.last_anchor_offset_m = view.anchor_offset_m

        # Describe the image; a panorama every way it must be turned
        with self._stage("encode"):
            views = [view] if self._yaws is None else self._yaws.views(view, self.belief.headings)
            descriptors = self._encoder.encode_query(np.stack([v.image for v in views]))
        if self._frozen_views(frame, views, descriptors):
            self.belief.miss()
            return Reason.FROZEN_VIEW

        # Retrieve similar places over the whole index
        with self._stage("search"):
            if self.belief.wants_candidates():
                self.last_candidates = self._retrieve(frame, views, descriptors)

        # Compare the image with the map at every pose the vehicle may have
        with self._stage("filter"):
            self.belief.update(self._similarity(views, descriptors), self.last_candidates)
        return None

    def _view(
        self,
        builder: ViewBuilder,
        pictures: Mapping[str, tuple[Image | None, int]],
        height_m: float | None,
    ) -> tuple[View | None, Reason | None]:
        taken = {name: (rgb, by) for name, (rgb, by) in pictures.items() if rgb is not None}
        if not taken:
            return None, Reason.BAD_IMAGE
        height_m = None if height_m is None else height_m - self._config.view.relief_m
        if builder.needs_height and (height_m is None or height_m < MIN_HEIGHT_M):
            return None, Reason.NO_HEIGHT
        try:
            if isinstance(builder, PanoramaView):
                view = builder.stitch(taken)
            else:
                ((rgb, reduction),) = taken.values()
                view = builder.build(rgb, height_m, reduction=reduction)
        except CameraError:
            return None, Reason.FRAME_SIZE_CHANGED
        seen, size = np.count_nonzero(view.mask), view.mask.size
        self.last_coverage = seen / size
        if seen < self._config.view.min_valid_share * size:
            return None, Reason.BAD_IMAGE
        return view, None

    def _frozen_views(
        self, frame: CameraFrame, views: list[View], descriptors: Float32Array
    ) -> bool:
        """Whether a camera shows what it did long ago; each way it is turned is watched apart."""
        known = self._frozen.get(frame.camera, {})
        yaws = [view.anchor_yaw_rad for view in views]
        watched = {yaw: known.get(yaw) or FrozenView(self._config.view) for yaw in yaws}
        self._frozen[frame.camera] = watched
        pairs = zip(watched.values(), descriptors, strict=True)
        return any([watch.check(seen, self.belief.distance_m) for watch, seen in pairs])

    def _retrieve(
        self, frame: CameraFrame, views: list[View], descriptors: Float32Array
    ) -> Candidates:
        """Vehicle poses of the places that look most like a frame, best first."""
        most = self._config.search.candidates
        if self._yaws is not None:
            return self._yaws.search(self._index, views, descriptors, most)
        view, descriptor = views[0], descriptors[0]
        found = one_per_place(self._index.search(descriptor, most))
        vehicles = _to_vehicle(found, view)
        self._scenes.searched(frame, descriptor, found, vehicles.poses, view)
        return vehicles

    def _similarity(self, views: list[View], descriptors: Float32Array) -> SimilarityAt:
        """Similarity of a frame at any vehicle poses (N, 3), and where the index has support."""
        index = self._index
        if self._yaws is not None:
            return self._yaws.similarity(index, views, descriptors)
        anchor, descriptor = views[0].anchor, descriptors[0]
        if not anchor.any():  # the anchor is the vehicle itself
            return partial(index.similarity_at, descriptor)
        return lambda poses: index.similarity_at(descriptor, se2.compose(poses, anchor))

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


def _poses_of(index: PlaceIndex, yaws: YawHypotheses | None) -> tuple[int, tuple[float, float]]:
    """How many poses are told apart, and how far a vehicle lies from the nearest, one sigma."""
    count, (miss_m, miss_rad) = index.manifest.count, index.manifest.policy.miss_sigma
    if yaws is None:
        return count, (miss_m, miss_rad)
    return count * len(yaws), (miss_m, max(miss_rad, yaws.sigma_rad))


def _to_vehicle(candidates: Candidates, view: View) -> Candidates:
    """Vehicle poses of retrieved anchors, which lie at `view.anchor` in the base frame."""
    return replace(candidates, poses=se2.compose(candidates.poses, se2.inverse(view.anchor)))
