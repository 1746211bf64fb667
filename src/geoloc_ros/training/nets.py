# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The encoders: small residual CNNs whose heads keep the coarse layout of what they saw.

Cross-view retrieval lives on layout, so no head pools it away (compare the spatial-aware pooling
of SAFA, Shi et al., NeurIPS 2019). The perspective pair goes one step further: the satellite crop
is resampled along the camera's own columns before its CNN, so that a column means the same bearing
on both sides (the polar transform of SAFA, here exact for a pinhole camera). The panorama pair
does the same all the way round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.encoders.package import QuerySpec, ReferenceSpec
from geoloc_ros.training.joint_norm import JointNorm, run_layers
from geoloc_ros.training.layout import (
    BINS,
    CLASSES,
    forward_m,
    tangents,
)

QUERY_SPECS: dict[str, QuerySpec] = {
    "perspective": QuerySpec(view="perspective", height_px=96, width_px=192, hfov_deg=90.0),
    "ground_plane": QuerySpec(view="ground_plane", height_px=112, width_px=112, extent_m=96.0),
    "panorama": QuerySpec(
        view="panorama", height_px=96, width_px=384, hfov_deg=360.0, vfov_deg=90.0,
        alignment="heading",
    ),
}  # fmt: skip
REFERENCE_SPECS: dict[str, ReferenceSpec] = {
    "perspective": ReferenceSpec(size_px=144, extent_m=72.0, offset_forward_m=30.0),
    "ground_plane": ReferenceSpec(size_px=112, extent_m=96.0, offset_forward_m=0.0),
    "panorama": ReferenceSpec(size_px=144, extent_m=72.0, offset_forward_m=0.0),
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
    stem = nn.Conv2d(3, width, 8, 4, 2, bias=False), JointNorm(width), nn.ReLU(inplace=True)
    layers: list[nn.Module] = [nn.Sequential(*stem)]
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
    """Camera view (N, 3, H, W) whose columns are bearings -> unit descriptors (N, dim)."""

    forget = False

    def __init__(self, dim: int = 128, size: tuple[int, int] = (96, 192), code: int = 96) -> None:
        super().__init__()
        self.features = backbone(NetSpec())
        self.head = ColumnHead(192, size[0] // 16, size[1] // 16, code, dim)

    def look(self, image: Tensor) -> Tensor:
        """Features (N, 192, H / 16, W / 16) of normalised images."""
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


def polar_grid(rows: int, columns: int) -> Tensor:
    """Where to sample a centred crop so that columns are those of a panorama.

    Columns run clockwise all the way round, up in the middle; rows from the edge of the crop (top)
    to its centre, denser near the centre.

    Returns:
        (1, rows, columns, 2) x, y in -1..1 of the crop (`align_corners=False`).
    """
    near = 0.06
    radius = near + (1.0 - near) * torch.linspace(1.0, 0.0, rows)[:, None] ** 1.4
    bearing = 2 * math.pi * ((torch.arange(columns) + 0.5) / columns - 0.5)
    return torch.stack([radius * bearing.sin(), -radius * bearing.cos()], dim=-1)[None]


class PerspectiveReference(nn.Module):
    """Satellite crop (N, 3, S, S), resampled along a view's columns -> unit descriptors (N, dim).

    Args:
        grid: (1, rows, columns, 2) where the view's columns lie in the crop.
        dim: numbers of a descriptor.
        code: numbers that a column is collapsed to.
    """

    grid: Tensor
    forget = False

    def __init__(self, grid: Tensor, dim: int = 128, code: int = 96) -> None:
        super().__init__()
        self.register_buffer("grid", grid, persistent=False)
        self.features = backbone(
            NetSpec(widths=(48, 96, 160), blocks=(1, 2, 1), strides=(1, 2, 1))
        )
        self.head = ColumnHead(160, grid.shape[1] // 8, grid.shape[2] // 8, code, dim)

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
