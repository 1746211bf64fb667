# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tiny vision-language model in torch, equal number by number to what llama.cpp computes.

A picture becomes patch tokens (a pre-norm ViT as in SigLIP, Zhai et al., ICCV 2023), a two-layer
MLP brings them to the width of a small llama (RMSNorm, rotary positions, SwiGLU), which reads
them as if they were words. Then comes a question; what the model says after its last word is the
answer. A picture is looked at once: all its questions branch off behind it, each with positions of
its own that start where the picture ends, and none sees another. At run time the same is done with
sequences that share the keys and values of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

VISION_EPS = 1e-6
_PLACED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSpec:
    """Size of the picture's half.

    Attributes:
        image_px: side of the square picture.
        patch_px: side of a patch; one token each.
        width: of a token.
        layers: how many.
        heads: of attention, each `width / heads` wide.
        ffn: width inside a layer's MLP.
        hidden: width inside the MLP that leads to the language half.
    """

    image_px: int = 192
    patch_px: int = 16
    width: int = 256
    layers: int = 6
    heads: int = 4
    ffn: int = 1024
    hidden: int = 512

    @property
    def side(self) -> int:
        """Patches along one side."""
        return self.image_px // self.patch_px


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """Size of the language half.

    Attributes:
        vocabulary: tokens known.
        start: number of the token every text begins with.
        width: of a token.
        layers: how many.
        heads: of attention, each `width / heads` wide.
        ffn: width inside a layer's gated MLP.
        rope_base: of the rotary positions.
        eps: of RMSNorm.
        context: positions there are.
    """

    vocabulary: int
    start: int = 1
    width: int = 256
    layers: int = 3
    heads: int = 4
    ffn: int = 512
    rope_base: float = 10_000.0
    eps: float = 1e-5
    context: int = 2048


@dataclass(frozen=True)
class Branches:
    """Questions packed one behind the other.

    Attributes:
        tokens: (T,) all tokens.
        spans: (first, behind the last) of each question.
    """

    tokens: Tensor
    spans: tuple[tuple[int, int], ...]

    @property
    def positions(self) -> Tensor:
        """(T,) place of each token in its own question."""
        return torch.cat([torch.arange(b - a) for a, b in self.spans])

    @property
    def last(self) -> Tensor:
        """(Q,) where each question ends."""
        return torch.tensor([b - 1 for _, b in self.spans])


def pack(questions: Sequence[Sequence[int]]) -> Branches:
    """Pack the tokens of some questions."""
    ends = [0]
    for tokens in questions:
        ends.append(ends[-1] + len(tokens))
    flat = torch.tensor([t for tokens in questions for t in tokens])
    return Branches(flat, tuple(pairwise(ends)))


def sine_positions(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column (side * side, width), where positions start from."""
    quarter = width // 4
    frequency = torch.exp(torch.arange(quarter) * (-math.log(100.0) / max(1, quarter - 1)))
    angle = torch.arange(side)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = waves[:, None].expand(side, side, 2 * quarter)
    columns = waves[None].expand(side, side, 2 * quarter)
    both = torch.cat([rows, columns], dim=2).reshape(side * side, 4 * quarter)
    return F.pad(both, (0, width - 4 * quarter)) * 0.5


class VisionLayer(nn.Module):
    """Attention among all patches, then an MLP, each behind a LayerNorm and added."""

    def __init__(self, spec: VisionSpec) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, VISION_EPS) for _ in range(2))
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, spec.ffn), nn.Linear(spec.ffn, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        y = self.norm1(x)
        q, k, v = (_heads(f(y), self.heads) for f in (self.query, self.key, self.value))
        x = x + self.out(_joined(F.scaled_dot_product_attention(q, k, v)))
        y = F.gelu(self.up(self.norm2(x)), approximate="tanh")
        out: Tensor = x + self.down(y)
        return out


class Vision(nn.Module):
    """Pictures (B, 3, S, S), normalised -> patch tokens (B, side * side, C), row by row.

    Attributes:
        patch: what is first made of each patch; a linear map, kept as (C, 3 * p * p).
        position: (side * side, C) added to each token.
    """

    def __init__(self, spec: VisionSpec) -> None:
        super().__init__()
        self.spec = spec
        self.patch = nn.Linear(3 * spec.patch_px**2, spec.width)
        self.position = nn.Parameter(sine_positions(spec.side, spec.width))
        self.layers = nn.ModuleList([VisionLayer(spec) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(spec.width, VISION_EPS)

    def patches(self, images: Tensor) -> Tensor:
        """Pixels of each patch (B, side * side, 3 * p * p), channel by channel, row by row."""
        side, size = self.spec.side, self.spec.patch_px
        cells = images.reshape(len(images), 3, side, size, side, size)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(len(images), side * side, -1)

    def forward(self, images: Tensor) -> Tensor:
        """Look at pictures."""
        x = self.patch(self.patches(images)) + self.position
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x)
        return out


class Projector(nn.Module):
    """Patch tokens -> words of the language half: two layers with a GELU between."""

    def __init__(self, vision: VisionSpec, text: TextSpec) -> None:
        super().__init__()
        self.first = nn.Linear(vision.width, vision.hidden)
        self.second = nn.Linear(vision.hidden, text.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, vision width) to (B, N, text width)."""
        out: Tensor = self.second(F.gelu(self.first(x), approximate="tanh"))
        return out


class RmsNorm(nn.Module):
    """Scale to unit mean square, then by a learned weight per channel."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        y = x.float()
        return y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight


class TextLayer(nn.Module):
    """A llama layer: causal attention with rotary positions, then a gated MLP."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.norm1, self.norm2 = (RmsNorm(width, spec.eps) for _ in range(2))
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.gate, self.up = (nn.Linear(width, spec.ffn, bias=False) for _ in range(2))
        self.down = nn.Linear(spec.ffn, width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, branches: Branches, prefix: int) -> Tensor:
        """Every token attends to what it may see.

        Args:
            x: (B, prefix + T, C) the picture, then the packed questions.
            turn: (prefix + T, d / 2, 2) cosine and sine of each position.
            branches: where the questions begin and end.
            prefix: tokens that all questions share.
        """
        y = self.norm1(x)
        q, k = (_rotated(_heads(f(y), self.heads), turn) for f in (self.query, self.key))
        v = _heads(self.value(y), self.heads)
        seen = [
            F.scaled_dot_product_attention(
                q[:, :, :prefix], k[:, :, :prefix], v[:, :, :prefix], is_causal=True
            )
        ]
        for first, end in branches.spans:
            rows = slice(prefix + first, prefix + end)
            seen.append(_branch(q[:, :, rows], k, v, prefix, rows))
        return self._mlp(x + self.out(_joined(torch.cat(seen, dim=2))))

    def answer(self, x: Tensor, turn: Tensor, branches: Branches, prefix: int) -> Tensor:
        """As `forward`, but only what comes out at the last token of each question (B, Q, C)."""
        y = self.norm1(x)
        rows = prefix + branches.last
        k = _rotated(_heads(self.key(y), self.heads), turn)
        v = _heads(self.value(y), self.heads)
        q = _rotated(_heads(self.query(y[:, rows]), self.heads), turn[rows])
        mask = torch.zeros(len(rows), x.shape[1], dtype=torch.bool)
        mask[:, :prefix] = True
        for i, (first, end) in enumerate(branches.spans):
            mask[i, prefix + first : prefix + end] = True
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self._mlp(x[:, rows] + self.out(_joined(seen)))

    def _mlp(self, x: Tensor) -> Tensor:
        y = self.norm2(x)
        out: Tensor = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return out


def _branch(q: Tensor, k: Tensor, v: Tensor, prefix: int, rows: slice) -> Tensor:
    """Attention of one question to the picture and to itself."""
    count = q.shape[2]
    own = torch.ones(count, count, dtype=torch.bool).tril()
    mask = F.pad(own, (prefix, 0), value=True)
    keys, values = (torch.cat([z[:, :, :prefix], z[:, :, rows]], dim=2) for z in (k, v))
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)


class Language(nn.Module):
    """Picture words (B, N, C) and packed questions -> logits of the next token of each question.

    Attributes:
        embedding: (vocabulary, C).
        output: (vocabulary, C); not shared with `embedding`.
    """

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocabulary, spec.width)
        self.layers = nn.ModuleList([TextLayer(spec) for _ in range(spec.layers)])
        self.norm = RmsNorm(spec.width, spec.eps)
        self.output = nn.Linear(spec.width, spec.vocabulary, bias=False)

    def turns(self, positions: Tensor) -> Tensor:
        """Cosine and sine (T, d / 2, 2) by which each pair of channels turns at each position."""
        half = self.spec.width // self.spec.heads // 2
        rate = self.spec.rope_base ** (-torch.arange(half) / half)
        angle = positions[:, None] * rate
        return torch.stack([angle.cos(), angle.sin()], dim=-1)

    def forward(self, picture: Tensor, branches: Branches) -> Tensor:
        """Logits (B, Q, vocabulary)."""
        count, prefix = len(picture), 1 + picture.shape[1]
        start = self.embedding.weight[self.spec.start].expand(count, 1, -1)
        words = self.embedding(branches.tokens).expand(count, -1, -1)
        x = torch.cat([start, picture.float(), words], dim=1)
        turn = self.turns(torch.cat([torch.arange(prefix), prefix + branches.positions]))
        for layer in list(self.layers)[:-1]:
            x = layer(x, turn, branches, prefix)
        last: TextLayer = self.layers[-1]  # type: ignore[assignment]
        out: Tensor = self.output(self.norm(last.answer(x, turn, branches, prefix)))
        return out


class TinyVlm(nn.Module):
    """Picture and questions -> the next token of each question."""

    def __init__(self, vision: VisionSpec, text: TextSpec) -> None:
        super().__init__()
        self.vision, self.projector = Vision(vision), Projector(vision, text)
        self.language = Language(text)
        self.apply(_initialise)
        for layer in [*self.vision.layers, *self.language.layers]:
            depth = len(
                self.vision.layers if layer in self.vision.layers else self.language.layers
            )
            for final in (layer.out, layer.down):  # what is added starts small
                nn.init.normal_(final.weight, std=_PLACED / math.sqrt(2 * depth))

    def forward(self, images: Tensor, branches: Branches) -> Tensor:
        """Logits (B, Q, vocabulary) of the token that follows each question."""
        out: Tensor = self.language(self.projector(self.vision(images)), branches)
        return out


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=min(0.06, module.in_features**-0.5))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d)."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    """(B, heads, N, d) -> (B, N, heads * d)."""
    return x.transpose(1, 2).flatten(2)


def _rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Turn neighbouring channels (0 and 1, 2 and 3, ...) of (B, heads, N, d) as llama.cpp does."""
    pair = x.reshape(*x.shape[:-1], -1, 2)
    cos, sin = turn[..., 0].to(x.dtype), turn[..., 1].to(x.dtype)
    even, odd = pair[..., 0], pair[..., 1]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
