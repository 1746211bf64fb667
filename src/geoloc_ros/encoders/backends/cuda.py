# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ten calls of CUDA's runtime that are needed, in the libcudart that the machine has.

A Jetson has that library, for its own kind of GPU; it has no PyTorch, and the wheels of NVIDIA's
cuda-python for aarch64 are made for servers. Never run on a GPU by us: the calls are those of the
documentation of CUDA 12.6, and what they say without a driver is what was seen.
"""

from __future__ import annotations

import ctypes
import importlib.util
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from geoloc_ros.errors import ModelError

Array = npt.NDArray[Any]

#: their first line names the release of the driver: on a PC, on a Jetson
_RELEASES = (Path("/proc/driver/nvidia/version"), Path("/etc/nv_tegra_release"))
_NAMES = ("libcudart.so.12", "libcudart.so.13", "libcudart.so")
_FOLDER = Path("/usr/local/cuda/lib64")
#: cudaDeviceProp begins with the name; what follows differs by version, and none is longer
_PROPERTIES_BYTES, _NAME_BYTES = 8192, 256
#: of enum cudaDeviceAttr and enum cudaMemcpyKind
_MAJOR, _MINOR = 75, 76
_TO_DEVICE, _TO_HOST = 1, 2

_SIGNATURES: dict[str, list[Any]] = {
    "cudaDriverGetVersion": [POINTER(c_int)],
    "cudaDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cudaGetDeviceProperties": [c_void_p, c_int],
    "cudaMalloc": [POINTER(c_void_p), c_size_t],
    "cudaFree": [c_void_p],
    "cudaMemcpyAsync": [c_void_p, c_void_p, c_size_t, c_int, c_void_p],
    "cudaStreamCreate": [POINTER(c_void_p)],
    "cudaStreamSynchronize": [c_void_p],
    "cudaStreamDestroy": [c_void_p],
}


def gpu() -> dict[str, str]:
    """Name, compute capability and driver of the first GPU.

    Raises:
        ModelError: there is none that can be used, with the reason.
    """
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    _call("cudaGetDeviceProperties", properties, 0)
    name = properties.raw[:_NAME_BYTES].split(b"\0", 1)[0]
    version = c_int()
    _call("cudaDriverGetVersion", ctypes.byref(version))
    return {
        "gpu": name.decode(errors="replace"),
        "compute_capability": f"{_attribute(_MAJOR)}.{_attribute(_MINOR)}",
        "cuda": f"{version.value // 1000}.{version.value % 1000 // 10}",
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
        pointer = c_void_p()
        _call("cudaMalloc", ctypes.byref(pointer), size_bytes)
        self.pointer = int(pointer.value or 0)

    def put(self, array: Array, stream: Stream) -> None:
        """Begin to copy a contiguous host array here; it must live until the stream is done."""
        stream.copy(self.pointer, array.ctypes.data, array.nbytes, _TO_DEVICE)

    def get(self, array: Array, stream: Stream) -> None:
        """Begin to copy what is here to a contiguous host array."""
        stream.copy(array.ctypes.data, self.pointer, array.nbytes, _TO_HOST)

    def __del__(self) -> None:
        """Give the memory back."""
        if hasattr(self, "pointer"):
            _library().cudaFree(self.pointer)


class Stream:
    """Work that the GPU does in order.

    Attributes:
        handle: as TensorRT takes it.

    Raises:
        ModelError: there is no GPU that can be used.
    """

    def __init__(self) -> None:
        handle = c_void_p()
        _call("cudaStreamCreate", ctypes.byref(handle))
        self.handle = int(handle.value or 0)

    def copy(self, target: int, source: int, size_bytes: int, kind: int) -> None:
        """Begin to copy between addresses.

        Raises:
            ModelError: CUDA refuses.
        """
        _call("cudaMemcpyAsync", target, source, size_bytes, kind, self.handle)

    def wait(self) -> None:
        """Wait until everything is done.

        Raises:
            ModelError: some of it failed.
        """
        _call("cudaStreamSynchronize", self.handle)

    def __del__(self) -> None:
        """Give it back."""
        if hasattr(self, "handle"):
            _library().cudaStreamDestroy(self.handle)


def _attribute(number: int) -> int:
    value = c_int()
    _call("cudaDeviceGetAttribute", ctypes.byref(value), number, 0)
    return value.value


def _call(name: str, *arguments: object) -> None:
    """Call CUDA.

    Raises:
        ModelError: it is not installed, or says that it failed.
    """
    library = _library()
    code = getattr(library, name)(*arguments)
    if code != 0:
        raise ModelError(f"CUDA: {library.cudaGetErrorString(code).decode(errors='replace')}")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """CUDA's runtime.

    Raises:
        ModelError: it is not installed.
    """
    for place in (*_NAMES, *(str(_FOLDER / name) for name in _NAMES), *_of_packages()):
        try:
            library = ctypes.CDLL(place)
        except OSError:
            continue
        for name, arguments in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_int
        library.cudaGetErrorString.argtypes = [c_int]
        library.cudaGetErrorString.restype = c_char_p
        return library
    raise ModelError(f"CUDA is not installed: there is no {_NAMES[-1]}")


def _of_packages() -> list[str]:
    """The libraries that NVIDIA's packages of PyPI bring along."""
    found = importlib.util.find_spec("nvidia")
    folders = [] if found is None else list(found.submodule_search_locations or ())
    return [str(path) for root in folders for path in Path(root).glob("*/lib/libcudart.so.*")]
