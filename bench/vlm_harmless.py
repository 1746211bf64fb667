#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a vision-language model that is wrong, late, unreadable or dead does to localization.

Per seed one short drive through a small held-out town, with a cold start and a camera that is
covered for 150 m; the worlds are those of bench/heldout.py and are made if they are not there.
Every drive is replayed without a model, then with each kind of model, from three random seeds:

  right        the truth, in a region that is right
  wrong        every answer wrong, and the region too
  random       probabilities drawn anew for every picture
  constant     the first option of every question
  late         the truth, heard 30 s after the frame
  astray       the truth, and a place 300 m from the right one
  unparseable  nothing that can be read
  dead         the process ends at every question

Answers carry a probability of 0.95; the region is believed as that of a model that is always
right. Drives whose figures are in WORK already, found with the same encoder, reranker and
settings, are not driven again.

`harmless_delta_m`: the largest, over the kinds but the first, of the mean difference of a drive's
median error with the model and without, the random seed being the same. `noise_m`: the standard
error that such a mean has by chance alone, from how far the seeds without a model lie apart.

Example:
  python bench/vlm_harmless.py --seeds $(seq 900101 900106) --json harmless.json
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from heldout import Bench as Heldout
from scoring import TRUTH, may_be_scored, write_json

from geoloc_ros import config as configuration
from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.errors import GeolocError
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.result import result_from, write_result
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.rerank.package import find_reranker
from geoloc_ros.synthetic.scene_truth import SceneTruth
from geoloc_ros.synthetic.sensor_rig import CameraSpec
from geoloc_ros.vlm.answerer import Answer, Answerer, PlaceGuess, Reply
from geoloc_ros.vlm.guesses import LEAST_SIGMA_M
from geoloc_ros.vlm.prior import guesses_of, region_mixture
from geoloc_ros.vlm.questions import REGION, Question, load_questions

NONE, RIGHT, LATE = "none", "right", "late"
KINDS = (RIGHT, "wrong", "random", "constant", LATE, "astray", "unparseable", "dead")
KEYS = ("median_m", "p95_m", "availability", "confidently_wrong")
SURE = 0.95
LATE_S = 30.0
ASTRAY_M = 300.0
RANDOM_SEEDS = (0, 1, 2)
WANTED_M = 0.05

Figures = dict[str, float | None]
DriveFigures = dict[str, list[Figures]]  # by kind of model, one for each random seed


class Pretender:
    """Answers as a model of some kind would, knowing where each picture was taken.

    Args:
        kind: one of `KINDS`.
        drive: folder of the drive's `pictures.npz` and of a link to its scene.
    """

    def __init__(self, kind: str, drive: Path) -> None:
        self._kind = kind
        self._questions = load_questions()
        with np.load(drive / "pictures.npz", allow_pickle=False) as held:
            rows = zip(held["digests"].tolist(), held["poses"], held["places"], strict=True)
            self._known = {digest: (pose, place) for digest, pose, place in rows}
            self._truth = SceneTruth(json.loads(Path(str(held["scene"])).read_text()))
        self._rng = np.random.default_rng(7)

    def answer(self, rgb: Image, view: str = "ground") -> Reply:
        """The reply to a picture of the drive."""
        if self._kind == "dead":
            os._exit(1)
        if self._kind == "unparseable":
            raise ValueError("the model said nothing that is an answer")
        pose, place = self._known[digest_of(rgb)]
        true = self._truth.answers(pose, view)
        answers = tuple(self._said(q, true[q.id]) for q in self._questions.questions)
        region = next(answer for answer in answers if answer.question == REGION)
        options = [option.id for option in self._questions[REGION].options]
        each = dict(zip(options, region.probabilities, strict=True))
        guesses = guesses_of(region_mixture(each, self._questions.regions))
        if self._kind == "astray":
            guesses = (PlaceGuess(LatLon(*place), LEAST_SIGMA_M, SURE),)
        return Reply(answers, guesses)

    def _said(self, question: Question, true: str) -> Answer:
        count = len(question.options)
        if self._kind == "random":
            shares = self._rng.dirichlet(np.ones(count))
        else:
            shares = np.full(count, (1.0 - SURE) / (count - 1))
            shares[self._chosen(question, true)] = SURE
        best = int(np.argmax(shares))
        option = question.options[best].id
        return Answer(question.id, option, float(shares[best]), tuple(shares.tolist()))

    def _chosen(self, question: Question, true: str) -> int:
        if self._kind == "constant":
            return 0
        right = question.index(true)
        if self._kind != "wrong":
            return right
        return int(right + self._rng.integers(1, len(question.options))) % len(question.options)


def pretend(drive: Path, kind: str) -> Answerer:
    """Make a pretender in the model's process."""
    return Pretender(kind, drive)


def digest_of(rgb: Image) -> str:
    """Identity of a picture (H, W, 3)."""
    return hashlib.sha256(np.ascontiguousarray(rgb).tobytes()).hexdigest()


def know_pictures(world: Path, plane: LocalFrame, out: Path) -> None:
    """Write what a pretender must know of a drive: where each of its pictures was taken."""
    digests, stamps = [], []
    with BagReader(world / "drive_00") as reader:
        recording = Recording(reader, Config().input)
        truth = columns.truth_from(*recording.truth(TRUTH, plane))
        for stamp_ns, topic, message in recording.records():
            if topic == recording.topics.image:
                digests.append(digest_of(messages.image_rgb(message)))
                stamps.append(messages.stamp_ns(message, stamp_ns))
    poses, _ = interpolate_truth(truth, np.array(stamps))
    away = poses[:, :2] + (ASTRAY_M, 0.0)
    places = np.array([_degrees(plane, xy) for xy in away])
    out.mkdir(parents=True, exist_ok=True)
    scene = str((world / "scene.json").absolute())
    np.savez(out / "pictures.npz", digests=digests, poses=poses, places=places, scene=scene)


def _degrees(plane: LocalFrame, xy: FloatArray) -> tuple[float, float]:
    place = plane.position(float(xy[0]), float(xy[1]))
    return place.lat_deg, place.lon_deg


@dataclasses.dataclass(frozen=True)
class Harm:
    """One run of the bench."""

    package: ModelPackage
    config: Config
    heldout: Heldout
    work: Path

    @property
    def identity(self) -> str:
        """What the figures hang on, in a few letters."""
        name = self.config.search.reranker
        files = find_reranker(name).files if name else {}
        made = (self.package.encoder_sha256, sorted(files.items()), self.config, RANDOM_SEEDS)
        return hashlib.sha256(repr(made).encode()).hexdigest()[:12]

    def drive(self, seed: int) -> DriveFigures:
        """Figures of a drive, without a model and with each kind."""
        world = self.heldout.covered_world(seed)
        index = self.heldout.covered_index(seed)
        here = self.work / str(seed)
        know_pictures(world, load_manifest(index).frame, here)
        return {
            kind: [self._replayed(here, world, index, kind, seed) for seed in RANDOM_SEEDS]
            for kind in (NONE, *KINDS)
        }

    def _replayed(
        self, here: Path, world: Path, index: Path, kind: str, random_seed: int
    ) -> Figures:
        vlm = dataclasses.replace(
            self.config.vlm,
            model="" if kind == NONE else kind,
            latency_s=LATE_S if kind == LATE else self.config.vlm.latency_s,
        )
        config = dataclasses.replace(
            self.config, vlm=vlm, random_seed=self.config.random_seed + random_seed
        )
        out = here / f"{kind}_{random_seed}"
        inputs = ReplayInputs(
            bag=world / "drive_00", index=index, out=out, model=str(self.package.root),
            truth_topic=TRUTH, force=True, quiet=True,
        )  # fmt: skip
        make: Callable[[str], Answerer] = functools.partial(pretend, here)
        Replay(inputs, config, make_answerer=make).run()
        write_result(out)
        result = result_from(out)
        error = result["position_error_m"]
        return {
            "median_m": error["median"],
            "p95_m": error["p95"],
            "availability": result["availability"],
            "confidently_wrong": result["confidently_wrong"],
        }


def summary(drives: dict[int, DriveFigures]) -> dict[str, Any]:
    """Per kind and figure: mean over the drives of its difference to no model, and its error.

    The error is the standard error of that mean, from the spread over the drives. Replays that
    never held a place have no error of position: those without a model are left out, and one with
    a model counts as infinitely worse.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for kind in KINDS:
        table[kind] = {}
        for key in KEYS:
            moved = _moved(_values(drives, kind, key), _values(drives, NONE, key))
            known = len(moved) > 1 and np.isfinite(moved).all()
            spread = moved.std(ddof=1) / np.sqrt(len(moved)) if known else np.nan
            table[kind][key] = [float(moved.mean()), float(spread)]
    without = _values(drives, NONE, "median_m")
    of_a_difference = 2.0 * np.nanmean(np.nanvar(without, axis=1, ddof=1))
    return {
        "harmless_delta_m": float(
            np.max([table[kind]["median_m"][0] for kind in KINDS if kind != RIGHT])
        ),
        "noise_m": float(np.sqrt(of_a_difference / np.isfinite(without).sum())),
        "without": {key: float(np.nanmean(_values(drives, NONE, key))) for key in KEYS},
        "moved": table,
    }


def _values(drives: dict[int, DriveFigures], kind: str, key: str) -> FloatArray:
    """A figure over drives and random seeds (N, S); NaN where a replay has none."""
    rows = [[each[key] for each in found[kind]] for found in drives.values()]
    return np.array(rows, dtype=np.float64)


def _moved(values: FloatArray, without: FloatArray) -> FloatArray:
    """Mean difference of each drive, of those that have a figure without a model."""
    known = np.isfinite(without)
    away = np.where(np.isnan(values), np.inf, values) - without
    rows = [row[here].mean() for row, here in zip(away, known, strict=True) if here.any()]
    return np.array(rows)


def print_table(drives: int, found: dict[str, Any]) -> None:
    """Print what no model gives, and what each kind moves."""
    print(f"{drives} drives, {len(RANDOM_SEEDS)} random seeds each")
    print("mean without a model, then mean differences to it (their standard errors)")
    print(f"{'':12}" + "".join(f"{key:>22}" for key in KEYS))
    print(f"{NONE:12}" + "".join(f"{found['without'][key]:22.4f}" for key in KEYS))
    for kind, row in found["moved"].items():
        cells = (f"{row[key][0]:+.4f} ({row[key][1]:.4f})" for key in KEYS)
        print(f"{kind:12}" + "".join(f"{cell:>22}" for cell in cells))
    print(
        f"harmless_delta_m {found['harmless_delta_m']:+.4f}, wanted <= {WANTED_M:g}; "
        f"chance alone moves a mean by {found['noise_m']:.4f} (one sigma)"
    )
    wronger = max(row["confidently_wrong"][0] for row in found["moved"].values())
    print(f"confidently wrong: at most {100 * wronger:+.2f} % of the frames more, wanted none")


def main() -> int:
    """Measure and print; exit status 2 for seeds that are not reserved or files that misfit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="towns")
    parser.add_argument("--model", default="perspective", help="encoder package (%(default)s)")
    parser.add_argument("--reranker", help="package that compares answers; needs --vlm")
    parser.add_argument("--vlm", help="model that describes the tiles for the reranker")
    parser.add_argument(
        "--worlds", type=Path, default=Path("out/vlm_worlds"), help="of the drives"
    )
    parser.add_argument("--work", type=Path, default=Path("out/vlm_harmless"), help="replays")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--development", action="store_true", help="allow other seeds")
    options = parser.parse_args()
    if not may_be_scored(options.seeds, options.development):
        return 2
    if bool(options.reranker) != bool(options.vlm):
        parser.error("--reranker and --vlm go together")
    package = find_model(options.model)
    settings = (f"search.reranker={options.reranker}",) if options.reranker else ()
    config = configuration.load(None, settings)
    camera = dataclasses.replace(CameraSpec(), width_px=480, height_px=270)
    heldout = Heldout(package, config, options.worlds, 1500.0, 1500.0, camera)
    bench = Harm(package, config, heldout, options.work)
    try:
        drives = {seed: drive_once(bench, seed, options.vlm) for seed in options.seeds}
    except GeolocError as error:
        print(error, file=sys.stderr)
        return 2
    found = summary(drives)
    print_table(len(drives), found)
    if options.json:
        write_json(options.json, {"seeds": options.seeds, **found, "drives": drives})
    return 0


def drive_once(bench: Harm, seed: int, vlm: str | None) -> DriveFigures:
    """Figures of a drive, now or before; its tiles are described if there is a model."""
    kept = bench.work / str(seed) / f"figures_{bench.identity}.json"
    if not kept.exists():
        if vlm:
            describe(bench.heldout, seed, vlm)
        write_json(kept, bench.drive(seed))
    found: DriveFigures = json.loads(kept.read_text(encoding="utf-8"))
    return found


def describe(heldout: Heldout, seed: int, vlm: str) -> None:
    """Let a model describe the tiles of a drive's index, if it has not."""
    from geoloc_ros.cli.main import main as geoloc

    index = heldout.covered_index(seed)
    imagery = heldout.covered_world(seed) / "imagery.tif"
    words = ["index", "describe", index, "--imagery", imagery, "--vlm", vlm]
    if geoloc([str(word) for word in words]):
        raise SystemExit(f"{index} could not be described")


if __name__ == "__main__":
    sys.exit(main())
