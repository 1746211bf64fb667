# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Nets that score candidates by image and description together (GeoVLM, arXiv 2505.13669).

Query and candidate each have a descriptor and a description. Both are projected to one length and
fused; an aligner of fully connected layers, layer normalisation and ReLU turns what the fused
query and candidate have in common into a score, which is added to the encoder's similarity. The
aligner's last layer starts at zero, so that training starts from the encoder's own order.

- `sum`: projections are added (the paper);
- `concat`: they are laid side by side;
- `pairwise`: nothing is projected. The two descriptions are compared question by question, each by
  a table that says how much more often two answers meet at one place than at two, and the
  descriptors by the encoder's similarity. So little can be learnt by heart that it carries over to
  other towns; with an aligner beside it, it soon knew its lists by heart;
- `no_text`: descriptors only, to tell what language adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.vlm.questions import QuestionSet

SMALL = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """What a scorer is made of.

    Attributes:
        fusion: `sum`, `concat`, `pairwise` or `no_text`.
        descriptor_dim: length of descriptors.
        blocks: options of each question; or one block, the length of a text embedding.
        width: of projections and aligner.
        dropout: share of the aligner's features left out while training.
        similarity_scale: factor on the encoder's similarity to begin with.
    """

    fusion: str
    descriptor_dim: int
    blocks: tuple[int, ...]
    width: int = 48
    dropout: float = 0.5
    similarity_scale: float = 20.0


class Reliability(nn.Module):
    """Weighs each question's answers by how far they can be trusted, learnt."""

    member: Tensor

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        member = torch.zeros(len(blocks), sum(blocks))
        start = 0
        for row, size in enumerate(blocks):
            member[row, start : start + size] = 1.0
            start += size
        self.register_buffer("member", member)
        self.logit = nn.Parameter(torch.ones(len(blocks)))

    def weights(self) -> Tensor:
        """Of each question, 0..1."""
        return torch.sigmoid(self.logit)

    def forward(self, text: Tensor) -> Tensor:
        """Descriptions (..., T), each question's answers times its weight."""
        weighed: Tensor = text * (self.weights() @ self.member)
        return weighed


class Scorer(nn.Module):
    """Scores (B, K) of candidates."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        width, total = spec.width, sum(spec.blocks)
        self.reliability = Reliability(spec.blocks)
        self.scale = nn.Parameter(torch.tensor(float(np.log(spec.similarity_scale))))
        if spec.fusion == "pairwise":
            self.table = nn.Parameter(torch.zeros(total, total))
            return
        self.query_image = nn.Linear(spec.descriptor_dim, width)
        self.place_image = nn.Linear(spec.descriptor_dim, width)
        if spec.fusion != "no_text":
            self.query_text = nn.Linear(total, width)
            self.place_text = nn.Linear(total, width)
        self.aligner = nn.Sequential(
            nn.Linear((4 if spec.fusion == "concat" else 2) * width, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Dropout(spec.dropout),
            nn.Linear(width, 1),
        )
        last = self.aligner[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self,
        query_descriptor: Tensor,
        query_text: Tensor,
        similarity: Tensor,
        descriptors: Tensor,
        texts: Tensor,
    ) -> Tensor:
        """Scores (B, K).

        Args:
            query_descriptor: (B, D).
            query_text: (B, T).
            similarity: (B, K) of the encoder.
            descriptors: (B, K, D).
            texts: (B, K, T).
        """
        score: Tensor = self.scale.exp() * (similarity - similarity[:, :1])
        if self.spec.fusion == "pairwise":
            return score + self.compare(query_text, texts)
        return score + self.align(query_descriptor, query_text, descriptors, texts)

    def align(
        self, query_descriptor: Tensor, query_text: Tensor, descriptors: Tensor, texts: Tensor
    ) -> Tensor:
        """What fused projections of query and places have in common, (B, K); see `forward`."""
        query, place = self.query_image(query_descriptor)[:, None], self.place_image(descriptors)
        if self.spec.fusion != "no_text":
            words = self.query_text(self.reliability(query_text))[:, None]
            place_words = self.place_text(self.reliability(texts))
            if self.spec.fusion == "sum":
                query, place = query + words, place + place_words
            else:
                query = torch.cat([query, words], dim=-1)
                place = torch.cat([place, place_words], dim=-1)
        found: Tensor = self.aligner(torch.cat([query * place, (query - place).abs()], dim=-1))
        return found.squeeze(-1)

    def compare(self, query_text: Tensor, texts: Tensor) -> Tensor:
        """What the two descriptions say for one place, (B, K): the sum over the questions."""
        inside = self.reliability.member.T @ self.reliability.member
        met = (query_text @ (self.table * inside))[:, None] * texts
        compared: Tensor = met @ (self.reliability.weights() @ self.reliability.member)
        return compared


def agreement(query_text: Tensor, texts: Tensor, member: Tensor) -> Tensor:
    """How far descriptions agree (B, K): mean over the questions of the chance of one answer."""
    answered = (query_text @ member.T > 0.5).to(texts.dtype)[:, None]
    both = answered * (texts @ member.T > 0.5).to(texts.dtype)
    same = (query_text[:, None] * texts) @ member.T
    agreed: Tensor = (same * both).sum(dim=-1) / (both.sum(dim=-1) + SMALL)
    return agreed


class Judge(nn.Module):
    """A scorer with a gate that says how sure it is that its order is the better one.

    The gate looks at the list as a whole: how well the answers suit the new first, by how much it
    beats the old one, what it costs in similarity, how clear the encoder's choice was, how sure
    the answers are, and how far they agree with what was said of the two.
    """

    centre: Tensor
    spread: Tensor
    FEATURES = 10

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer
        self.register_buffer("centre", torch.zeros(self.FEATURES))
        self.register_buffer("spread", torch.ones(self.FEATURES))
        self.gate = nn.Sequential(nn.Linear(self.FEATURES, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(
        self,
        query_descriptor: Tensor,
        query_text: Tensor,
        similarity: Tensor,
        descriptors: Tensor,
        texts: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Scores (B, K) and confidence (B,), see `Scorer.forward`."""
        score = self.scorer(query_descriptor, query_text, similarity, descriptors, texts)
        features = self.features(score, query_text, similarity, texts)
        logit = self.gate((features - self.centre) / self.spread).squeeze(-1)
        return score, torch.sigmoid(logit)

    def features(
        self, score: Tensor, query_text: Tensor, similarity: Tensor, texts: Tensor
    ) -> Tensor:
        """What the gate looks at, (B, FEATURES)."""
        first, _ = torch.topk(score, 2, dim=1)
        chosen = (score >= first[:, :1]).to(score.dtype)
        chosen = chosen / chosen.sum(dim=1, keepdim=True)
        alike, _ = torch.topk(similarity, 2, dim=1)
        agree = agreement(query_text, texts, self.scorer.reliability.member)
        new_agree = (chosen * agree).sum(dim=1)
        sure = (query_text**2).sum(dim=1)
        return torch.stack(
            [
                first[:, 0],
                first[:, 0] - score[:, 0],
                first[:, 0] - first[:, 1],
                similarity[:, 0] - (chosen * similarity).sum(dim=1),
                alike[:, 0],
                alike[:, 0] - alike[:, 1],
                new_agree,
                new_agree - agree[:, 0],
                new_agree - agree.mean(dim=1),
                sure,
            ],
            dim=1,
        )


def ranking_loss(score: Tensor, correct: Tensor, margin: float = 1.0) -> Tensor:
    """Mean over right-wrong pairs of a list, and over lists, of what misses the margin.

    Args:
        score: (B, K).
        correct: (B, K) bool; every list has right and wrong ones.
        margin: by which right ones shall beat wrong ones.
    """
    missing = torch.relu(margin - score[:, :, None] + score[:, None, :])
    pairs = (correct[:, :, None] & ~correct[:, None, :]).to(score.dtype)
    loss: Tensor = ((missing * pairs).sum(dim=(1, 2)) / (pairs.sum(dim=(1, 2)) + SMALL)).mean()
    return loss


def blocks_of(questions: QuestionSet) -> tuple[int, ...]:
    """Options of each question."""
    return tuple(len(question.options) for question in questions.questions)
