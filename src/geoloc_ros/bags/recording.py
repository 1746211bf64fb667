# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording as the spine needs it: a camera with its mount, motion, height; apart, truth."""

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
    """Which topic plays which part; an empty name: there is none."""

    image: str
    camera_info: str
    odometry: str
    height: str

    @property
    def all(self) -> tuple[str, ...]:
        """The topics the spine listens to."""
        return tuple(name for name in (self.image, self.odometry, self.height) if name)


class Recording:
    """An opened bag with its topics resolved and its camera known.

    Attributes:
        topics: which topic plays which part.
        camera: intrinsics.
        T_base_camera: (4, 4) mount of the camera's optical frame.
        frame_count: camera frames the recording promises.

    Raises:
        BagError: no or several cameras, no CameraInfo, no transform from base to camera.
        CameraError: a CameraInfo that describes no camera.
    """

    def __init__(self, reader: BagReader, config: InputConfig) -> None:
        self._reader, self._base_frame = reader, config.base_frame
        self.topics = _resolve(reader, config)
        info = self._first_camera_info()
        self.camera = CameraModel.from_camera_info(
            info.width, info.height, info.distortion_model, info.D, info.K
        )
        self.T_base_camera = messages.find_transform(
            self._transforms(), config.base_frame, info.frame_id
        )
        counts = {topic.name: topic.count for topic in reader.topics()}
        self.frame_count = counts[self.topics.image]

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

    def place_of(self, frame_id: str) -> FloatArray | None:
        """Where a frame lies on the vehicle (3,), m; None where /tf_static does not say."""
        try:
            matrix = messages.find_transform(self._transforms(), self._base_frame, frame_id)
        except BagError:
            return None
        return matrix[:3, 3]

    def _first_camera_info(self) -> messages.CameraInfoData:
        if not self.topics.camera_info:
            raise BagError(
                f"{self._reader.path} has no CameraInfo for {self.topics.image}; record it, or "
                "make a bag with it: 'geoloc bag from-frames --help'"
            )
        for _, _, message in self._reader.messages((self.topics.camera_info,)):
            return messages.camera_info(message)
        raise BagError(f"{self.topics.camera_info} has no messages")

    def _transforms(self) -> messages.Transforms:
        names = [t.name for t in self._reader.of_type(messages.TF_TYPES) if "static" in t.name]
        tables: list[Any] = []
        with suppress(BagError):  # of a damaged recording what could be read will do
            tables.extend(item[2] for item in (self._reader.messages(names) if names else ()))
        found: messages.Transforms = {}
        for table in tables:
            found.update(messages.static_transforms(table))
        return found


def _resolve(reader: BagReader, config: InputConfig) -> Topics:
    image = reader.select(messages.IMAGE_TYPES, config.image_topic, "--image-topic")
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
    return Topics(image, _camera_info_topic(reader, config, image), odometry, height)


def _camera_info_topic(reader: BagReader, config: InputConfig, image: str) -> str:
    usable = [topic.name for topic in reader.of_type(messages.CAMERA_INFO_TYPES)]
    if config.camera_info_topic:
        return reader.select(
            messages.CAMERA_INFO_TYPES, config.camera_info_topic, "--set input.camera_info_topic="
        )
    folder = image.removesuffix("/compressed").rsplit("/", 1)[0]
    beside = [name for name in usable if name.rsplit("/", 1)[0] == folder]
    if len(beside) == 1:
        return beside[0]
    return usable[0] if len(usable) == 1 else ""
