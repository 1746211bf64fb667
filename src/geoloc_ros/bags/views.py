# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The views that a model has of a recording, for what is fitted to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from geoloc_ros import messages
from geoloc_ros.bags.reader import Record
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import PanoramaView, make_panorama_views, make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Image, View
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ImageDecodeError
from geoloc_ros.rig import Rig, Shot
from geoloc_ros.synchronizer import NS


def views_of(
    recording: Recording,
    package: ModelPackage,
    config: Config,
    wanted: Callable[[int], bool],
    records: Iterable[Record] | None = None,
) -> Iterator[tuple[int, View]]:
    """Stamp and view of every frame that is wanted and can be decoded.

    Args:
        recording: opened for all cameras if the model wants panoramas.
        package: the model.
        config: tolerances, and how far roofs lie above the ground.
        wanted: asked once about the stamp of each frame, in their order.
        records: of the recording, if somebody counts them; None: all.

    Raises:
        CameraError: the cameras cannot give this view.
        BagError: the recording is damaged.
    """
    records = recording.records() if records is None else records
    if package.query.view == "panorama":
        yield from _panoramas(recording, package, config, wanted, records)
        return
    views = make_views(recording.camera, recording.T_base_camera, package)
    height_m = None
    for stamp_ns, topic, message in records:
        if topic == recording.topics.height:
            height_m = messages.height_m(message) - config.view.relief_m
        if topic not in recording.topics.images or not wanted(stamp_ns):
            continue
        with suppress(ImageDecodeError):
            rgb, reduction = messages.reduced_rgb(message, views.reduction)
            yield stamp_ns, views.build(rgb, height_m, reduction=reduction)


def _panoramas(
    recording: Recording,
    package: ModelPackage,
    config: Config,
    wanted: Callable[[int], bool],
    records: Iterable[Record],
) -> Iterator[tuple[int, View]]:
    views = make_panorama_views(recording.cameras, package)
    rig: Rig[Any] = Rig(
        int(config.input.rig_tolerance_s * NS), int(config.input.clock_jump_s * NS)
    )
    rig.set_cameras(views.names)

    def shots() -> Iterator[Shot[Any]]:
        for stamp_ns, topic, message in records:
            if topic in recording.topics.images:
                yield from rig.add(stamp_ns, message, recording.topics.images[topic])
        yield from rig.flush()

    for shot in shots():
        if wanted(shot.stamp_ns):
            pictures = _decoded(shot, views)
            if pictures:
                yield shot.stamp_ns, views.stitch(pictures)


def _decoded(shot: Shot[Any], views: PanoramaView) -> dict[str, tuple[Image, int]]:
    pictures = {}
    for name, message in shot.payloads.items():
        with suppress(ImageDecodeError):
            pictures[name] = messages.reduced_rgb(message, views.reduction)
    return pictures
