# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One model in memory: a picture is looked at once, then many texts go on from it.

The picture fills the cache of attention keys and values as sequence 0. Each text gets a sequence
of its own that shares those cells (`llama_memory_seq_cp`) and adds its own behind them; several
texts are computed in one batch. Sequences are removed again before the next batch, so what a
token attends over stays short.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.datatypes import Image
from geoloc_ros.errors import ModelError
from geoloc_ros.vlm.llama_library import complaint, load_libraries

Logits = NDArray[np.float32]

#: cells of the cache: the picture, and the texts of one batch behind it
CONTEXT = 4096
BATCH_TOKENS = 512
BATCH_TEXTS = 6  # more in a batch and each attends over more that is not its own ...
SHORT_TOKENS, SHORT_TEXTS = 64, 64  # ... unless all of them together are so short
MOST_THREADS = 4
_ALL_LAYERS = 999
_ATTRIBUTE_NORMAL = 4
_LONGEST_PIECE = 256  # bytes
_F32 = 0


def default_threads() -> int:
    """Threads where nothing else is said: the cores this process may use but one, at most four.

    Threads of llama.cpp wait for each other at every step; one whose core is taken by something
    else makes all of them many times slower.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    return max(1, min(cores - 1, MOST_THREADS))


class LlamaSession:
    """A language model with its vision tower. Belongs to the thread that made it.

    Args:
        text: GGUF file of the language model.
        mmproj: GGUF file of the vision tower and projector.
        n_threads: threads; None for `default_threads`.
        image_tokens: most tokens a picture may become, where the model lets one choose; 0 for as
            many as it wants.
        exact: compute attention in 32-bit floats; for small models, where it costs little.
        gpu: use a GPU where llama.cpp was built for one.

    Raises:
        ConfigError: llama-cpp-python is missing.
        ModelError: llama.cpp does not take the files.
    """

    def __init__(
        self,
        text: Path,
        mmproj: Path,
        *,
        n_threads: int | None = None,
        image_tokens: int = 0,
        exact: bool = False,
        gpu: bool = True,
    ) -> None:
        self._llama, self._mtmd = load_libraries()
        self._owner = threading.get_ident()
        self._stack = ExitStack()
        self._finalizer = weakref.finalize(self, self._stack.close)
        self.n_threads = n_threads or default_threads()
        self._position = 0
        try:
            self._load_text(text, exact, gpu)
            self._load_mmproj(mmproj, image_tokens, exact, gpu)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free the model; may be called twice."""
        self._finalizer()

    def _load_text(self, path: Path, exact: bool, gpu: bool) -> None:
        llama = self._llama
        complaint()
        settings = llama.llama_model_default_params()
        settings.n_gpu_layers = _ALL_LAYERS if gpu else 0
        load, free = llama.llama_model_load_from_file, llama.llama_model_free
        self._model = self._held(load(os.fsencode(path), settings), free, path)
        self._vocabulary = llama.llama_model_get_vocab(self._model)
        self.n_vocab = int(llama.llama_vocab_n_tokens(self._vocabulary))
        settings = llama.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = CONTEXT, BATCH_TOKENS, BATCH_TOKENS
        settings.n_seq_max, settings.kv_unified = SHORT_TEXTS + 1, True
        settings.n_threads = settings.n_threads_batch = self.n_threads
        settings.no_perf = True
        if exact:
            settings.type_k = settings.type_v = _F32
            settings.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        make = llama.llama_init_from_model
        self._context = self._held(make(self._model, settings), llama.llama_free, path)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._stack.callback(llama.llama_batch_free, self._batch)

    def _load_mmproj(self, path: Path, image_tokens: int, exact: bool, gpu: bool) -> None:
        mtmd = self._mtmd
        settings = mtmd.mtmd_context_params_default()
        settings.use_gpu, settings.n_threads, settings.print_timings = gpu, self.n_threads, False
        if image_tokens:
            settings.image_max_tokens = image_tokens
        if exact:
            settings.flash_attn_type = self._llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        start = mtmd.mtmd_init_from_file
        self._eyes = self._held(
            start(os.fsencode(path), self._model, settings), mtmd.mtmd_free, path
        )
        if not mtmd.mtmd_support_vision(self._eyes):
            raise ModelError(f"{path} cannot see: it has no vision tower")
        self.marker: str = mtmd.mtmd_default_marker().decode()

    def _held(self, pointer: Any, free: Callable[[Any], None], path: Path) -> Any:  # noqa: ANN401
        if not pointer:
            raise ModelError(f"llama.cpp does not take {path}: {complaint()}")
        self._stack.callback(free, pointer)
        return pointer

    # -- text -----------------------------------------------------------------------------------

    @property
    def chat_template(self) -> str:
        """Source of the model's chat template, empty if it has none."""
        source = self._llama.llama_model_chat_template(self._model, None)
        return source.decode("utf-8", "replace") if source else ""

    def special_text(self, which: str) -> str:
        """Text of the token ``bos`` or ``eos``, empty if there is none."""
        token = getattr(self._llama, f"llama_vocab_{which}")(self._vocabulary)
        return self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Text of a token; a character may need several."""
        buffer = ctypes.create_string_buffer(_LONGEST_PIECE)
        size = self._llama.llama_token_to_piece(
            self._vocabulary, token, buffer, _LONGEST_PIECE, 0, special
        )
        return buffer.raw[: max(size, 0)]

    def tokens_by_text(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """The ordinary tokens whose text is one of these."""
        found: dict[bytes, list[int]] = {text.encode(): [] for text in texts}
        for token in range(self.n_vocab):
            text = self.piece(token)
            if text in found:
                kind = self._llama.llama_vocab_get_attr(self._vocabulary, token)
                if kind & _ATTRIBUTE_NORMAL:
                    found[text].append(token)
        return {text.decode(): tokens for text, tokens in found.items()}

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of a text; names of special tokens in it count as such only if `special`."""
        data = text.encode()
        if not data:
            return []
        room = len(data) + 8
        out = (self._llama.llama_token * room)()
        count = self._llama.llama_tokenize(
            self._vocabulary, data, len(data), out, room, False, special
        )
        return list(out[: max(count, 0)])

    # -- picture --------------------------------------------------------------------------------

    def look(self, prefix: str, rgb: Image) -> int:
        """Look at a picture (H, W, 3), forgetting the one before.

        Args:
            prefix: text that ends with the picture's marker.
            rgb: the picture.

        Returns:
            Number of tokens of prefix and picture together.

        Raises:
            ModelError: the picture makes too many tokens, or llama.cpp fails.
        """
        self._check_thread()
        mtmd = self._mtmd
        self._llama.llama_memory_clear(self._memory, False)
        complaint()
        with ExitStack() as stack:
            chunks = mtmd.mtmd_input_chunks_init()
            stack.callback(mtmd.mtmd_input_chunks_free, chunks)
            self._cut(chunks, prefix, rgb)
            count = int(mtmd.mtmd_helper_get_n_tokens(chunks))
            if count + BATCH_TOKENS > CONTEXT:
                raise ModelError(
                    f"the picture makes {count} tokens, there is room for "
                    f"{CONTEXT - BATCH_TOKENS}; lower image_size in the package's model.json"
                )
            end = self._llama.llama_pos(0)
            failed = mtmd.mtmd_helper_eval_chunks(
                self._eyes, self._context, chunks, 0, 0, BATCH_TOKENS, False, ctypes.byref(end)
            )
        if failed:
            raise ModelError(f"the picture cannot be looked at ({failed}): {complaint()}")
        self._position = int(end.value)
        self._free_cells = CONTEXT - count
        return count

    def _cut(self, chunks: Any, prefix: str, rgb: Image) -> None:  # noqa: ANN401
        """Cut prefix and picture into chunks of tokens."""
        mtmd = self._mtmd
        pixels = np.ascontiguousarray(rgb, dtype=np.uint8)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
        try:
            text = mtmd.mtmd_input_text()
            content = prefix.encode()
            text.text, text.text_len = content, len(content)
            text.add_special = text.parse_special = True
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            failed = mtmd.mtmd_tokenize(self._eyes, chunks, ctypes.byref(text), bitmaps, 1)
        finally:
            mtmd.mtmd_bitmap_free(bitmap)
        if failed:
            raise ModelError(f"the picture cannot be cut into tokens ({failed}): {complaint()}")

    # -- going on -------------------------------------------------------------------------------

    def continue_with(self, texts: Sequence[Sequence[int]]) -> Logits:
        """Go on from the picture with several texts, each by itself.

        Args:
            texts: tokens of each, at least one.

        Returns:
            Logits (texts, tokens of the vocabulary) of what comes after each.

        Raises:
            ModelError: a text is too long, or llama.cpp fails.
        """
        self._check_thread()
        logits = np.empty((len(texts), self.n_vocab), dtype=np.float32)
        done = 0
        while done < len(texts):
            part = self._next_part(texts[done:])
            for sequence in range(1, len(part) + 1):
                self._llama.llama_memory_seq_cp(self._memory, 0, sequence, -1, -1)
            for row, last in enumerate(self._decode(part), start=done):
                logits[row] = self._logits_at(last)
            for sequence in range(1, len(part) + 1):
                self._llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)
            done += len(part)
        return logits

    def _next_part(self, texts: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """As many of the first texts as fit into a batch."""
        room, count, used = min(BATCH_TOKENS, self._free_cells), 0, 0
        for text in texts[:SHORT_TEXTS]:
            used += len(text)
            if used > room or (count >= BATCH_TEXTS and used > SHORT_TOKENS):
                break
            count += 1
        if not count:
            raise ModelError(
                f"a question of {len(texts[0])} tokens; at most {BATCH_TOKENS} fit into a batch"
            )
        return texts[:count]

    def _decode(self, texts: Sequence[Sequence[int]], first_sequence: int = 1) -> list[int]:
        """Compute texts as sequences of their own; places of their last tokens in the batch."""
        batch, size, ends = self._batch, 0, []
        for sequence, text in enumerate(texts, start=first_sequence):
            for offset, token in enumerate(text):
                batch.token[size], batch.pos[size] = token, self._position + offset
                batch.n_seq_id[size], batch.seq_id[size][0] = 1, sequence
                batch.logits[size] = offset == len(text) - 1
                size += 1
            ends.append(size - 1)
        batch.n_tokens = size
        failed = self._llama.llama_decode(self._context, batch)
        if failed:
            raise ModelError(f"llama.cpp cannot go on from the picture ({failed}): {complaint()}")
        return ends

    def _logits_at(self, place: int) -> Logits:
        """Logits (tokens of the vocabulary,) at a place of the last batch, until the next one."""
        pointer = self._llama.llama_get_logits_ith(self._context, place)
        if not pointer:
            raise ModelError(f"llama.cpp gives no logits: {complaint()}")
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    def write(self, text: Sequence[int], grammar: str, most_tokens: int) -> str:
        """Go on from the picture with a text, then write what is likeliest under a grammar.

        Args:
            text: its tokens.
            grammar: in GBNF, with the rule `root`.
            most_tokens: where to stop, finished or not.

        Raises:
            ModelError: the grammar cannot be read, or llama.cpp fails.
        """
        self._check_thread()
        llama, written = self._llama, b""
        self._next_part([text])
        start = self._position
        with ExitStack() as stack:
            chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
            stack.callback(llama.llama_sampler_free, chain)
            stack.callback(self._forget_after, start)
            rules = llama.llama_sampler_init_grammar(self._vocabulary, grammar.encode(), b"root")
            if not rules:
                raise ModelError(f"llama.cpp cannot read the grammar: {complaint()}")
            llama.llama_sampler_chain_add(chain, rules)
            llama.llama_sampler_chain_add(chain, llama.llama_sampler_init_greedy())
            tokens = list(text)
            for _ in range(min(most_tokens, self._free_cells - len(text))):
                place = self._decode([tokens], first_sequence=0)[0]
                self._position += len(tokens)
                token = int(llama.llama_sampler_sample(chain, self._context, place))
                if llama.llama_vocab_is_eog(self._vocabulary, token):
                    break
                written += self.piece(token)
                tokens = [token]
        return written.decode("utf-8", "replace")

    def _forget_after(self, position: int) -> None:
        self._llama.llama_memory_seq_rm(self._memory, 0, position, -1)
        self._position = position

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise RuntimeError("a model belongs to the thread that loaded it; load another one")
