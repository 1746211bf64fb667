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
from typing import Any

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.training.gguf_export import NORM_EPS, ROPE_BASE, TextSpec, VisionSpec, Weights

_SMALL = 0.02


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

    @property
    def mask(self) -> Tensor:
        """(T, T) what each token sees: what stands before it in its own question, and itself."""
        out = torch.zeros(len(self.tokens), len(self.tokens), dtype=torch.bool)
        for a, b in self.spans:
            out[a:b, a:b] = torch.ones(b - a, b - a, dtype=torch.bool).tril()
        return out


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
        self.ln1, self.ln2 = (nn.LayerNorm(width, NORM_EPS) for _ in range(2))
        self.attn_q, self.attn_k, self.attn_v, self.attn_out = (
            nn.Linear(width, width) for _ in range(4)
        )
        self.ffn_up, self.ffn_down = nn.Linear(width, spec.ffn), nn.Linear(spec.ffn, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        at_once = _side_by_side(self.ln1(x), self.attn_q, self.attn_k, self.attn_v)
        q, k, v = (_heads(z, self.heads) for z in at_once)
        x = x + self.attn_out(_joined(F.scaled_dot_product_attention(q, k, v)))
        y = F.gelu(self.ffn_up(self.ln2(x)), approximate="tanh")
        out: Tensor = x + self.ffn_down(y)
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
        self.side = spec.image_px // spec.patch_px
        self.position = nn.Parameter(sine_positions(self.side, spec.width))
        self.layers = nn.ModuleList([VisionLayer(spec) for _ in range(spec.layers)])
        self.norm = nn.LayerNorm(spec.width, NORM_EPS)

    def patches(self, images: Tensor) -> Tensor:
        """Pixels of each patch (B, side * side, 3 * p * p), channel by channel, row by row."""
        side, size = self.side, self.spec.patch_px
        cells = images.reshape(len(images), 3, side, size, side, size)
        return cells.permute(0, 2, 4, 1, 3, 5).reshape(len(images), side * side, -1)

    @torch.no_grad()
    def start(self, images: Tensor) -> None:
        """Begin with the principal components of patches, each brought to the same deviation.

        Args:
            images: (B, 3, S, S) normalised pictures as they come in training.
        """
        cells = self.patches(images).flatten(0, 1).double()
        centred = cells - cells.mean(dim=0)
        variance, axes = torch.linalg.eigh(centred.T @ centred / len(cells))
        count = min(self.spec.width, len(variance))
        variance, axes = variance.flip(0)[:count], axes.flip(1)[:, :count]
        scale = 0.5 / torch.sqrt(variance + 0.01 * variance.mean())
        self.patch.weight.zero_()
        self.patch.weight[:count] = (axes * scale).T.float()
        self.patch.bias.copy_(-(self.patch.weight @ cells.mean(dim=0).float()))

    def forward(self, images: Tensor) -> Tensor:
        """Look at pictures."""
        x = self.patch(self.patches(images)) + self.position
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.norm(x)
        return out


class Projector(nn.Module):
    """Patch tokens -> words of the language half: two layers with a GELU between."""

    def __init__(self, spec: VisionSpec) -> None:
        super().__init__()
        self.first = nn.Linear(spec.width, spec.text_width)
        self.second = nn.Linear(spec.text_width, spec.text_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, vision width) to (B, N, text width)."""
        out: Tensor = self.second(F.gelu(self.first(x), approximate="tanh"))
        return out


class RmsNorm(nn.Module):
    """Scale to unit mean square, then by a learned weight per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = torch.rsqrt(length.square() / x.shape[-1] + NORM_EPS)
        return x * scale * self.weight


class TextLayer(nn.Module):
    """A llama layer: causal attention with rotary positions, then a gated MLP."""

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        width = spec.width
        self.heads = spec.heads
        self.attn_norm, self.ffn_norm = RmsNorm(width), RmsNorm(width)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.ffn_gate, self.ffn_up = (nn.Linear(width, spec.ffn, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(spec.ffn, width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """Every token attends to what it may see.

        Args:
            x: (B, P + T, C) the picture's P tokens, then the packed questions.
            turn: (P + T, d / 2) by which each pair of channels turns, complex.
            mask: (T, P + T) what each token of the questions sees.
        """
        at_once = _side_by_side(self.attn_norm(x), self.attn_q, self.attn_k, self.attn_v)
        q, k, v = (_heads(z, self.heads) for z in at_once)
        q, k = _rotated(q, turn), _rotated(k, turn)
        sizes = [x.shape[1] - len(mask), len(mask)]
        (q, asks), keys, values = (torch.split(z, sizes, dim=2) for z in (q, k, v))
        seen = F.scaled_dot_product_attention(q, keys[0], values[0], is_causal=True)
        read = F.scaled_dot_product_attention(asks, k, v, attn_mask=mask)
        return self._mlp(x + self.attn_output(_joined(torch.cat([seen, read], dim=2))))

    def answer(self, x: Tensor, turn: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """As `forward`, but only what comes out at the last token of each question (B, Q, C)."""
        y = self.attn_norm(x)
        k, v = (_heads(z, self.heads) for z in _side_by_side(y, self.attn_k, self.attn_v))
        rows = x.shape[1] - len(mask) + last
        q = _rotated(_heads(self.attn_q(y[:, rows]), self.heads), turn[rows])
        seen = F.scaled_dot_product_attention(q, _rotated(k, turn), v, attn_mask=mask[last])
        return self._mlp(x[:, rows] + self.attn_output(_joined(seen)))

    def _mlp(self, x: Tensor) -> Tensor:
        gate, up = _side_by_side(self.ffn_norm(x), self.ffn_gate, self.ffn_up)
        out: Tensor = x + self.ffn_down(F.silu(gate) * up)
        return out


class Language(nn.Module):
    """Picture words (B, N, C) and packed questions -> logits of the next token of each question.

    Attributes:
        embedding: (V, C), by which words go in and come out.
    """

    def __init__(self, spec: TextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(len(spec.vocabulary), spec.width)
        self.layers = nn.ModuleList([TextLayer(spec) for _ in range(spec.layers)])
        self.norm = RmsNorm(spec.width)

    def turns(self, positions: Tensor) -> Tensor:
        """By which each pair of channels turns at each position (T, d / 2), complex."""
        half = self.spec.width // self.spec.heads // 2
        angle = positions[:, None] * ROPE_BASE ** (-torch.arange(half) / half)
        return torch.polar(torch.ones_like(angle), angle)

    def forward(self, picture: Tensor, branches: Branches) -> Tensor:
        """Logits (B, Q, V)."""
        count, prefix = len(picture), 1 + picture.shape[1]
        start = self.embedding.weight[self.spec.vocabulary.bos].expand(count, 1, -1)
        words = self.embedding(branches.tokens).expand(count, -1, -1)
        x = torch.cat([start, picture, words], dim=1)
        turn = self.turns(torch.cat([torch.arange(prefix), prefix + branches.positions]))
        mask = F.pad(branches.mask, (prefix, 0), value=True)
        for layer in list(self.layers)[:-1]:
            x = layer(x, turn, mask)
        last: TextLayer = self.layers[-1]  # type: ignore[assignment]
        said = self.norm(last.answer(x, turn, mask, branches.last))
        return F.linear(said, self.embedding.weight)


class TinyVlm(nn.Module):
    """Picture and questions -> the next token of each question."""

    def __init__(self, vision: VisionSpec, text: TextSpec) -> None:
        super().__init__()
        self.vision, self.projector = Vision(vision), Projector(vision)
        self.language = Language(text)
        self.apply(_initialise)
        for name, weight in self.named_parameters():  # what is added starts small
            if name.endswith(("attn_out.weight", "attn_output.weight", "ffn_down.weight")):
                nn.init.normal_(weight, std=_SMALL / math.sqrt(2 * vision.layers))

    def forward(self, images: Tensor, branches: Branches) -> Tensor:
        """Logits (B, Q, V) of the token that follows each question."""
        out: Tensor = self.language(self.projector(self.vision(images)), branches)
        return out

    def weights(self) -> tuple[Weights, Weights]:
        """Weights of the language half and of the picture's half, named as in GGUF files."""
        text: dict[str, Any] = {}
        vision: dict[str, Any] = {}
        for name, value in self.state_dict().items():
            array = value.detach().float().numpy()
            if name == "vision.patch.weight":
                size = self.vision.spec.patch_px
                array = array.reshape(len(array), 3, size, size)
            named = _gguf_name(name)
            (vision if named.startswith(("v.", "mm.")) else text)[named] = array
        return text, vision


_NAMES = (
    ("vision.layers.", "v.blk."),
    ("vision.patch.", "v.patch_embd."),
    ("vision.position", "v.position_embd.weight"),
    ("vision.norm.", "v.post_ln."),
    ("projector.first.", "mm.0."),
    ("projector.second.", "mm.1."),
    ("language.layers.", "blk."),
    ("language.embedding.", "token_embd."),
    ("language.norm.", "output_norm."),
)


def _gguf_name(name: str) -> str:
    for ours, theirs in _NAMES:
        if name.startswith(ours):
            return theirs + name[len(ours) :]
    raise AssertionError(name)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d)."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    """(B, heads, N, d) -> (B, N, heads * d)."""
    return x.transpose(1, 2).flatten(2)


def _side_by_side(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """What several layers make of the same input, in one multiplication."""
    weight = torch.cat([layer.weight for layer in layers])
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    sizes = [layer.out_features for layer in layers]
    return torch.split(F.linear(x, weight, bias), sizes, dim=-1)


def _rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Turn neighbouring channels (0 and 1, 2 and 3, ...) of (B, heads, N, d) as llama.cpp does."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2)
