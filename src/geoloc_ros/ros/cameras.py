# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is known of the cameras: their CameraInfo, their place in the transform tree."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np

from geoloc_ros import messages
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.datatypes import FloatArray, Reason
from geoloc_ros.errors import BagError

logger = logging.getLogger(__name__)


class Cameras:
    """Lens and mount of each camera, as far as they are known.

    Attributes:
        names: of all that are expected.
        faults: why a camera cannot be used, by name.

    Args:
        base_frame: frame of the vehicle.
    """

    def __init__(self, base_frame: str) -> None:
        self.names: set[str] = set()
        self.faults: dict[str, str] = {}
        self._base_frame = base_frame
        self._infos: dict[str, messages.CameraInfoData] = {}
        self._raw: dict[str, tuple[Any, ...]] = {}
        self._mounts: dict[str, FloatArray] = {}
        self._transforms: messages.Transforms = {}
        self._usable: set[str] = set()
        self._reasons: dict[str, Reason] = {}

    def expect(self, name: str) -> None:
        """Miss a camera until it is usable."""
        self.names.add(name)
        self._reasons[name] = Reason.NO_CAMERA_INFO

    def is_news(self, name: str, message: Any) -> bool:  # noqa: ANN401
        """Whether a CameraInfo says something else than the one before."""
        raw = (
            message.width,
            message.height,
            message.distortion_model,
            bytes(np.asarray(message.d, dtype=np.float64)),
            bytes(np.asarray(message.k, dtype=np.float64)),
            message.header.frame_id,
        )
        news = self._raw.get(name) != raw
        self._raw[name] = raw
        return news

    def set_info(self, name: str, info: messages.CameraInfoData) -> None:
        """Learn a camera's lens."""
        self._infos[name] = info

    def add_transforms(self, message: Any) -> list[str]:  # noqa: ANN401
        """Learn from a TFMessage; answers the cameras whose mount is now known or has changed."""
        for item in message.transforms:
            try:
                found = messages.static_transforms(SimpleNamespace(transforms=[item]))
            except BagError as error:  # the others are none the worse for it
                logger.warning("%s", error)
            else:
                self._transforms.update(found)
        return [name for name in self._infos if self._mount_changed(name)]

    def model(self, name: str) -> tuple[CameraModel, FloatArray] | None:
        """Lens and mount of a camera; None while one of them is missing.

        Raises:
            CameraError: the CameraInfo describes no camera.
        """
        info = self._infos[name]
        mount = self._mount(name)
        if mount is None:
            self._usable.discard(name)
            self._reasons[name] = Reason.NO_MOUNT
            self.faults[name] = (
                f"no transform from {self._base_frame} to {info.frame_id} on /tf_static"
            )
            return None
        self._mounts[name] = mount
        camera = CameraModel.from_camera_info(
            info.width, info.height, info.distortion_model, info.D, info.K
        )
        return camera, mount

    def usable(self, name: str) -> None:
        """A camera's frames can be used."""
        self._usable.add(name)
        self._reasons.pop(name, None)
        self.faults.pop(name, None)

    def unusable(self, name: str, why: str) -> None:
        """A camera's frames cannot be used."""
        self._usable.discard(name)
        self._reasons[name] = Reason.BAD_CAMERA_INFO
        self.faults[name] = why

    def waits_for_info(self, name: str) -> bool:
        """Whether nothing is known of a camera yet."""
        return self._reasons.get(name) is Reason.NO_CAMERA_INFO

    def missing(self) -> tuple[Reason, ...]:
        """Why no camera can be used; empty if one can."""
        return () if self._usable else tuple(sorted(set(self._reasons.values())))

    def _mount(self, name: str) -> FloatArray | None:
        try:
            return messages.find_transform(
                self._transforms, self._base_frame, self._infos[name].frame_id
            )
        except BagError:
            return None

    def _mount_changed(self, name: str) -> bool:
        found, known = self._mount(name), self._mounts.get(name)
        if found is None:
            return False
        return known is None or not np.allclose(found, known, atol=1e-9)
