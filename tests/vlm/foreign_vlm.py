# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Random tiny models of the architectures of published ones: chat template, foreign eyes."""

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from tiny_vlm import question_vocabulary, random_weights

from geoloc_ros.vlm.questions import LETTERS

WIDTH, LAYERS, HEADS, FFN = 64, 2, 2, 96
EYES, EYES_FFN = 64, 96
IMAGE_PX, PATCH_PX = 56, 14
MERGE = 2
SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "\n\n"),
    *("<fake_token_around_image>", "<global-img>"),
)
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{{ part.text }}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% endif %}"
)
Shapes = dict[str, tuple[int, ...]]


def make_smolvlm_like(folder: Path) -> Path:
    """Text `llama`, eyes `idefics3`: an overview and tiles. Answers the language model's path."""
    folder.mkdir(parents=True)
    text = _write_text(folder / "text.gguf", "llama", {})
    shapes = _tower() | {
        "v.patch_embd.weight": (EYES, 3, PATCH_PX, PATCH_PX),
        "v.patch_embd.bias": (EYES,),
        "v.position_embd.weight": ((IMAGE_PX // PATCH_PX) ** 2, EYES),
        "mm.model.fc.weight": (WIDTH, EYES * MERGE**2),
    }
    extra = {"projector.scale_factor": MERGE, "preproc_image_size": 2 * IMAGE_PX}
    _write_eyes(folder / "mmproj.gguf", "idefics3", shapes, extra)
    return text


def make_qwen2vl_like(folder: Path) -> Path:
    """Text `qwen2vl` with positions in three directions, eyes of any size. Answers its path."""
    folder.mkdir(parents=True)
    biases: Shapes = {
        f"blk.{i}.attn_{name}.bias": (WIDTH,) for i in range(LAYERS) for name in "qkv"
    }
    text = _write_text(folder / "text.gguf", "qwen2vl", biases)
    kernels: Shapes = {
        name: (EYES, 3, PATCH_PX, PATCH_PX)
        for name in ("v.patch_embd.weight", "v.patch_embd.weight.1")
    }
    merged = EYES * MERGE**2
    merger: Shapes = {
        "mm.0.weight": (merged, merged),
        "mm.0.bias": (merged,),
        "mm.2.weight": (WIDTH, merged),
        "mm.2.bias": (WIDTH,),
    }
    _write_eyes(folder / "mmproj.gguf", "qwen2vl_merger", _tower() | kernels | merger, {})
    return text


def _tower() -> Shapes:
    shapes: Shapes = {"v.post_ln.weight": (EYES,), "v.post_ln.bias": (EYES,)}
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            shapes[f"v.blk.{i}.{name}.weight"] = (EYES, EYES)
        shapes[f"v.blk.{i}.ffn_up.weight"] = (EYES_FFN, EYES)
        shapes[f"v.blk.{i}.ffn_down.weight"] = (EYES, EYES_FFN)
        for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_down", "ln1", "ln2"):
            shapes[f"v.blk.{i}.{name}.bias"] = (EYES,)
        shapes[f"v.blk.{i}.ffn_up.bias"] = (EYES_FFN,)
        shapes |= {f"v.blk.{i}.{name}.weight": (EYES,) for name in ("ln1", "ln2")}
    return shapes


def _write_text(path: Path, architecture: str, extra: Shapes) -> Path:
    vocabulary = question_vocabulary()
    pieces = [*vocabulary.pieces, *SPECIAL]
    shapes: Shapes = {"token_embd.weight": (len(pieces), WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(LAYERS):
        for name in ("q", "k", "v", "output"):
            shapes[f"blk.{i}.attn_{name}.weight"] = (WIDTH, WIDTH)
        shapes |= {f"blk.{i}.{name}.weight": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{i}.ffn_{name}.weight": (FFN, WIDTH) for name in ("gate", "up")}
        shapes[f"blk.{i}.ffn_down.weight"] = (WIDTH, FFN)
    weights = random_weights(shapes | extra, 5)
    _make_eager(weights, pieces)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(8192)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    if architecture == "qwen2vl":
        writer.add_rope_dimension_sections([4, 6, 6, 0])
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([-1.0] * len(pieces))
    kinds = [2, 3, 3, *[6] * 256]
    kinds += [1] * (len(vocabulary) - len(kinds)) + [3] * len(SPECIAL)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    _finish(writer, weights)
    return path


def _make_eager(weights: dict[str, np.ndarray], pieces: list[str]) -> None:
    """Only letters point where a newline, the end of every prompt, does."""
    embeddings = weights["token_embd.weight"]
    embeddings[:, 0] = 0.5
    embeddings[[pieces.index(mark + letter) for mark in ("", "▁") for letter in LETTERS], 0] = -1.5
    embeddings[pieces.index("\n"), 0] = 30.0
    weights["output_norm.weight"][0] = -1.0


def _write_eyes(path: Path, projector: str, shapes: Shapes, extra: Mapping[str, int]) -> None:
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", projector)
    numbers = {
        "image_size": IMAGE_PX,
        "patch_size": PATCH_PX,
        "embedding_length": EYES,
        "feed_forward_length": EYES_FFN,
        "projection_dim": WIDTH,
        "block_count": LAYERS,
        "attention.head_count": 2,
        **extra,
    }
    for name, value in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])
    _finish(writer, random_weights(shapes, 6))


def _finish(writer: gguf.GGUFWriter, weights: Mapping[str, np.ndarray]) -> None:
    for name, values in weights.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
