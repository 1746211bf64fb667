# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the encoder would look at on a recorded drive, without following the vehicle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.views import views_of
from geoloc_ros.cameras.panorama import turned
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, View
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import BagError
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo import se2
from geoloc_ros.index.area_pictures import AreaPictures
from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.sampling import NORTH_RAD


def drive_views(
    bag: Path,
    package: ModelPackage,
    config: Config,
    index: Manifest,
    count: int,
    truth_topic: str | None = None,
) -> AreaPictures:
    """Views of frames spread evenly over a recording, in their order.

    Args:
        bag: the recording.
        package: the model.
        config: the tree; topics, relief and the least share of seen pixels count.
        index: of the area; if its tiles have north up, panoramas are turned to the north.
        count: how many at most.
        truth_topic: says where the vehicle was; None: nobody knows.

    Raises:
        BagError: the recording cannot be used, or gives no view.
        CameraError: its cameras cannot give the model's views.
    """
    north_up = index.policy.north_up
    if north_up and truth_topic is None:
        raise BagError(
            "the index has north up, and a panorama is turned to the north only if the heading is "
            "known; name its topic with --truth"
        )
    with BagReader(bag) as reader:
        recording = Recording(reader, config.input, package.query.view == "panorama")
        found = list(_views(recording, package, config, count))
        poses = np.full((len(found), 3), np.nan)
        if truth_topic is not None:
            truth = columns.truth_from(*recording.truth(truth_topic, index.frame))
            at, known = interpolate_truth(truth, [stamp_ns for stamp_ns, _ in found])
            poses[known] = at[known]
    views = [view for _, view in found]
    if north_up:
        rows = np.flatnonzero(np.isfinite(poses).all(axis=1))
        views, poses = [_northwards(views[row], poses[row]) for row in rows], poses[rows]
    if not views:
        raise BagError(f"{bag} gave no usable view; 'geoloc bag info' tells what it holds")
    anchors = [se2.compose(pose, view.anchor) for pose, view in zip(poses, views, strict=True)]
    return AreaPictures("views", np.stack([view.image for view in views]), np.array(anchors))


def _views(
    recording: Recording, package: ModelPackage, config: Config, count: int
) -> Iterator[tuple[int, View]]:
    """Stamps and views of every so many frames, of which enough is seen."""
    every = max(1, math.ceil(recording.frame_count / count))
    frames = itertools.count()

    def wanted(stamp_ns: int) -> bool:
        del stamp_ns
        return next(frames) % every == 0

    for stamp_ns, view in views_of(recording, package, config, wanted):
        if np.count_nonzero(view.mask) >= config.view.min_valid_share * view.mask.size:
            yield stamp_ns, view


def _northwards(view: View, pose: FloatArray) -> View:
    """A panorama turned to the north, by whole columns as a vehicle does."""
    column_rad = 2.0 * math.pi / view.image.shape[1]
    need = (NORTH_RAD - float(pose[2])) % (2.0 * math.pi)
    return turned(view, round(need / column_rad) * column_rad)
