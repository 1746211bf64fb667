# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What every training keeps: its checkpoint, averaged weights and a log. No pickle is loaded."""

from __future__ import annotations

import contextlib
import copy
import csv
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, TypeVar

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import nn  # noqa: TID253

from geoloc_ros.errors import TrainingError, first_line

LOG = logging.getLogger(__name__)
Net = TypeVar("Net", bound=nn.Module)


class Averaged(Generic[Net]):
    """Exponential moving average of weights and of normalisation statistics."""

    def __init__(self, model: Net, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.model.eval()
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the current weights; faster at the start, when the average means little."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        ours, theirs = self.model.state_dict(), model.state_dict()
        for name, value in ours.items():
            if value.dtype.is_floating_point:
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, replacing the old one in one step.

    Raises:
        TrainingError: it cannot be written; the old one is kept.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write {path}: {first_line(error)}; an earlier one is kept; free some space "
            "and go on with --resume"
        ) from error


def read_checkpoint(path: Path, option: str = "--resume") -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        path: the file.
        option: of the command line that asked for it.

    Raises:
        TrainingError: there is no readable one.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120]
        raise TrainingError(
            f"cannot go on from {path} ({reason}); train without {option}"
        ) from error
    if not isinstance(state, dict) or "config" not in state:
        raise TrainingError(f"{path} is no checkpoint of a training; train without {option}")
    return state


def refuse_changes(
    path: Path,
    kept: Mapping[str, Any],
    asked: Mapping[str, Any],
    free: Collection[str],
    option: str = "--resume",
) -> None:
    """Compare the settings of a checkpoint with those of the run that wants to go on.

    Args:
        path: the checkpoint.
        kept: its settings.
        asked: those of the run.
        free: what may differ.
        option: of the command line that asked for it.

    Raises:
        TrainingError: something else differs.
    """
    changed = [k for k in asked if kept.get(k) != asked[k] and k not in free]
    if changed:
        raise TrainingError(
            f"{path} was made with other settings ({', '.join(changed)}); "
            f"train without {option}, or with the same settings"
        )


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Append a row to a CSV file, with a header where the file is new, and log it."""
    LOG.info("%s", "  ".join(f"{k} {v:.4g}" for k, v in row.items()))
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" for k, v in row.items()})


def write_rows(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write all rows of a log as CSV, replacing an earlier file in one step; a gap stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})
    part.replace(path)
