# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The encoders: small residual CNNs whose heads keep the coarse layout of what they saw.

Cross-view retrieval lives on layout, so no head pools it away (compare the spatial-aware pooling
of SAFA, Shi et al., NeurIPS 2019). The perspective pair goes one step further: the satellite crop
is resampled along the camera's own columns before its CNN, so that a column means the same bearing
on both sides (the polar transform of SAFA, here exact for a pinhole camera).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.encoders.package import QuerySpec, ReferenceSpec
from geoloc_ros.training.joint_norm import JointNorm, run_layers
from geoloc_ros.training.layout import (
    BINS,
    CLASSES,
    QUERY_COLUMNS,
    REFERENCE_COLUMNS,
    forward_m,
    tangents,
)
from geoloc_ros.training.precision import Precision
from geoloc_ros.training.side_by_side import both

Kind = Literal["perspective", "ground_plane"]

QUERY_SPECS: dict[str, QuerySpec] = {
    "perspective": QuerySpec(view="perspective", height_px=96, width_px=192, hfov_deg=90.0),
    "ground_plane": QuerySpec(view="ground_plane", height_px=112, width_px=112, extent_m=96.0),
}
REFERENCE_SPECS: dict[str, ReferenceSpec] = {
    "perspective": ReferenceSpec(size_px=144, extent_m=72.0, offset_forward_m=30.0),
    "ground_plane": ReferenceSpec(size_px=112, extent_m=96.0, offset_forward_m=0.0),
}
# Of RGB pixels in 0..1; round figures near those of both views.
MEAN = (0.45, 0.45, 0.43)
STD = (0.22, 0.22, 0.23)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """Size of one backbone.

    Attributes:
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        strides: stride of each stage's first block.
    """

    widths: tuple[int, ...] = (48, 96, 192)
    blocks: tuple[int, ...] = (1, 2, 2)
    strides: tuple[int, ...] = (1, 2, 2)


class Residual(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = JointNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = JointNorm(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), JointNorm(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H / stride, W / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


def backbone(spec: NetSpec) -> nn.Sequential:
    """A stem of stride 4 (one 8x8 convolution: the cheapest on a CPU) and residual stages."""
    width = spec.widths[0]
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 8, 4, 2, bias=False),
        JointNorm(width),
        nn.ReLU(inplace=True),
    ]
    for channels, count, stride in zip(spec.widths, spec.blocks, spec.strides, strict=True):
        for i in range(count):
            layers.append(Residual(width, channels, stride if i == 0 else 1))
            width = channels
    return nn.Sequential(*layers)


class ColumnHead(nn.Module):
    """Collapse each column of the feature map to a code, keep the columns' order, project.

    Attributes:
        column: (rows x 1) convolution, one code per column.
        project: all codes -> descriptor.
    """

    def __init__(self, channels: int, rows: int, columns: int, code: int, dim: int) -> None:
        super().__init__()
        self.column = nn.Conv2d(channels, code, (rows, 1), bias=False)
        self.norm = JointNorm(code)
        self.project = nn.Linear(code * columns, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, rows, columns) to unit vectors (N, dim)."""
        codes = F.relu(self.norm(self.column(x)))
        return F.normalize(self.project(codes.flatten(1)).float(), dim=1)


class GridHead(nn.Module):
    """Keep the coarse grid: squeeze channels, flatten, project."""

    def __init__(self, channels: int, cells: int, code: int, dim: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, code, 1, bias=False)
        self.norm = JointNorm(code)
        self.project = nn.Linear(code * cells, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) with h * w = cells to unit vectors (N, dim)."""
        codes = F.relu(self.norm(self.squeeze(x)))
        return F.normalize(self.project(codes.flatten(1)).float(), dim=1)


class LayoutHead(nn.Module):
    """Say from each column of a feature map what stands where along it; for training only."""

    def __init__(self, channels: int, rows: int, each: int) -> None:
        super().__init__()
        self.each = each
        self.column = nn.Conv2d(channels, each * BINS * len(CLASSES), (rows, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, rows, columns) to logits (N, BINS, each * columns, classes)."""
        y: Tensor = self.column(x).squeeze(2).unflatten(1, (self.each, BINS, len(CLASSES)))
        return y.permute(0, 2, 4, 1, 3).flatten(2, 3)


class PerspectiveQuery(nn.Module):
    """Camera view (N, 3, 96, 192), level pinhole of 90 degrees -> unit descriptors (N, dim)."""

    takes = 96, 192
    forget = False

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.features = backbone(NetSpec())
        self.head = ColumnHead(192, 6, 12, 96, dim)

    def look(self, image: Tensor) -> Tensor:
        """Features (N, 192, 6, 12) of normalised images."""
        return run_layers(self.features, image, self.forget)

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised images."""
        out: Tensor = self.head(self.look(image))
        return out


def column_grid(query: QuerySpec, reference: ReferenceSpec, rows: int, columns: int) -> Tensor:
    """Where to sample the reference crop so that columns are those of the camera.

    Column u looks along lateral = tan * forward with tan in +-tan(hfov / 2); rows run from the far
    end of the crop (top) to just ahead of the anchor, denser near the camera.

    Returns:
        (1, rows, columns, 2) x, y in -1..1 of the crop (`align_corners=False`).
    """
    forward = torch.from_numpy(forward_m(query, reference, rows)).float()[:, None]
    right = forward * torch.from_numpy(tangents(query, columns)).float()
    y = (reference.offset_forward_m - forward).expand_as(right) / (reference.extent_m / 2)
    return torch.stack([right / (reference.extent_m / 2), y], dim=-1)[None]


class PerspectiveReference(nn.Module):
    """Satellite crop (N, 3, 144, 144), heading up -> unit descriptors (N, dim)."""

    grid: Tensor
    takes = 144, 144
    forget = False

    def __init__(self, dim: int = 128, rows: int = 64, columns: int = 128) -> None:
        super().__init__()
        specs = QUERY_SPECS["perspective"], REFERENCE_SPECS["perspective"]
        self.register_buffer("grid", column_grid(*specs, rows, columns), persistent=False)
        self.features = backbone(
            NetSpec(widths=(48, 96, 160), blocks=(1, 2, 1), strides=(1, 2, 1))
        )
        self.head = ColumnHead(160, rows // 8, columns // 8, 96, dim)

    def look(self, image: Tensor) -> Tensor:
        """Features (N, 160, rows / 8, columns / 8) of normalised crops."""
        grid = self.grid.to(image.dtype).expand(image.shape[0], -1, -1, -1)
        along = F.grid_sample(image, grid, mode="bilinear", align_corners=False)
        return run_layers(self.features, along, self.forget)

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised crops."""
        out: Tensor = self.head(self.look(image))
        return out


class OverheadEncoder(nn.Module):
    """Overhead patch (N, 3, 112, 112), heading up -> unit descriptors (N, dim), for both sides.

    Exposure and colour balance are removed per image first: they are what satellite and drone
    agree on least. Unseen pixels carry the mean colour, zero after normalisation, and stay zero.
    """

    takes = 112, 112
    forget = False

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.features = backbone(NetSpec(widths=(40, 80, 160), blocks=(1, 2, 2)))
        self.head = GridHead(160, 49, 32, dim)

    def look(self, image: Tensor) -> Tensor:
        """Features (N, 160, 7, 7) of normalised images."""
        return run_layers(self.features, standardise(image), self.forget)

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised images."""
        out: Tensor = self.head(self.look(image))
        return out


def standardise(image: Tensor) -> Tensor:
    """Zero mean and unit deviation per image and channel over the seen pixels (N, 3, H, W).

    A pixel counts as unseen when all its channels lie within about one grey level of the mean
    colour, because that is what unseen pixels are filled with.
    """
    weight = (image.abs().sum(dim=1, keepdim=True) * 16.0 - 0.8).clamp(0.0, 1.0)
    total = weight.sum(dim=(2, 3), keepdim=True) + 1.0
    centred = image - (image * weight).sum(dim=(2, 3), keepdim=True) / total
    variance = (centred * centred * weight).sum(dim=(2, 3), keepdim=True) / total
    return centred * weight / torch.sqrt(variance + 0.01)


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
        query: the query encoder.
        reference: the reference encoder; the same module as `query` for ground_plane.
        query_layout: says the layout from the query's features; perspective only, if asked for.
        reference_layout: says it from the reference's.
        log_scale: logarithm of the inverse temperature.
    """

    def __init__(self, kind: str, dim: int = 128, layout: bool = True) -> None:
        super().__init__()
        self.kind = kind
        self.query: nn.Module
        self.reference: nn.Module
        self.query_layout: LayoutHead | None = None
        self.reference_layout: LayoutHead | None = None
        if kind == "perspective":
            self.query, self.reference = PerspectiveQuery(dim), PerspectiveReference(dim)
        else:
            self.query = self.reference = OverheadEncoder(dim)
        if kind == "perspective" and layout:
            self.query_layout = LayoutHead(192, 6, QUERY_COLUMNS // 12)
            self.reference_layout = LayoutHead(160, 8, REFERENCE_COLUMNS // 16)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forget(self, wanted: bool) -> None:
        """Whether the networks forget what they can work out again on the way back."""
        for encoder in (self.query, self.reference):
            encoder.forget = wanted  # type: ignore[assignment]

    def forward(self, query: Tensor, reference: Tensor, how: How) -> Seen:
        """Describe normalised queries (N, 3, H, W) and references (M, 3, h, w)."""

        def see(encoder: Any, head: LayoutHead | None, images: Tensor) -> tuple[Any, Any]:  # noqa: ANN401
            with how.precision.cast():
                features = encoder.look(images)
                return encoder.head(features), None if head is None else head(features)

        (q, q_layout), (r, r_layout) = both(
            lambda: see(self.query, self.query_layout, query),
            lambda: see(self.reference, self.reference_layout, reference),
            how.at_once and self.query is not self.reference,
        )
        return q, r, q_layout, r_layout
