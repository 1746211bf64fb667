# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the vision tower is asked besides, while it learns; none of it is exported.

Letters at the end of questions say little about pixels. So the patch tokens are also asked what
stands where (`layout`), and every question directly, without words: a learned query per question
looks over the patches and chooses an option. All questions of a picture cost nothing that way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.training.gguf_export import VisionSpec
from geoloc_ros.training.layout import CLASSES, QUERY_COLUMNS
from geoloc_ros.training.losses import layout_loss
from geoloc_ros.training.nets import LayoutHead

#: cells along each side of a crop whose class is asked
MAP_PX = 36


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


class Lessons(nn.Module):
    """The heads that only training has.

    Attributes:
        direct: answers all questions without words.
        ahead: says what stands where ahead of the camera.
        below: says what lies in each cell of a crop.
    """

    def __init__(self, spec: VisionSpec, options: Sequence[int]) -> None:
        super().__init__()
        self.side = spec.image_px // spec.patch_px
        self.cells = MAP_PX // self.side
        self.direct = DirectHead(spec.width, options)
        self.ahead = LayoutHead(spec.width, self.side, QUERY_COLUMNS // self.side)
        self.below = nn.Linear(spec.width, self.cells**2 * len(CLASSES))

    def forward(
        self, tokens: Tensor, answers: Tensor, ahead: Tensor, below: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses of the direct answers and of the layouts.

        Args:
            tokens: (B, N, C) of camera views, then of crops.
            answers: (B, Q), negative where not asked.
            ahead: (G, BINS, columns, classes) shares.
            below: (B - G, MAP_PX, MAP_PX) classes.
        """
        views = len(ahead)
        logits = self.direct(tokens)
        direct = F.cross_entropy(
            logits.flatten(0, 1), answers.flatten().clamp(min=-1), ignore_index=-1
        )
        grid = tokens[:views].transpose(1, 2).reshape(views, -1, self.side, self.side)
        stands = layout_loss(self.ahead(grid), ahead)
        cells = self.below(tokens[views:]).float()
        cells = cells.view(-1, self.side, self.side, self.cells, self.cells, len(CLASSES))
        cells = cells.permute(0, 5, 1, 3, 2, 4).reshape(-1, len(CLASSES), MAP_PX, MAP_PX)
        return direct, stands + F.cross_entropy(cells, below)
