# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Large encoders that teach small ones what looks alike."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import cv2
import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.datatypes import Image
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.augment import normalise


class Teacher(Protocol):
    """Describes the pictures a student learns from."""

    def describe(self, query: Image, reference: Image) -> tuple[Tensor, Tensor]:
        """Unit descriptors (N, E) and (M, E) of pictures (N, H, W, 3) and (M, h, w, 3)."""
        ...


def check_same_view(
    teacher: tuple[QuerySpec, ReferenceSpec], student: tuple[QuerySpec, ReferenceSpec]
) -> None:
    """See that two models look at the same thing; their pictures may differ in size.

    Raises:
        TrainingError: another view, field of view, extent or offset.
    """
    pairs = {
        "view": (teacher[0].view, student[0].view),
        "field of view (degrees)": (teacher[0].hfov_deg, student[0].hfov_deg),
        "query extent (m)": (teacher[0].extent_m, student[0].extent_m),
        "crop extent (m)": (teacher[1].extent_m, student[1].extent_m),
        "crop offset (m)": (teacher[1].offset_forward_m, student[1].offset_forward_m),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise TrainingError(
                f"the teacher's {what} is {theirs}, the student's {ours}; they must look at the "
                "same thing: choose another --teacher or --kind"
            )


def look_of(card: ModelPackage, teacher: ModelPackage | None) -> ModelPackage:
    """What pictures are made for: the encoders of a card, or a teacher with a sharper eye.

    Raises:
        TrainingError: the teacher looks at something else.
    """
    if teacher is None:
        return card
    check_same_view((teacher.query, teacher.reference), (card.query, card.reference))
    query, reference = card.query, card.reference
    return dataclasses.replace(
        card,
        query=dataclasses.replace(
            query,
            height_px=max(teacher.query.height_px, query.height_px),
            width_px=max(teacher.query.width_px, query.width_px),
        ),
        reference=dataclasses.replace(
            reference, size_px=max(teacher.reference.size_px, reference.size_px)
        ),
    )


def sized(pictures: Image, height: int, width: int) -> Image:
    """Pictures (N, H, W, 3) of another size; smaller ones are averages."""
    if pictures.shape[1:3] == (height, width):
        return pictures
    smaller = height <= pictures.shape[1] and width <= pictures.shape[2]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.stack([cv2.resize(p, (width, height), interpolation=how) for p in pictures])


class PackageTeacher:
    """A model package that teaches; it is run as onboard."""

    def __init__(self, package: ModelPackage, threads: int = 1) -> None:
        self._package = package
        self._encoder = OnnxEncoder(package, threads)

    def describe(self, query: Image, reference: Image) -> tuple[Tensor, Tensor]:
        """Unit descriptors of pictures, see `Teacher`."""
        spec, side = self._package.query, self._package.reference.size_px
        q = self._encoder.encode_query(sized(query, spec.height_px, spec.width_px))
        r = self._encoder.encode_reference(sized(reference, side, side))
        return torch.from_numpy(q), torch.from_numpy(r)


class ModuleTeacher:
    """Torch networks that teach: (N, 3, H, W) normalised pictures -> (N, E).

    Args:
        query: of queries.
        reference: of references; may be the same network.
        specs: what the two take.
        mean: of the normalisation, per RGB channel of pixels in 0..1.
        std: the same.
        device: on which they run.
    """

    def __init__(
        self,
        query: nn.Module,
        reference: nn.Module,
        specs: tuple[QuerySpec, ReferenceSpec],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cpu")
        self._networks = [n.to(self._device).eval().requires_grad_(False)
                          for n in (query, reference)]  # fmt: skip
        self._specs, self._mean, self._std = specs, mean, std

    @torch.no_grad()
    def describe(self, query: Image, reference: Image) -> tuple[Tensor, Tensor]:
        """Unit descriptors of pictures, see `Teacher`."""
        spec, side = self._specs[0], self._specs[1].size_px
        pictures = sized(query, spec.height_px, spec.width_px), sized(reference, side, side)
        found = []
        for network, images in zip(self._networks, pictures, strict=True):
            given = torch.from_numpy(normalise(images, self._mean, self._std)).to(self._device)
            found.append(nn.functional.normalize(network(given).float(), dim=1))
        return found[0], found[1]
