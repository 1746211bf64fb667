# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights nobody trained, in which every part of a network counts: an import is proved with them.

As networks begin, factors of branches are next to nothing and offsets are zero; a part that is
left out or misread would not be noticed.
"""

from __future__ import annotations

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253


def made_weights(net: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for a network, by name, the same for the same seed.

    Kernels are drawn so that what passes keeps its size (He et al., ICCV 2015, with gain 1),
    factors and variances from 0.5 to 1, offsets and means from -0.2 to 0.2.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, old in net.state_dict().items():
        if not old.dtype.is_floating_point:
            drawn = old  # a counter
        elif old.ndim > 1:
            drawn = torch.randn(old.shape, generator=generator) / old[0].numel() ** 0.5
        elif name.endswith(("bias", "running_mean")):
            drawn = torch.rand(old.shape, generator=generator) * 0.4 - 0.2
        else:
            drawn = torch.rand(old.shape, generator=generator) * 0.5 + 0.5
        weights[name] = drawn
    return weights
