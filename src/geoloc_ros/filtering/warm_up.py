# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiles the filter's kernels before the first frame needs them."""

from __future__ import annotations

from functools import cache

import numpy as np

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Candidates, FloatArray, Mask, Motion
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering.belief import Belief

METRE = np.array([1.0, 0.0, 0.0])
FRAMES = 12


@cache
def warm_up() -> None:
    """Drive a throwaway belief a few metres: its kernels are compiled, or read, once a process."""
    belief = Belief(FilterConfig(), Calibration(), seed=0)
    poses = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    places = Candidates(np.arange(2), poses, np.ones(2, dtype=np.float32))
    for frame in range(FRAMES):
        belief.predict(Motion(frame, frame + 1, METRE, np.diag([1e-4, 1e-4, 1e-6])))
        belief.update(_similarity, places if belief.wants_candidates() else None)
        belief.estimate(frame)


def _similarity(poses: FloatArray) -> tuple[FloatArray, Mask]:
    """High at one place, so that modes are weighed, dropped and drawn anew."""
    return np.exp(-(poses[:, 0] ** 2) / 50.0), np.ones(len(poses), dtype=np.bool_)
