# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made-up imagery and camera views for report tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from fake_run import write_run

from geoloc_ros.evaluation import tables
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage


def fake_ortho(west_m: float, south_m: float, east_m: float, north_m: float, gsd_m: float = 0.5):
    """Blotchy ground with a 50 m grid of roads."""
    rng = np.random.default_rng(3)
    width, height = round((east_m - west_m) / gsd_m), round((north_m - south_m) / gsd_m)
    coarse = rng.integers(60, 150, (height // 24 + 2, width // 24 + 2, 3)).astype(np.uint8)
    rgb = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rgb[:, :, 1] = np.clip(rgb[:, :, 1].astype(int) + 20, 0, 255)
    step = round(50 / gsd_m)
    for at in range(0, max(width, height), step):
        rgb[:, at : at + 12] = (150, 150, 148)
        rgb[at : at + 12, :] = (150, 150, 148)
    return OrthoImage(
        rgb,
        np.ones((height, width), dtype=bool),
        LocalFrame(LatLon(47.0, 8.0)),
        west_m,
        north_m,
        gsd_m,
        {"attribution": "Made-up imagery"},
    )


def write_run_with_frames(out_dir: Path, *, with_truth: bool = True) -> Path:
    """A made-up run with a view kept for every fourth search."""
    write_run(out_dir, with_truth=with_truth)
    retrieval = tables.read_retrieval(out_dir)
    assert retrieval is not None
    rng = np.random.default_rng(4)
    (out_dir / "frames").mkdir()
    for stamp in np.unique(retrieval.stamp_ns)[::4].tolist():
        view = np.zeros((120, 240, 3), np.uint8)
        view[:50] = (235, 206, 170)
        view[50:] = rng.integers(70, 120)
        x = int(rng.integers(10, 200))
        cv2.rectangle(view, (x, 20), (x + 40, 60), rng.integers(60, 220, 3).tolist(), -1)
        cv2.imwrite(str(tables.frame_path(out_dir, stamp)), view)
    return out_dir
