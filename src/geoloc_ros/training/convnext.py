# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt (Liu et al., A ConvNet for the 2020s, CVPR 2022), as an encoder.

Modules carry the names that timm gives them, so that weights made with timm's
`convnext_*` (without a classifier, `num_classes=0`) load by name and without timm. The picture is
cut into patches of 4 x 4 pixels, passes four stages that halve rows and columns between them, and
ends as the mean over all positions, normalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

#: of every layer normalisation, as in the paper's code; torch's own default is 1e-5
EPSILON = 1e-6
#: what the factor of each block's branch starts from (CaiT's LayerScale)
SCALE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNextSpec:
    """Size of a ConvNeXt; the defaults are ConvNeXt-B.

    Attributes:
        depths: blocks of each stage.
        widths: channels of each stage; the last is the length of a descriptor.
    """

    depths: tuple[int, int, int, int] = (3, 3, 27, 3)
    widths: tuple[int, int, int, int] = (128, 256, 512, 1024)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (N, C, H, W), at each position."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        y = F.layer_norm(
            x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps
        )
        return y.permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Two linear layers around a GELU, at each position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """A 7 x 7 depthwise convolution and an MLP, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.mlp = Mlp(channels)
        self.gamma = nn.Parameter(torch.full((channels,), SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        y: Tensor = self.conv_dw(x).permute(0, 2, 3, 1)
        y = self.mlp(self.norm(y)) * self.gamma
        return x + y.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks of one width; all stages but the first halve rows and columns before."""

    def __init__(self, before: int, channels: int, depth: int, halve: bool) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if halve:
            self.downsample = nn.Sequential(
                ChannelNorm(before, eps=EPSILON), nn.Conv2d(before, channels, 2, stride=2)
            )
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_before, H, W) to (N, C, H / 2, W / 2), rounded down."""
        out: Tensor = self.blocks(self.downsample(x))
        return out


class Head(nn.Module):
    """Mean over all positions, normalised over the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C)."""
        out: Tensor = self.norm(x.mean(dim=(2, 3)))
        return out


class ConvNext(nn.Module):
    """The network: normalised pictures (N, 3, H, W), 32 x 32 or larger, to features (N, C)."""

    def __init__(self, spec: ConvNextSpec | None = None) -> None:
        super().__init__()
        spec = spec or ConvNextSpec()
        first = spec.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=4), ChannelNorm(first, eps=EPSILON)
        )
        before = (first, *spec.widths[:-1])
        self.stages = nn.Sequential(
            *(
                Stage(old, new, depth, halve=i > 0)
                for i, (old, new, depth) in enumerate(
                    zip(before, spec.widths, spec.depths, strict=True)
                )
            )
        )
        self.head = Head(spec.widths[-1])

    def forward(self, image: Tensor) -> Tensor:
        """Describe pictures; the features are not of unit length yet."""
        out: Tensor = self.head(self.stages(self.stem(image)))
        return out
