# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training of one scorer and its gate on lists; small enough for minutes on a processor."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.reranker_lists import Lists
from geoloc_ros.training.reranker_nets import Judge, NetSpec, Scorer, ranking_loss
from geoloc_ros.training.schedule import schedule

LOG = logging.getLogger(__name__)
IntArray = npt.NDArray[np.int64]
SHUFFLES = 3  # times that the gate meets each list with the answers to another view
PRIOR = 2.0  # answers that are taken to have met once for each pair of options, by chance


@dataclass(frozen=True)
class Told:
    """Lists with what is said of their views and places.

    Attributes:
        lists: the lists.
        query: (N, T) descriptions of the views.
        texts: (N, K, T) descriptions of the places.
    """

    lists: Lists
    query: Float32Array
    texts: Float32Array

    def __len__(self) -> int:
        """How many lists."""
        return len(self.lists)

    def pick(self, chosen: IntArray | npt.NDArray[np.bool_]) -> Told:
        """Some of the lists."""
        return Told(self.lists.pick(chosen), self.query[chosen], self.texts[chosen])

    def shuffled(self, seed: int) -> Told:
        """The same lists, each with the answers to another view of the same town."""
        rng, order = np.random.default_rng([seed, 5]), np.arange(len(self))
        for town in np.unique(self.lists.town):
            members = rng.permutation(np.flatnonzero(self.lists.town == town))
            order[members] = [*members[1:], members[0]]
        return Told(self.lists, self.query[order], self.texts)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """What a net is given, see `Scorer.forward`."""
        parts = (
            self.lists.query, self.query, self.lists.similarity, self.lists.descriptors, self.texts
        )  # fmt: skip
        a, b, c, d, e = (
            torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in parts
        )
        return a, b, c, d, e


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """What decides the outcome of a training, besides the data and the net.

    Attributes:
        epochs: passes over the lists.
        batch: lists per step.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW.
        margin: of the ranking loss.
        silence: share of questions that are not answered, in training.
        gate_steps: of the gate's training, each over all lists.
        seed: of weights and order.
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    margin: float = 1.0
    silence: float = 0.15
    gate_steps: int = 400
    seed: int = 1


def first_right(score: Float32Array, lists: Lists) -> npt.NDArray[np.bool_]:
    """Whether the best candidate of each list (N,) is a right one."""
    best = np.argmax(score, axis=1)
    return np.asarray(lists.correct[np.arange(len(lists)), best])


@torch.inference_mode()
def judged(judge: Judge, told: Told) -> tuple[Float32Array, Float32Array]:
    """Scores (N, K) and confidences (N,)."""
    judge.eval()
    score, confidence = judge(*told.tensors())
    return score.numpy(), confidence.numpy()


def met_tables(told: Told, blocks: tuple[int, ...]) -> Float32Array:
    """Log of how much more often two options meet at one place than at two, (T, T).

    Counted over right and wrong places of the lists; options of different questions are left zero.
    """
    total, right = sum(blocks), told.lists.correct
    same, other = np.zeros((total, total)), np.zeros((total, total))
    for i in range(len(told)):
        same += np.outer(told.query[i], told.texts[i][right[i]].sum(axis=0))
        other += np.outer(told.query[i], told.texts[i][~right[i]].sum(axis=0))
    out, start = np.zeros((total, total), np.float32), 0
    for size in blocks:
        part = (slice(start, start + size),) * 2
        chance = other[part] / max(other[part].sum(), 1e-9)
        # rare pairs are taken to meet as often at one place as at two
        often = (same[part] + PRIOR * size * chance) / (same[part].sum() + PRIOR * size)
        rare = (other[part] + PRIOR / size) / (other[part].sum() + PRIOR * size)
        out[part] = np.log(np.maximum(often, 1e-6) / np.maximum(rare, 1e-6))
        start += size
    return np.clip(out, -3.0, 3.0)


class Fit:
    """One scorer in training; everything it needs to go on lies in its checkpoint.

    Args:
        spec: the net.
        config: of the training.
        train: lists to learn from; those with right and wrong places.
        checkpoint: file, made after every epoch.
    """

    def __init__(self, spec: NetSpec, config: FitConfig, train: Told, checkpoint: Path) -> None:
        right = train.lists.correct.sum(axis=1)
        usable = np.flatnonzero((right > 0) & (right < train.lists.correct.shape[1]))
        if not len(usable):
            raise TrainingError("no list has right and wrong places; render more towns")
        self.spec, self.config, self.train = spec, config, train.pick(usable)
        self._everything, self._checkpoint = train, checkpoint
        torch.manual_seed(config.seed)
        self.judge = Judge(Scorer(spec))
        if spec.fusion == "pairwise":
            words = len(spec.blocks) == 1  # an embedding: alike is what points the same way
            tables = (
                np.eye(spec.blocks[0], dtype=np.float32)
                if words
                else met_tables(self.train, spec.blocks)
            )
            with torch.no_grad():
                self.judge.scorer.table.copy_(torch.from_numpy(tables))
        groups = [
            {
                "params": [p for p in self.judge.scorer.parameters() if (p.ndim > 1) == heavy],
                "weight_decay": config.weight_decay if heavy else 0.0,
            }
            for heavy in (True, False)
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        self.epoch, self._best, self._best_share, self._best_epoch = 0, self._copy(), -1.0, 0

    def run(self, share: Callable[[Judge], float], resume: bool) -> Judge:
        """Train to the end, keep the epoch that validates best, then fit the gate.

        Args:
            share: validation: share of lists whose first is right, by the scores alone.
            resume: go on from the checkpoint if there is one.

        Raises:
            TrainingError: the checkpoint is of other settings.
        """
        if resume and self._checkpoint.exists():
            self._load()
        while self.epoch < self.config.epochs:
            loss = self._pass()
            self.epoch += 1
            found = share(self.judge)
            if found > self._best_share:
                self._best_share, self._best, self._best_epoch = found, self._copy(), self.epoch
            LOG.info("%s epoch %d loss %.4f first %.4f", self.spec.fusion, self.epoch, loss, found)
            self._save()
        self.judge.load_state_dict(self._best)
        self._fit_gate(*self._unseen())
        return self.judge

    def _unseen(self) -> tuple[list[Judge], list[Told]]:
        """Scorers of half the towns each, and the lists of the other half.

        A scorer looks surer of lists it has learnt from than of any other; a gate that learns from
        those would trust it too far.
        """
        towns = np.unique(self._everything.lists.town)
        halves = [np.isin(self._everything.lists.town, towns[k::2]) for k in (0, 1)]
        if len(towns) == 1:
            halves = [np.arange(len(self._everything)) % 2 == k for k in (0, 1)]
        config = dataclasses.replace(self.config, epochs=max(1, self._best_epoch))
        judges, lists = [], []
        for learn, keep in (halves, halves[::-1]):
            part = self._everything.pick(np.flatnonzero(learn))
            fit = Fit(self.spec, config, part, self._checkpoint)
            for _ in range(config.epochs):
                fit._pass()
                fit.epoch += 1
            judges.append(fit.judge)
            lists.append(self._everything.pick(np.flatnonzero(keep)))
        return judges, lists

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.judge.state_dict().items()}

    def _pass(self) -> float:
        config = self.config
        rng = np.random.default_rng([config.seed, 11, self.epoch])
        torch.manual_seed(config.seed * 1000 + self.epoch)
        order = rng.permutation(len(self.train))
        steps = range(0, len(order), config.batch)
        member = self.judge.scorer.reliability.member
        losses = []
        self.judge.train()
        for number, start in enumerate(steps):
            factor = schedule(self.epoch * len(steps) + number, config.epochs * len(steps))
            for group in self._optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            part = self.train.pick(order[start : start + config.batch])
            query, text, similarity, descriptors, texts = part.tensors()
            heard = torch.from_numpy(
                (rng.random((len(part), len(member))) >= config.silence).astype(np.float32)
            )
            if len(member) > 1:
                text = text * (heard @ member)
            score = self.judge.scorer(query, text, similarity, descriptors, texts)
            loss = ranking_loss(score, torch.from_numpy(part.lists.correct), config.margin)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.judge.parameters(), 5.0)
            self._optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def _fit_gate(self, judges: list[Judge], lists: list[Told]) -> None:
        """Teach the gate when the new first is right and the old one is not.

        Every list is there again with the answers to other views, which count as much together,
        so that the gate learns what answers look like that are not worth it.

        Args:
            judges: scorers of the same kind.
            lists: for each, lists that it has not learnt from.
        """
        features, wanted, weight = [], [], []
        seeds = range(self.config.seed, self.config.seed + SHUFFLES)
        for judge, part in zip(judges, lists, strict=True):
            others = [(part.shuffled(seed), 1.0 / SHUFFLES) for seed in seeds]
            for told, share in ((part, 1.0), *others):
                with torch.inference_mode():
                    judge.eval()
                    query, text, similarity, descriptors, texts = told.tensors()
                    score = judge.scorer(query, text, similarity, descriptors, texts)
                    features.append(judge.features(score, text, similarity, texts))
                new, old = first_right(score.numpy(), told.lists), told.lists.correct[:, 0]
                wanted.append(new & ~old)
                weight.append(share * (new != old))
        seen = torch.cat(features).clone()
        target = torch.from_numpy(np.concatenate(wanted).astype(np.float32))
        counts = torch.from_numpy(np.concatenate(weight).astype(np.float32))
        if not counts.any():
            LOG.warning("the reranker never changes whether the first is right; it will abstain")
        with torch.no_grad():
            self.judge.centre.copy_(seen.mean(dim=0))
            self.judge.spread.copy_(seen.std(dim=0) + 1e-3)
        normal = (seen - self.judge.centre) / self.judge.spread
        torch.manual_seed(self.config.seed)
        optimizer = torch.optim.AdamW(self.judge.gate.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(self.config.gate_steps):
            logit = self.judge.gate(normal).squeeze(-1)
            loss = nn.functional.binary_cross_entropy_with_logits(logit, target, counts)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _settings(self) -> dict[str, Any]:
        spec = dataclasses.asdict(self.spec)
        return {**spec, "blocks": list(spec["blocks"]), **dataclasses.asdict(self.config),
                "lists": len(self.train)}  # fmt: skip

    def _save(self) -> None:
        state = {
            "settings": self._settings(),
            "epoch": self.epoch,
            "model": self.judge.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "best": self._best,
            "best_share": self._best_share,
            "best_epoch": self._best_epoch,
        }
        part = self._checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._checkpoint)

    def _load(self) -> None:
        try:
            state = torch.load(self._checkpoint, weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
            raise TrainingError(
                f"cannot go on from {self._checkpoint}; train without --resume"
            ) from error
        if state["settings"] != self._settings():
            raise TrainingError(
                f"{self._checkpoint} was made with other settings or lists; train without --resume"
            )
        self.judge.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self._best = state["epoch"], state["best"]
        self._best_share, self._best_epoch = state["best_share"], state["best_epoch"]
