# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the encoder would look at on a recorded drive, without following the vehicle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader, Record
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import ViewBuilder, make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, View
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import BagError, CameraError, ImageDecodeError
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo import se2
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.index.area_pictures import AreaPictures


def drive_views(
    bag: Path,
    package: ModelPackage,
    config: Config,
    plane: LocalFrame,
    count: int,
    truth_topic: str | None = None,
) -> AreaPictures:
    """Views of frames spread evenly over a recording, in their order.

    Args:
        bag: the recording.
        package: the model.
        config: the tree; topics, relief and the least share of seen pixels count.
        plane: of the anchors.
        count: how many at most.
        truth_topic: says where the vehicle was; None: nobody knows.

    Raises:
        BagError: the recording cannot be used, or gives no view.
    """
    found: list[tuple[int, View]] = []
    with BagReader(bag) as reader:
        recording = Recording(reader, config.input)
        views = make_views(recording.camera, recording.T_base_camera, package)
        every = max(1, recording.frame_count // count)
        height_m: float | None = None
        frames = 0
        for record in recording.records():
            stamp_ns, topic, message = record
            if topic == recording.topics.height:
                height_m = messages.height_m(message) - config.view.relief_m
            if topic != recording.topics.image:
                continue
            frames += 1
            if (frames - 1) % every == 0 and len(found) < count:
                view = _view(views, record, height_m, config.view.min_valid_share)
                found += [] if view is None else [(stamp_ns, view)]
        if not found:
            raise BagError(f"{bag} gave no usable view; 'geoloc bag info' tells what it holds")
        anchors = _anchors(recording, found, plane, truth_topic)
    return AreaPictures("views", np.stack([view.image for _, view in found]), anchors)


def _view(
    views: ViewBuilder, record: Record, height_m: float | None, least_share: float
) -> View | None:
    """The view of one frame, if it is one that the encoder would be shown."""
    if views.needs_height and height_m is None:
        return None
    try:
        rgb, reduction = messages.reduced_rgb(record[2], views.reduction)
        view = views.build(rgb, height_m, reduction=reduction)
    except (ImageDecodeError, CameraError):
        return None
    return view if np.count_nonzero(view.mask) >= least_share * view.mask.size else None


def _anchors(
    recording: Recording,
    found: list[tuple[int, View]],
    plane: LocalFrame,
    truth_topic: str | None,
) -> FloatArray:
    """Where the views' anchors were (N, 3), NaN where nobody knows."""
    anchors = np.full((len(found), 3), np.nan)
    if truth_topic is None:
        return anchors
    truth = columns.truth_from(*recording.truth(truth_topic, plane))
    poses, known = interpolate_truth(truth, [stamp_ns for stamp_ns, _ in found])
    for row, (_, view) in enumerate(found):
        if known[row]:
            anchors[row] = se2.compose(poses[row], view.anchor)
    return anchors
