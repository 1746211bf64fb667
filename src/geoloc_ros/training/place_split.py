# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which views are trained on and which are held out: by where they were taken, not by when.

Frames of one drive, and drives along one street, show the same houses. If some of them were held
out at random, a network that had learnt the houses by heart would look like one that can compare
views with imagery. So blocks of ground are held out, and what lies near them is not used at all.

What a pair shows of the ground is its crop, and that may lie well ahead of the vehicle. So it is
the middle of a view's crop that says in which block a view lies, and how near another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from geoloc_ros.checked import Checked, param
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.package import ModelPackage, ReferenceSpec
from geoloc_ros.errors import ConfigError, TrainingError
from geoloc_ros.geo.se2 import compose
from geoloc_ros.training.posed_pairs import WIDE
from geoloc_ros.training.sampling import MISS_SPREAD, MISS_TURN_RAD

IntArray = npt.NDArray[np.int64]
TRAIN, HELD_OUT, BUFFER = range(3)
NAMES = ("train", "held_out", "buffer")
_MOST_BUFFER_M = 10_000.0


# Largest turn of a view in training (`augment.view_angles`).
_TURN_RAD = {"perspective": math.radians(8.0), "ground_plane": 0.0, "panorama": math.pi}
# A block may bring the share held out so far from what is wanted, in parts of that.
_SLACK = 0.1
# Of held-out crops looked at for `shared`, and points a side of each.
_MOST_CROPS, _POINTS = 200, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig(Checked):
    """How ground is shared out between training and validation.

    Attributes:
        buffer_m: the middles of crops to train on lie at least so far from that of every crop
            held out, m; None: as far as is needed for none to overlap, see `buffer_needed_m`.
    """

    block_m: float = param(300.0, "side of a block of ground, m", ge=20.0, le=100_000.0)
    share: float = param(0.2, "of the views that is held out, about", ge=0.0, le=0.8)
    buffer_m: float | None = None
    seed: int = param(1, "of the order in which blocks are held out", ge=0, le=2**31 - 1)

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a wrong type, or a value out of bounds.
        """
        Checked.__post_init__(self)
        if self.buffer_m is not None and not 0.0 <= self.buffer_m <= _MOST_BUFFER_M:
            raise ConfigError(
                f"buffer_m is {self.buffer_m:g}; it must lie in [0, {_MOST_BUFFER_M:g}]"
            )


def crop_centres(poses: FloatArray, reference: ReferenceSpec) -> FloatArray:
    """Where the crops at anchors (N, 3) have their middles, (N, 2)."""
    return compose(poses, np.array([reference.offset_forward_m, 0.0, 0.0]))[:, :2]


def reach_m(card: ModelPackage) -> float:
    """How far from the middle of a view's crop training cuts others for it, at most.

    Right crops and near misses lie off the view's pose, and are turned about it, together with the
    view. A near miss lies up to some units off over metres and degrees: the more it is turned, the
    less it is moved.
    """
    view, ahead_m = card.query.view, card.reference.offset_forward_m
    right = WIDE[view].right
    most = WIDE[view].wrong_from + MISS_SPREAD
    share = np.linspace(0.0, 0.5 * math.pi, 181)
    moved = np.append(most * np.cos(share), math.hypot(right[0], right[1]))
    turned = np.append(most * np.sin(share) * MISS_TURN_RAD, right[2]) + _TURN_RAD[view]
    swept = 2.0 * abs(ahead_m) * np.sin(0.5 * np.minimum(turned, math.pi))
    return float((moved + swept).max())


def buffer_needed_m(card: ModelPackage) -> float:
    """How far middles of crops must lie apart for no crop trained on to overlap one held out."""
    return math.ceil(math.sqrt(2.0) * card.reference.extent_m + reach_m(card))


def blocks_of(xy_m: FloatArray, block_m: float) -> IntArray:
    """Column and row (N, 2) of the blocks that positions (N, 2 or more) lie in."""
    return np.floor(xy_m[:, :2] / block_m).astype(np.int64)


def split_by_place(
    xy_m: FloatArray, config: SplitConfig, buffer_m: float, points_m: FloatArray | None = None
) -> IntArray:
    """Hold out whole blocks, in a random order, until about the share is reached.

    Args:
        xy_m: (N, 2 or more) what views show of the ground, m, of all drives together.
        config: how.
        buffer_m: what lies nearer than this to something held out is not used.
        points_m: (N, D) between which the buffer is measured, where `xy_m` is not true to scale.

    Returns:
        (N,) `TRAIN`, `HELD_OUT` or `BUFFER`.

    Raises:
        TrainingError: a part stays empty.
    """
    parts = np.full(len(xy_m), TRAIN, dtype=np.int64)
    if not config.share:
        return parts
    blocks, of_view, counts = np.unique(
        blocks_of(xy_m, config.block_m), axis=0, return_inverse=True, return_counts=True
    )
    held_out = np.isin(of_view.reshape(-1), _chosen(counts, config))
    parts[held_out] = HELD_OUT
    points = xy_m[:, :2] if points_m is None else points_m
    if held_out.any():
        distance, _ = cKDTree(points[held_out]).query(points)
        parts[~held_out & (distance < buffer_m)] = BUFFER
    for part in (TRAIN, HELD_OUT):
        if not (parts == part).any():
            raise TrainingError(
                f"of {len(xy_m)} views in {len(blocks)} blocks of {config.block_m:g} m with a "
                f"buffer of {buffer_m:g} m around those held out none is left for {NAMES[part]}; "
                "drive farther, or make --block, --hold-out or --buffer smaller (a smaller "
                "--buffer lets training see some of the ground held out), or --hold-out 0 and "
                "judge on other drives"
            )
    return parts


def _chosen(counts: IntArray, config: SplitConfig) -> list[int]:
    """Which blocks are held out: in a random order, those that do not overshoot the share by far.

    Where these stay far below it, one more is held out if that comes closer, or if it is the only
    one.
    """
    wanted = config.share * float(counts.sum())
    chosen: list[int] = []
    held = 0.0
    for block in np.random.default_rng([config.seed, 5]).permutation(len(counts)).tolist():
        if held >= (1.0 - _SLACK) * wanted:
            return chosen
        if held + counts[block] <= (1.0 + _SLACK) * wanted:
            chosen.append(block)
            held += float(counts[block])
    others = [block for block in range(len(counts)) if block not in chosen]
    off = [abs(held + counts[block] - wanted) for block in others]
    if others and (not chosen or min(off) < abs(held - wanted)):
        chosen.append(others[int(np.argmin(off))])
    return chosen


def shared(train: FloatArray, held_out: FloatArray, reference: ReferenceSpec) -> float:
    """How much of the held-out crops is shown by crops at the poses of views to train on.

    Args:
        train: (N, 3) poses.
        held_out: (M, 3) poses.
        reference: how crops are cut.

    Returns:
        Share of the ground of the held-out crops, on average.
    """
    half, ahead_m = 0.5 * reference.extent_m, reference.offset_forward_m
    side = (np.arange(_POINTS) + 0.5) / _POINTS * reference.extent_m - half
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    tree = cKDTree(crop_centres(train, reference))
    rows = np.unique(np.linspace(0, len(held_out) - 1, _MOST_CROPS).astype(int))
    found = []
    for pose in held_out[rows]:
        near = tree.query_ball_point(
            crop_centres(pose[None], reference)[0], 2.0 * math.sqrt(2.0) * half
        )
        points = np.column_stack([grid[:, 0] + ahead_m, grid[:, 1], np.zeros(len(grid))])
        ground = compose(pose, points)[:, :2]
        seen = np.zeros(len(grid), bool)
        for other in train[near]:
            cos, sin = math.cos(other[2]), math.sin(other[2])
            gap = ground - other[:2]
            ahead = gap @ [cos, sin] - ahead_m
            seen |= np.maximum(np.abs(ahead), np.abs(gap @ [-sin, cos])) < half
        found.append(float(seen.mean()))
    return float(np.mean(found))
