# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes our small vision-language model as the two GGUF files that llama.cpp reads.

What llama.cpp (as llama-cpp-python 0.3.36 carries it) computes from them, so that a network
trained elsewhere comes to the same numbers. Arrays are named as in the files; `W` is the width,
`F` the feed-forward width, `V` the number of tokens; linear weights are `(out, in)` as PyTorch's.

**Pixels.** The projector type ``janus_pro`` takes one square picture of `image_px`. libmtmd keeps
the aspect ratio of any other picture: Pillow's antialiased bicubic (a = -0.5), scaled by the
smaller ratio, sides rounded up, centred on grey (127, 127, 127). A picture that has the right size
is taken as it is, and that is what we give it: `vlm.pictures.square` squeezes the picture before.
Then ``x = (rgb / 255 - mean) / std``, channels in the order RGB.

**Vision tower** (`VisionSpec`, prefix ``v.``), 32-bit floats unless said otherwise:

- ``v.patch_embd.weight`` (W, 3, P, P), ``v.patch_embd.bias`` (W,): convolution with stride P.
  llama.cpp rounds both the pixels and this kernel to 16-bit floats for it.
- ``v.position_embd.weight`` (patches, W): added; patches row by row, each row from the left.
- per block i, pre-norm: ``v.blk.i.ln1.{weight,bias}`` (W,), then
  ``v.blk.i.attn_{q,k,v,out}.{weight,bias}`` (W, W) and (W,), not masked, scaled by
  1 / sqrt(W / heads), plus the input; ``v.blk.i.ln2.{weight,bias}``,
  ``v.blk.i.ffn_up.{weight,bias}`` (F, W), GELU (tanh approximation),
  ``v.blk.i.ffn_down.{weight,bias}`` (W, F), plus the input.
- ``v.post_ln.{weight,bias}`` (W,). All layer norms have eps = `NORM_EPS`.
- ``mm.0.{weight,bias}`` (W of text, W), GELU (tanh), ``mm.1.{weight,bias}`` (W of text, W of
  text): one embedding of the language model for each patch.

**Language model** (`TextSpec`, architecture ``llama``):

- ``token_embd.weight`` (V, W); the output layer is the same matrix.
- per block i: ``blk.i.attn_norm.weight`` (W,), ``blk.i.attn_{q,k,v,output}.weight`` (W, W), no
  bias; causal, the picture's embeddings too; plus the input; ``blk.i.ffn_norm.weight`` (W,),
  ``blk.i.ffn_{gate,up}.weight`` (F, W), ``blk.i.ffn_down.weight`` (W, F):
  down(silu(gate x) * up x), plus the input.
- ``output_norm.weight`` (W,). The norms are RMS norms with eps = `NORM_EPS`.
- Rotary positions on q and k of each head, on neighbouring pairs (2j, 2j + 1) of its d = W / heads
  dimensions: angle = position * ROPE_BASE ** (-2j / d).

**Sequence.** BOS at position 0, the patches from 1 on, then `Vocabulary.encode` of a newline and
the prompt; the answer is the distribution over the tokens of the option letters, pieces "▁A", "▁B"
and so on, at the last position. Embeddings of tokens are not scaled. Train on the softmax over all
tokens: where the letters hold less than a twentieth of it, the runtime calls it unparseable.

**Quantization** ``Q8_0``: every matrix whose rows are a multiple of 32 long, in blocks of 32 8-bit
integers with a 16-bit scale; vectors, the patch kernel and the positions stay 32-bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.errors import TrainingError
from geoloc_ros.training.vocabulary import Vocabulary

Quantization = Literal["Q8_0", "F32"]
Weights = Mapping[str, NDArray[np.float32]]

TEXT_ARCHITECTURE = "llama"
PROJECTOR = "janus_pro"
NORM_EPS = 1e-6
ROPE_BASE = 10_000.0
CONTEXT = 2048
_BLOCK = 32  # values that share a scale in Q8_0
_ALWAYS_F32 = ("v.patch_embd.weight", "v.position_embd.weight")
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # token types of a GGUF


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """Size of the language model.

    Attributes:
        vocabulary: its tokens.
        width: of the embeddings.
        layers: number of blocks.
        heads: attention heads of a block; they divide the width into even parts.
        ffn: width of the feed-forward part.
    """

    vocabulary: Vocabulary
    width: int = 256
    layers: int = 4
    heads: int = 4
    ffn: int = 704

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by name."""
        w, f = self.width, self.ffn
        shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(self.vocabulary), w)}
        for i in range(self.layers):
            for name in ("q", "k", "v", "output"):
                shapes[f"blk.{i}.attn_{name}.weight"] = (w, w)
            shapes |= {f"blk.{i}.{name}.weight": (w,) for name in ("attn_norm", "ffn_norm")}
            shapes |= {f"blk.{i}.ffn_{name}.weight": (f, w) for name in ("gate", "up")}
            shapes[f"blk.{i}.ffn_down.weight"] = (w, f)
        return shapes | {"output_norm.weight": (w,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionSpec:
    """Size of the vision tower and its projector, and what a pixel becomes.

    Attributes:
        image_px: side of the square picture.
        patch_px: side of a patch; divides the picture.
        width: of the embeddings.
        layers: number of blocks.
        heads: attention heads of a block.
        ffn: width of the feed-forward part.
        text_width: width of the language model.
        mean: per RGB channel, of pixels in 0..1.
        std: per RGB channel.
    """

    image_px: int = 192
    patch_px: int = 16
    width: int = 256
    layers: int = 6
    heads: int = 4
    ffn: int = 1024
    text_width: int = 256
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def patches(self) -> int:
        """Number of patches, which is the number of embeddings of a picture."""
        return (self.image_px // self.patch_px) ** 2

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by name."""
        w, f, t = self.width, self.ffn, self.text_width
        shapes: dict[str, tuple[int, ...]] = {
            "v.patch_embd.weight": (w, 3, self.patch_px, self.patch_px),
            "v.patch_embd.bias": (w,),
            "v.position_embd.weight": (self.patches, w),
        }
        for i in range(self.layers):
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                shapes |= _linear(f"v.blk.{i}.{name}", w, w)
            for name in ("ln1", "ln2"):
                shapes |= _norm(f"v.blk.{i}.{name}", w)
            shapes |= _linear(f"v.blk.{i}.ffn_up", f, w) | _linear(f"v.blk.{i}.ffn_down", w, f)
        return shapes | _norm("v.post_ln", w) | _linear("mm.0", t, w) | _linear("mm.1", t, t)


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def write_text_model(
    path: Path, spec: TextSpec, weights: Weights, quantization: Quantization = "Q8_0"
) -> None:
    """Write the language model.

    Raises:
        TrainingError: a weight is missing, unknown, of the wrong shape or not finite.
    """
    writer = _writer(path, TEXT_ARCHITECTURE)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(spec.width)
    writer.add_block_count(spec.layers)
    writer.add_feed_forward_length(spec.ffn)
    writer.add_head_count(spec.heads)
    writer.add_head_count_kv(spec.heads)
    writer.add_rope_dimension_count(spec.width // spec.heads)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPS)
    writer.add_vocab_size(len(spec.vocabulary))
    _add_tokens(writer, spec.vocabulary)
    _finish(writer, spec.shapes(), weights, quantization)


def write_projector(
    path: Path, spec: VisionSpec, weights: Weights, quantization: Quantization = "Q8_0"
) -> None:
    """Write the vision tower with its projector, what llama.cpp calls an mmproj.

    Raises:
        TrainingError: a weight is missing, unknown, of the wrong shape or not finite.
    """
    writer = _writer(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", PROJECTOR)
    writer.add_bool("clip.use_gelu", True)
    writer.add_uint32("clip.vision.image_size", spec.image_px)
    writer.add_uint32("clip.vision.patch_size", spec.patch_px)
    writer.add_uint32("clip.vision.embedding_length", spec.width)
    writer.add_uint32("clip.vision.feed_forward_length", spec.ffn)
    writer.add_uint32("clip.vision.projection_dim", spec.text_width)
    writer.add_uint32("clip.vision.block_count", spec.layers)
    writer.add_uint32("clip.vision.attention.head_count", spec.heads)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", NORM_EPS)
    writer.add_array("clip.vision.image_mean", list(map(float, spec.mean)))
    writer.add_array("clip.vision.image_std", list(map(float, spec.std)))
    _finish(writer, spec.shapes(), weights, quantization)


def _writer(path: Path, architecture: str) -> Any:  # noqa: ANN401 - the package has no types
    import gguf

    return gguf.GGUFWriter(path, architecture)


def _add_tokens(writer: Any, vocabulary: Vocabulary) -> None:  # noqa: ANN401
    tokens = range(len(vocabulary))
    kinds = [_UNKNOWN, _CONTROL, _CONTROL, *[_BYTE] * 256]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(vocabulary.pieces))
    writer.add_token_scores([vocabulary.score(token) for token in tokens])
    writer.add_token_types(kinds + [_NORMAL] * (len(vocabulary) - len(kinds)))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)


def _finish(
    writer: Any,  # noqa: ANN401
    shapes: Mapping[str, tuple[int, ...]],
    weights: Weights,
    quantization: Quantization,
) -> None:
    _check(shapes, weights)
    from gguf import GGMLQuantizationType, LlamaFileType
    from gguf.quants import quantize

    eight_bits = quantization == "Q8_0"
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0 if eight_bits else LlamaFileType.ALL_F32)
    writer.add_quantization_version(2)
    for name in shapes:
        values = np.ascontiguousarray(weights[name], dtype=np.float32)
        small = eight_bits and values.ndim == 2 and name not in _ALWAYS_F32
        if small and values.shape[1] % _BLOCK == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check(shapes: Mapping[str, tuple[int, ...]], weights: Weights) -> None:
    if missing := sorted(shapes.keys() - weights.keys()):
        raise TrainingError(f"weights are missing: {_some(missing)}")
    if unknown := sorted(weights.keys() - shapes.keys()):
        raise TrainingError(f"the model has no weights of these names: {_some(unknown)}")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise TrainingError(f"{name} has shape {weights[name].shape}, it must be {shape}")
        if not np.isfinite(weights[name]).all():
            raise TrainingError(f"{name} holds values that are not finite; train again")


def _some(names: Iterable[str]) -> str:
    first = list(names)
    return ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")
