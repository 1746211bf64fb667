# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories out of a tree of transforms, as `tf2` would look them up: `/tf:map.base_link`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError, TrajectoryError
from geoloc_ros.evaluation.columns import IntArray
from geoloc_ros.evaluation.tracks import Track, in_order, within_gaps

MAX_GAP_S = 10.0
"""Transforms further apart are not interpolated between: so much does a tf2 buffer keep."""

Edge = tuple[str, str]


@dataclass(slots=True)
class _Samples:
    """What was published of one edge of the tree."""

    stamps: list[int] = field(default_factory=list)
    matrices: list[FloatArray] = field(default_factory=list)
    static: bool = False


def is_tf(topic: str) -> bool:
    """Whether a topic names a trajectory in a tree, `/tf:PARENT.CHILD`."""
    return ":" in topic


def read_tf_track(path: Path, topic: str) -> tuple[Track, str]:
    """The pose of one frame in another along time.

    The poses are taken at the stamps of that transform between the two that was published most
    often; the others are taken there as tf2 does, linear in position and about one axis, and
    where one of them is not known the pose is left out.

    Args:
        path: the recording.
        topic: a topic of transforms and two frames, as `/tf:map.base_link`; transforms of topics
            with `static` in their name hold always.

    Returns:
        The trajectory, and what is wrong with the recording after the part that could be read.

    Raises:
        TrajectoryError: no such form, frames that are not connected, or never at the same time.
        BagError: the recording or the topic cannot be read.
    """
    name, _, frames = topic.partition(":")
    parent, dot, child = frames.partition(".")
    if not (dot and parent and child):
        raise TrajectoryError(
            f"{topic} does not name two frames; write it like {name}:map.base_link"
        )
    tree, damage = _read_tree(path, name)
    chain = _chain(tree, parent, child)
    if chain is None:
        known = ", ".join(sorted({f"{a}->{b}" for a, b in tree})) or "none"
        raise TrajectoryError(
            f"{path}: no transforms lead from {parent} to {child}; there are: {known}"
        )
    moving = [samples for samples, _ in chain if not samples.static]
    if not moving:
        raise TrajectoryError(f"{path}: {child} does not move in {parent}, all between is static")
    stamps = max((_stamps(samples) for samples in moving), key=len)
    for samples in moving:
        stamps = stamps[within_gaps(_stamps(samples), stamps, MAX_GAP_S)]
    if not len(stamps):
        raise TrajectoryError(
            f"{path}: the transforms from {parent} to {child} are never known at the same time"
        )
    poses = np.broadcast_to(np.eye(4), (len(stamps), 4, 4))
    for samples, inverted in chain:
        step = _at(samples, stamps)
        poses = poses @ (np.linalg.inv(step) if inverted else step)
    track = Track(
        name=f"{path}:{topic}",
        stamp_ns=stamps,
        positions_m=poses[:, :3, 3],
        rotations=poses[:, :3, :3],
        frame=parent,
    )
    return track, damage


def _read_tree(path: Path, wanted: str) -> tuple[dict[Edge, _Samples], str]:
    tree: dict[Edge, _Samples] = defaultdict(_Samples)
    with BagReader(path) as bag:
        topic = bag.select(messages.TF_TYPES, wanted, f"{path}:")
        static = [t.name for t in bag.of_type(messages.TF_TYPES) if "static" in t.name]
        try:
            for _, name, message in bag.messages((topic, *static)):
                for stamp, parent, child, matrix in messages.stamped_transforms(message):
                    samples = tree[parent, child]
                    samples.static = samples.static or name in static
                    samples.stamps.append(stamp)
                    samples.matrices.append(matrix)
        except BagError as error:
            return dict(tree), str(error)
    return dict(tree), ""


def _chain(
    tree: dict[Edge, _Samples], parent: str, child: str
) -> list[tuple[_Samples, bool]] | None:
    """Edges that lead from one frame to another, and whether each is walked against its sense."""
    reached: dict[str, list[tuple[_Samples, bool]]] = {parent: []}
    waiting = [parent]
    while waiting and child not in reached:
        here = waiting.pop()
        for (upper, lower), samples in tree.items():
            for start, end, inverted in ((upper, lower, False), (lower, upper, True)):
                if start == here and end not in reached:
                    reached[end] = [*reached[here], (samples, inverted)]
                    waiting.append(end)
    return reached.get(child)


def _stamps(samples: _Samples) -> IntArray:
    """Ascending stamps."""
    return np.unique(np.array(samples.stamps, dtype=np.int64))


def _at(samples: _Samples, stamp_ns: IntArray) -> FloatArray:
    """(N, 4, 4) an edge at stamps at which it is known; the last sample of a static one."""
    if samples.static:
        return np.asarray(samples.matrices[-1])
    rows, _ = in_order(np.array(samples.stamps, dtype=np.int64))
    own, matrices = np.array(samples.stamps)[rows], np.array(samples.matrices)[rows]
    if len(own) == 1:
        return np.broadcast_to(matrices[0], (len(stamp_ns), 4, 4))
    from scipy.spatial.transform import Rotation, Slerp

    start_ns = own[0]
    at, known = (stamp_ns - start_ns) * 1e-9, (own - start_ns) * 1e-9
    found = np.tile(np.eye(4), (len(stamp_ns), 1, 1))
    turns = Slerp(known, Rotation.from_matrix(matrices[:, :3, :3]))
    found[:, :3, :3] = turns(np.clip(at, known[0], known[-1])).as_matrix()
    found[:, :3, 3] = np.column_stack(
        [np.interp(at, known, matrices[:, axis, 3]) for axis in range(3)]
    )
    return found
