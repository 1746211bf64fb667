# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from geoloc_ros.encoders.resizing import RESIZES, resized

RNG = np.random.default_rng(4)
PICTURE = RNG.integers(0, 256, (20, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize("how", sorted(RESIZES))
def test_rows_come_before_columns_and_flat_colours_stay(how):
    assert resized(PICTURE, 7, 11, how).shape == (7, 11, 3)
    flat = np.full((9, 13, 3), (10, 130, 250), dtype=np.uint8)
    assert np.array_equal(resized(flat, 18, 5, how), np.full((18, 5, 3), (10, 130, 250)))
    assert resized(PICTURE, 20, 36, how) is PICTURE


def test_halving_is_what_each_way_is_by_definition():
    blocks = PICTURE.reshape(10, 2, 18, 2, 3).astype(np.float64).mean(axis=(1, 3))
    for how in ("area", "linear", "linear_exact"):
        assert np.abs(resized(PICTURE, 10, 18, how) - blocks).max() <= 0.51
    # at a half, an averaging triangle of Pillow's spans four pixels with weights 1 3 3 1
    weights = np.array([1, 3, 3, 1]) / 8
    rows = sum(w * PICTURE[7 + i].astype(np.float64) for i, w in enumerate(weights))
    pixel = sum(w * rows[9 + i] for i, w in enumerate(weights))
    assert np.abs(resized(PICTURE, 10, 18, "pillow_bilinear")[4, 5] - pixel).max() <= 1.0
    assert np.abs(pixel - blocks[4, 5]).max() > 2.0


def test_views_into_larger_arrays_are_fine():
    turned = PICTURE[::-1, :, ::-1]
    for how in RESIZES:
        assert np.array_equal(
            resized(turned, 5, 6, how), resized(np.ascontiguousarray(turned), 5, 6, how)
        )
