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
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

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


_item_pointer: Any = cgutils.get_item_pointer


def _fetch_ahead(_typing: Any, array: Any, row: Any, column: Any) -> Any:  # noqa: ANN401 - numba's
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        kind = signature.args[0]
        held = context.make_array(kind)(context, builder, values[0])
        at = _item_pointer(context, builder, kind, held, values[1:])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", (byte,), hint)
        # to read; into the second cache, where more can be on its way; data
        builder.call(fetch, [builder.bitcast(at, byte), *(number(i) for i in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(array, row, column), emit


#: in a kernel: let the memory fetch the 64 bytes around `array[row, column]`, which are read soon
fetch_ahead = cast(Callable[[npt.NDArray[Any], int, int], None], intrinsic(_fetch_ahead))
