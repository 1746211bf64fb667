# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of our small language model, and its tokenizer.

llama.cpp's sentencepiece tokenizer joins neighbouring characters pair by pair, the pair with the
best score first, as long as the pair is a piece. A whole word is therefore reached only when each
of its beginnings is a piece too, so those are in the vocabulary as well. Pieces that begin with
the word mark or a newline have the better score: they grow before anything in the middle of a
word can. A newline belongs to the word after it, which saves a fifth of a prompt's tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from string import ascii_uppercase

MARK = "▁"
UNKNOWN, BOS, EOS = "<unk>", "<s>", "</s>"
_SPECIAL = (UNKNOWN, BOS, EOS)
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_WORD = re.compile(rf"[{MARK}\n]?\w[\w'/-]*:?")
_PRINTABLE = tuple(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True)
class Vocabulary:
    """Pieces by token id: special ones, 256 bytes, then the learned ones.

    Attributes:
        learned: pieces after the bytes.
    """

    learned: tuple[str, ...]
    bos: int = field(default=1, init=False)
    eos: int = field(default=2, init=False)

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The piece of each token id."""
        return (*_SPECIAL, *_BYTES, *self.learned)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token id of each piece."""
        return {piece: i for i, piece in enumerate(self.pieces)}

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.pieces)

    def score(self, token: int) -> float:
        """How early a piece is joined: those that begin a word first."""
        return 0.0 if self.pieces[token].startswith((MARK, "\n")) else -1.0

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without BOS; the same as llama.cpp's."""
        symbols = list(text.replace(" ", MARK))
        while (best := self._best_pair(symbols)) is not None:
            symbols[best : best + 2] = ["".join(symbols[best : best + 2])]
        tokens = []
        for symbol in symbols:
            known = self.ids.get(symbol)
            tokens += [known] if known is not None else [3 + b for b in symbol.encode()]
        return tokens

    def _best_pair(self, symbols: list[str]) -> int | None:
        """Where the pair to be joined next begins."""
        best: tuple[float, int] | None = None
        for i in range(len(symbols) - 1):
            token = self.ids.get(symbols[i] + symbols[i + 1])
            if token is not None and (best is None or self.score(token) > best[0]):
                best = self.score(token), i
        return None if best is None else best[1]


def learn_vocabulary(texts: Iterable[str]) -> Vocabulary:
    """A vocabulary in which every word of some texts is one token.

    Printable ASCII characters, the newline, and every capital letter after a space or a newline
    are pieces as well; whatever else a text holds is spelt out in bytes.
    """
    words = {word for text in texts for word in _WORD.findall(text.replace(" ", MARK))}
    beginnings = {word[:end] for word in words for end in range(1, len(word) + 1)}
    letters = [start + letter for start in (MARK, "\n") for letter in ascii_uppercase]
    fixed = ("\n", MARK, *_PRINTABLE, *letters)
    return Vocabulary((*fixed, *sorted(beginnings - set(fixed))))
