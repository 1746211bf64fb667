# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The processes that train one model together, as `torchrun` starts them; usually there is one.

All of them read the same data and draw the same plans; each makes its part of every batch. The
descriptors are gathered, so that every process sees the loss of the whole batch, and each runs its
part of the gradient backward: two processes do what one would with the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.errors import TrainingError, first_line
from geoloc_ros.training.draws import Part

# The others wait while the first renders, mines or validates.
_PATIENCE = timedelta(hours=12)
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Crew:
    """This process among those that train together.

    Attributes:
        part: number of this process, and how many there are.
        device: on which this one works.
    """

    part: Part
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that speaks, writes and validates."""
        return self.part.rank == 0

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.part.size

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (n, ...) of every process, one after the other: (size * n, ...), no gradient."""
        if self.size == 1:
            return rows.detach()
        import torch.distributed as dist

        mine = rows.detach().contiguous()
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine)
        return torch.cat(found)

    def agreed(self, wanted: bool) -> bool:
        """What the first process wants."""
        if self.size == 1:
            return wanted
        import torch.distributed as dist

        word = torch.tensor([int(wanted)], device=self.device)
        dist.broadcast(word, src=0)
        return bool(word.item())

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.agreed(True)


def alone(device: str = "cpu") -> Crew:
    """A crew of one.

    Raises:
        TrainingError: there is no such device.
    """
    return Crew(Part(), _device(device, 0))


@contextmanager
def mustered(device: str = "auto") -> Iterator[Crew]:
    """This process's place among those that `torchrun` has started; alone without it.

    Args:
        device: auto (a GPU if there is one for every process of this machine), cpu or cuda.

    Raises:
        TrainingError: no such device, or the processes do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield alone(device)
        return
    import torch.distributed as dist

    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise TrainingError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']} but {', '.join(missing)} is not set; start "
            "several processes with torchrun, or unset WORLD_SIZE"
        )
    here = _device(device, int(os.environ["LOCAL_RANK"]))
    try:
        dist.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the processes of this training do not find each other: {first_line(error)}; see "
            "that MASTER_ADDR and MASTER_PORT can be reached from all machines"
        ) from error
    try:
        yield Crew(Part(dist.get_rank(), dist.get_world_size()), here)
    finally:
        dist.destroy_process_group()


def _device(name: str, number: int) -> torch.device:
    if name not in DEVICES:
        raise TrainingError(f"device {name!r} is unknown; choose from {', '.join(DEVICES)}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = int(os.environ.get("LOCAL_WORLD_SIZE", number + 1))
    if name == "cuda" and count < wanted:
        raise TrainingError(
            f"{wanted} processes of this machine find {count} CUDA devices; start no more than "
            "there are, or train with --device cpu"
        )
    if name == "cpu" or count < wanted:
        return torch.device("cpu")
    here = torch.device("cuda", number)
    torch.cuda.set_device(here)
    # Among equally right algorithms always the same: a resumed run must not differ.
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return here
