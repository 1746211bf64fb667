# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Camera frames on disk, if somebody asked for them: pictures of streets show people."""

from __future__ import annotations

import logging

import cv2

from geoloc_ros.datatypes import CameraFrame
from geoloc_ros.errors import ConfigError
from geoloc_ros.ros.node_config import LocalizerConfig, user_path

logger = logging.getLogger(__name__)

MOST = 2000


class FrameRecorder:
    """Writes weighed frames as JPEG files named by their stamp, 2000 at most.

    Args:
        config: parameters of the node.

    Raises:
        ConfigError: frames are wanted, but there is no directory for them.
    """

    def __init__(self, config: LocalizerConfig) -> None:
        self._left = MOST if config.record_frames else 0
        self._folder = user_path(config.record_dir)
        if not config.record_frames:
            return
        if not config.record_dir:
            raise ConfigError("record_frames is set and record_dir is empty; name a directory")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"record_dir {self._folder} cannot be made: {error}") from error

    def keep(self, frame: CameraFrame) -> None:
        """Write one frame, of a rig all pictures, if frames are wanted; never raises."""
        for part in frame.parts or (frame,):
            self._write(part)

    def _write(self, frame: CameraFrame) -> None:
        if self._left <= 0 or frame.rgb is None:
            return
        path = self._folder / f"{frame.camera.replace('/', '_') or 'camera'}_{frame.stamp_ns}.jpg"
        done, data = cv2.imencode(".jpg", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
        try:
            if done:
                path.write_bytes(data.tobytes())
        except OSError as error:
            logger.warning("no more frames are recorded: %s", error)
            self._left = 0
        self._left -= 1
        if self._left == 0:
            logger.warning("%d frames recorded in %s; no more are", MOST, self._folder)
