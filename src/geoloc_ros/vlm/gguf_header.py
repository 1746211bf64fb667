# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads the head of a GGUF file: enough to say what it is and whether it is whole.

llama.cpp answers a file that it cannot use with a null pointer, and some with the end of the
process; what can be told without it is told here, before.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from geoloc_ros.errors import ModelError

PROJECTOR_ARCHITECTURE = "clip"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_ENTRIES, _LONGEST, _MOST_DIMENSIONS = 100_000, 1 << 24, 4
_STRING, _ARRAY = 8, 9
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
#: tensor type -> values and bytes of one block; a type that is not here is not measured
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24),
    8: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
}  # fmt: skip

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself.

    Attributes:
        path: the file.
        values: metadata by key; an array is left out (None).
        tensors: names of the tensors.
        needed_bytes: size of the whole file as its tensors demand, at least.
        found_bytes: size of the file.
    """

    path: Path
    values: dict[str, Value]
    tensors: tuple[str, ...]
    needed_bytes: int
    found_bytes: int

    @property
    def architecture(self) -> str:
        """Such as ``llama`` or ``qwen2vl``; ``clip`` for a vision tower with its projector."""
        return str(self.values.get("general.architecture", ""))

    @property
    def projector(self) -> str:
        """Type of the projector, empty for a language model."""
        both = ("clip.projector_type", "clip.vision.projector_type")
        return next((str(self.values[key]) for key in both if key in self.values), "")


def read_header(path: Path) -> GgufHeader:
    """Read the head of a GGUF file and see whether the rest can be there.

    Raises:
        ModelError: it cannot be read, is no GGUF file, or is shorter than its tensors demand.
    """
    try:
        with path.open("rb") as file:
            header = _read(path, file)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, ValueError, KeyError, RecursionError) as error:
        raise ModelError(
            f"{path} is no whole GGUF file: its head ends early or makes no sense ({error}); "
            "fetch it again"
        ) from error
    if header.found_bytes < header.needed_bytes:
        raise ModelError(
            f"{path} is cut off: {header.found_bytes} bytes, its tensors need "
            f"{header.needed_bytes}; fetch it again"
        )
    return header


def _read(path: Path, file: BinaryIO) -> GgufHeader:
    if file.read(4) != _MAGIC:
        raise ModelError(f"{path} is no GGUF file; llama.cpp reads models in that format only")
    version, tensors, entries = _unpack(file, "IQQ")
    if version not in _VERSIONS:
        raise ModelError(f"{path} is GGUF version {version}; versions 2 and 3 are read")
    if max(tensors, entries) > _MOST_ENTRIES:
        raise ValueError(f"{tensors} tensors and {entries} entries")
    values = {}
    for _ in range(entries):
        key = _string(file)
        values[key] = _value(file, *_unpack(file, "I"))
    names, end = [], 0
    for _ in range(tensors):
        name, last = _tensor(file)
        names.append(name)
        end = max(end, last)
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 16:
        raise ValueError(f"alignment {alignment!r}")
    start = -(-file.tell() // alignment) * alignment
    return GgufHeader(path, values, tuple(names), start + end, path.stat().st_size)


def _tensor(file: BinaryIO) -> tuple[str, int]:
    """Name of a tensor and where its data end, from the start of all data."""
    name = _string(file)
    (dimensions,) = _unpack(file, "I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"{dimensions} dimensions")
    shape = _unpack(file, "Q" * dimensions)
    kind, offset = _unpack(file, "IQ")
    values, size = _BLOCKS.get(kind, (1, 0))
    return name, offset + math.prod(shape) // values * size


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        value: Value = _unpack(file, _NUMBERS[kind])[0]
        return value
    inner, count = _unpack(file, "IQ")
    if count > _LONGEST:
        raise ValueError(f"an array of {count}")
    if inner in _NUMBERS:
        file.seek(count * struct.calcsize("<" + _NUMBERS[inner]), 1)
    else:
        for _ in range(count):
            _value(file, inner)
    return None


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    if length > _LONGEST:
        raise ValueError(f"a text of {length} bytes")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("the file ends")
    return data.decode("utf-8", errors="replace")


def _unpack(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))
