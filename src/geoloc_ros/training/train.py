# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: AdamW, warm-up and cosine descent, averaged weights, checkpoints.

A run may be killed at any step. It goes on from its last checkpoint and ends, on the same machine
with the same number of threads, with the same bytes as if nothing had happened: every random draw
is a function of where it is made (`draws`), and all else that matters lies in the checkpoint.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253
from tqdm import tqdm

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.blend import State, blended, shares
from geoloc_ros.training.board import Board, NoBoard, TensorBoard
from geoloc_ros.training.checkpoint import (
    read_checkpoint,
    refuse_changes,
    write_checkpoint,
    write_rows,
)
from geoloc_ros.training.config import Running, TrainConfig
from geoloc_ros.training.crew import Crew, alone
from geoloc_ros.training.data import Batch
from geoloc_ros.training.draws import WHOLE, Draws, Part, Rng, plan_generator
from geoloc_ros.training.lesson import Lesson, Taken
from geoloc_ros.training.pair import EncoderPair
from geoloc_ros.training.schedule import PLATEAU, schedule
from geoloc_ros.training.start import settle, start_from
from geoloc_ros.training.stopping import told_to_stop
from geoloc_ros.training.teacher import Teacher

LOG = logging.getLogger(__name__)
# The figure of a validation that says which weights are better.
SCORE = "r1"
_SHOWN_EVERY = 20


class Source(Protocol):
    """Where batches come from."""

    def epoch(self, number: int, config: TrainConfig, rng: Rng) -> list[Any]:
        """The plan of one epoch, one entry per batch; the same after `restore` as before."""
        ...

    def make(self, plan: Any, config: TrainConfig, draws: Draws, part: Part) -> Batch:  # noqa: ANN401
        """A process's part of one batch; may be called by several threads."""
        ...

    def learned(self, plan: Any, query: Tensor, reference: Tensor) -> None:  # noqa: ANN401
        """Told the descriptors of a whole batch, for mining."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs to plan the same epochs."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        ...


class Row(TypedDict):
    """What an epoch came to: mean losses, figures of the validation, and the time it took.

    The share is that of the run's own weights, 1, or in the end less, blended with those it began
    with.
    """

    epoch: int
    share: float
    losses: dict[str, float]
    scores: dict[str, float]
    seconds: dict[str, float]


Evaluate = Callable[[EncoderPair, bool], dict[str, float]]
Export = Callable[[EncoderPair, Row], None]


class Trainer:
    """One training run; everything it needs to continue lies in its checkpoint.

    Attributes:
        epoch: epochs done.
        step: steps done of the next one.
        history: a row of figures for every epoch done.
        lesson: networks and optimizer.

    Args:
        config: what decides the outcome.
        source: of the batches.
        running: how it is run.
        crew: this process among those that train together.
        card: what the encoders look at; None: what is usual of their kind.
        teacher: large encoders, if there are any.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        running: Running,
        crew: Crew | None = None,
        card: ModelPackage | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.config, self.source, self.running = config, source, running
        self.crew = crew or alone()
        self.lesson = Lesson(config, running, self.crew, card, teacher)
        self.epoch, self.step, self._plans = 0, 0, 0
        self.history: list[Row] = []
        self._sums: dict[str, float] = {}
        self._best: State | None = None
        self._began: State | None = None
        self._saved_s = time.monotonic()
        self._board: Board = NoBoard()
        running.work.mkdir(parents=True, exist_ok=True)

    # -- begin and go on ----------------------------------------------------------------------

    def start(self, package: ModelPackage) -> None:
        """Begin with the weights of a trained package.

        Raises:
            TrainingError: it is of another kind or architecture.
        """
        model = self.lesson.model
        start_from(model, package)
        plan = self.source.epoch(0, self.config, plan_generator(self.config.seed, 0))
        if not plan:
            raise _no_batch()
        batch = self.source.make(plan[0], self.config, Draws(self.config.seed, 0, 0), WHOLE)
        settle(model.query, model.queries(batch.query))
        if not model.shared:
            settle(model.reference, model.references(batch.reference))
        self.lesson.average.model.load_state_dict(model.state_dict())
        if self.config.blend:
            self._began = _copied(model)

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept."""
        return self.running.work / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, replacing the old one in one step; the first process does."""
        self._saved_s = time.monotonic()
        if not self.crew.is_first:
            return
        lesson = self.lesson
        state = {
            "config": dataclasses.asdict(self.config),
            "epoch": self.epoch,
            "step": self.step,
            "plans": self._plans,
            "sums": self._sums,
            "history": self.history,
            "best": self._best,
            "began": self._began,
            "model": lesson.model.state_dict(),
            "average": lesson.average.model.state_dict(),
            "average_steps": lesson.average.steps,
            "optimizer": lesson.optimizer.state_dict(),
            "scaler": lesson.scaler.state_dict(),
            "source": self.source.state(),
        }
        write_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Continue from the checkpoint, which every process reads.

        Raises:
            TrainingError: no readable checkpoint, or one of another configuration.
        """
        state = read_checkpoint(self.checkpoint)
        kept, asked = state["config"], dataclasses.asdict(self.config)
        free = (
            {"epochs"} if state["epoch"] <= PLATEAU * min(kept["epochs"], asked["epochs"]) else ()
        )
        refuse_changes(self.checkpoint, kept, asked, free)
        lesson = self.lesson
        lesson.model.load_state_dict(state["model"])
        lesson.average.model.load_state_dict(state["average"])
        lesson.average.steps = state["average_steps"]
        lesson.optimizer.load_state_dict(state["optimizer"])
        lesson.scaler.load_state_dict(state["scaler"])
        self.source.restore(state["source"])
        self.epoch, self.step, self._plans = state["epoch"], state["step"], state["plans"]
        self.history, self._sums = state["history"] if self.crew.is_first else [], state["sums"]
        self._best, self._began = state["best"], state["began"]

    # -- run ----------------------------------------------------------------------------------

    def run(self, evaluate: Evaluate, export: Export) -> dict[str, float]:
        """Train to the end; evaluate, checkpoint and export after every epoch.

        Args:
            evaluate: validation, told whether it is the last and may take its time.
            export: writes the model package; called for every epoch, or with patience for those
                that are better than all before.

        Returns:
            The validation figures of the weights that are kept; empty in all processes but the
            first.

        Raises:
            TrainingError: an epoch has no batch, or the process was told to stop.
        """
        self.lesson.join()
        self._board = self._opened_board()
        last = min(self.config.epochs, self.running.stop_after or self.config.epochs)
        with closing(self._board), told_to_stop() as told:
            if self.config.patience and self.config.start and not self.history:
                self._close({}, 0.0, evaluate, export)
            while self.epoch < last and not self.crew.agreed(self.exhausted):
                started = time.monotonic()
                means = self._epoch(told)
                self.epoch, self.step, self._sums = self.epoch + 1, 0, {}
                self._close(means, time.monotonic() - started, evaluate, export)
                if self.epoch < last and self.crew.agreed(told.is_set()):
                    raise self._left_off()
            if self.crew.is_first and (self.epoch == self.config.epochs or self.exhausted):
                self._blend(evaluate, export)
            self.crew.wait()
        kept = self.kept()
        return kept["scores"] if kept else {}

    @property
    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        epochs = [row for row in self.history if row["share"] == 1.0]
        if not self.config.patience or not epochs:
            return False
        return epochs[-1]["epoch"] - _best(epochs)["epoch"] >= self.config.patience

    def kept(self) -> Row | None:
        """The row of the weights that are kept: the last, or with patience the best."""
        if not self.history:
            return None
        return _best(self.history) if self.config.patience else self.history[-1]

    def kept_model(self) -> EncoderPair:
        """The averaged weights that are kept."""
        model = self.lesson.average.model
        if self._best is not None:
            model.load_state_dict(self._best)
        return model

    def _close(
        self, losses: dict[str, float], train_s: float, evaluate: Evaluate, export: Export
    ) -> None:
        """Validate, log, export and save what an epoch has come to."""
        if self.crew.is_first:
            self._judge(self.lesson.average.model, 1.0, losses, train_s, evaluate, export)
        self.save()

    def _blend(self, evaluate: Evaluate, export: Export) -> None:
        """The same, once, for blends of what the run began with and what was best of it."""
        if self._began is None or self.history[-1]["share"] < 1.0:
            return
        model = copy.deepcopy(self.lesson.average.model)
        kept = self.kept()
        if self._best is not None and kept and kept["epoch"] > 0:
            model.load_state_dict(self._best)
        after = _copied(model)
        for share in shares(judged=bool(self.config.patience)):
            model.load_state_dict(blended(self._began, after, share))
            self._judge(model, share, {}, 0.0, evaluate, export)
        self.save()

    def _judge(
        self, model: EncoderPair, share: float, losses: dict[str, float], train_s: float,
        evaluate: Evaluate, export: Export,
    ) -> None:  # fmt: skip
        torch.set_num_threads(self.running.threads)
        started = time.monotonic()
        scores = evaluate(model, self.config.judged_fully(self.epoch))
        seconds = {"train_s": train_s, "eval_s": time.monotonic() - started}
        row = Row(epoch=self.epoch, share=share, losses=losses, scores=scores, seconds=seconds)
        self.history.append(row)
        write_rows(self.running.work / "log.csv", [_flat(r) for r in self.history])
        self._board.add({f"held_out/{k}": v for k, v in scores.items()}, self._total_steps())
        LOG.info("%s", "  ".join(f"{k} {v:.4g}" for k, v in _flat(row).items()))
        if self.kept() is row:
            if self.config.patience or share < 1.0:
                self._best = _copied(model)
            export(model, row)

    def _epoch(self, told: threading.Event) -> dict[str, float]:
        """Take the steps of an epoch that are not yet done; answers mean losses of all of them."""
        rng = plan_generator(self.config.seed, self.epoch)
        plans = self.source.epoch(self.epoch, self.config, rng)
        if not plans:
            raise _no_batch()
        self._plans = len(plans)
        threads = self.running.threads
        torch.set_num_threads(threads // 2 if self.lesson.how.at_once else threads)
        self.lesson.model.train()
        label = f"{self.config.kind} epoch {self.epoch + 1}/{self.config.epochs}"
        bar = tqdm(total=len(plans), initial=self.step, desc=label, unit="batch",
                   disable=not self.crew.is_first)  # fmt: skip
        with bar:
            for plan, batch in self._batches(plans):
                taken = self._take(plan, batch, self.config.epochs * len(plans))
                bar.update()
                bar.set_postfix(loss=f"{taken.losses['loss']:.3f}", refresh=False)
                if self.step < len(plans) and self.crew.agreed(told.is_set()):
                    self.save()
                    raise self._left_off()
        return {name: value / len(plans) for name, value in self._sums.items()}

    def _take(self, plan: Any, batch: Batch, total: int) -> Taken:  # noqa: ANN401 - the source's
        factor = schedule(self._total_steps(), total, self.config.warm_up)
        draws = Draws(self.config.seed, self.epoch, self.step)
        taken = self.lesson.take(batch, draws, self.config.learning_rate * factor)
        if not math.isfinite(taken.losses["loss"]):
            raise TrainingError(
                f"the loss of step {self.step + 1} of epoch {self.epoch + 1} is "
                f"{taken.losses['loss']:g}; train with a --learning-rate below "
                f"{self.config.learning_rate:g}, or with --precision float32"
            )
        self.source.learned(plan, taken.query, taken.reference)
        for name, value in taken.losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self.step % _SHOWN_EVERY == 0:
            shown = {f"train/{k}": v for k, v in taken.losses.items()}
            self._board.add(shown, self._total_steps())
        self.step += 1
        if time.monotonic() - self._saved_s >= self.running.save_every_s:
            self.save()
        return taken

    def _batches(self, plans: list[Any]) -> Iterator[tuple[Any, Batch]]:
        """Batches of the steps still to take, made ahead while the networks work."""
        makers = self.running.makers
        with ThreadPoolExecutor(makers) as pool:
            coming: deque[tuple[Any, Future[Batch]]] = deque()
            for i in range(self.step, len(plans)):
                draws = Draws(self.config.seed, self.epoch, i)
                arguments = plans[i], self.config, draws, self.crew.part
                coming.append((plans[i], pool.submit(self.source.make, *arguments)))
                if len(coming) > makers:
                    plan, batch = coming.popleft()
                    yield plan, batch.result()
            while coming:
                plan, batch = coming.popleft()
                yield plan, batch.result()

    def _total_steps(self) -> int:
        """Steps done of the whole run."""
        return self.epoch * self._plans + self.step

    def _left_off(self) -> TrainingError:
        return TrainingError(
            f"told to stop after step {self.step} of epoch {self.epoch + 1}; all of it is kept in "
            f"{self.checkpoint}: the same command with --resume goes on"
        )

    def _opened_board(self) -> Board:
        if not (self.running.tensorboard and self.crew.is_first):
            return NoBoard()
        return TensorBoard(self.running.work / "tensorboard", self._total_steps())


def _best(rows: list[Row]) -> Row:
    """The first of the best."""
    return max(rows, key=lambda row: row["scores"][SCORE])


def _flat(row: Row) -> dict[str, float]:
    epoch, share = row["epoch"], row["share"]
    return {"epoch": epoch, "share": share, **row["losses"], **row["scores"], **row["seconds"]}


def _copied(model: EncoderPair) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _no_batch() -> TrainingError:
    return TrainingError(
        "an epoch has no full batch; train on more towns, drives or pairs, or lower --batch"
    )
