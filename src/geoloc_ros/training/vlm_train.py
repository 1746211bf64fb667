# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loop of the vision-language model; can be interrupted at any step."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from tqdm import tqdm

from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.checkpoint import (
    Averaged,
    append_row,
    read_checkpoint,
    refuse_changes,
    write_checkpoint,
)
from geoloc_ros.training.gguf_export import TextSpec, VisionSpec
from geoloc_ros.training.muon import Muon
from geoloc_ros.training.nets import MEAN, STD
from geoloc_ros.training.pictures import to_tensor
from geoloc_ros.training.schedule import PLATEAU, schedule
from geoloc_ros.training.vlm_data import VlmBatch, VlmData
from geoloc_ros.training.vlm_lessons import Lesson, Lessons, Teacher
from geoloc_ros.training.vlm_nets import Branches, TinyVlm
from geoloc_ros.training.vlm_prompts import Prompts
from geoloc_ros.training.vocabulary import Vocabulary

IntArray = npt.NDArray[np.int64]
Evaluate = Callable[[TinyVlm, bool], dict[str, float]]
Export = Callable[[TinyVlm, dict[str, float], int], None]
LOSSES = ("name", "words", "direct", "layout", "teacher")
#: settings that two runs must share for one to begin with the other's weights
_NET = (
    "image_px", "patch_px", "vision_width", "vision_layers", "vision_ffn", "text_width",
    "text_layers", "text_ffn", "heads",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmTrainConfig:
    """Everything that decides the outcome of a training, besides the data.

    Attributes:
        epochs: passes over the camera views, with as many crops.
        batch: pictures per step.
        questions: asked in words at a step, of all pictures of the batch.
        words_every: steps from one that asks in words to the next; all ask by name.
        paraphrased: share of them in other words.
        learning_rate: peak of the schedule.
        warm_up: steps until it is reached.
        weight_decay: of both optimizers.
        direct_weight: of the answers without words, beside those in letters.
        layout_weight: of the layout.
        teacher_weight: of what the teacher sees.
        teacher: sha256 of the encoders that teach; empty for none.
        start: sha256 of the checkpoint of another run whose weights this one begins with; empty
            for random ones.
        ema: decay of the averaged weights.
        seed: of weights, order, augmentation and choice of questions.
        threads: CPU threads of torch.
        save_every: steps between two checkpoints.
        image_px: side of the square picture.
        patch_px: side of a patch.
        vision_width: of the vision tower.
        vision_layers: of the vision tower.
        vision_ffn: of the vision tower.
        text_width: of the language model.
        text_layers: of the language model.
        text_ffn: of the language model.
        heads: of attention, in both.
    """

    epochs: int = 3
    batch: int = 64
    questions: int = 6
    words_every: int = 4
    paraphrased: float = 0.3
    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.05
    direct_weight: float = 1.0
    layout_weight: float = 1.0
    teacher_weight: float = 1.0
    teacher: str = ""
    start: str = ""
    ema: float = 0.998
    seed: int = 1
    threads: int = 2
    save_every: int = 100
    image_px: int = 192
    patch_px: int = 16
    vision_width: int = 256
    vision_layers: int = 6
    vision_ffn: int = 1024
    text_width: int = 256
    text_layers: int = 3
    text_ffn: int = 512
    heads: int = 4

    def specs(self, vocabulary: Vocabulary) -> tuple[VisionSpec, TextSpec]:
        """Sizes of both halves."""
        vision = VisionSpec(
            image_px=self.image_px, patch_px=self.patch_px, width=self.vision_width,
            layers=self.vision_layers, heads=self.heads, ffn=self.vision_ffn,
            text_width=self.text_width, mean=MEAN, std=STD,
        )  # fmt: skip
        text = TextSpec(
            vocabulary=vocabulary, width=self.text_width, layers=self.text_layers,
            heads=self.heads, ffn=self.text_ffn,
        )  # fmt: skip
        return vision, text


@dataclass(frozen=True)
class Step:
    """What one step of training needs.

    Attributes:
        batch: the pictures.
        asked: (K,) numbers of the questions asked in words too; none at some steps.
        branches: all questions by name and these in words, as tokens.
    """

    batch: VlmBatch
    asked: IntArray
    branches: Branches


class VlmTrainer:
    """One training run; everything it needs to continue lies in its checkpoint.

    A step is made from its number alone, so a run that was interrupted comes to the same weights.

    Attributes:
        model: weights in training.
        average: averaged weights, the ones evaluated and exported.
        step: steps done.
    """

    def __init__(
        self,
        config: VlmTrainConfig,
        data: VlmData,
        prompts: Prompts,
        folder: Path,
        teacher: ModelPackage | None = None,
    ) -> None:
        """Set up a run with random weights.

        Args:
            config: its settings.
            data: towns to learn from.
            prompts: the questions.
            folder: where checkpoint and log lie.
            teacher: perspective encoders to learn from besides.

        Raises:
            TrainingError: there are fewer pictures than a batch needs, or the teacher is not the
                one of the settings.
        """
        if config.teacher != (teacher.encoder_sha256 if teacher else ""):
            raise TrainingError("the teacher is not the one that the settings name")
        torch.manual_seed(config.seed)
        self.config, self.data, self.prompts, self.folder = config, data, prompts, folder
        self.step = 0
        self.per_epoch = len(self._plan(0))
        if not self.per_epoch:
            raise TrainingError("an epoch has no full batch; render more towns or lower --batch")
        vision, text = config.specs(prompts.vocabulary)
        self.model = TinyVlm(vision, text)
        self.lessons = Lessons(vision, prompts.options)
        self._teacher = Teacher(teacher) if teacher else None
        self.model.vision.start(to_tensor(self._make(self._plan(0)[0], 0).batch.images))
        self.average = Averaged(self.model, config.ema)
        self._both = nn.ModuleList([self.model, self.lessons])
        self.optimizers = _optimizers(self._both, config)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.per_epoch

    @property
    def checkpoint(self) -> Path:
        """Where the run is kept."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint, replacing the old one in one step."""
        state = {
            "config": dataclasses.asdict(self.config),
            "questions": self.prompts.questions.sha256,
            "pictures": self.data.views,
            "step": self.step,
            "model": self._both.state_dict(),
            "average": self.average.model.state_dict(),
            "average_steps": self.average.steps,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        write_checkpoint(self.checkpoint, state)

    def start(self, checkpoint: Path) -> None:
        """Begin with the weights of another run in place of random ones.

        Raises:
            TrainingError: no readable checkpoint, not the one of the settings, or one of another
                model or other questions.
        """
        if file_sha256(checkpoint) != self.config.start:
            raise TrainingError(f"{checkpoint} is not the start that the settings name")
        state = read_checkpoint(checkpoint, "--start")
        kept = {**state["config"], "questions": state["questions"]}
        asked = {
            **{name: getattr(self.config, name) for name in _NET},
            "questions": self.prompts.questions.sha256,
        }
        refuse_changes(checkpoint, kept, asked, (), "--start")
        self._both.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])

    def resume(self) -> None:
        """Continue from the checkpoint.

        Raises:
            TrainingError: no readable checkpoint, or one of other settings, questions or data.
        """
        state = read_checkpoint(self.checkpoint)
        kept = {**state["config"], **{k: state[k] for k in ("questions", "pictures")}}
        asked = {
            **dataclasses.asdict(self.config),
            "questions": self.prompts.questions.sha256,
            "pictures": self.data.views,
        }
        free = {"threads", "save_every"}
        if state["step"] <= PLATEAU * self.per_epoch * min(kept["epochs"], asked["epochs"]):
            free.add("epochs")
        refuse_changes(self.checkpoint, kept, asked, free)
        self._both.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]

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
        torch.set_num_threads(self.config.threads)
        last = min(self.config.epochs, stop_after or self.config.epochs)
        scores: dict[str, float] = {}
        with tqdm(total=last * self.per_epoch, initial=self.step, desc="vlm", unit="step") as bar:
            while self.epoch < last:
                started = time.monotonic()
                losses = self._epoch(bar)
                trained = time.monotonic()
                scores = evaluate(self.average.model, self.epoch == self.config.epochs)
                seconds = {"train_s": trained - started, "eval_s": time.monotonic() - trained}
                row = {"epoch": self.epoch, **losses, **scores, **seconds}
                append_row(self.folder / "log.csv", row)
                export(self.average.model, scores, self.epoch)
        return scores

    def _plan(self, epoch: int) -> list[IntArray]:
        rng = np.random.default_rng([self.config.seed, 71, epoch])
        return self.data.epoch(self.config.batch, rng)

    def _make(self, rows: IntArray, number: int) -> Step:
        """The step of a number: pictures, and which questions are asked of them in words too."""
        rng = np.random.default_rng([self.config.seed, 72, number])
        config, count = self.config, len(self.prompts.options)
        some = 0 if number % config.words_every else min(config.questions, count)
        asked = rng.choice(count, some, replace=False)
        words = rng.random(some) < config.paraphrased
        return Step(self.data.batch(rows, rng), asked, self.prompts.branches(asked, words))

    def _steps(self) -> Iterator[Step]:
        """The rest of the epoch; the next step is made while the networks work on this one."""
        first = self.epoch * self.per_epoch
        plan = self._plan(self.epoch)
        with ThreadPoolExecutor(1) as maker:
            coming: list[Future[Step]] = []
            for number in range(self.step, first + self.per_epoch):
                coming.append(maker.submit(self._make, plan[number - first], number))
                if len(coming) > 1:
                    yield coming.pop(0).result()
            yield coming.pop(0).result()

    def _epoch(self, bar: Any) -> dict[str, float]:  # noqa: ANN401 - tqdm has no types
        self._both.train()
        losses: list[tuple[float, ...]] = []
        total = self.config.epochs * self.per_epoch
        for step in self._steps():
            factor = schedule(self.step, total, self.config.warm_up)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.config.learning_rate * factor
            losses.append(self._learn(step))
            self.step += 1
            bar.update()
            recent = _means(losses[-50:])
            bar.set_postfix(name=f"{recent[0]:.3f}", words=f"{recent[1]:.3f}", refresh=False)
            if self.step % self.config.save_every == 0 or self.step % self.per_epoch == 0:
                self.save()
        return dict(zip(LOSSES, _means(losses), strict=True))

    def _learn(self, step: Step) -> tuple[float, ...]:
        batch, config = step.batch, self.config
        answers, ahead, below = (
            torch.from_numpy(x) for x in (batch.answers, batch.ahead, batch.below)
        )
        tokens = self.model.vision(to_tensor(batch.images))
        said = self.model.language(self.model.projector(tokens), step.branches)
        every, letters = answers.shape[1], self.prompts.letters
        name = word_loss(said[:, :every], answers, letters)
        words = torch.zeros(())
        if len(step.asked):
            words = word_loss(said[:, every:], answers[:, torch.from_numpy(step.asked)], letters)
        direct, layout, teacher = self.lessons(
            tokens, Lesson(answers, ahead, below), self._taught(batch)
        )
        loss = name + words + config.direct_weight * direct
        loss = loss + config.layout_weight * layout + config.teacher_weight * teacher
        self._both.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._both.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update(self.model)
        in_words = float(words.detach()) if len(step.asked) else float("nan")
        named, *others = (float(x.detach()) for x in (name, direct, layout, teacher))
        return (named, in_words, *others)

    def _taught(self, batch: VlmBatch) -> tuple[Tensor, Tensor] | None:
        if self._teacher is None:
            return None
        return self._teacher(to_tensor(batch.views), to_tensor(batch.crops))


def _means(losses: list[tuple[float, ...]]) -> list[float]:
    """Mean of each kind of loss over the steps that have it; NaN where none has."""
    kinds = [[x for x in kind if not math.isnan(x)] for kind in zip(*losses, strict=True)]
    return [sum(kind) / len(kind) if kind else math.nan for kind in kinds]


def word_loss(said: Tensor, answers: Tensor, letters: Tensor) -> Tensor:
    """Cross entropy of the right letter among all tokens.

    Args:
        said: (B, K, V) logits of the next token.
        answers: (B, K) right option, negative where not asked.
        letters: (most options,) token of each option's letter.
    """
    target = torch.where(answers >= 0, letters[answers.clamp(min=0)], -1)
    return F.cross_entropy(said.float().flatten(0, 1), target.flatten(), ignore_index=-1)


def _optimizers(module: nn.Module, config: VlmTrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the rest; vectors and positions decay not."""
    named = list(module.named_parameters())
    hidden = [p for n, p in named if p.ndim == 2 and ".layers." in n]
    others = [(n, p) for n, p in named if not (p.ndim == 2 and ".layers." in n)]
    fixed = [p for n, p in others if p.ndim < 2 or n.endswith(("position", "query"))]
    decaying = [p for n, p in others if not (p.ndim < 2 or n.endswith(("position", "query")))]
    groups: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": fixed, "weight_decay": 0.0},
    ]
    return [
        Muon(hidden, config.learning_rate, config.weight_decay),
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98)),
    ]
