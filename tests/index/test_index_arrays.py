# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Arrays as files: NumPy reads them, and nothing but the bytes that were written is taken."""

import io

import numpy as np
import pytest

from geoloc_ros.index.arrays import from_bytes, to_bytes


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "uint32", "float16", "f4"])
@pytest.mark.parametrize("shape", [(0,), (7,), (0, 3), (5, 3), (123456,), (2, 3, 4)])
def test_arrays_come_back_and_numpy_reads_them(dtype, shape):
    array = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    content = bytearray(to_bytes(array))
    for found in (
        from_bytes(content, dtype, shape),
        from_bytes(content, dtype, (None, *shape[1:])),
        np.load(io.BytesIO(content), allow_pickle=False),
    ):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)


def test_rows_need_not_lie_one_after_the_other():
    array = np.arange(24, dtype=np.int32).reshape(4, 6)
    for turned in (array.T, array[:, ::2], array[::-1]):
        assert np.array_equal(np.load(io.BytesIO(to_bytes(turned))), turned)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("int16", (4, 3)), ("int32", (3, 4)), ("int32", (12,)), ("int32", (None, 4)),
     ("int32", (4, 3, 1)), (">i4", (4, 3)), ("float32", (4, 3)), ("int32", (None, 0))],
)  # fmt: skip
def test_what_is_not_expected_is_refused(dtype, shape):
    content = bytearray(to_bytes(np.zeros((4, 3), dtype=np.int32)))
    with pytest.raises(ValueError, match="no array of"):
        from_bytes(content, dtype, shape)


def test_every_bit_of_the_header_counts():
    content = to_bytes(np.zeros((4, 3), dtype=np.int32))
    for place in range(8 * (len(content) - 48)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        for shape in ((4, 3), (None, 3)):
            with pytest.raises(ValueError, match="no array of"):
                from_bytes(damaged, "int32", shape)
    for length in range(len(content)):
        with pytest.raises(ValueError, match="no array of"):
            from_bytes(bytearray(content[:length]), "int32", (None, 3))
