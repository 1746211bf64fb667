# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a package describes pictures as the network it was made from does."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.words import parity_words
from geoloc_ros.errors import ModelError

#: between numbers of two unit descriptors, in float32
MOST_ABS = 1e-4
#: between two unit descriptors, in any precision
LEAST_COSINE = 0.9999
#: descriptors of different pictures that lie nearer say nothing
LEAST_DIFFERENCE = 1e-6
#: side of the patches of one colour that made pictures consist of, px
PATCH_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Differences between descriptors of the same pictures.

    Attributes:
        images: how many pictures, views and crops together.
        max_abs: largest difference of any number of any descriptor.
        mean_abs: mean difference of the numbers.
        cosine_min: least cosine of the two descriptors of a picture.
    """

    images: int
    max_abs: float
    mean_abs: float
    cosine_min: float

    @classmethod
    def of(cls, expected: Float32Array, found: Float32Array) -> Parity:
        """Compare unit descriptors (N, D) of the network with those (N, D) of its package."""
        a, b = expected.astype(np.float64), found.astype(np.float64)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return cls(
            images=len(a),
            max_abs=float(np.abs(a - b).max()),
            mean_abs=float(np.abs(a - b).mean()),
            cosine_min=float((np.einsum("nd,nd->n", a, b) / lengths).min()),
        )

    def check(self, precision: str) -> None:
        """See that the package is the network.

        Args:
            precision: `fp32`, or `fp16`, of which only the cosine is asked.

        Raises:
            ModelError: it is not.
        """
        close = self.max_abs <= MOST_ABS or precision == "fp16"
        if not (close and self.cosine_min >= LEAST_COSINE):
            limit = f"at most {MOST_ABS:g} and " if precision == "fp32" else ""
            raise ModelError(
                "the exported network describes otherwise than the one it was made from "
                f"({parity_words(asdict(self))}); {limit}a cosine of {LEAST_COSINE} are asked for "
                f"in {precision}. Nothing was imported"
                + ("; bring the network in fp32" if precision == "fp16" else "")
            )


@dataclass(frozen=True, slots=True)
class Probe:
    """Made pictures for both sides of a model, the same for the same seed.

    Attributes:
        views: (N, H, W, 3) uint8 RGB as the query encoder takes them.
        crops: (N, S, S, 3) uint8 RGB as the reference encoder takes them.
    """

    views: Image
    crops: Image

    @classmethod
    def of(cls, package: ModelPackage, count: int, seed: int) -> Probe:
        """`count` pictures for each side of a model: coloured patches, blurred, with noise."""
        rng = np.random.default_rng(seed)
        query, side = package.query, package.reference.size_px
        return cls(
            views=_pictures(rng, count, query.height_px, query.width_px),
            crops=_pictures(rng, count, side, side),
        )


def _pictures(rng: np.random.Generator, count: int, height: int, width: int) -> Image:
    coarse = (-(-height // PATCH_PX), -(-width // PATCH_PX), 3)
    pictures = np.empty((count, height, width, 3), dtype=np.uint8)
    for picture in pictures:
        patches = rng.integers(0, 256, coarse).astype(np.float32)
        smooth = cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)
        noise = rng.normal(scale=12.0, size=picture.shape)
        picture[:] = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    return pictures


def check_tells_apart(descriptors: Float32Array, what: str) -> None:
    """See that different pictures get different descriptors.

    Args:
        descriptors: (N, D) of N different pictures.
        what: which network, for the message.

    Raises:
        ModelError: they are all the same.
    """
    if len(descriptors) > 1 and np.ptp(descriptors, axis=0).max() < LEAST_DIFFERENCE:
        raise ModelError(
            f"{what} describes {len(descriptors)} different pictures alike (differences below "
            f"{LEAST_DIFFERENCE:g}): its weights are not trained, or another output of it is the "
            "descriptor"
        )
