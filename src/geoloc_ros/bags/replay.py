# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Replay: a recorded drive through the spine, and everything about the run on disk.

Estimates depend on the bag, the index, the configuration and the seed, and on nothing else: truth
is read after the last estimate, for scoring only.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from geoloc_ros import config as configuration
from geoloc_ros import messages
from geoloc_ros.bags import replay_folder
from geoloc_ros.bags.asking import Asking
from geoloc_ros.bags.believed_tiles import Run, with_tiles
from geoloc_ros.bags.kept_pictures import KEPT_FRAMES, KeptPictures
from geoloc_ros.bags.reader import BagReader, Record
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.trajectory import write_trajectory
from geoloc_ros.config import Config
from geoloc_ros.datatypes import CameraFrame, Candidates, PoseEstimate
from geoloc_ros.encoders.backends.settled import Settled, settled_encoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model, find_model_by_sha
from geoloc_ros.encoders.words import NO_CALIBRATION
from geoloc_ros.errors import BagError
from geoloc_ros.evaluation import columns, tables
from geoloc_ros.filtering.belief import Belief
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.pipeline import GeoLocalizer
from geoloc_ros.process_memory import peak_rss_mb
from geoloc_ros.rerank.language import reranker_for
from geoloc_ros.stage_clock import StageClock
from geoloc_ros.tracker import Tracked, Tracker
from geoloc_ros.vlm.answerer import Answerer, make_answerer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayInputs:
    """What a replay reads and where it writes."""

    bag: Path
    index: Path
    out: Path
    model: str | None = None
    truth_topic: str | None = None
    force: bool = False
    quiet: bool = False


@dataclass(slots=True)
class _Records:
    """What a replay collects while it runs."""

    estimates: list[PoseEstimate] = field(default_factory=list)
    latency_ms: list[dict[str, float]] = field(default_factory=list)
    searches: list[tuple[int, Candidates, Any]] = field(default_factory=list)
    unused: int = 0
    damage: str = ""


class Replay:
    """One run of a recording through the spine.

    Args:
        inputs: files.
        config: the tree.
        package: the model, if it is at hand; else the one `inputs` names or the index needs.
        watch: is shown the belief after every frame.
        make_answerer: makes the vision-language model that `config.vlm` names, in its process.
    """

    def __init__(
        self,
        inputs: ReplayInputs,
        config: Config,
        package: ModelPackage | None = None,
        watch: Callable[[Belief], None] | None = None,
        make_answerer: Callable[[str], Answerer] = make_answerer,
    ) -> None:
        self._inputs = inputs
        self._config = config
        self._package = package
        self._watch = watch
        self._asking = Asking(config.vlm, make_answerer) if config.vlm.model else None
        self._clock = StageClock()
        self._records = _Records()
        self._pictures = KeptPictures(inputs.out)
        self._anchor_offset_m = (0.0, 0.0)
        self._settled: Settled

    def run(self) -> str:
        """Replay and write the output directory.

        Returns:
            Empty, or what was wrong with the recording after the part that could be used.

        Raises:
            BagError: the recording cannot be used at all.
            IndexError_: the index is damaged or belongs to another encoder.
            ModelError: no model package or reranker fits, the encoder's back end does not work
                here, or no vision-language model answers.
        """
        replay_folder.check_free(self._inputs.out, self._inputs.force)
        package = self._model()
        budget_mb = self._config.search.memory_budget_mb
        index = ShardedIndex.open(self._inputs.index, package, budget_mb=budget_mb)
        plane = index.manifest.frame
        with BagReader(self._inputs.bag) as reader, self._asking or nullcontext():
            start = time.perf_counter()
            recording = Recording(reader, self._config.input, package.query.view == "panorama")
            if self._inputs.truth_topic is not None:
                recording.check_truth(self._inputs.truth_topic)
            tracker = self._tracker(package, index, recording)
            # Only now is it sure that there will be something to put in place of earlier results.
            self._prepare_out()
            self._drive(recording, tracker)
            wall_s = time.perf_counter() - start
            self._write(package, plane, wall_s, _notes(package) + _rig_notes(tracker))
            self._write_vlm(index)
            self._write_truth(recording, plane)
        return self._records.damage

    def _model(self) -> ModelPackage:
        if self._package is not None:
            return self._package
        if self._inputs.model:
            return find_model(self._inputs.model)
        return find_model_by_sha(load_manifest(self._inputs.index).encoder_sha256)

    def _tracker(
        self, package: ModelPackage, index: ShardedIndex, recording: Recording
    ) -> Tracker:
        asking, plane = self._asking, index.manifest.frame

        def before(stamp_ns: int) -> None:
            if asking is not None:
                asking.deliver(stamp_ns, tracker.localizer, plane)

        threads = self._config.encoder_threads
        self._settled = settled_encoder(package, self._config.encoder, threads)
        tracker = Tracker(
            self._config,
            package,
            self._settled.encoder,
            index,
            use_odometry=bool(recording.topics.odometry),
            use_height=bool(recording.topics.height),
            stage=self._clock,
            reranker=reranker_for(self._config.search.reranker, index.manifest),
            before=before,
        )
        for name, camera in recording.cameras.items():
            tracker.set_camera(name, *camera)
        return tracker

    # -- the drive ----------------------------------------------------------------------------

    def _drive(self, recording: Recording, tracker: Tracker) -> None:
        bar = tqdm(total=recording.frame_count, unit="frame", disable=self._inputs.quiet)
        with bar:
            try:
                for record in recording.records():
                    feed(tracker, recording, record)
                    self._take(tracker.every(), tracker, bar)
            except BagError as error:
                self._records.damage = str(error)
            self._take(tracker.every(flush=True), tracker, bar)
        if self._asking is not None:
            self._asking.finish()
        self._records.unused += tracker.counts.stale
        if not self._records.estimates:
            raise BagError(self._records.damage or f"{self._inputs.bag} gave no usable frame")

    def _take(self, tracked: Iterator[Tracked], tracker: Tracker, bar: tqdm[Any]) -> None:
        asking = self._asking
        while True:
            waited_s = asking.waited_s if asking else 0.0
            start = time.perf_counter()
            found = next(tracked, None)
            if found is None:
                return
            spent = self._clock.take()
            spent["total"] = (time.perf_counter() - start) * 1e3
            if asking is not None:
                spent["total"] -= (asking.waited_s - waited_s) * 1e3
                if asking.ask(found.frame) and found.frame.rgb is not None:
                    self._pictures.asked(found.frame.stamp_ns, found.frame.rgb)
            self._record(found.estimate, spent, tracker.localizer, found.frame)
            if self._watch is not None:
                self._watch(tracker.localizer.belief)
            bar.set_postfix_str(found.estimate.status.value.lower(), refresh=False)
            bar.update()

    def _record(
        self,
        estimate: PoseEstimate,
        spent_ms: dict[str, float],
        localizer: GeoLocalizer,
        frame: CameraFrame,
    ) -> None:
        self._records.estimates.append(estimate)
        self._records.latency_ms.append(spent_ms)
        found = localizer.last_candidates
        if found is None:
            return
        self._anchor_offset_m = localizer.last_anchor_offset_m
        self._records.searches.append((estimate.stamp_ns, found, found.poses))
        every = max(1, len(self._records.estimates) // KEPT_FRAMES)
        if frame.rgb is not None and len(self._records.searches) % every == 0:
            self._pictures.searched(estimate.stamp_ns, frame.rgb)

    # -- the output directory -----------------------------------------------------------------

    def _prepare_out(self) -> None:
        out = self._inputs.out
        replay_folder.clear(out)
        text = yaml.safe_dump(configuration.to_mapping(self._config), sort_keys=False)
        (out / "config.yaml").write_text(text, encoding="utf-8")
        versions = {**_versions(), "encoder_backend": self._settled.runs_on}
        (out / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")

    def _write(
        self, package: ModelPackage, plane: LocalFrame, wall_s: float, notes: list[str]
    ) -> None:
        out, records = self._inputs.out, self._records
        stamps = [estimate.stamp_ns for estimate in records.estimates]
        tables.write_estimates(out, records.estimates)
        tables.write_latency(out, columns.latency_from(stamps, records.latency_ms))
        tables.write_retrieval(out, columns.retrieval_from(records.searches))
        write_trajectory(out / "trajectory.mcap", records.estimates)
        used = len(stamps)
        summary = {
            "frames": used + records.unused,
            "frames_used": used,
            "frames_dropped": records.unused,
            "bag_s": (max(stamps) - min(stamps)) / 1e9,
            "wall_s": wall_s,
            "peak_rss_mb": peak_rss_mb(),
            "seed": self._config.random_seed,
            "encoder": package.encoder_sha256,
            "model": package.name,
            "index": str(self._inputs.index),
            "bag": str(self._inputs.bag),
            "config_sha256": configuration.sha256(self._config),
            "origin": {"lat_deg": plane.origin.lat_deg, "lon_deg": plane.origin.lon_deg},
            "anchor_offset_m": list(self._anchor_offset_m),
            "notes": [*([records.damage] if records.damage else []), *notes],
        }
        tables.write_summary(out, summary)

    def _write_vlm(self, index: ShardedIndex) -> None:
        if self._asking is None:
            return
        anchor = np.array([*self._anchor_offset_m, 0.0])
        run = Run(self._records.estimates, self._records.searches, anchor)
        tables.write_vlm(self._inputs.out, with_tiles(self._asking.heard, run, index))

    def _write_truth(self, recording: Recording, plane: LocalFrame) -> None:
        if self._inputs.truth_topic is None:
            return
        stamps, poses = recording.truth(self._inputs.truth_topic, plane)
        tables.write_truth(self._inputs.out, columns.truth_from(stamps, np.array(poses)))


def feed(tracker: Tracker, recording: Recording, record: Record) -> None:
    """Hand one message of a recording to the tracker."""
    stamp_ns, topic, message = record
    if topic in recording.topics.images:
        tracker.add_frame(stamp_ns, message, recording.topics.images[topic])
    elif topic == recording.topics.odometry:
        tracker.add_odometry(messages.odometry(message, stamp_ns))
    else:
        tracker.add_height(stamp_ns, messages.height_m(message))


def _notes(package: ModelPackage) -> list[str]:
    """What must be said of the model."""
    if not package.calibration.missing:
        return []
    return [f"{package.name} has no calibration: {NO_CALIBRATION}"]


def _rig_notes(tracker: Tracker) -> list[str]:
    """Which cameras of a rig were missing, and how often."""
    if tracker.rig is None:
        return []
    return [
        f"camera {name} is missing from {count} of {tracker.rig.shots} panoramas"
        for name, count in sorted(tracker.rig.missing.items())
    ]


def _versions() -> dict[str, str]:
    names = (
        "geoloc_ros",
        "numpy",
        "scipy",
        "opencv-python-headless",
        "onnxruntime",
        "hnswlib",
        "numba",
    )
    found = {"python": platform.python_version()}
    for name in (*names, "rosbags"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
