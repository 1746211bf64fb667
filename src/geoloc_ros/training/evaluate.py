# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Validation: retrieval in unseen towns against anchors scattered as an index scatters them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from scipy.spatial import cKDTree
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.errors import TrainingError
from geoloc_ros.geo.se2 import wrap_angle
from geoloc_ros.training.pair import EncoderPair
from geoloc_ros.training.posed_pairs import Area, Ground, Pictures
from geoloc_ros.training.precision import precision_on
from geoloc_ros.training.raster import Ortho

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Image = npt.NDArray[np.uint8]
# Fractions of the R3 sequence (Roberts, "The unreasonable effectiveness of quasirandom
# sequences", 2018): powers of 1 / 1.2207..., the root of x^4 = x + 1.
_R3 = 1.0 / 1.22074408460575947536 ** np.arange(1, 4)

# A step between two views of a drive that is longer than this, and than a few of its usual steps,
# is not driven.
BROKEN_M, BROKEN_STEPS = 30.0, 3.0
# Pictures described at a time.
BATCH = 64


@torch.inference_mode()
def _described(
    encoder: nn.Module, given: Callable[[Image], Tensor], images: Pictures
) -> Float32Array:
    encoder.eval()
    out = []
    for start in range(0, len(images), BATCH):
        pictures = given(np.asarray(images[start : start + BATCH]))
        with precision_on(pictures.device).cast():
            out.append(encoder(pictures).float().cpu().numpy())
    return np.concatenate(out)


def describe_views(pair: EncoderPair, images: Pictures) -> Float32Array:
    """Descriptors (N, D) of views (N, H, W, 3), fast (error about 1e-2 in bfloat16)."""
    return _described(pair.query, pair.queries, images)


def describe_references(pair: EncoderPair, images: Pictures) -> Float32Array:
    """Descriptors (N, D) of reference pictures (N, h, w, 3), as fast."""
    return _described(pair.reference, pair.references, images)


def describe_crops(pair: EncoderPair, ground: Ground, poses: FloatArray) -> Float32Array:
    """Descriptors (N, D) of crops at anchors, cut a block at a time."""
    blocks = [
        describe_references(pair, ground.crops(poses[i : i + 512]))
        for i in range(0, len(poses), 512)
    ]
    return np.concatenate(blocks)


def road_anchors(
    lines: Sequence[FloatArray], pitch_m: float, bearings: Sequence[float] | None = None
) -> FloatArray:
    """Index-like anchors: along each line in both directions, lateral +-4 m, yaw +-12 degrees.

    Args:
        lines: centrelines (N, 2 or more columns), metres.
        pitch_m: mean spacing along the line and direction.
        bearings: rad, by which anchors of each line are turned from the way; None: not at all.

    Returns:
        (M, 3) poses.
    """
    poses, serial = [], 0
    bearings = [0.0] * len(lines) if bearings is None else bearings
    for line, bearing in zip(lines, bearings, strict=True):
        steps = np.diff(line[:, :2], axis=0)
        length = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
        count = max(1, round(float(length[-1]) / pitch_m))
        for sign in (1.0, -1.0):
            scatter = (0.5 + (serial + np.arange(count))[:, None] * _R3) % 1.0
            serial += count
            along = (np.arange(count) + scatter[:, 0]) / count * length[-1]
            segment = np.clip(np.searchsorted(length, along, side="right") - 1, 0, len(steps) - 1)
            heading = np.arctan2(steps[segment, 1], steps[segment, 0])
            lateral = (scatter[:, 1] - 0.5) * 8.0
            x = np.interp(along, length, line[:, 0]) - np.sin(heading) * lateral
            y = np.interp(along, length, line[:, 1]) + np.cos(heading) * lateral
            yaw = heading + bearing + (0.0 if sign > 0 else np.pi)
            yaw = yaw + (scatter[:, 2] - 0.5) * np.radians(24.0)
            poses.append(np.stack([x, y, wrap_angle(yaw)], axis=1))
    return np.concatenate(poses)


def driven_anchors(tracks: Sequence[FloatArray], most: int) -> FloatArray:
    """Index-like anchors along the ways that drives took, in both directions, as `road_anchors`.

    They are turned from the way as the drive's camera is: one that looks to the side has anchors
    to both sides.

    Args:
        tracks: poses (N, 3) of each drive, in its order; the line breaks where it jumps.
        most: anchors; where 1.5 m of pitch would give more, it is wider.
    """
    lines, bearings = [], []
    for track in tracks:
        step_m = np.hypot(*np.diff(track[:, :2], axis=0).T)
        usual_m = float(np.median(step_m)) if len(step_m) else 0.0
        driven = step_m <= max(BROKEN_M, BROKEN_STEPS * usual_m)
        breaks = np.flatnonzero(~driven) + 1
        found = [line for line in np.split(track, breaks) if len(line) > 1]
        lines += found
        bearings += [_bearing(track, driven)] * len(found)
    if not lines:
        raise TrainingError("no drive is longer than two views; nothing can be searched along it")
    length_m = sum(float(np.hypot(*np.diff(line[:, :2], axis=0).T).sum()) for line in lines)
    return road_anchors(lines, max(1.5, 2.0 * length_m / most), bearings)


def _bearing(track: FloatArray, driven: npt.NDArray[np.bool_]) -> float:
    """By how much poses (N, 3) are turned from the way over the steps driven (N - 1,), rad.

    Known but for half a turn, as both directions of a way are searched, and a vehicle may back up.
    """
    step = np.diff(track[:, :2], axis=0)[driven]
    middle = track[:-1, 2] + 0.5 * wrap_angle(np.diff(track[:, 2]))
    turned = middle[driven] - np.arctan2(step[:, 1], step[:, 0])
    return 0.5 * float(np.angle((np.hypot(*step.T) * np.exp(2j * turned)).sum()))


def grid_near(poses: FloatArray, pitch_m: float, headings: int, near_m: float) -> FloatArray:
    """Anchors on a grid near poses (N, 3), all headings, (M, 3)."""
    low, high = poses[:, :2].min(axis=0) - near_m, poses[:, :2].max(axis=0) + near_m
    x, y = (np.arange(a, b + pitch_m, pitch_m) for a, b in zip(low, high, strict=True))
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points[cKDTree(poses[:, :2]).query(points)[0] <= near_m]
    yaw = np.arange(headings) * 2 * np.pi / headings - np.pi
    return np.column_stack([np.repeat(points, headings, axis=0), np.tile(yaw, len(points))])


def grid_anchors(ortho: Ortho, pitch_m: float, headings: int, margin_m: float) -> FloatArray:
    """Anchors on a grid over an orthophoto, all headings, (M, 3)."""
    height, width = (np.array(ortho.image.shape[:2]) * ortho.gsd_m).tolist()
    x = np.arange(ortho.left_m + margin_m, ortho.left_m + width - margin_m, pitch_m)
    y = np.arange(ortho.top_m - height + margin_m, ortho.top_m - margin_m, pitch_m)
    yaw = np.arange(headings) * 2 * np.pi / headings - np.pi
    grid = np.meshgrid(x, y, yaw, indexing="ij")
    return np.stack([g.ravel() for g in grid], axis=1)


def first_hit(
    query: Float32Array, reference: Float32Array, correct: npt.NDArray[np.bool_]
) -> IntArray:
    """Rank (0 = first) of the best correct reference of each query, as `ranks_of`.

    Args:
        query: (N, D).
        reference: (M, D).
        correct: (N, M).
    """
    return ranks_of(query @ reference.T, correct)


def ranks_of(
    similarity: Float32Array,
    right: npt.NDArray[np.bool_],
    passed: npt.NDArray[np.bool_] | None = None,
) -> IntArray:
    """Rank (0 = first) of the best right reference of each query; M where there is none.

    Wrong references that are as similar come first: a network that gives one descriptor to all
    finds nothing. One that is not finite is never found, and comes before all where it is wrong.

    Args:
        similarity: (N, M).
        right: (N, M).
        passed: (N, M) those that do not count.
    """
    known = np.isfinite(similarity)
    best = np.where(right & known, similarity, -np.inf).max(axis=1, initial=-np.inf)
    before = ((similarity >= best[:, None]) | ~known) & ~right
    if passed is not None:
        before &= ~passed
    rank = np.where(np.isfinite(best), before.sum(axis=1), similarity.shape[1])
    return np.asarray(rank, dtype=np.int64)


def hits(a: FloatArray, b: FloatArray, radius_m: float, yaw_deg: float) -> npt.NDArray[np.bool_]:
    """(N, M): within radius and heading tolerance, both inclusive."""
    distance = np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
    turn = np.abs(wrap_angle(a[:, None, 2] - b[None, :, 2]))
    return np.asarray((distance <= radius_m) & (turn <= np.radians(yaw_deg)))


def recall(ranks: IntArray) -> dict[str, float]:
    """Recall at 1, 5 and 10 as `r1`, `r5`, `r10`."""
    return {f"r{k}": float((ranks < k).mean()) for k in (1, 5, 10)}


def evaluate_areas(
    pair: EncoderPair,
    areas: Sequence[Area],
    anchors: Sequence[FloatArray],
    radius_m: float,
    joint: bool,
) -> dict[str, float]:
    """Recall in unseen areas, over the first season of their imagery.

    Args:
        pair: the encoders.
        areas: with views.
        anchors: index anchors of each area.
        radius_m: what counts as found; heading within 22.5 degrees always.
        joint: search all areas together, as one large one.

    Returns:
        `r1`, `r5`, `r10`, and the mean similarity of right and wrong pairs.
    """
    queries = [describe_views(pair, a.images) for a in areas]
    references = [
        describe_crops(pair, area.ground, places)
        for area, places in zip(areas, anchors, strict=True)
    ]
    everything = np.concatenate(references)
    starts = np.concatenate([[0], np.cumsum([len(r) for r in references])])
    ranks, matched, wrong = [], [], []
    for i, (query, area) in enumerate(zip(queries, areas, strict=True)):
        correct = hits(area.poses, anchors[i], radius_m, 22.5)
        if joint:
            wide = np.zeros((len(query), len(everything)), bool)
            wide[:, starts[i] : starts[i + 1]] = correct
            ranks.append(first_hit(query, everything, wide))
        else:
            ranks.append(first_hit(query, references[i], correct))
        true = describe_crops(pair, area.ground, area.poses)
        matched.append((query * true).sum(axis=1))
        wrong.append((query * true[::-1]).sum(axis=1))
    scores = recall(np.concatenate(ranks))
    scores["matched"] = float(np.mean(np.concatenate(matched)))
    scores["background"] = float(np.mean(np.concatenate(wrong)))
    scores["entries"] = float(len(everything))
    return scores
