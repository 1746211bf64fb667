# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest

from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.training.augment import look_around

SPEC = QuerySpec(view="perspective", height_px=96, width_px=192, hfov_deg=90.0)


def test_a_camera_turned_left_sees_the_thing_ahead_to_its_right() -> None:
    image = np.zeros((1, 96, 192, 3), np.uint8)
    image[:, :, 95:97] = 255
    for seed in range(4):
        out, turn = look_around(
            image, SPEC, (115, 115, 110), np.random.default_rng(seed), share=1.0
        )
        column = int(np.argmax(out[0, 48, :, 0] * (out[0, 48, :, 0] > 130)))
        # Textbook pinhole: 96 pixels of focal length.
        assert column == pytest.approx(95.5 + 96.0 * np.tan(turn[0]), abs=1.5)
        assert turn[0] != 0.0


def test_cameras_left_alone_keep_their_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 96, 192, 3)).astype(np.uint8)
    out, turn = look_around(images, SPEC, (115, 115, 110), np.random.default_rng(1), share=0.0)
    np.testing.assert_array_equal(out, images)
    np.testing.assert_array_equal(turn, 0.0)
