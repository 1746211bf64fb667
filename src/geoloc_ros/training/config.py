# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What decides the outcome of a training, and what only decides how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides the outcome of a training, besides the data.

    Attributes:
        kind: perspective or ground_plane.
        epochs: after each of which is validated.
        passes: over the data in an epoch.
        geographic_epochs: of these, how many use geographic neighbours before similarity.
        wide_from: from this epoch on positives lie as far off as index anchors do.
        batch: pairs per step, of all processes together.
        cluster: neighbours that go into a batch together.
        pool: neighbours among which they are chosen.
        street: share of samples that keep their geographic neighbours when others go by
            similarity.
        extra: references at wrong poses close by, per batch.
        learning_rate: peak of the schedule.
        warm_up: steps until it is reached.
        weight_decay: of AdamW.
        smoothing: label smoothing.
        layout_weight: of the loss of saying the layout, beside that of the descriptors; 0 where
            the layout is not known.
        teacher: sha256 of the encoders that teach; empty for none.
        teacher_weight: of the loss of finding alike what they do.
        masked_weight: of the loss of finding alike with a part of the view what the averaged
            weights do with all of it; 0 for none.
        ema: decay of the averaged weights.
        patience: stop when so many epochs have passed without a better score on the held-out part,
            and keep the best; 0: never, and keep the last.
        blend: whether in the end the weights are blended with those the run began with: in the
            share that is best on the held-out part, or without patience half and half.
        precision: auto, float32, bfloat16 or float16.
        seed: of weights, order and augmentation.
        start: sha256 of the encoders whose weights the run begins with; empty for random ones.
        material: digest of what is learnt from; see `recipe.Material.identity`.
    """

    kind: str
    epochs: int = 10
    passes: int = 1
    geographic_epochs: int = 2
    wide_from: int = 5
    batch: int = 96
    cluster: int = 8
    pool: int = 32
    street: float = 0.4
    extra: int = 32
    learning_rate: float = 2e-3
    warm_up: int = 40
    weight_decay: float = 0.03
    smoothing: float = 0.1
    layout_weight: float = 3.0
    teacher: str = ""
    teacher_weight: float = 1.0
    masked_weight: float = 0.0
    ema: float = 0.99
    patience: int = 0
    blend: bool = False
    precision: str = "auto"
    seed: int = 1
    start: str = ""
    material: str = ""

    def judged_fully(self, epoch: int) -> bool:
        """Whether a validation may take its time: not where it is compared with earlier ones."""
        return epoch == self.epochs and not self.patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How a training is run; another way may round differently, but is the same training.

    Attributes:
        work: folder of checkpoint and log.
        threads: CPU threads of torch.
        makers: threads that make batches ahead.
        forget: keep few activations and work the others out again (gradient checkpointing).
        save_every_s: time between two checkpoints within an epoch.
        stop_after: interrupt the run after so many epochs; None runs it to the end.
        tensorboard: whether figures are written for TensorBoard, to `work`/tensorboard.
    """

    work: Path
    threads: int = 2
    makers: int = 1
    forget: bool = False
    save_every_s: float = 120.0
    stop_after: int | None = None
    tensorboard: bool = False
