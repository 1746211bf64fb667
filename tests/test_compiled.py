# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Kernels work, and give the same, where no folder can be written."""

import numba
import numpy as np

from geoloc_ros.compiled import compiled


def _halved(values):
    for i in range(len(values)):
        values[i] /= 2.0
    return values


def test_without_a_place_for_machine_code_kernels_are_compiled_anew(monkeypatch):
    njit = numba.njit

    def no_locator(*function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*function, **options)

    monkeypatch.setattr(numba, "njit", no_locator)
    np.testing.assert_array_equal(compiled(_halved)(np.array([1.0, 3.0])), [0.5, 1.5])
