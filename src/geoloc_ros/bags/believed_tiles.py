# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The tiles that the frames a model was asked about were taken to show, for people to compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geoloc_ros.datatypes import Candidates, FloatArray, PoseEstimate, Region
from geoloc_ros.evaluation.columns import Heard, Tile
from geoloc_ros.filtering.status import TRACKING
from geoloc_ros.geo import se2
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.vlm.answerer import Reply
from geoloc_ros.vlm.questions import QuestionSet, load_questions
from geoloc_ros.vlm.vectors import reply_of

#: farther off or more turned than this, an entry is no picture of where the vehicle is
WITHIN_M, WITHIN_RAD = 10.0, math.radians(30.0)
#: searches so long before or after a frame are about other places
SEARCHED_NS = 2_000_000_000

#: stamp, what was found, vehicle poses (K, 3)
Search = tuple[int, Candidates, FloatArray]


@dataclass(frozen=True)
class Run:
    """What a replay found.

    Attributes:
        estimates: of all frames.
        searches: of the searched frames.
        anchor: (3,) pose of the index entries' anchors in the base frame.
    """

    estimates: Sequence[PoseEstimate]
    searches: Sequence[Search]
    anchor: FloatArray


def with_tiles(heard: Sequence[Heard], run: Run, index: ShardedIndex) -> list[Heard]:
    """Each question with its tile: the entry nearest to the estimate at the frame it is about.

    Where nothing is claimed of the pose, it is the best of the nearest search.

    Args:
        heard: every question.
        run: what was found.
        index: that was searched.
    """
    estimates = {estimate.stamp_ns: estimate for estimate in run.estimates}
    questions = load_questions()
    out = []
    for row in heard:
        entry = _entry(row.stamp_ns, estimates.get(row.stamp_ns), run, index)
        out.append(
            row if entry is None else replace(row, tile=_tile(entry, run, index, questions))
        )
    return out


def _entry(
    stamp_ns: int, estimate: PoseEstimate | None, run: Run, index: ShardedIndex
) -> int | None:
    if estimate is not None and estimate.status in TRACKING:
        return _nearest(se2.compose(estimate.pose, run.anchor), index)
    near = [item for item in run.searches if abs(item[0] - stamp_ns) <= SEARCHED_NS]
    _, found, _ = min(near, key=lambda item: abs(item[0] - stamp_ns), default=(0, None, None))
    return int(found.entry_ids[0]) if found is not None and len(found) else None


def _nearest(anchor: FloatArray, index: ShardedIndex) -> int | None:
    ids, poses = index.entries(Region(float(anchor[0]), float(anchor[1]), WITHIN_M))
    away = np.hypot(*(poses[:, :2] - anchor[:2]).T) / WITHIN_M
    turn = np.abs(se2.wrap_angle(poses[:, 2] - anchor[2])) / WITHIN_RAD
    if index.manifest.policy.north_up:  # it stands for every heading
        turn = np.zeros(len(ids))
    away[turn > 1.0] = np.inf
    best = int(np.argmin(away + turn)) if len(ids) else 0
    return int(ids[best]) if len(ids) and math.isfinite(away[best]) else None


def _tile(entry: int, run: Run, index: ShardedIndex, questions: QuestionSet) -> Tile:
    pose = se2.compose(index.anchors(np.array([entry]))[0], se2.inverse(run.anchor))
    said = index.descriptions(np.array([entry]))
    record = index.manifest.descriptions
    known = record is not None and record.questions_sha256 == questions.sha256
    reply = reply_of(said[0], questions) if said is not None and known else Reply()
    x_m, y_m, yaw_rad = pose.tolist()
    return Tile(entry, (x_m, y_m, yaw_rad), reply)
