# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the vision tower is asked besides, while it learns; none of it is exported.

Letters at the end of questions say little about pixels. So the patch tokens are also asked what
stands where (`layout`), and every question directly, without words: a learned query per question
looks over the patches and chooses an option. All questions of a picture cost nothing that way.
And they are asked what the shipped encoders, which were trained ten times as long, make of the
same place (distillation, Hinton et al., 2015; of feature maps: Romero et al., ICLR 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.gguf_export import VisionSpec
from geoloc_ros.training.layout import CLASSES, QUERY_COLUMNS
from geoloc_ros.training.losses import layout_loss
from geoloc_ros.training.nets import (
    QUERY_SPECS,
    REFERENCE_SPECS,
    LayoutHead,
    column_grid,
)
from geoloc_ros.training.pair import EncoderPair
from geoloc_ros.training.precision import precision_on
from geoloc_ros.training.start import start_from

#: cells along each side of a crop whose class is asked
MAP_PX = 36


@dataclass(frozen=True)
class Lesson:
    """What is right of a batch, camera views before crops.

    Attributes:
        answers: (B, Q) true options, negative where not asked.
        ahead: (G, BINS, columns, classes) shares of what stands where.
        below: (B - G, MAP_PX, MAP_PX) classes of what lies where.
    """

    answers: Tensor
    ahead: Tensor
    below: Tensor


class DirectHead(nn.Module):
    """Patch tokens (B, N, C) -> logits (B, Q, most options), -inf where there is no option."""

    absent: Tensor

    def __init__(self, width: int, options: Sequence[int], heads: int = 4) -> None:
        super().__init__()
        count, most = len(options), max(options)
        self.query = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.weight = nn.Parameter(torch.randn(count, width, most) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(count, most))
        there = torch.arange(most) < torch.tensor(options)[:, None]
        self.register_buffer("absent", ~there, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Choose an option for every question."""
        query = self.query.expand(len(tokens), -1, -1)
        seen = self.norm(self.look(query, tokens, tokens, need_weights=False)[0])
        logits = torch.einsum("bqc,qco->bqo", seen.float(), self.weight) + self.bias
        return logits.masked_fill(self.absent, float("-inf"))


class Teacher:
    """The perspective encoders up to their feature maps, which are not trained.

    Attributes:
        channels: of the feature maps of camera views and of crops.
    """

    channels = (192, 160)

    def __init__(self, package: ModelPackage) -> None:
        """Take the weights of a package.

        Raises:
            TrainingError: it is not of perspective encoders of this architecture.
        """
        self._pair = EncoderPair("perspective")
        start_from(self._pair, package)
        self._pair.requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, views: Tensor, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps (G, 192, 6, 12) and (B - G, 160, 8, 16) of normalised pictures."""
        with precision_on(views.device).cast():
            query = self._pair.query.look(views)  # type: ignore[operator]
            reference = self._pair.reference.look(crops)  # type: ignore[operator]
        return query.float(), reference.float()


class Pupil(nn.Module):
    """Says from patch tokens what the teacher's feature maps hold.

    Features are compared as they deviate from their mean over a batch, in units of that deviation.
    """

    grid: Tensor

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.query = nn.Conv2d(width, Teacher.channels[0], (side // 6, side // 12))
        self.query.stride = self.query.kernel_size
        self.reference = nn.Linear(width, Teacher.channels[1])
        specs = QUERY_SPECS["perspective"], REFERENCE_SPECS["perspective"]
        self.register_buffer("grid", column_grid(*specs, 8, 16), persistent=False)

    def forward(self, views: Tensor, crops: Tensor, taught: tuple[Tensor, Tensor]) -> Tensor:
        """Mean squared error of both.

        Args:
            views: (G, C, side, side) patch tokens.
            crops: (B - G, C, side, side) patch tokens.
            taught: the teacher's maps.
        """
        grid = self.grid.expand(len(crops), -1, -1, -1)
        placed = F.grid_sample(crops.float(), grid, mode="bilinear", align_corners=False)
        said = self.query(views), self.reference(placed.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        losses = []
        for found, wanted in zip(said, taught, strict=True):
            deviation, mean = torch.std_mean(wanted, dim=(0, 2, 3), keepdim=True)
            target = ((wanted - mean) / (deviation + 0.05)).clamp(-4.0, 4.0)
            losses.append(F.mse_loss(found.float(), target))
        return losses[0] + losses[1]


class Lessons(nn.Module):
    """The heads that only training has.

    Attributes:
        direct: answers all questions without words.
        ahead: says what stands where ahead of the camera.
        below: says what lies in each cell of a crop.
        pupil: says what the teacher sees.
    """

    def __init__(self, spec: VisionSpec, options: Sequence[int]) -> None:
        """Make the heads.

        Raises:
            TrainingError: the patches do not divide the lessons' columns and cells.
        """
        super().__init__()
        self.side = spec.image_px // spec.patch_px
        if self.side % 12:
            raise TrainingError(
                f"{spec.image_px} px with patches of {spec.patch_px} px make {self.side} columns; "
                "the lessons need a multiple of 12"
            )
        self.cells = MAP_PX // self.side
        self.direct = DirectHead(spec.width, options)
        self.ahead = LayoutHead(spec.width, self.side, QUERY_COLUMNS // self.side)
        self.below = nn.Linear(spec.width, self.cells**2 * len(CLASSES))
        self.pupil = Pupil(spec.width, self.side)

    def forward(
        self, tokens: Tensor, lesson: Lesson, taught: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of the direct answers, of the layouts, and against the teacher.

        Args:
            tokens: (B, N, C) of camera views, then of crops.
            lesson: what is right.
            taught: the teacher's feature maps; None without one.
        """
        views = len(lesson.ahead)
        logits = self.direct(tokens)
        direct = F.cross_entropy(
            logits.flatten(0, 1), lesson.answers.flatten().clamp(min=-1), ignore_index=-1
        )
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, self.side, self.side)
        stands = layout_loss(self.ahead(grid[:views]), lesson.ahead)
        cells = self.below(tokens[views:])
        cells = cells.view(-1, self.side, self.side, self.cells, self.cells, len(CLASSES))
        cells = cells.permute(0, 5, 1, 3, 2, 4).reshape(-1, len(CLASSES), MAP_PX, MAP_PX)
        layout = stands + F.cross_entropy(cells, lesson.below)
        if taught is None:
            return direct, layout, torch.zeros(())
        return direct, layout, self.pupil(grid[:views], grid[views:], taught)
