# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The self-test: does a session say the same as ONNX Runtime on the CPU, on made pictures?

It tells a network that runs from one that does not: swapped inputs, wrong kernels, an engine of
something else. How much an engine of less than fp32 costs on real ground is measured apart
(`verdict`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.encoders.backends.base import Network, Session, describe_with
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.errors import ModelError, first_line

#: largest 1 - cosine of a descriptor by precision: fp32 differs by the order of sums, fp16 has 11
#: significant bits, int8 eight of a range that other pictures gave. What shows up is far from
#: these: on ONNX Runtime's CPU our models drift by 1e-5 in fp16 and 2e-3 in int8
#: (`bench/backends.py`), and a network that is not the same one by about 1
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-3, "int8": 5e-2}
PICTURES = 4
_OCTAVES = (3, 12, 48)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far descriptors (N, D) are from those of the CPU.

    Attributes:
        drift: largest 1 - cosine.
        difference: largest difference of a number.
    """

    drift: float
    difference: float


def made_pictures(network: Network, count: int = PICTURES, seed: int = 0) -> Image:
    """Pictures (N, H, W, 3) of coarse and fine blotches, the same for the same seed."""
    rng = np.random.default_rng(seed)
    height, width = network.size
    pictures = np.full((count, height, width, 3), 128.0)
    for cells in _OCTAVES:
        grid = rng.normal(size=(count, cells, cells, 3)).astype(np.float32)
        for picture, coarse in zip(pictures, grid, strict=True):
            picture += 30.0 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(pictures, 0.0, 255.0), dtype=np.uint8)


def drifts(found: Float32Array, wanted: Float32Array) -> FloatArray:
    """1 - cosine (N,) of descriptors (N, D), each to its own."""
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(1.0 - (a * b).sum(axis=1) / lengths)


def compare(session: Session, cpu: Session, network: Network) -> Parity:
    """Run both on made pictures.

    Args:
        session: to be tested.
        cpu: ONNX Runtime's on the CPU.
        network: what both run.

    Raises:
        ModelError: the session fails, or gives something that is no descriptors.
    """
    batch = OnnxEncoder(network.package).normalise(made_pictures(network))
    wanted = describe_with(cpu, batch)
    try:
        found = np.asarray(describe_with(session, batch))
    except ModelError:
        raise
    except Exception as error:  # runtimes' errors share no public base
        raise ModelError(f"its self-test failed: {first_line(error)}") from error
    if found.shape != wanted.shape or not np.isfinite(found).all():
        raise ModelError(
            f"its self-test gave {found.shape} with "
            f"{np.count_nonzero(~np.isfinite(found))} numbers that are not finite; "
            f"{wanted.shape} finite ones are expected"
        )
    drift = float(drifts(found, wanted).max())
    return Parity(drift, float(np.abs(found - wanted).max()))


def check(session: Session, cpu: Session, network: Network, precision: str) -> Parity:
    """See that a session says what the CPU says.

    Raises:
        ModelError: it fails, or drifts further than its precision explains.
    """
    found = compare(session, cpu, network)
    if not found.drift <= TOLERANCE[precision]:
        raise ModelError(
            f"its descriptors of made pictures differ from the CPU's by {found.drift:.2g} in "
            f"1 - cosine; {precision} explains {TOLERANCE[precision]:g}"
        )
    return found
