# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Muon: momentum whose matrices are made orthogonal before they are applied.

Every direction of a weight matrix then moves equally far, the rare ones too, and a transformer
needs fewer steps than with AdamW (Jordan et al., "Muon: an optimizer for hidden layers in neural
networks", 2024; scale of the steps after Liu et al., arXiv 2502.16982, so that learning rates are
those of AdamW). Matrices of one shape are done together, in 32-bit floats: PyTorch's own goes one
by one in bfloat16, which most CPUs only emulate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearly orthogonal matrices (N, rows, columns) closest to some others.

    Singular values end between about 0.7 and 1.2, which is near enough.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.transpose(1, 2)
        x = a * x + torch.baddbmm(b * square, square, square, alpha=c) @ x
    return torch.transpose(x, 1, 2) if tall else x


class Muon(torch.optim.Optimizer):
    """For the weight matrices of hidden layers; everything else belongs to AdamW."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ANN401
        """Apply the gradients."""
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(state["momentum"], group["momentum"])
                alike[tuple(weight.shape)].append((weight, ahead))
            for shape, pairs in alike.items():
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                steps = orthogonal(torch.stack([ahead for _, ahead in pairs]))
                for (weight, _), step in zip(pairs, steps, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step, alpha=size)
