# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The textual mode: answers become sentences, sentences become vectors, all on this machine.

The embedder is latent semantic analysis (Deerwester et al., JASIS 1990): counts of words and pairs
of words, weighed by how rare they are, projected onto the leading directions of the descriptions
it was fitted on. It knows which words come together in such descriptions and nothing else of the
language; for sentences made from a fixed list of answers, little else is to be known.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.errors import ModelError, first_line
from geoloc_ros.vlm.questions import CANNOT_TELL, QuestionSet

LEAST_PROBABILITY = 0.35


def sentences(answers: Float32Array, questions: QuestionSet) -> str:
    """What answers say, in words.

    Args:
        answers: (T,) probabilities of all options of all questions.
        questions: what was asked.

    Returns:
        One sentence per question whose likeliest answer says something and is likely enough.
    """
    said, slices = [], questions.slices
    for question in questions.questions:
        shares = answers[slices[question.id]]
        best = int(np.argmax(shares))
        option = question.options[best]
        if option.id != CANNOT_TELL and shares[best] >= LEAST_PROBABILITY:
            subject = question.id.replace("_", " ")
            said.append(f"The {subject}: {option.text}.")
    return " ".join(said)


def terms(text: str) -> Counter[str]:
    """How often each word, and each word with its sentence's subject, is there.

    The subject goes with the word: "house" alone does not say on which side it stands.
    """
    found: Counter[str] = Counter()
    for sentence in text.split("."):
        subject, _, answer = sentence.partition(":")
        words = re.findall(r"\w+", answer.lower())
        about = " ".join(re.findall(r"\w+", subject.lower())[1:])
        found.update(words)
        found.update(f"{about} {word}" for word in words)
        if words:
            found[f"{about}: {' '.join(words)}"] += 1
    return found


@dataclass(frozen=True)
class TextEmbedder:
    """Sentences to vectors.

    Attributes:
        vocabulary: column of each term.
        projection: (V, E) weight of each term in each direction, its rarity included.
    """

    vocabulary: dict[str, int]
    projection: Float32Array

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.projection.shape[1])

    def __call__(self, texts: Sequence[str]) -> Float32Array:
        """Embeddings (N, E) of texts, of unit length; zeros for a text without a known term."""
        out = np.stack([_counts(text, self.vocabulary) for text in texts]) @ self.projection
        length = np.linalg.norm(out, axis=1, keepdims=True)
        return np.asarray(out / np.maximum(length, 1e-6), dtype=np.float32)


def fit_embedder(texts: Sequence[str], dim: int) -> TextEmbedder:
    """Latent semantic analysis of descriptions.

    Args:
        texts: descriptions, at least one.
        dim: length of an embedding, less if there are fewer terms or texts.
    """
    counts = [terms(text) for text in texts]
    known = sorted(set().union(*counts))
    vocabulary = {term: column for column, term in enumerate(known)}
    table = np.stack([_counts(text, vocabulary) for text in texts])
    rarity = np.log((1.0 + len(texts)) / (1.0 + (table > 0).sum(axis=0))) + 1.0
    weighed = (table * rarity) / np.maximum(
        np.linalg.norm(table * rarity, axis=1, keepdims=True), 1e-6
    )
    _, _, directions = np.linalg.svd(weighed, full_matrices=False)
    projection = rarity[:, None] * directions[:dim].T
    return TextEmbedder(vocabulary, projection.astype(np.float32))


def _counts(text: str, vocabulary: dict[str, int]) -> Float32Array:
    row = np.zeros(len(vocabulary), dtype=np.float32)
    for term, count in terms(text).items():
        if term in vocabulary:
            row[vocabulary[term]] = 1.0 + np.log(count)
    return row


def save_embedder(embedder: TextEmbedder, root: Path, vocabulary: str, projection: str) -> None:
    """Write an embedder as two files."""
    terms_in_order = sorted(embedder.vocabulary, key=embedder.vocabulary.__getitem__)
    (root / vocabulary).write_text(json.dumps(terms_in_order, indent=0), encoding="utf-8")
    np.save(root / projection, embedder.projection)


def load_embedder(root: Path, vocabulary: str, projection: str) -> TextEmbedder:
    """Read an embedder.

    Raises:
        ModelError: the files are damaged or do not fit each other.
    """
    try:
        known = json.loads((root / vocabulary).read_text(encoding="utf-8"))
        weights = np.load(root / projection, allow_pickle=False)
        columns = {str(term): column for column, term in enumerate(known)}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"no usable text embedder at {root}: {first_line(error)}") from error
    if weights.ndim != 2 or len(weights) != len(columns) or weights.dtype != np.float32:
        raise ModelError(f"{root / projection} does not fit {vocabulary}; train the model again")
    return TextEmbedder(columns, weights)
