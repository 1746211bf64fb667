# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""No frame waits for the compiler."""

import numpy as np
from made_ground import STEP_NS, circle, motion

from geoloc_ros.filtering import estimate, kernels, measurement_model, motion_model, resampling
from geoloc_ros.index import cells, kriging

ROOMS = (kernels, resampling, estimate, measurement_model, motion_model, cells, kriging)


def signatures():
    return {
        f"{room.__name__}.{name}": len(kernel.signatures)
        for room in ROOMS
        for name, kernel in vars(room).items()
        if hasattr(kernel, "signatures")
    }


def test_a_drive_compiles_nothing(place, small):
    rng = np.random.default_rng(3)
    localizer = place.localizer(small)
    before = signatures()
    poses = circle(40)
    for i, pose in enumerate(poses):
        stamp = (i + 1) * STEP_NS
        step = motion(poses[max(i - 1, 0)], pose, stamp, rng)
        localizer.localize(place.frame(stamp, pose, rng), step)
    assert signatures() == before
    assert len(before) > 15
