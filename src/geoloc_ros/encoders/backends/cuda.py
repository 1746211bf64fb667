# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The few calls of CUDA's runtime that are needed, through NVIDIA's cuda-bindings.

It has wheels for Jetsons (aarch64) and brings no runtime of its own to install; PyTorch, which
could do the same, is not on a vehicle. Never run on a GPU by us; the calls and their signatures
are those of cuda-bindings 12.9, and its errors without a driver are what tests elsewhere saw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from geoloc_ros.errors import ModelError, first_line

Array = npt.NDArray[Any]

#: their first line names the release of the driver: on a PC, on a Jetson
_RELEASES = (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release"))


def gpu() -> dict[str, str]:
    """Name, compute capability and driver of the first GPU.

    Raises:
        ModelError: there is none that can be used, with the reason.
    """
    runtime = _runtime()
    properties = _asked(runtime.cudaGetDeviceProperties(0), runtime)
    driver = _asked(runtime.cudaDriverGetVersion(), runtime)
    return {
        "gpu": _text(properties.name),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "cuda": f"{driver // 1000}.{driver % 1000 // 10}",
        "driver": driver_release(_RELEASES),
    }


def driver_release(paths: tuple[Path, ...]) -> str:
    """What the system says of its driver, one line; empty if nothing."""
    for path in paths:
        try:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
        except (OSError, IndexError):
            continue
    return ""


class DeviceArray:
    """Memory on the GPU that host arrays are copied to and from.

    Attributes:
        pointer: its address there.

    Args:
        size_bytes: how much.

    Raises:
        ModelError: the GPU has not so much.
    """

    def __init__(self, size_bytes: int) -> None:
        self._runtime = _runtime()
        self.pointer = int(_asked(self._runtime.cudaMalloc(size_bytes), self._runtime))

    def put(self, array: Array, stream: Stream) -> None:
        """Begin to copy a contiguous host array here; it must live until the stream is done."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        stream.copy(self.pointer, array.ctypes.data, array.nbytes, kind)

    def get(self, array: Array, stream: Stream) -> None:
        """Begin to copy what is here to a contiguous host array."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        stream.copy(array.ctypes.data, self.pointer, array.nbytes, kind)

    def __del__(self) -> None:
        """Give the memory back."""
        if hasattr(self, "pointer"):
            self._runtime.cudaFree(self.pointer)


class Stream:
    """Work that the GPU does in order.

    Attributes:
        handle: as TensorRT takes it.

    Raises:
        ModelError: there is no GPU that can be used.
    """

    def __init__(self) -> None:
        self._runtime = _runtime()
        self._stream = _asked(self._runtime.cudaStreamCreate(), self._runtime)
        self.handle = int(self._stream)

    def copy(self, target: int, source: int, size_bytes: int, kind: Any) -> None:  # noqa: ANN401
        """Begin to copy between addresses.

        Raises:
            ModelError: CUDA refuses.
        """
        runtime = self._runtime
        _asked(runtime.cudaMemcpyAsync(target, source, size_bytes, kind, self._stream), runtime)

    def wait(self) -> None:
        """Wait until everything is done.

        Raises:
            ModelError: some of it failed.
        """
        _asked(self._runtime.cudaStreamSynchronize(self._stream), self._runtime)

    def __del__(self) -> None:
        """Give it back."""
        if hasattr(self, "handle"):
            self._runtime.cudaStreamDestroy(self._stream)


def _runtime() -> Any:  # noqa: ANN401 - cuda-bindings is untyped
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise ModelError(
            f"cuda-bindings is not installed ({first_line(error)}); install the one of this "
            "machine's CUDA, e.g. pip install 'cuda-bindings>=12.6,<13'"
        ) from error
    return runtime


def _asked(answer: tuple[Any, ...], runtime: Any) -> Any:  # noqa: ANN401
    """What a call gives beside its error code.

    Raises:
        ModelError: the code says that it failed.
    """
    code, *values = answer
    if int(code) != 0:
        raise ModelError(f"CUDA: {_text(runtime.cudaGetErrorString(code)[1])}")
    return values[0] if values else None


def _text(words: object) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)
