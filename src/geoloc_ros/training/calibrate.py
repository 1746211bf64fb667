# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fit what a model card says about similarity and covariance, on drives kept for that purpose.

Three passes over made worlds: similarities at true and at random poses give temperature and levels
(`filtering.calibration.fit_similarity`); replays on the indexes of other worlds tell how much
evidence wrong places collect, and so how much a place needs; replays on their own give the errors
that the published covariance has to cover (`fit_covariance`).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.bags.views import views_of
from geoloc_ros.config import Config, FilterConfig
from geoloc_ros.datatypes import FloatArray, View
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import NEVER_ENOUGH, Calibration, ModelPackage
from geoloc_ros.errors import TrainingError
from geoloc_ros.evaluation import columns, tables
from geoloc_ros.evaluation.trajectory import distance_along_m, interpolate_truth
from geoloc_ros.filtering import status
from geoloc_ros.filtering.belief import Belief
from geoloc_ros.filtering.calibration import fit_covariance, fit_evidence, fit_similarity
from geoloc_ros.geo import se2
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.build import build_index, is_current
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.index.sharded_index import ShardedIndex
from geoloc_ros.yaw_hypotheses import SimilarityAt, YawHypotheses

logger = logging.getLogger(__name__)

TRUTH_TOPIC = "/ground_truth/pose"
EVERY_M = 5.0
WRONG_POSES = 256
#: random poses nearer than this to the truth are not wrong
WRONG_BEYOND_M = 30.0


@dataclass(slots=True)
class Samples:
    """Similarities of images at the true pose and at wrong ones."""

    matched: list[float] = field(default_factory=list)
    background: list[FloatArray] = field(default_factory=list)


def index_world(
    world: Path, package: ModelPackage, out: Path, policy: SamplingPolicy | None = None
) -> Path:
    """Index a made world's imagery, along its roads unless the policy says grid.

    With north up if the model was trained so.

    An index of the same imagery, roads, model and policy that is already there is kept; another
    is replaced.
    """
    north_up = package.query.alignment == "north"
    policy = dataclasses.replace(policy or SamplingPolicy(), north_up=north_up)
    ortho = OrthoImage.open(world / "imagery.tif", gsd_m=0.5)
    roads = read_roads(world / "roads.geojson", ortho.frame) if policy.kind == "roads" else None
    if is_current(out, ortho, package, policy, roads):
        return out
    build_index(ortho, package, OnnxEncoder(package, threads=2), out, policy, roads=roads)
    return out


def calibrate(
    package: ModelPackage,
    worlds: Sequence[Path],
    work: Path,
    config: Config,
    policy: SamplingPolicy | None = None,
    command: str = "",
) -> ModelPackage:
    """Fit the calibration on made worlds and save it in the model card.

    Args:
        package: the model; its `model.json` is rewritten.
        worlds: directories of `geoloc synth make`, none of them used in training. A single one
            cannot tell how much evidence a strange place needs: the card keeps what it says.
        work: folder for indexes and replays.
        config: the tree the replays run with.
        policy: how the worlds are indexed.
        command: goes into the card.

    Raises:
        TrainingError: too few usable images or estimates, two worlds of the same name, or a single
            one for a model that has no calibration yet.
    """
    _check_names(worlds)
    if package.calibration.missing and len(worlds) < 2:
        raise TrainingError(
            f"{package.name} has no calibration yet and one world cannot tell how much evidence a "
            "strange place needs; give two or more"
        )
    samples = Samples()
    indexes = {w: index_world(w, package, work / f"{w.name}.index", policy) for w in worlds}
    for world, path in indexes.items():
        for drive in _drives(world):
            _collect(package, ShardedIndex.open(path, package), drive, config, samples)
    fitted = fit_similarity(
        np.array(samples.matched), np.array(samples.background), fitted_on=command
    )
    logger.info("similarity: %s", fitted)
    fitted = _fit_evidence(_with(package, fitted), package.calibration, indexes, work, config)
    scale = _fit_scale(_with(package, fitted), indexes, work, config)
    package = _with(package, dataclasses.replace(fitted, covariance_scale=scale))
    package.save()
    return package


def _check_names(worlds: Sequence[Path]) -> None:
    named = {world.name: world for world in worlds}
    for world in worlds:
        if named[world.name] != world:
            raise TrainingError(
                f"worlds {world} and {named[world.name]} are both called {world.name}, as their "
                "indexes and replays would be; rename one"
            )


def _drives(world: Path) -> Iterator[Path]:
    found = sorted(path for path in world.glob("drive_*") if path.is_dir())
    if not found:
        raise TrainingError(f"{world} holds no drive_NN; make one with 'geoloc synth make'")
    yield from found


def _with(package: ModelPackage, calibration: Calibration) -> ModelPackage:
    return dataclasses.replace(package, calibration=calibration)


def _collect(
    package: ModelPackage, index: ShardedIndex, drive: Path, config: Config, samples: Samples
) -> None:
    """Similarities of a drive's images every few metres."""
    encoder = OnnxEncoder(package, threads=2)
    rng = np.random.default_rng(config.random_seed)
    _, entries = index.entries()
    with BagReader(drive) as reader:
        recording = Recording(reader, config.input, package.query.view == "panorama")
        truth = columns.truth_from(*recording.truth(TRUTH_TOPIC, index.manifest.frame))
        every = _Every(truth, EVERY_M)

        def wanted(stamp_ns: int) -> bool:
            return every(stamp_ns) and bool(interpolate_truth(truth, [stamp_ns])[1][0])

        records = tqdm(recording.records(), desc=drive.parent.name, unit="msg")
        for stamp_ns, view in views_of(recording, package, config, wanted, records):
            pose = interpolate_truth(truth, [stamp_ns])[0][0]
            anchor = se2.compose(pose, view.anchor)
            wrong = entries[rng.integers(0, len(entries), WRONG_POSES)]
            near = np.hypot(*(wrong[:, :2] - anchor[:2]).T) < WRONG_BEYOND_M
            if index.manifest.policy.north_up:
                wrong[:, 2] = rng.uniform(-np.pi, np.pi, len(wrong))
                wrong = se2.compose(wrong, se2.inverse(view.anchor))
                at, supported = _all_ways(view, encoder, index, config)(np.vstack([pose, wrong]))
            else:
                descriptor = encoder.encode_query(view.image[None])[0]
                at, supported = index.similarity_at(descriptor, np.vstack([anchor, wrong]))
            if supported[0]:
                background = np.where(near | ~supported[1:], np.median(at[1:]), at[1:])
                samples.matched.append(float(at[0]))
                samples.background.append(background.astype(np.float64))


def _all_ways(
    view: View, encoder: OnnxEncoder, index: ShardedIndex, config: Config
) -> SimilarityAt:
    """Similarity of a panorama at any vehicle pose, on tiles with north up."""
    yaws = YawHypotheses(config.view.yaw_step_deg, view.image.shape[1])
    views = yaws.views(view, None)
    descriptors = encoder.encode_query(np.stack([turned.image for turned in views]))
    return yaws.similarity(index, views, descriptors)


class _Every:
    """Whether another stretch of truth has been driven since the last stamp taken."""

    def __init__(self, truth: columns.Truth, step_m: float) -> None:
        self._stamps = truth.stamp_ns.astype(np.float64)
        self._along = distance_along_m(truth)
        self._step_m = step_m
        self._next_m = 0.0

    def __call__(self, stamp_ns: int) -> bool:
        here = float(np.interp(stamp_ns, self._stamps, self._along))
        if here < self._next_m:
            return False
        self._next_m = here + self._step_m
        return True


class _MostEvidence:
    """Watches a replay in which every place is wrong: what the most convincing one collected."""

    def __init__(self, config: FilterConfig) -> None:
        self.most, self.driven_m = 0.0, 0.0
        self._config = config

    def __call__(self, belief: Belief) -> None:
        self.driven_m = belief.distance_m
        facts = belief.facts
        if facts is not None and status.passes(
            dataclasses.replace(facts, required=0.0), self._config
        ):
            self.most = max(self.most, facts.evidence)


def _fit_evidence(
    package: ModelPackage,
    before: Calibration,
    indexes: dict[Path, Path],
    work: Path,
    config: Config,
) -> Calibration:
    """The package's calibration with the evidence a place needs; as before from a single world.

    Every drive is replayed on the index of every other world, where no place can be right and none
    is ever believed.
    """
    fitted = package.calibration
    if len(indexes) < 2:
        return dataclasses.replace(
            fitted,
            confirm_evidence=before.confirm_evidence,
            confirm_scale=before.confirm_scale,
            confirm_entries=before.confirm_entries,
        )
    # As good as never, but no `Calibration.missing`, which every replay would warn of.
    doubting = _with(package, dataclasses.replace(fitted, confirm_evidence=0.5 * NEVER_ENOUGH))
    most, driven_m, entries = [], 0.0, []
    for world in indexes:
        for other, index in indexes.items():
            for drive in _drives(world) if other != world else ():
                watch = _MostEvidence(config.filter)
                out = work / f"{drive.parent.name}_{drive.name}_on_{other.name}"
                inputs = ReplayInputs(bag=drive, index=index, out=out, force=True)
                Replay(inputs, config, doubting, watch).run()
                most.append(watch.most)
                driven_m += watch.driven_m
                entries.append(load_manifest(index).count)
    needed, scale = fit_evidence(np.array(most), 1e-3 * driven_m)
    logger.info(
        "wrong places collected %s of evidence in %.1f km; %.1f are needed, scale %.1f",
        " ".join(f"{value:.1f}" for value in sorted(most)), 1e-3 * driven_m, needed, scale,
    )  # fmt: skip
    return dataclasses.replace(
        fitted,
        confirm_evidence=needed,
        confirm_scale=scale,
        confirm_entries=float(np.mean(entries)),
    )


def _fit_scale(
    package: ModelPackage, indexes: dict[Path, Path], work: Path, config: Config
) -> float:
    """Covariance factor from replays of every drive with factor one: the largest any world needs.

    What the drives of one world share, above all the registration of its imagery, is one draw; a
    factor fitted to all drives together would hold on average and fail in every other town.
    """
    scales: list[float] = []
    for world, index in indexes.items():
        found = [_errors(package, drive, index, work, config) for drive in _drives(world)]
        errors, covs = (np.concatenate(parts) for parts in zip(*found, strict=True))
        scales.append(fit_covariance(errors, covs))
        logger.info("%s wants a covariance scale of %.3f", world, scales[-1])
    return max(scales)


def _errors(
    package: ModelPackage, drive: Path, index: Path, work: Path, config: Config
) -> tuple[FloatArray, FloatArray]:
    """Errors (N, 3) and published covariances (N, 3, 3) of a drive's LOCALISED frames."""
    out = work / f"{drive.parent.name}_{drive.name}"
    inputs = ReplayInputs(
        bag=drive,
        index=index,
        out=out,
        truth_topic=TRUTH_TOPIC,
        force=True,
    )
    Replay(inputs, config, package).run()
    estimates, truth = tables.read_estimates(out), tables.read_truth(out)
    if truth is None:
        raise TrainingError(f"{drive} has no truth on {TRUTH_TOPIC}; calibration needs it")
    true, known = interpolate_truth(truth, estimates.stamp_ns)
    use = known & estimates.localised
    delta = estimates.poses[use] - true[use]
    delta[:, 2] = se2.wrap_angle(delta[:, 2])
    # Another place altogether (just after a kidnapping) says nothing about the spread.
    same = np.hypot(delta[:, 0], delta[:, 1]) < WRONG_BEYOND_M
    return delta[same], estimates.cov_xy_yaw[use][same]
