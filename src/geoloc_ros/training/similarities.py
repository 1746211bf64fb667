# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the images of a drive say of the true pose and of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.panorama import PanoramaView
from geoloc_ros.cameras.views import make_panorama_views, make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, Image, View
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ImageDecodeError
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.trajectory import distance_along_m, interpolate_truth
from geoloc_ros.geo import se2
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.rig import Rig, Shot
from geoloc_ros.yaw_hypotheses import SimilarityAt, YawHypotheses

TRUTH_TOPIC = "/ground_truth/pose"
EVERY_M = 5.0
WRONG_POSES = 256
#: random poses nearer than this to the truth are not wrong
WRONG_BEYOND_M = 30.0


@dataclass(slots=True)
class Samples:
    """Similarities of images at the true pose and at wrong ones."""

    matched: list[float] = field(default_factory=list)
    background: list[FloatArray] = field(default_factory=list)


def collect(
    package: ModelPackage, index: ShardedIndex, drive: Path, config: Config, samples: Samples
) -> None:
    """Add the similarities of a drive's images every few metres.

    Args:
        package: the model.
        index: of the drive's world.
        drive: a recording with truth.
        config: topics, views and seed.
        samples: are added to.
    """
    asking = _Asking(package, index, config)
    rng = np.random.default_rng(config.random_seed)
    _, entries = index.entries()
    with BagReader(drive) as reader:
        recording = Recording(reader, config.input, package.query.view == "panorama")
        looking = _Looking(recording, package, config)
        truth = columns.truth_from(*recording.truth(TRUTH_TOPIC, index.manifest.frame))
        wanted = _Every(truth, EVERY_M)
        for shot in looking.shots(drive.parent.name):
            if not wanted(shot.stamp_ns):
                continue
            pose, known = interpolate_truth(truth, [shot.stamp_ns])
            view = looking.view(shot) if known[0] else None
            if view is None:
                continue
            wrong = entries[rng.integers(0, len(entries), WRONG_POSES)]
            at, right, wrong = asking.about(view, pose[0], wrong, rng)
            near = np.hypot(*(wrong[:, :2] - right[:2]).T) < WRONG_BEYOND_M
            found, supported = at(np.vstack([right, wrong]))
            if supported[0]:
                background = np.where(near | ~supported[1:], np.median(found[1:]), found[1:])
                samples.matched.append(float(found[0]))
                samples.background.append(background.astype(np.float64))


class _Looking:
    """The views of a recording: of its camera, or of all of them for panoramas."""

    def __init__(self, recording: Recording, package: ModelPackage, config: Config) -> None:
        self._recording = recording
        self._relief_m = config.view.relief_m
        self._height_m: float | None = None
        if package.query.view == "panorama":
            panorama = make_panorama_views(recording.cameras, package)
            self._build: Any = panorama
            tolerance_ns = int(config.input.rig_tolerance_s * 1e9)
            self._rig: Rig[Any] = Rig(tolerance_ns, int(config.input.clock_jump_s * 1e9))
        else:
            self._build = make_views(recording.camera, recording.T_base_camera, package)
            self._rig = Rig(0, int(config.input.clock_jump_s * 1e9))
        self._rig.set_cameras(recording.cameras)

    def shots(self, name: str) -> Iterator[Shot[Any]]:
        """What the cameras took, moment by moment, heights noted on the way."""
        topics = self._recording.topics
        for stamp_ns, topic, message in tqdm(self._recording.records(), desc=name, unit="msg"):
            if topic == topics.height:
                self._height_m = messages.height_m(message) - self._relief_m
            elif topic in topics.images:
                yield from self._rig.add(stamp_ns, message, topics.images[topic])
        yield from self._rig.flush()

    def view(self, shot: Shot[Any]) -> View | None:
        """What the encoder looks at; None if no picture of the moment can be decoded."""
        taken: dict[str, tuple[Image, int]] = {}
        for name, message in shot.payloads.items():
            try:
                taken[name] = messages.reduced_rgb(message, self._build.reduction)
            except ImageDecodeError:
                continue
        if not taken:
            return None
        if isinstance(self._build, PanoramaView):
            return self._build.stitch(taken)
        ((rgb, reduction),) = taken.values()
        view: View = self._build.build(rgb, self._height_m, reduction=reduction)
        return view


class _Asking:
    """What a view says of poses."""

    def __init__(self, package: ModelPackage, index: ShardedIndex, config: Config) -> None:
        self._encoder, self._index = OnnxEncoder(package, threads=2), index
        self._yaws: YawHypotheses | None = None
        if index.manifest.policy.north_up:
            self._yaws = YawHypotheses(config.view.yaw_step_deg, package.query.width_px)

    def about(
        self, view: View, pose: FloatArray, entries: FloatArray, rng: np.random.Generator
    ) -> tuple[SimilarityAt, FloatArray, FloatArray]:
        """How to compare a view, with the true pose and with entries of the index.

        Where tiles have north up, an entry has no heading: wrong poses get one and the same, drawn
        anew for every view, so that only the turns beside two headings have to be described.

        Args:
            view: of the camera or the rig.
            pose: (3,) true pose of the vehicle.
            entries: (K, 3) of the index.
            rng: for the heading.

        Returns:
            Similarity at poses, the true pose (3,) and the wrong ones (K, 3) as it takes them.
        """
        if self._yaws is None:
            descriptor = self._encoder.encode_query(view.image[None])[0]
            at = partial(self._index.similarity_at, descriptor)
            return at, se2.compose(pose, view.anchor), entries
        heading = rng.uniform(-np.pi, np.pi)
        views = self._yaws.views(view, np.array([pose[2], heading]))
        descriptors = self._encoder.encode_query(np.stack([turn.image for turn in views]))
        wrong = np.column_stack([entries[:, :2], np.full(len(entries), heading)])
        return self._yaws.similarity(self._index, views, descriptors), pose, wrong


class _Every:
    """Whether another stretch of truth has been driven since the last stamp taken."""

    def __init__(self, truth: columns.Truth, step_m: float) -> None:
        self._stamps = truth.stamp_ns.astype(np.float64)
        self._along = distance_along_m(truth)
        self._step_m = step_m
        self._next_m = 0.0

    def __call__(self, stamp_ns: int) -> bool:
        here = float(np.interp(stamp_ns, self._stamps, self._along))
        if here < self._next_m:
            return False
        self._next_m = here + self._step_m
        return True
