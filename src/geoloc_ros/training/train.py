# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: AdamW, warm-up and cosine descent, averaged weights, checkpoints."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253
from tqdm import tqdm

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.augment import normalise
from geoloc_ros.training.checkpoint import (
    Averaged,
    append_row,
    read_checkpoint,
    refuse_changes,
    write_checkpoint,
)
from geoloc_ros.training.data import Batch
from geoloc_ros.training.losses import info_nce, layout_loss
from geoloc_ros.training.nets import MEAN, STD, EncoderPair, LayoutHead, reduced_precision
from geoloc_ros.training.start import settle, start_from

IntArray = npt.NDArray[np.int64]
WARM_UP_STEPS = 40
PLATEAU = 0.55


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides the outcome of a training, besides the data.

    Attributes:
        kind: perspective or ground_plane.
        epochs: passes over the data.
        geographic_epochs: of these, how many use geographic neighbours before similarity.
        wide_from: from this epoch on positives lie as far off as index anchors do.
        batch: pairs per step.
        cluster: neighbours that go into a batch together.
        extra: references at wrong poses close by, per batch.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW.
        smoothing: label smoothing.
        layout_weight: of the loss of saying the layout, beside that of the descriptors.
        ema: decay of the averaged weights.
        seed: of weights, order and augmentation.
        threads: CPU threads of torch.
        start: sha256 of the encoders whose weights the run begins with; empty for random ones.
    """

    kind: str
    epochs: int = 10
    geographic_epochs: int = 2
    wide_from: int = 5
    batch: int = 96
    cluster: int = 8
    extra: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    smoothing: float = 0.1
    layout_weight: float = 3.0
    ema: float = 0.99
    seed: int = 1
    threads: int = 2
    start: str = ""


class Source(Protocol):
    """Where batches come from."""

    def epoch(self, number: int, config: TrainConfig, rng: np.random.Generator) -> list[Any]:
        """The plan of one epoch: one entry per batch."""
        ...

    def make(self, plan: Any, config: TrainConfig, rng: np.random.Generator) -> Batch:  # noqa: ANN401
        """One batch of the plan."""
        ...

    def learned(self, plan: Any, query: Tensor, reference: Tensor) -> None:  # noqa: ANN401
        """Told the descriptors of a batch, for mining."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs to plan the same epochs."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        ...


Evaluate = Callable[[EncoderPair, bool], dict[str, float]]
Export = Callable[[EncoderPair, dict[str, float], int], None]
# Of the descriptors, of the query's layout and of the reference's.
Losses = tuple[float, float, float]


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """Images (N, H, W, 3) uint8 -> normalised (N, 3, H, W), channels last."""
    return torch.from_numpy(normalise(images, MEAN, STD))


def _forward(
    encoder: nn.Module, layout: LayoutHead | None, images: npt.NDArray[np.uint8]
) -> tuple[Tensor, Tensor | None]:
    """Descriptors, and what the layout head says if there is one."""
    with reduced_precision():
        features: Tensor = encoder.look(to_tensor(images))  # type: ignore[operator]
        descriptor: Tensor = encoder.head(features)  # type: ignore[operator]
        return descriptor, None if layout is None else layout(features)


def _backward(
    seen: tuple[Tensor, Tensor | None],
    gradient: Tensor | None,
    shares: npt.NDArray[np.float32] | None,
    weight: float,
) -> float:
    """Run backward from a descriptor's gradient and from the layout's loss; answers the latter."""
    descriptor, said = seen
    if said is None or shares is None:
        descriptor.backward(gradient)  # type: ignore[no-untyped-call]
        return 0.0
    loss = layout_loss(said, torch.from_numpy(shares))
    torch.autograd.backward([descriptor, weight * loss], [gradient, None])
    return float(loss.detach())


def schedule(step: int, total: int, warm_up: int = WARM_UP_STEPS) -> float:
    """Factor on the learning rate: linear warm-up, a plateau, half a cosine down to zero.

    Until the descent begins nothing depends on `total`, so a run can be made longer or shorter
    while it is on the plateau and is still the run it would have been.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step / max(1, total) - PLATEAU) / (1.0 - PLATEAU)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, share))))


class Trainer:
    """One training run; everything it needs to continue lies in its checkpoint.

    Attributes:
        model: weights in training.
        average: averaged weights, the ones evaluated and exported.
        epoch: epochs done.
    """

    def __init__(self, config: TrainConfig, source: Source, folder: Path) -> None:
        torch.manual_seed(config.seed)
        self.config, self.source, self.folder = config, source, folder
        self.model = EncoderPair(config.kind)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Averaged(self.model, config.ema)
        self._side_by_side = config.threads > 1 and self.model.query is not self.model.reference
        weights = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        self.epoch = 0
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, package: ModelPackage) -> None:
        """Begin with the weights of a trained package.

        Raises:
            TrainingError: it is of another kind or architecture.
        """
        start_from(self.model, package)
        rng = np.random.default_rng([self.config.seed, 78])
        plan = self.source.epoch(0, self.config, rng)[0]
        batch = self.source.make(plan, self.config, rng)
        settle(self.model.query, to_tensor(batch.query))
        if self.model.reference is not self.model.query:
            settle(self.model.reference, to_tensor(batch.reference))
        self.average.model.load_state_dict(self.model.state_dict())

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, replacing the old one in one step."""
        state = {
            "config": dataclasses.asdict(self.config),
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "source": self.source.state(),
        }
        write_checkpoint(self.checkpoint, state)

    def resume(self) -> None:
        """Continue from the checkpoint.

        Raises:
            TrainingError: no readable checkpoint, or one of another configuration.
        """
        state = read_checkpoint(self.checkpoint)
        kept, asked = state["config"], dataclasses.asdict(self.config)
        free = {"threads"}
        if state["epoch"] <= PLATEAU * min(kept["epochs"], asked["epochs"]):
            free.add("epochs")
        refuse_changes(self.checkpoint, kept, asked, free)
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.source.restore(state["source"])
        self.epoch = state["epoch"]

    def run(
        self, evaluate: Evaluate, export: Export, stop_after: int | None = None
    ) -> dict[str, float]:
        """Train to the end; evaluate, checkpoint and export after every epoch.

        Args:
            evaluate: validation, told whether it is the last and may take its time.
            export: writes the model package.
            stop_after: leave off after this many epochs, to be resumed or kept as it is.

        Returns:
            The last validation figures.
        """
        scores: dict[str, float] = {}
        last = min(self.config.epochs, stop_after or self.config.epochs)
        while self.epoch < last:
            started = time.monotonic()
            losses = self._epoch()
            trained = time.monotonic()
            self.epoch += 1
            self.save()
            torch.set_num_threads(self.config.threads)
            scores = evaluate(self.average.model, self.epoch == self.config.epochs)
            seconds = {"train_s": trained - started, "eval_s": time.monotonic() - trained}
            append_row(
                self.folder / "log.csv", {"epoch": self.epoch, **losses, **scores, **seconds}
            )
            export(self.average.model, scores, self.epoch)
        return scores

    def _epoch(self) -> dict[str, float]:
        rng = np.random.default_rng([self.config.seed, 77, self.epoch])
        plans = self.source.epoch(self.epoch, self.config, rng)
        total = self.config.epochs * len(plans)
        losses: list[Losses] = []
        threads = self.config.threads
        torch.set_num_threads(threads // 2 if self._side_by_side else threads)
        self.model.train()
        label = f"{self.config.kind} epoch {self.epoch + 1}/{self.config.epochs}"
        for i, step in enumerate(self._steps(plans, total, rng)):
            losses.append(step)
            if i == 0:
                bar = tqdm(total=len(plans), desc=label, unit="batch")
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-20:], axis=0)[0]:.3f}", refresh=False)
        if not losses:
            raise TrainingError("an epoch has no full batch; render more towns or lower --batch")
        bar.close()
        means = np.mean(losses, axis=0).tolist()
        return dict(zip(("loss", "layout_query", "layout_reference"), means, strict=True))

    def _steps(self, plans: list[Any], total: int, rng: np.random.Generator) -> Iterator[Losses]:
        done = self.epoch * len(plans)
        with ThreadPoolExecutor(1) as maker:
            # The next batch is made while the networks work on this one.
            coming = [maker.submit(self.source.make, p, self.config, rng) for p in plans[:1]]
            for i, plan in enumerate(plans):
                batch = coming.pop().result()
                coming = [
                    maker.submit(self.source.make, p, self.config, rng)
                    for p in plans[i + 1 : i + 2]
                ]
                factor = schedule(done + i, total)
                for group in self.optimizer.param_groups:
                    group["lr"] = self.config.learning_rate * factor
                yield self._step(plan, batch)

    def _step(self, plan: Any, batch: Batch) -> Losses:  # noqa: ANN401 - the source's own plan
        pair = self.model
        query, reference = self._both(
            lambda: _forward(pair.query, pair.query_layout, batch.query),
            lambda: _forward(pair.reference, pair.reference_layout, batch.reference),
        )
        # Cut at the descriptors, so that the two networks can be run backward side by side.
        q, r = query[0].detach().requires_grad_(), reference[0].detach().requires_grad_()
        ignore = torch.from_numpy(batch.ignore)
        loss = info_nce(q, r, pair.log_scale.exp(), ignore, self.config.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        weight = self.config.layout_weight
        layout = self._both(
            lambda: _backward(query, q.grad, batch.query_layout, weight),
            lambda: _backward(reference, r.grad, batch.reference_layout, weight),
        )
        nn.utils.clip_grad_norm_(pair.parameters(), 5.0)
        self.optimizer.step()
        self.average.update(pair)
        self.source.learned(plan, q.detach(), r.detach())
        return float(loss.detach()), *layout

    def _both(self, query: Callable[[], Any], reference: Callable[[], Any]) -> tuple[Any, Any]:
        """Do the query's and the reference's part, at once if they share nothing.

        Small convolutions gain nothing from a second thread inside; two networks side by side do.
        """
        if not self._side_by_side:
            return query(), reference()
        with ThreadPoolExecutor(1) as other:
            beside = other.submit(reference)
            return query(), beside.result()
