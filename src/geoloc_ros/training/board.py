# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a training as TensorBoard shows them, where it is installed and asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from geoloc_ros.errors import TrainingError


class Board(Protocol):
    """Where figures go while a training runs."""

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Show figures by name at a step."""
        ...

    def close(self) -> None:
        """Write what is not yet written."""
        ...


class NoBoard:
    """Shows nothing."""

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class TensorBoard:
    """An event file in a folder; look at it with `tensorboard --logdir FOLDER`."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Open the file.

        Args:
            folder: of the event files of one run.
            step: with which a resumed run goes on; what an earlier one wrote from there on is
                taken back.

        Raises:
            TrainingError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "--tensorboard needs tensorboard; install it with: "
                "pip install 'geoloc_ros[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=step or None)

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Show figures by name at a step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not yet written."""
        self._writer.close()
