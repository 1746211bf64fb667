# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which pictures the int8 engines of a network were calibrated on, on this machine.

A vehicle that opens an engine does not have the pictures; it finds their identity, which is part
of the engine's key, in `<root>/calibrations/<side>-<sha256 of the ONNX file>`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from geoloc_ros import durable
from geoloc_ros.datatypes import Image
from geoloc_ros.encoders.backends.base import Network

_FOLDER = "calibrations"


def identity(images: Image) -> str:
    """Sha256 of pictures (N, H, W, 3) and their shape."""
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def current(root: Path, network: Network) -> str:
    """Identity of the pictures a network was calibrated on last; empty if it never was."""
    try:
        found = _path(root, network).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return found if re.fullmatch("[0-9a-f]{64}", found) else ""


def make_current(root: Path, network: Network, digest: str) -> None:
    """Remember the pictures of an engine that was accepted.

    Raises:
        OSError: the disk refuses.
    """
    path = _path(root, network)
    path.parent.mkdir(exist_ok=True)
    durable.replace_bytes(path, (digest + "\n").encode())


def _path(root: Path, network: Network) -> Path:
    return root / _FOLDER / f"{network.side}-{network.sha256}"
