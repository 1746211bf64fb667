# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Columns of a run in memory: estimates, truth, latency, retrieval.

`evaluation.tables` writes and reads them; everything that scores or draws works on these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import Candidates, FloatArray, PoseEstimate, Status
from geoloc_ros.errors import GeolocError
from geoloc_ros.filtering.outlook import Shift
from geoloc_ros.vlm.answerer import Reply

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

STAGES = ("decode", "view", "encode", "search", "rerank", "filter", "total")


class ReplayOutputError(GeolocError):
    """A replay output directory is missing, incomplete or holds something else."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """All estimates of a run as columns, in the order of the frames.

    Attributes:
        stamp_ns: (N,) capture times; a recording whose clock jumps may go backwards.
        status: (N,) values of `Status`.
        reasons: N comma-joined, sorted reason codes.
        poses: (N, 3) x_m, y_m, yaw_rad; NaN while there is no belief.
        cov_xy_yaw: (N, 3, 3).
        lat_deg: (N,), NaN while there is none.
        lon_deg: (N,), NaN while there is none.
        similarity: (N,).
        spread_m: (N,).
    """

    stamp_ns: IntArray
    status: npt.NDArray[np.str_]
    reasons: tuple[str, ...]
    poses: FloatArray
    cov_xy_yaw: FloatArray
    lat_deg: FloatArray
    lon_deg: FloatArray
    similarity: FloatArray
    spread_m: FloatArray

    def __len__(self) -> int:
        """How many frames."""
        return len(self.stamp_ns)

    @property
    def localised(self) -> BoolArray:
        """(N,) where the status is LOCALISED."""
        return np.asarray(self.status == Status.LOCALISED.value)


@dataclass(frozen=True, slots=True)
class Truth:
    """Reference trajectory, for scoring only.

    Attributes:
        stamp_ns: (N,) strictly ascending.
        poses: (N, 3) x_m, y_m, yaw_rad in the index's plane; yaw NaN where unknown.
    """

    stamp_ns: IntArray
    poses: FloatArray

    def __len__(self) -> int:
        """How many samples."""
        return len(self.stamp_ns)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per stage.

    Attributes:
        stamp_ns: (N,).
        stages_ms: stage name -> (N,), NaN where the stage did not run for that frame.
    """

    stamp_ns: IntArray
    stages_ms: dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Ranked candidates of the searched frames, one row each.

    Attributes:
        stamp_ns: (M,) frame the candidate belongs to.
        rank: (M,) 1 is best; a search that found nothing is one row of rank 0 and entry -1.
        entry_id: (M,).
        poses: (M, 3) vehicle pose the candidate implies.
        similarity: (M,).
    """

    stamp_ns: IntArray
    rank: IntArray
    entry_id: IntArray
    poses: FloatArray
    similarity: FloatArray


@dataclass(frozen=True, slots=True)
class Tile:
    """The piece of the map that a frame was taken to show.

    Attributes:
        entry_id: entry of the index, -1 if there is none.
        pose: (3,) vehicle pose that the entry implies, NaN if there is none.
        said: what a vision-language model said of it when the index was described, if it was.
    """

    entry_id: int = -1
    pose: tuple[float, float, float] = (float("nan"), float("nan"), float("nan"))
    said: Reply = field(default_factory=Reply)


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one question to a vision-language model.

    Attributes:
        stamp_ns: capture time of the frame that was asked about.
        heard_ns: stamp of the frame before which the answer was heard; -1: it never was.
        outcome: name of the `vlm.answerer.Outcome`, in small letters.
        why: what went wrong.
        took_ms: from question to answer, by the machine's clock.
        reply: what was said.
        shift: what was different in the belief once the answer was heard.
        places: (K, 3) vehicle poses retrieved for the frame that a reranker told apart by the
            answer.
        shares: (K,) probability it gave each, half kept back; empty if it abstained or there is
            none.
        tile: where the frame was believed to be before the answer was heard.
    """

    stamp_ns: int
    heard_ns: int
    outcome: str
    why: str
    took_ms: float
    reply: Reply
    shift: Shift = field(default_factory=Shift)
    places: tuple[tuple[float, ...], ...] = ()
    shares: tuple[float, ...] = ()
    tile: Tile = field(default_factory=Tile)


def estimates_from(estimates: Sequence[PoseEstimate]) -> Estimates:
    """Gather single estimates into columns."""
    nan = float("nan")
    places = [e.position for e in estimates]
    return Estimates(
        stamp_ns=np.array([e.stamp_ns for e in estimates], dtype=np.int64),
        status=np.array([e.status.value for e in estimates], dtype=np.str_),
        reasons=tuple(",".join(sorted(r.value for r in e.reasons)) for e in estimates),
        poses=_stack([e.pose for e in estimates], (3,)),
        cov_xy_yaw=_stack([e.cov_xy_yaw for e in estimates], (3, 3)),
        lat_deg=np.array([p.lat_deg if p else nan for p in places], dtype=np.float64),
        lon_deg=np.array([p.lon_deg if p else nan for p in places], dtype=np.float64),
        similarity=np.array([e.similarity for e in estimates], dtype=np.float64),
        spread_m=np.array([e.spread_m for e in estimates], dtype=np.float64),
    )


def truth_from(stamp_ns: npt.ArrayLike, poses: npt.ArrayLike) -> Truth:
    """A clean reference trajectory: sorted by time, first of equal stamps, finite positions.

    Args:
        stamp_ns: (N,) integer nanoseconds.
        poses: (N, 3) x_m, y_m, yaw_rad (yaw may be NaN) or (N, 2) positions only.

    Raises:
        ReplayOutputError: the two do not have the same length, or the shape is another.
    """
    stamps = np.asarray(stamp_ns, dtype=np.int64)
    array = np.asarray(poses, dtype=np.float64)
    array = array.reshape(0, 3) if array.size == 0 else array
    if array.ndim != 2 or array.shape[1] not in (2, 3) or len(array) != len(stamps):
        raise ReplayOutputError(
            f"truth needs (N, 2) or (N, 3) poses for N stamps, got {array.shape} "
            f"and {stamps.shape}"
        )
    if array.shape[1] == 2:
        array = np.column_stack([array, np.full(len(array), np.nan)])
    keep = np.isfinite(array[:, :2]).all(axis=1)
    stamps, first = np.unique(stamps[keep], return_index=True)
    return Truth(stamps, array[keep][first])


def latency_from(stamp_ns: Sequence[int], stages_ms: Sequence[Mapping[str, float]]) -> Latency:
    """Gather one mapping stage -> ms per frame into columns, NaN where a stage did not run."""
    names = [name for name in STAGES if any(name in row for row in stages_ms)]
    names += sorted({name for row in stages_ms for name in row} - set(names))
    nan = float("nan")
    return Latency(
        np.array(stamp_ns, dtype=np.int64),
        {name: np.array([row.get(name, nan) for row in stages_ms]) for name in names},
    )


def retrieval_from(searches: Sequence[tuple[int, Candidates, npt.ArrayLike]]) -> Retrieval:
    """Gather searches into rows.

    Args:
        searches: per searched frame its stamp_ns, the candidates best first, and the (K, 3)
            vehicle poses they imply (anchor poses composed with the view's offset).
    """
    stamps: list[int] = []
    ranks: list[int] = []
    entries: list[int] = []
    poses: list[FloatArray] = []
    similarity: list[float] = []
    for stamp_ns, found, vehicle in searches:
        count = max(len(found), 1)
        stamps += [stamp_ns] * count
        ranks += list(range(1, len(found) + 1)) or [0]
        entries += [int(entry) for entry in found.entry_ids] or [-1]
        similarity += [float(value) for value in found.similarity] or [float("nan")]
        rows = np.asarray(vehicle, dtype=np.float64).reshape(-1, 3)
        poses += list(rows) or [np.full(3, np.nan)]
    return Retrieval(
        np.array(stamps, dtype=np.int64),
        np.array(ranks, dtype=np.int64),
        np.array(entries, dtype=np.int64),
        _stack(poses, (3,)),
        np.array(similarity, dtype=np.float64),
    )


def _stack(rows: Sequence[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    if not rows:
        return np.empty((0, *shape), dtype=np.float64)
    return np.stack([np.asarray(row, dtype=np.float64) for row in rows])
