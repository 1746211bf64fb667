# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Small pictures of some frames, kept beside the results for the report."""

from __future__ import annotations

from pathlib import Path

import cv2

from geoloc_ros.datatypes import Image
from geoloc_ros.evaluation import tables

#: of searched frames, and of frames that a model was asked about, at most
KEPT_FRAMES = 120
KEPT_WIDTH_PX = 480


class KeptPictures:
    """Keeps pictures of searched frames, and evenly spaced ones of frames that were asked about.

    Args:
        out: replay output directory.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._searched: set[int] = set()
        self._asked: list[int] = []
        self._asked_count, self._stride = 0, 1

    def searched(self, stamp_ns: int, rgb: Image) -> None:
        """Keep a searched frame (H, W, 3), unless there are enough."""
        if len(self._searched) < KEPT_FRAMES:
            self._searched.add(stamp_ns)
            self._write(stamp_ns, rgb)

    def asked(self, stamp_ns: int, rgb: Image) -> None:
        """Keep a frame (H, W, 3) that a model was asked about, or every so many of them."""
        if self._asked_count % self._stride == 0:
            self._asked.append(stamp_ns)
            self._write(stamp_ns, rgb)
        self._asked_count += 1
        if len(self._asked) > KEPT_FRAMES:
            for stamp in set(self._asked[1::2]) - self._searched:
                tables.frame_path(self._out, stamp).unlink(missing_ok=True)
            self._asked, self._stride = self._asked[::2], 2 * self._stride

    def _write(self, stamp_ns: int, rgb: Image) -> None:
        height = max(round(rgb.shape[0] * KEPT_WIDTH_PX / rgb.shape[1]), 1)
        small = cv2.resize(rgb, (KEPT_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
        path = tables.frame_path(self._out, stamp_ns)
        path.parent.mkdir(exist_ok=True)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
