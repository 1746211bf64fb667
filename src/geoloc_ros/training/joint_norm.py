# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation that means the whole batch, however many processes hold its parts.

torch's SyncBatchNorm does so on GPUs only; the same network must train on processors, too. And a
layer that is run a second time to save memory (gradient checkpointing) must not count its batch
twice in its running statistics.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torch.utils.checkpoint import checkpoint  # noqa: TID253

_here = threading.local()


class JointNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy, ICML 2015) over the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) by the statistics of all processes' batches together."""
        if not self.training:
            return super().forward(x)
        again = getattr(_here, "again", False)
        if not _several():
            return self._once_more(x) if again else super().forward(x)
        wide = x if x.dtype == torch.float64 else x.float()
        mean, variance, count = _joint_statistics(wide)
        if not again:
            self._remember(mean.detach(), variance.detach(), count)
        shape = (1, -1, 1, 1)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - gain * mean
        return x * gain.view(shape).to(x.dtype) + shift.view(shape).to(x.dtype)

    def _once_more(self, x: Tensor) -> Tensor:
        """The same answer again; what is counted, is counted in copies."""
        running: Any = (self.running_mean, self.running_var)
        copies = running[0].clone(), running[1].clone()
        return F.batch_norm(x, *copies, self.weight, self.bias, True, 0.0, self.eps)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics as nn.BatchNorm2d does: the variance without bias."""
        momentum: Any = self.momentum
        running: Any = (self.running_mean, self.running_var, self.num_batches_tracked)
        running[0].lerp_(mean, momentum)
        running[1].lerp_(variance * (count / max(1.0, count - 1.0)), momentum)
        running[2].add_(1)


def _several() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _Sum(torch.autograd.Function):
    """Sum over all processes; what flows back into it is summed, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return _summed(gradient)


def _summed(x: Tensor) -> Tensor:
    import torch.distributed as dist

    total = x.contiguous().clone()
    dist.all_reduce(total)
    return total


def _joint_statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and variance (C,) over all processes' (N, C, H, W), and how many values each is of.

    The processes hold batches of the same size. Gradients flow back through both sums.
    """
    import torch.distributed as dist

    size = dist.get_world_size()
    total: Callable[[Tensor], Tensor] = _Sum.apply
    mean = total(x.mean(dim=(0, 2, 3))) / size
    centred = x - mean.view(1, -1, 1, 1)
    variance = total(centred.square().mean(dim=(0, 2, 3))) / size
    return mean, variance, float(size * x.numel() / x.shape[1])


@contextmanager
def _once_more() -> Iterator[None]:
    _here.again = True
    try:
        yield
    finally:
        _here.again = False


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _once_more()


def run_layers(layers: nn.Sequential, x: Tensor, forget: bool) -> Tensor:
    """What a stack of layers makes of x.

    Args:
        layers: in order.
        x: input of the first.
        forget: keep only what goes from layer to layer, and work the rest out again on the way
            back (Chen et al., Training deep nets with sublinear memory cost, 2016).
    """
    if not (forget and torch.is_grad_enabled()):
        out: Tensor = layers(x)
        return out
    for layer in layers:
        x = checkpoint(layer, x, use_reentrant=False, context_fn=_contexts)
    return x
