# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How the learning rate goes up and down in the course of a training."""

from __future__ import annotations

import math

PLATEAU = 0.55


def schedule(step: int, total: int, warm_up: int = 40) -> float:
    """Factor on the learning rate: linear warm-up, a plateau, half a cosine down to zero.

    Until the descent begins nothing depends on `total`, so a run can be made longer or shorter
    while it is on the plateau and is still the run it would have been.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step / max(1, total) - PLATEAU) / (1.0 - PLATEAU)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, share))))
