# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels: loops over particles and entries, where it is the number of calls that costs.

A kernel is a plain function of arrays and numbers. It is compiled once per machine and kept beside
its source, or in the user's cache folder where that cannot be written. Neither fast-math nor
threads: the same input gives the same bytes. Division by zero gives inf or NaN. The compiler does
not notice a change in a kernel of *another* file, so kernels call kernels of their own file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function, compiled when it is first called with arguments of some types.

    Callers call it once in a constructor, so that no frame waits for the compiler.
    """
    return _compiled(function)


def released(function: Function) -> Function:
    """Like `compiled`; other threads run meanwhile: for kernels that change no shared array."""
    return _compiled(function, nogil=True)


def _compiled(function: Function, nogil: bool = False) -> Function:
    try:
        found = numba.njit(cache=True, error_model="numpy", nogil=nogil)(function)
    except RuntimeError:  # no folder can be written: compile anew in every process
        found = numba.njit(error_model="numpy", nogil=nogil)(function)
    return cast(Function, found)
