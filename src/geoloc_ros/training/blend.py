# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights between those that a fine-tuning began with and those it ended with.

A few drives teach their own streets by heart, and what was known before is lost. On the straight
line between the two sets of weights lie networks that know both (Wortsman et al., Robust
fine-tuning of zero-shot models, arXiv 2109.01903).
"""

from __future__ import annotations

from torch import Tensor  # noqa: TID253 - this room is torch; nothing onboard imports it

State = dict[str, Tensor]

# Shares of the new weights among which the held-out part chooses, and what is taken without one.
_TRIED, _HALF = (0.25, 0.5, 0.75), (0.5,)


def shares(judged: bool) -> tuple[float, ...]:
    """Shares of the new weights to try; the whole of them has been tried by then.

    Args:
        judged: whether a held-out part chooses; if not, it is half of each.
    """
    return _TRIED if judged else _HALF


def blended(before: State, after: State, share: float) -> State:
    """Weights and running statistics on the way from one set to another.

    Args:
        before: what the run began with.
        after: what it ended with; counters are taken from here.
        share: of `after`, 0 to 1.
    """
    return {
        name: before[name].to(value.device).lerp(value, share)
        if value.is_floating_point()
        else value
        for name, value in after.items()
    }
