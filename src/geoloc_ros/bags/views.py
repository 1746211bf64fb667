# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The views that a model has of a recording, for what is fitted to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from geoloc_ros import messages
from geoloc_ros.bags.reader import Record
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.ground_plane import MAX_HEIGHT_M
from geoloc_ros.cameras.views import PanoramaView, make_panorama_views, make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Image, Reason, View
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import BagError, CameraError, ImageDecodeError
from geoloc_ros.pipeline import MIN_HEIGHT_M
from geoloc_ros.rig import Rig, Shot
from geoloc_ros.synchronizer import NS

#: why a frame that was wanted gave no view
Skipped = Callable[[Reason], None]


def _not_told(reason: Reason) -> None:
    del reason


def views_of(
    recording: Recording,
    package: ModelPackage,
    config: Config,
    wanted: Callable[[int], bool],
    records: Iterable[Record] | None = None,
    skipped: Skipped = _not_told,
) -> Iterator[tuple[int, View]]:
    """Stamp and view of every frame that is wanted and of which the spine would make one.

    Args:
        recording: opened for all cameras if the model wants panoramas.
        package: the model.
        config: tolerances, and how far roofs lie above the ground.
        wanted: asked once about the stamp of each frame, in their order.
        records: of the recording, if somebody counts them; None: all.
        skipped: told why a frame that was wanted gives no view.

    Raises:
        CameraError: the cameras cannot give this view, or no frame fits them.
        BagError: the recording is damaged.
    """
    records = recording.records() if records is None else records
    source = _panoramas if package.query.view == "panorama" else _of_one_camera
    fault, any_fits = None, False
    for stamp_ns, made in source(recording, package, config, wanted, records):
        if isinstance(made, CameraError):
            fault = fault or made
            skipped(Reason.FRAME_SIZE_CHANGED)
        elif isinstance(made, Reason):
            skipped(made)
        else:
            any_fits = True
            yield stamp_ns, made
    if fault is not None and not any_fits:
        raise fault


#: a view, or why there is none; a CameraError: the frame does not fit its camera
_Made = View | Reason | CameraError


def _of_one_camera(
    recording: Recording,
    package: ModelPackage,
    config: Config,
    wanted: Callable[[int], bool],
    records: Iterable[Record],
) -> Iterator[tuple[int, _Made]]:
    views = make_views(recording.camera, recording.T_base_camera, package)
    from_above = package.query.view == "ground_plane"
    needs_height = views.needs_height or (from_above and bool(recording.topics.height))
    heights = _Heights(config)
    for stamp_ns, topic, message in records:
        if topic == recording.topics.height:
            heights.add(stamp_ns, message)
        if topic not in recording.topics.images or not wanted(stamp_ns):
            continue
        height_m = heights.at(stamp_ns)
        if needs_height and height_m is None:
            yield stamp_ns, Reason.NO_HEIGHT
            continue
        try:
            rgb, reduction = messages.reduced_rgb(message, views.reduction)
            yield stamp_ns, views.build(rgb, height_m, reduction=reduction)
        except ImageDecodeError:
            yield stamp_ns, Reason.BAD_IMAGE
        except CameraError as error:
            yield stamp_ns, error


class _Heights:
    """The latest height above ground, without readings that are none, as the tracker takes them.

    A tracker takes the reading nearest in time; here none from behind the frame is known, so one
    may be twice as old.
    """

    def __init__(self, config: Config) -> None:
        self._relief_m = config.view.relief_m
        self._oldest_ns = round(2 * config.input.odometry_timeout_s * NS)
        self._height_m, self._stamp_ns = math.nan, 0

    def add(self, stamp_ns: int, message: Any) -> None:  # noqa: ANN401
        with suppress(BagError):  # a malformed one is none
            height_m = messages.height_m(message) - self._relief_m
            if MIN_HEIGHT_M <= height_m <= MAX_HEIGHT_M:
                self._height_m, self._stamp_ns = height_m, stamp_ns

    def at(self, stamp_ns: int) -> float | None:
        known = abs(stamp_ns - self._stamp_ns) <= self._oldest_ns
        return self._height_m if known and math.isfinite(self._height_m) else None


def _panoramas(
    recording: Recording,
    package: ModelPackage,
    config: Config,
    wanted: Callable[[int], bool],
    records: Iterable[Record],
) -> Iterator[tuple[int, _Made]]:
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
            try:
                made: _Made = views.stitch(pictures) if pictures else Reason.BAD_IMAGE
            except CameraError as error:
                made = error
            yield shot.stamp_ns, made


def _decoded(shot: Shot[Any], views: PanoramaView) -> dict[str, tuple[Image, int]]:
    pictures = {}
    for name, message in shot.payloads.items():
        with suppress(ImageDecodeError):
            pictures[name] = messages.reduced_rgb(message, views.reduction)
    return pictures
