# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a frame, however late, told about the places that were retrieved for it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from geoloc_ros.datatypes import (
    CameraFrame,
    Candidates,
    Float32Array,
    FloatArray,
    GeoPrior,
    View,
)
from geoloc_ros.index.place_index import PlaceIndex
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.vlm.answerer import Reply

SOURCE = "scene"
#: searches that are remembered; there is one for every few metres of driving
REMEMBERED = 64
#: a frame shows what the search nearest to it in time was about, if that is no farther off
WITHIN_NS = 2_000_000_000
#: a scene is described as a camera sees it that looks ahead; others look at other things
AHEAD_RAD = math.radians(20.0)
#: what is kept back in case that none of the places is right, or the answers are wrong
SHARE = 0.5
#: wider than what opens new hypotheses: a scene tells between places, it names none
SIGMA_M, SIGMA_RAD = 31.0, math.radians(20.0)


@dataclass(frozen=True, slots=True)
class _Search:
    """One search: stamp, camera, descriptor, what was found, and vehicle poses (K, 3)."""

    stamp_ns: int
    camera: str
    descriptor: Float32Array
    found: Candidates
    poses: FloatArray


class Scenes:
    """Remembers the last searches, and makes a soft prior of a description that arrives later.

    Args:
        reranker: compares descriptions; None: nothing is remembered or said.
    """

    def __init__(self, reranker: LanguageReranker | None) -> None:
        self._reranker = reranker
        self._searches: deque[_Search] = deque(maxlen=REMEMBERED)

    def forget(self) -> None:
        """Forget all searches: what comes is of another time or index."""
        self._searches.clear()

    def searched(
        self,
        frame: CameraFrame,
        descriptor: Float32Array,
        found: Candidates,
        poses: FloatArray,
        view: View,
    ) -> None:
        """Remember a search.

        Args:
            frame: searched for.
            descriptor: (D,) of its view.
            found: anchors, one per place, best first.
            poses: (K, 3) of the vehicle at each.
            view: of the frame; only views ahead are remembered.
        """
        if self._reranker is not None and abs(view.anchor_yaw_rad) <= AHEAD_RAD:
            kept = _Search(frame.stamp_ns, frame.camera, descriptor, found, poses)
            self._searches.append(kept)

    def prior(
        self, index: PlaceIndex, stamp_ns: int, reply: Reply, camera: str = ""
    ) -> GeoPrior | None:
        """What a description says about the places retrieved for its frame.

        Args:
            index: they were retrieved from.
            stamp_ns: of the frame.
            reply: what was said of it.
            camera: whose frame it is; what another one has seen is no match for it.

        Returns:
            A mixture over these places, of which half is kept back, as of the search; None if
            nothing was retrieved then, or the description tells nothing.
        """
        own = [search for search in self._searches if search.camera == camera]
        if self._reranker is None or not own:
            return None
        search = min(own, key=lambda item: abs(item.stamp_ns - stamp_ns))
        if abs(search.stamp_ns - stamp_ns) > WITHIN_NS or not len(search.found):
            return None
        verdict = self._reranker.rerank(index, search.descriptor, reply, search.found)
        if verdict.abstains:
            return None
        likely = np.flatnonzero(verdict.chance > 0.0)
        cov = np.diag([SIGMA_M**2, SIGMA_M**2, SIGMA_RAD**2])
        return GeoPrior(
            search.stamp_ns,
            search.poses[likely],
            np.repeat(cov[None], len(likely), axis=0),
            SHARE * verdict.chance[likely],
            SOURCE,
        )
