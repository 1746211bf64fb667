# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""An overhead descriptor that is designed, not learned: edges by direction, plants, brightness.

Photos by a drone and satellite imagery of another year share little colour but much structure.
Each patch is described by eight channels, each normalised by its own surroundings: gradient energy
in six directions without sign (compare HOG, Dalal and Triggs, CVPR 2005), excess green (Woebbecke
et al., Trans. ASAE 1995) and brightness. They are averaged over 14 x 14 overlapping cells, unseen
pixels left out, and projected to a short vector by partly whitened principal components (Jegou and
Chum, ECCV 2012). Only these components come from data: overhead imagery without any pairs.

The same graph describes query and reference. It is exported to ONNX and used like any encoder.
"""

from __future__ import annotations

import math

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.training.nets import MEAN, STD

SIZE_PX = 112
EXTENT_M = 128.0
DIM = 256
DIRECTIONS = 6
CHANNELS = DIRECTIONS + 2
#: cells along each side, and their distance in half-resolution pixels
CELLS, STRIDE = 14, 4
FEATURES = CHANNELS * CELLS * CELLS
#: of the averaging into cells, in half-resolution pixels
_CELL_SIGMA_PX = 2.3
_CONTRAST_SIGMA_M = 24.0
_CONTRAST_REACH_M = 30.0


class Blur(nn.Module):
    """Gaussian blur (N, C, H, W), each channel for itself, zeros outside."""

    column: Tensor
    row: Tensor

    def __init__(self, channels: int, sigma_px: float, reach_px: int, stride: int = 1) -> None:
        super().__init__()
        offset = torch.arange(-reach_px, reach_px + 1).float()
        kernel = torch.exp(-0.5 * (offset / sigma_px) ** 2)
        kernel = kernel / kernel.sum()
        length = 2 * reach_px + 1
        self.register_buffer("column", kernel.view(1, 1, length, 1).repeat(channels, 1, 1, 1))
        self.register_buffer("row", kernel.view(1, 1, 1, length).repeat(channels, 1, 1, 1))
        self._channels, self._reach_px, self._stride = channels, reach_px, stride

    def forward(self, image: Tensor) -> Tensor:
        """Blurred, every `stride`-th pixel."""
        reach, stride = self._reach_px, self._stride
        image = F.conv2d(image, self.column, None, (stride, 1), (reach, 0), groups=self._channels)
        return F.conv2d(image, self.row, None, (1, stride), (0, reach), groups=self._channels)


class StructureChannels(nn.Module):
    """Normalised pixels (N, 3, 112, 112) -> channels (N, 8, 56, 56) and seen share (N, 1, 56, 56).

    Pixels of exactly the fill colour, in patches of at least a few, were not seen.
    """

    mean: Tensor
    std: Tensor
    fill: Tensor
    sobel: Tensor
    cos: Tensor
    sin: Tensor

    def __init__(self, extent_m: float = EXTENT_M) -> None:
        super().__init__()
        px_m = 2.0 * extent_m / SIZE_PX
        self.soften = Blur(1, 1.0, 3)
        self.around = Blur(1, _CONTRAST_SIGMA_M / px_m, int(_CONTRAST_REACH_M / px_m))
        mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self.register_buffer("mean", mean)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.register_buffer("fill", (mean * 255.0).round() / 255.0)
        sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8.0
        self.register_buffer("sobel", torch.stack([sobel, sobel.T])[:, None])
        angle = 2.0 * torch.arange(DIRECTIONS) * math.pi / DIRECTIONS
        self.register_buffer("cos", torch.cos(angle).view(1, -1, 1, 1))
        self.register_buffer("sin", torch.sin(angle).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Channels and mask."""
        rgb, seen = self._seen(image * self.std + self.mean)
        red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        plants = (2.0 * green - red - blue) / (red + green + blue + 0.05)
        plants = self.soften(plants * seen) / self.soften(seen).clamp(min=0.1)
        near = self.around(seen) + 1e-3
        parts = [self._edges(grey, seen)]
        for x in (plants, grey):
            level = self.around(x * seen) / near
            spread = self.around((x - level) ** 2 * seen) / near
            parts.append(((x - level) / torch.sqrt(spread + 4e-4) * seen).clamp(-3.0, 3.0))
        return torch.cat(parts, dim=1), seen

    def _seen(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Half resolution, over seen pixels only."""
        unseen = ((rgb - self.fill).abs().amax(1, keepdim=True) < 0.004).float()
        unseen = (F.avg_pool2d(unseen, 3, 1, 1, count_include_pad=False) > 0.7).float()
        share = F.avg_pool2d(1.0 - unseen, 2)
        seen = (share > 0.9).float()
        half = F.avg_pool2d(rgb * (1.0 - unseen), 2) / share.clamp(min=0.25)
        return half * seen, seen

    def _edges(self, grey: Tensor, seen: Tensor) -> Tensor:
        """Gradient energy by direction, relative to that of the surroundings."""
        inner = (F.avg_pool2d(seen, 3, 1, 1, count_include_pad=False) > 0.99).float()
        gradient = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), self.sobel)
        x, y = gradient[:, 0:1], gradient[:, 1:2]
        square = x * x + y * y
        size = torch.sqrt(square + 1e-8)
        near = self.around(size * inner) / (self.around(inner) + 1e-3)
        weight = size / (size + near + 1e-3) * inner
        double_cos, double_sin = (x * x - y * y) / (square + 1e-8), 2.0 * x * y / (square + 1e-8)
        energy: Tensor = F.relu(double_cos * self.cos + double_sin * self.sin) ** 2 * weight
        return energy


class StructureFeatures(nn.Module):
    """Normalised pixels (N, 3, 112, 112) -> cells (N, 8, 14, 14) and seen cells (N, 1, 14, 14)."""

    def __init__(self, extent_m: float = EXTENT_M) -> None:
        super().__init__()
        self.channels = StructureChannels(extent_m)
        reach = round(2.0 * _CELL_SIGMA_PX)
        self.cells = Blur(CHANNELS, _CELL_SIGMA_PX, reach, STRIDE)
        self.share = Blur(1, _CELL_SIGMA_PX, reach, STRIDE)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Cell averages over what was seen."""
        channels, seen = self.channels(image)
        # the grid of cells is centred on the patch to a quarter of a cell
        channels, seen = channels[:, :, 1:, 1:], seen[:, :, 1:, 1:]
        total, weight = self.cells(channels), self.share(seen)
        full = self.share(torch.ones_like(seen))
        known = (weight / full > 0.35).float()
        return total / weight.clamp(min=0.05) * known, known


class StructureEncoder(nn.Module):
    """Normalised pixels (N, 3, 112, 112) -> unit descriptors (N, dim)."""

    level: Tensor
    scale: Tensor
    projection: Tensor

    def __init__(self, dim: int = DIM, extent_m: float = EXTENT_M) -> None:
        super().__init__()
        self.features = StructureFeatures(extent_m)
        self.register_buffer("level", torch.zeros(1, CHANNELS, 1, 1))
        self.register_buffer("scale", torch.ones(1, CHANNELS, 1, 1))
        self.register_buffer("projection", torch.zeros(dim, FEATURES))

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised patches."""
        cells, known = self.features(image)
        flat = self.standardised(cells, known).flatten(1)
        return F.normalize(F.linear(flat, self.projection), dim=1)

    def standardised(self, cells: Tensor, known: Tensor) -> Tensor:
        """Cells at the level and scale of their channel, unseen ones at the level."""
        return (cells - self.level) * self.scale * known

    @torch.no_grad()
    def fit(self, batches: list[Tensor], weights: Tensor, whitening: float) -> None:
        """Fit level, scale and principal components to overhead patches.

        Args:
            batches: normalised patches (N, 3, 112, 112) each.
            weights: (8,) importance of each channel.
            whitening: 0 leaves the components' variance, 1 makes all equal.
        """
        parts = [self.features(batch) for batch in batches]
        cells, known = (torch.cat(part) for part in zip(*parts, strict=True))
        count = known.sum().clamp(min=1.0)
        level = (cells * known).sum((0, 2, 3)) / count
        spread = ((cells - level.view(1, -1, 1, 1)) ** 2 * known).sum((0, 2, 3)) / count
        self.level.copy_(level.view(1, -1, 1, 1))
        self.scale.copy_((weights / torch.sqrt(spread + 1e-9)).view(1, -1, 1, 1))
        flat = self.standardised(cells, known).flatten(1).double()
        variance, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        dim = self.projection.shape[0]
        variance, vectors = variance.flip(0)[:dim], vectors.flip(1)[:, :dim]
        # signs of eigenvectors are arbitrary: the largest element is made positive
        largest = vectors.abs().argmax(dim=0)
        vectors = vectors * torch.sign(vectors[largest, torch.arange(dim)])
        projection = vectors * variance.clamp(min=1e-9) ** (-0.5 * whitening)
        self.projection.copy_(projection.T.float())
