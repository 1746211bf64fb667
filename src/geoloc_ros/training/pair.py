# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of encoder pairs that can be trained: their networks, and what they look at."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.datatypes import Image
from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.convnext import ConvNext, ConvNextSpec
from geoloc_ros.training.joint_norm import run_layers
from geoloc_ros.training.layout import QUERY_COLUMNS, REFERENCE_COLUMNS
from geoloc_ros.training.nets import (
    MEAN,
    QUERY_SPECS,
    REFERENCE_SPECS,
    STD,
    LayoutHead,
    OverheadEncoder,
    PerspectiveQuery,
    PerspectiveReference,
    column_grid,
    polar_grid,
)
from geoloc_ros.training.pictures import fitted, to_tensor
from geoloc_ros.training.precision import Precision
from geoloc_ros.training.side_by_side import both

# ConvNeXts are trained on ImageNet first, and keep its colours.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONVNEXTS = {
    "convnext_tiny": ConvNextSpec(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768)),
    "convnext_base": ConvNextSpec(),
}
SMALL = ("perspective", "ground_plane", "panorama")
KINDS = (*SMALL, *CONVNEXTS)
_GRID = 64, 128  # rows and columns of a crop along a camera's columns


class ConvNextEncoder(nn.Module):
    """A ConvNeXt whose features are unit descriptors; for both sides, of any picture size."""

    forget = False

    def __init__(self, spec: ConvNextSpec) -> None:
        super().__init__()
        self.net = ConvNext(spec)

    def look(self, image: Tensor) -> Tensor:
        """Features (N, C, H / 32, W / 32) of normalised pictures."""
        layers: list[nn.Module] = [self.net.stem]
        for stage in self.net.stages:
            halve, blocks = stage.children()
            layers += [halve, *blocks.children()]
        return run_layers(nn.Sequential(*layers), image, self.forget)

    def head(self, features: Tensor) -> Tensor:
        """Unit descriptors (N, C) of features."""
        return F.normalize(self.net.head(features).float(), dim=1)

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised pictures."""
        return self.head(self.look(image))


def card_of(kind: str) -> ModelPackage:
    """What encoders of a kind look at, as the card of a package that has no files yet.

    Raises:
        TrainingError: no such kind.
    """
    if kind not in KINDS:
        raise TrainingError(f"no kind {kind!r} of encoders; choose from {', '.join(KINDS)}")
    if kind in SMALL:
        query, reference = QUERY_SPECS[kind], REFERENCE_SPECS[kind]
        return _card(kind, query, reference, (MEAN, STD), 128, "area")
    query = QuerySpec(
        view="panorama", height_px=384, width_px=768, hfov_deg=360.0, vfov_deg=180.0,
        alignment="north",
    )  # fmt: skip
    reference = ReferenceSpec(size_px=384, extent_m=71.0, offset_forward_m=0.0)
    dim = CONVNEXTS[kind].widths[-1]
    return _card(kind, query, reference, (IMAGENET_MEAN, IMAGENET_STD), dim, "linear_exact")


def _card(
    kind: str, query: QuerySpec, reference: ReferenceSpec,
    colours: tuple[tuple[float, float, float], tuple[float, float, float]], dim: int, resize: str,
) -> ModelPackage:  # fmt: skip
    return ModelPackage(
        root=Path(), name=kind, version="0", query=query, reference=reference, mean=colours[0],
        std=colours[1], descriptor_dim=dim, files={}, resize=resize,
    )  # fmt: skip


def _networks(card: ModelPackage, kind: str) -> tuple[nn.Module, nn.Module]:
    """Query and reference encoder of a kind, the same one twice where one serves both."""
    dim, query = card.descriptor_dim, card.query
    size = query.height_px, query.width_px
    if kind == "perspective":
        grid = column_grid(query, card.reference, *_GRID)
        return PerspectiveQuery(dim, size), PerspectiveReference(grid, dim)
    if kind == "panorama":
        crop = PerspectiveReference(polar_grid(64, 256), dim, 64)
        return PerspectiveQuery(dim, size, 64), crop
    one = OverheadEncoder(dim) if kind == "ground_plane" else ConvNextEncoder(CONVNEXTS[kind])
    return one, one


@dataclass(frozen=True, slots=True)
class How:
    """How a pair of encoders is run in training; it changes time and memory, not the answer.

    Attributes:
        precision: of the networks.
        at_once: run the two networks in two threads.
    """

    precision: Precision
    at_once: bool = False


# Descriptors (N, D) and (M, D), and what the layout heads say of each, if there are any.
Seen = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


class EncoderPair(nn.Module):
    """Query and reference encoder of one kind, with the learned temperature of their loss.

    Attributes:
        kind: one of `KINDS`.
        card: what they look at.
        query: the query encoder.
        reference: the reference encoder; the same module as `query` where one serves both sides.
        query_layout: says the layout from the query's features; perspective only, if asked for.
        reference_layout: says it from the reference's.
        log_scale: logarithm of the inverse temperature.
    """

    def __init__(self, kind: str, layout: bool = False, card: ModelPackage | None = None) -> None:
        super().__init__()
        self.kind, self.card = kind, card or card_of(kind)
        self.query, self.reference = _networks(self.card, kind)
        self.query_layout: LayoutHead | None = None
        self.reference_layout: LayoutHead | None = None
        if kind == "perspective" and layout:
            self.query_layout = LayoutHead(192, 6, QUERY_COLUMNS // 12)
            self.reference_layout = LayoutHead(160, 8, REFERENCE_COLUMNS // 16)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def shared(self) -> bool:
        """Whether one network serves both sides."""
        return self.query is self.reference

    def forget(self, wanted: bool) -> None:
        """Whether the networks forget what they can work out again on the way back."""
        for encoder in (self.query, self.reference):
            encoder.forget = wanted  # type: ignore[assignment]

    def queries(self, pictures: Image) -> Tensor:
        """Pictures (N, H, W, 3) as the query encoder takes them, on its device."""
        spec = self.card.query
        return self._given(pictures, spec.height_px, spec.width_px)

    def references(self, pictures: Image) -> Tensor:
        """Pictures (N, h, w, 3) as the reference encoder takes them, on its device."""
        side = self.card.reference.size_px
        return self._given(pictures, side, side)

    def _given(self, pictures: Image, height: int, width: int) -> Tensor:
        tensor = to_tensor(pictures, self.card.mean, self.card.std)
        return fitted(tensor.to(self.log_scale, non_blocking=True), height, width)

    def forward(self, query: Tensor, reference: Tensor, how: How) -> Seen:
        """Describe normalised queries (N, 3, H, W) and references (M, 3, h, w)."""

        def see(encoder: Any, head: LayoutHead | None, images: Tensor) -> tuple[Any, Any]:  # noqa: ANN401
            with how.precision.cast():
                features = encoder.look(images)
                return encoder.head(features), None if head is None else head(features)

        (q, q_layout), (r, r_layout) = both(
            lambda: see(self.query, self.query_layout, query),
            lambda: see(self.reference, self.reference_layout, reference),
            how.at_once and not self.shared,
        )
        return q, r, q_layout, r_layout


def kind_of(package: ModelPackage) -> str:
    """The kind of encoders in a package: as its training says, else by view and length.

    Raises:
        TrainingError: none that can be trained here.
    """
    said = package.training.get("settings", {}).get("kind")
    if said in KINDS:
        return str(said)
    for kind, spec in CONVNEXTS.items():
        if package.descriptor_dim == spec.widths[-1]:
            return kind
    if package.descriptor_dim == 128 and package.query.view in SMALL:
        return package.query.view
    raise TrainingError(
        f"{package.name} holds encoders of {package.descriptor_dim} numbers that cannot be "
        f"trained here; known are {', '.join(KINDS)}"
    )


def card_from(package: ModelPackage) -> ModelPackage:
    """What the encoders of a package look at, as the card of one without files."""
    return dataclasses.replace(
        card_of(kind_of(package)),
        query=package.query,
        reference=package.reference,
        mean=package.mean,
        std=package.std,
        resize=package.resize,
    )
