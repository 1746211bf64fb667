# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The small model in numpy, written from the description in `training.gguf_export`."""

from collections.abc import Mapping, Sequence

import numpy as np

from geoloc_ros.training.gguf_export import NORM_EPS, ROPE_BASE, TextSpec, VisionSpec

Weights = Mapping[str, np.ndarray]


def embeddings_of(rgb: np.ndarray, spec: VisionSpec, w: Weights) -> np.ndarray:
    """A picture (image_px, image_px, 3) as embeddings (patches, width of text)."""
    n, p = spec.image_px // spec.patch_px, spec.patch_px
    pixels = (rgb / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    patches = pixels.reshape(n, p, n, p, 3).transpose(0, 2, 4, 1, 3).reshape(n * n, -1)
    x = patches @ w["v.patch_embd.weight"].reshape(spec.width, -1).T + w["v.patch_embd.bias"]
    x = x + w["v.position_embd.weight"]
    for i in range(spec.layers):
        name = f"v.blk.{i}"
        y = _layer_norm(x, w, f"{name}.ln1")
        q, k, v = (_linear(y, w, f"{name}.attn_{part}") for part in "qkv")
        x = x + _linear(_attention(q, k, v, spec.heads, None), w, f"{name}.attn_out")
        y = _gelu(_linear(_layer_norm(x, w, f"{name}.ln2"), w, f"{name}.ffn_up"))
        x = x + _linear(y, w, f"{name}.ffn_down")
    x = _layer_norm(x, w, "v.post_ln")
    return _linear(_gelu(_linear(x, w, "mm.0")), w, "mm.1")


def logits_of(
    picture: np.ndarray, tokens: Sequence[int], spec: TextSpec, w: Weights
) -> np.ndarray:
    """Logits (tokens of the vocabulary,) after BOS, picture and tokens."""
    table = w["token_embd.weight"]
    x = np.concatenate([table[[spec.vocabulary.bos]], picture, table[list(tokens)]])
    mask = np.triu(np.full((len(x), len(x)), -np.inf), 1)
    for i in range(spec.layers):
        name = f"blk.{i}"
        y = _rms_norm(x, w[f"{name}.attn_norm.weight"])
        q, k, v = (y @ w[f"{name}.attn_{part}.weight"].T for part in "qkv")
        q, k = _rotated(q, spec.heads), _rotated(k, spec.heads)
        x = x + _attention(q, k, v, spec.heads, mask) @ w[f"{name}.attn_output.weight"].T
        y = _rms_norm(x, w[f"{name}.ffn_norm.weight"])
        gate, up = (y @ w[f"{name}.ffn_{part}.weight"].T for part in ("gate", "up"))
        x = x + (gate / (1.0 + np.exp(-gate)) * up) @ w[f"{name}.ffn_down.weight"].T
    return _rms_norm(x[-1], w["output_norm.weight"]) @ table.T


def _linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _layer_norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + NORM_EPS)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _rms_norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + NORM_EPS) * scale


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def _attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, mask: np.ndarray | None
) -> np.ndarray:
    q, k, v = (x.reshape(len(x), heads, -1).swapaxes(0, 1) for x in (q, k, v))
    scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    scores = scores if mask is None else scores + mask
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out = p / p.sum(axis=-1, keepdims=True) @ v
    return out.swapaxes(0, 1).reshape(q.shape[1], -1)


def _rotated(x: np.ndarray, heads: int) -> np.ndarray:
    """Turn neighbouring pairs of each head by angles that grow with the position."""
    pairs = x.reshape(len(x), heads, -1, 2)
    d = 2 * pairs.shape[2]
    angle = np.arange(len(x))[:, None] * ROPE_BASE ** (-np.arange(0, d, 2) / d)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)[:, None]
    return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
