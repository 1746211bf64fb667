# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Satellite image and camera frames of a made world, rendered in worker processes.

They are spawned, not forked: a process that has used Embree or OpenCV has threads and locks which
do not survive a fork, and the child hangs (seen). So a script that calls `make_world` with several
workers needs `if __name__ == "__main__":`. The result does not depend on the number of workers.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import ConfigError
from geoloc_ros.synthetic.recording import Recording, render_frame, write_recording
from geoloc_ros.workers import submitted

if TYPE_CHECKING:
    from geoloc_ros.synthetic.make import WorldSpec

FRAMES_PER_JOB = 4


class Workshop:
    """What a worker process needs; scenes are built when first asked for.

    Args:
        town: from `make_town`.
        spec: what to make.
        recordings: the drives.
    """

    def __init__(self, town: Any, spec: WorldSpec, recordings: Sequence[Recording]) -> None:  # noqa: ANN401
        self.town, self.spec, self.recordings = town, spec, recordings
        self._rays: tuple[int, list[FloatArray]] | None = None
        self._scene: tuple[int, Any] | None = None

    def frames(self, number: int, first: int, end: int) -> list[bytes]:
        """JPEGs of some frames of a drive, of all cameras of each."""
        cameras = range(len(self.recordings[number].cameras))
        return [
            self._frame(number, frame, camera) for frame in range(first, end) for camera in cameras
        ]

    def _frame(self, number: int, frame: int, camera: int) -> bytes:
        from geoloc_ros.synthetic.scene import build_scene

        recording = self.recordings[number]
        if self._scene is None or self._scene[0] != number:
            self._scene = (number, build_scene(self.town, "drive", number))
        if self._rays is None or self._rays[0] != number:
            self._rays = (number, [rig.rays() for rig, _ in recording.cameras])
        return render_frame(self._scene[1], self._rays[1][camera], recording, frame, camera)

    def imagery(self, path: Path) -> list[bytes]:
        """Write the satellite image."""
        from geoloc_ros.synthetic.imagery import make_imagery

        make_imagery(
            self.town, path, gsd_m=self.spec.gsd_m, gap=self.spec.gap, seed=self.spec.seed
        )
        return []


def render_all(
    out: Path,
    town: Any,  # noqa: ANN401
    spec: WorldSpec,
    recordings: Sequence[Recording],
    workers: int,
    progress: bool,
) -> None:
    """Write the satellite image and all recordings into a folder.

    Args:
        out: the folder.
        town: from `make_town`.
        spec: what to make.
        recordings: the drives.
        workers: processes that cast rays; 1 works in this process.
        progress: show a progress bar.

    Raises:
        BagError: a recording cannot be written.
        ConfigError: a worker process was ended from outside.
        OSError: the image cannot be written.
    """
    from tqdm import tqdm

    total = sum(len(r.frame_s) * len(r.cameras) for r in recordings)
    workshop = Workshop(town, spec, recordings)
    with (
        closing(_pictures(workshop, out / "imagery.tif", workers)) as pictures,
        tqdm(total=total, unit="frame", desc="making", disable=not progress) as bar,
    ):
        for recording in recordings:
            bar.set_description(f"{recording.name} of {len(recordings)}")
            counted = _counted(pictures, bar)
            write_recording(out / recording.name, recording, counted, town.frame)
        bar.set_description("imagery")
        for _ in pictures:
            raise RuntimeError("more pictures were made than were recorded")


def _counted(pictures: Iterator[bytes], bar: Any) -> Iterator[bytes]:  # noqa: ANN401
    for picture in pictures:
        bar.update(1)
        yield picture


def _pictures(workshop: Workshop, imagery: Path, workers: int) -> Generator[bytes]:
    """JPEGs of all drives in order; at the end of them the satellite image is there too."""
    jobs = [
        (number, first, min(first + FRAMES_PER_JOB, len(recording.frame_s)))
        for number, recording in enumerate(workshop.recordings)
        for first in range(0, len(recording.frame_s), FRAMES_PER_JOB)
    ]
    if workers <= 1:
        workshop.imagery(imagery)
        for job in jobs:
            yield from workshop.frames(*job)
        return
    calls: list[tuple[Any, ...]] = [(Workshop.imagery, imagery)]
    calls += [(Workshop.frames, *job) for job in jobs]
    start = functools.partial(_start_worker, workshop)
    try:
        with submitted(_work, calls, workers, start) as running:
            waiting = deque(running)  # in order; what was taken is not kept
            running.clear()
            image = waiting.popleft()
            while waiting:
                if image.done():
                    image.result()
                yield from waiting.popleft().result()
            image.result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "a process that casts rays was ended from outside, most likely for want of memory; "
            f"use fewer --workers (now {workers})"
        ) from error


_workshop: Workshop | None = None


def _start_worker(workshop: Workshop) -> None:
    global _workshop
    cv2.setNumThreads(1)
    _workshop = workshop


def _work(what: Any, *arguments: Any) -> list[bytes]:  # noqa: ANN401
    if _workshop is None:
        raise RuntimeError("a worker was not started by render_all")
    found: list[bytes] = what(_workshop, *arguments)
    return found
