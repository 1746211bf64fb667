# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording as the spine needs it: cameras with their mounts, motion, height; apart, truth."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader, Record
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.config import InputConfig
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError, GeodesyError
from geoloc_ros.geo.rotations import rpy_from_matrix
from geoloc_ros.geo.wgs84 import LocalFrame

logger = logging.getLogger(__name__)

FROM_IMAGES = "none"


@dataclass(frozen=True)
class Topics:
    """Which topic plays which part; an empty name: there is none.

    Attributes:
        images: camera of each image topic; the only camera has no name.
        camera_infos: CameraInfo topic of each image topic.
        odometry: of the vehicle.
        height: above ground.
    """

    images: dict[str, str]
    camera_infos: dict[str, str]
    odometry: str
    height: str

    @property
    def image(self) -> str:
        """The first image topic."""
        return next(iter(self.images))

    @property
    def all(self) -> tuple[str, ...]:
        """The topics the spine listens to."""
        return tuple(name for name in (*self.images, self.odometry, self.height) if name)


class Recording:
    """An opened bag with its topics resolved and its cameras known.

    Attributes:
        topics: which topic plays which part.
        cameras: by name, intrinsics and mount (4, 4), optical frame to base.
        frame_count: camera frames, or shots of a rig, that the recording promises.

    Args:
        reader: of the bag.
        config: which topics and frames.
        rig: whether all cameras are wanted, for panoramas; else there must be one.

    Raises:
        BagError: no camera, or several where one is wanted; no CameraInfo, no transform from base
            to camera.
        CameraError: a CameraInfo that describes no camera.
    """

    def __init__(self, reader: BagReader, config: InputConfig, rig: bool = False) -> None:
        self._reader = reader
        self.topics = _resolve(reader, config, rig)
        transforms = self._transforms()
        self.cameras: dict[str, tuple[CameraModel, FloatArray]] = {}
        for image, name in self.topics.images.items():
            info = self._first_camera_info(image)
            camera = CameraModel.from_camera_info(
                info.width, info.height, info.distortion_model, info.D, info.K
            )
            mount = messages.find_transform(transforms, config.base_frame, info.frame_id)
            self.cameras[name] = camera, mount
        counts = {topic.name: topic.count for topic in reader.topics()}
        self.frame_count = max(counts[image] for image in self.topics.images)

    @property
    def camera(self) -> CameraModel:
        """Intrinsics of the first camera."""
        return next(iter(self.cameras.values()))[0]

    @property
    def T_base_camera(self) -> FloatArray:
        """Mount (4, 4) of the first camera's optical frame."""
        return next(iter(self.cameras.values()))[1]

    def records(self) -> Iterator[Record]:
        """What the spine listens to, in the order it was recorded."""
        return self._reader.messages(self.topics.all)

    def truth(self, topic: str, plane: LocalFrame) -> tuple[list[int], list[FloatArray]]:
        """Reference poses for scoring: stamps, and x_m, y_m, yaw_rad (NaN if unknown) each.

        A PoseStamped is read as ENU relative to the first /ground_truth/fix only if the bag has
        one; a NavSatFix gives positions without heading.

        Raises:
            BagError: the topic is missing or carries nothing that can serve as truth.
        """
        self.check_truth(topic)
        kind = next(t.msgtype for t in self._reader.topics() if t.name == topic)
        if kind in messages.FIX_TYPES:
            return self._fixes(topic, plane)
        return self._poses(topic, plane)

    def check_truth(self, topic: str) -> None:
        """See that a topic can serve as truth.

        Raises:
            BagError: it is missing or of another type.
        """
        kinds = (*messages.FIX_TYPES, *messages.POSE_TYPES)
        self._reader.select(kinds, topic, "--truth")

    def _fixes(self, topic: str, plane: LocalFrame) -> tuple[list[int], list[FloatArray]]:
        stamps: list[int] = []
        poses: list[FloatArray] = []
        with suppress(BagError):
            for stamp, _, message in self._reader.messages((topic,)):
                found = messages.fix(message)
                if found is not None:
                    with suppress(GeodesyError):
                        xy = plane.to_xy(found[0].lat_deg, found[0].lon_deg)[0]
                        stamps.append(stamp)
                        poses.append(np.array([xy[0], xy[1], np.nan]))
        return stamps, poses

    def _poses(self, topic: str, plane: LocalFrame) -> tuple[list[int], list[FloatArray]]:
        """Headings and positions of a PoseStamped, moved to the plane by the fixes beside it."""
        fix_topics = [t.name for t in self._reader.of_type(messages.FIX_TYPES)]
        if not fix_topics:
            raise BagError(
                f"truth {topic} is a pose in its own frame and the bag has no NavSatFix that "
                "says where that frame lies; use --truth with a NavSatFix topic"
            )
        fix_stamps, fixes = self._fixes(fix_topics[0], plane)
        where = dict(zip(fix_stamps, fixes, strict=True))
        stamps: list[int] = []
        poses: list[FloatArray] = []
        with suppress(BagError):
            for stamp, _, message in self._reader.messages((topic,)):
                matrix = messages.pose_matrix(message)
                if matrix is not None and stamp in where:
                    yaw = rpy_from_matrix(matrix[:3, :3])[2]
                    stamps.append(stamp)
                    poses.append(np.array([*where[stamp][:2], yaw]))
        if not stamps:
            raise BagError(
                f"no pose of {topic} has the stamp of a fix of {fix_topics[0]}; "
                f"use --truth {fix_topics[0]}"
            )
        return stamps, poses

    def _first_camera_info(self, image: str) -> messages.CameraInfoData:
        topic = self.topics.camera_infos[image]
        if not topic:
            others = "" if len(self.topics.images) == 1 else ", or leave it out with --image-topic"
            raise BagError(
                f"{self._reader.path} has no CameraInfo for {image}; record it, or "
                f"make a bag with it: 'geoloc bag from-frames --help'{others}"
            )
        for _, _, message in self._reader.messages((topic,)):
            return messages.camera_info(message)
        raise BagError(f"{topic} has no messages")

    def _transforms(self) -> messages.Transforms:
        names = [t.name for t in self._reader.of_type(messages.TF_TYPES) if "static" in t.name]
        tables: list[Any] = []
        with suppress(BagError):  # of a damaged recording what could be read will do
            tables.extend(item[2] for item in (self._reader.messages(names) if names else ()))
        found: messages.Transforms = {}
        for table in tables:
            found.update(messages.static_transforms(table))
        return found


def _resolve(reader: BagReader, config: InputConfig, rig: bool) -> Topics:
    if rig:
        images = _rig_topics(reader, config)
        infos = {image: _beside(reader, image) for image in images}
        if len(images) == 1:
            infos = {image: _camera_info_topic(reader, config, image) for image in images}
    else:
        image = reader.select(messages.IMAGE_TYPES, config.image_topic, "--image-topic")
        images, infos = {image: ""}, {image: _camera_info_topic(reader, config, image)}
    odometry = ""
    if config.odometry_topic != FROM_IMAGES and (
        config.odometry_topic or reader.of_type(messages.ODOMETRY_TYPES)
    ):
        odometry = reader.select(
            messages.ODOMETRY_TYPES, config.odometry_topic, "--odometry-topic"
        )
    height = ""
    if config.height_topic or reader.of_type(messages.RANGE_TYPES):
        height = reader.select(
            messages.RANGE_TYPES, config.height_topic, "--set input.height_topic="
        )
    if not odometry:
        logger.info("no odometry topic: motion is taken from the images")
    return Topics(images, infos, odometry, height)


def _rig_topics(reader: BagReader, config: InputConfig) -> dict[str, str]:
    """Image topics of a rig, and the camera of each: what comes before `image` in its name.

    Raises:
        BagError: none, or two of one camera.
    """
    kinds = messages.IMAGE_TYPES
    names = [name.strip() for name in config.image_topic.split(",") if name.strip()]
    names = [reader.select(kinds, name, "--image-topic") for name in names]
    names = names or [topic.name for topic in reader.of_type(kinds)]
    if not names:
        reader.select(kinds)  # says what there is
    found: dict[str, str] = {}
    for name in names:
        camera = _folder(name).strip("/") or name.strip("/")
        if camera in found.values():
            twins = ", ".join(other for other in names if _folder(other).strip("/") == camera)
            raise BagError(
                f"camera {camera} has several image topics: {twins}; name the topics of all "
                "cameras, each once: --image-topic A,B,C"
            )
        found[name] = camera
    return found


def _folder(image: str) -> str:
    return image.removesuffix("/compressed").rsplit("/", 1)[0]


def _beside(reader: BagReader, image: str) -> str:
    """The CameraInfo topic beside an image topic, empty if there is none, or not one."""
    usable = [topic.name for topic in reader.of_type(messages.CAMERA_INFO_TYPES)]
    beside = [name for name in usable if name.rsplit("/", 1)[0] == _folder(image)]
    return beside[0] if len(beside) == 1 else ""


def _camera_info_topic(reader: BagReader, config: InputConfig, image: str) -> str:
    usable = [topic.name for topic in reader.of_type(messages.CAMERA_INFO_TYPES)]
    if config.camera_info_topic:
        return reader.select(
            messages.CAMERA_INFO_TYPES, config.camera_info_topic, "--set input.camera_info_topic="
        )
    return _beside(reader, image) or (usable[0] if len(usable) == 1 else "")
