#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What fine-tuning on one's own drives is worth: recall over the length of the drives.

A town in a style that no training has seen is driven through twice. Blocks of it are held out; of
the rest the first metres of both drives, as many as given, fine-tune a shipped model, which is
then asked for views of the held-out blocks, of another town of that style, and of a town of a
style that it was trained on, to see what it has forgotten. Every view is searched among anchors
along all roads of its town. The last weights are judged, half blended with those the training
began with, so what is reported chose nothing.

What is in WORK already is not made again: worlds, pairs and finished lengths; an interrupted
training goes on from its checkpoint. Lengths of another model, seed, split or set of pairs are.

Example:
  python bench/finetune.py --json docs/results/finetune.json --plot docs/images/finetune.png
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.index.roads import read_roads
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import CameraSpec
from geoloc_ros.synthetic.style import Style
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.training.config import Running, TrainConfig
from geoloc_ros.training.drive_material import DriveMaterial
from geoloc_ros.training.evaluate import evaluate_areas, road_anchors
from geoloc_ros.training.mining import Mined, MiningConfig, Thinning
from geoloc_ros.training.pair import EncoderPair
from geoloc_ros.training.place_split import BUFFER, HELD_OUT, TRAIN, SplitConfig
from geoloc_ros.training.posed_pairs import Area
from geoloc_ros.training.recipe import Lessons, Recipe, train_encoder
from geoloc_ros.training.start import start_from

TRUTH = "/ground_truth/fix"
# Seeds from 900000 up are for evaluation only: the town that is fine-tuned on is none of them.
TUNED_SEED, UNSEEN_SEED, KNOWN_SEED = 7001, 910_001, 910_002
EVERY_M = 2.5
# Of this seed either drive has more than 800 m of way on the ground that is left to learn from.
SPLIT = SplitConfig(block_m=300.0, share=0.2, seed=6)
CAMERA = CameraSpec(width_px=320, height_px=180, rate_hz=4.0)
BATCH, LEAST, STEPS, EPOCHS = 64, 8, 200, 4
KEYS = ("held_out_blocks", "other_town", "known_style")
# A coast of sand and white concrete: colours, blocks, roofs and plants that no region has.
DESERT = Style(
    name="eg_coast", region="Red Sea, Egypt", anchor=LatLon(27.2, 33.8), plan="superblock",
    block_m=((85, 130), (60, 95)), driving_side="right", centre_paint="white", edge_lines=0.6,
    zebra=0.1, roundabout=0.2, curviness=0.25, sidewalk_m=(1.8, 3.6), road_width_m=(7.5, 11.0),
    mix={"villa": 3, "walkup": 3, "shophouse": 1, "warehouse": 0.6},
    centre_mix={"walkup": 4, "shophouse": 3, "slab": 1, "store": 1},
    roofs=((214, 200, 176), (196, 178, 150), (178, 158, 132)),
    flat_roofs=((226, 214, 192), (204, 190, 166), (186, 170, 148), (238, 232, 222)),
    facades=((244, 236, 220), (232, 214, 184), (224, 196, 160), (238, 226, 214), (206, 178, 146)),
    wall="plaster", asphalt=(150, 142, 128), pavement=(216, 200, 172), grass=(196, 176, 134),
    soil=(212, 188, 148), lawn=0.04, trees={"palm": 6, "shrub": 2}, street_trees=0.3, hedge=0.02,
    fence="stucco", poles=0.15, lamp="arm", sky=(120, 168, 226), relief_m=5.0, parked=0.25,
    pools=0.3, water=0.1, woods=0.1, solar=0.02,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FirstMetres(DriveMaterial):
    """Drives of which only the first metres on training ground are learnt from.

    Attributes:
        length_m: of all drives together.
    """

    length_m: float

    def parts(self, mined: Any) -> Any:  # noqa: ANN401 - as the base class
        """Parts of the ground; training views beyond the length are not used."""
        parts = DriveMaterial.parts(self, mined)
        for item, part in zip(mined, parts, strict=True):
            _cut(item, part, self.length_m / len(mined))
        return parts

    def load(self, train: TrainConfig) -> Lessons:
        """As the base class; the bench validates in the end, not after every epoch."""
        return dataclasses.replace(DriveMaterial.load(self, train), evaluate=lambda p, final: {})

    def finish(self, package: ModelPackage) -> ModelPackage:
        """Nothing to add: the package is only asked for descriptors."""
        return package


def _cut(mined: Mined, part: Any, length_m: float) -> None:  # noqa: ANN401
    """Leave out training views beyond a length of training ground."""
    rows = np.flatnonzero(part == TRAIN)
    step_m = np.hypot(*np.diff(mined.poses[rows, :2], axis=0).T)
    step_m[step_m > 4 * EVERY_M] = 0.0  # over held-out ground
    driven_m = np.concatenate([[0.0], np.cumsum(step_m)])
    part[rows[driven_m > length_m]] = BUFFER


def made(work: Path, seed: int, style: str, size_m: float, drives: int, length_m: float) -> Path:
    """A town with drives, made in this process: its style is known to no other."""
    out = work / f"town_{seed}"
    if not (out / "scene.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        spec = WorldSpec(
            seed=seed, size_m=size_m, style=style, drives=drives, length_m=length_m, camera=CAMERA
        )
        make_world(out, spec, workers=1)
    return out


def material(world: Path, folder: Path, kind: str, share: float) -> DriveMaterial:
    """The drives of a made town."""
    return DriveMaterial(
        kind=kind,
        drives=tuple(sorted(world.glob("drive_*"))),
        imagery=(world / "imagery.tif",),
        mining=MiningConfig(truth_topic=TRUTH, thinning=Thinning(every_m=EVERY_M)),
        split=dataclasses.replace(SPLIT, share=share),
        folder=folder,
    )


def views(material: DriveMaterial, part: int, world: Path) -> tuple[Area, Any]:
    """Views on a part of a town's ground, and anchors along all of its roads."""
    area = material.area(part)
    frame: LocalFrame = material.plane()
    lines = [road.xy_m for road in read_roads(world / "roads.geojson", frame)]
    return area, road_anchors(lines, 1.5)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How a length of the drives is learnt from.

    Attributes:
        length_m: of all drives together; 0: the model as it is.
        made_from: all that decides the figures.
        learnt: the drives; None for nothing to learn.
        config: of the training; None for none.
        count: views to train on.
    """

    length_m: float
    made_from: dict[str, Any]
    learnt: FirstMetres | None = None
    config: TrainConfig | None = None
    count: int = 0


def read_kept(path: Path, made_from: dict[str, Any]) -> dict[str, Any]:
    """What a file holds; empty if it is missing or was made from something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    same = isinstance(content, dict) and content.get("made_from") == made_from
    return content if same else {}


class Bench:
    """The towns, and what a model makes of them."""

    def __init__(self, work: Path, start: ModelPackage) -> None:
        self._work, self._start = work, start
        kind = start.query.view
        self._tuned = made(work, TUNED_SEED, DESERT.name, 1100.0, 2, 1800.0)
        unseen = made(work, UNSEEN_SEED, DESERT.name, 800.0, 1, 900.0)
        known = made(work, KNOWN_SEED, "de_town", 800.0, 1, 600.0)
        self.base = material(self._tuned, work / "pairs", kind, SPLIT.share)
        others = [material(w, work / f"pairs_{w.name}", kind, 0.0) for w in (unseen, known)]
        for item in (self.base, *others):
            print(item.prepare(), file=sys.stderr)
        self._judged = {
            KEYS[0]: views(self.base, HELD_OUT, self._tuned),
            KEYS[1]: views(others[0], TRAIN, unseen),
            KEYS[2]: views(others[1], TRAIN, known),
        }

    def judge(self, pair: EncoderPair) -> dict[str, dict[str, float]]:
        """Recall in each place."""
        found = {}
        for key, (area, anchors) in self._judged.items():
            scores = evaluate_areas(pair, [area], [anchors], 8.0, joint=True)
            found[key] = {k: round(v, 4) for k, v in scores.items()} | {"views": len(area.poses)}
        return found

    def plan(self, length_m: float, seed: int) -> Plan:
        """How so many metres are learnt from.

        Raises:
            SystemExit: too few views lie on them.
        """
        kept = sorted(self._work.glob("pairs*/drive_*/meta.json"))
        made_from: dict[str, Any] = {
            "encoder_sha256": self._start.encoder_sha256,
            "length_m": length_m,
            "pairs": [json.loads(path.read_text(encoding="utf-8"))["key"] for path in kept],
            "split": dataclasses.asdict(SPLIT),
        }
        if not length_m:
            return Plan(length_m, made_from)
        fields = {f.name: getattr(self.base, f.name) for f in dataclasses.fields(self.base)}
        fields.pop("_opened")
        learnt = FirstMetres(**fields, length_m=length_m)
        count = learnt.samples()
        if count < LEAST:
            raise SystemExit(
                f"{count} views lie on the first {length_m:g} m of the drives, a batch needs "
                f"{LEAST}; leave --lengths {length_m:g} out"
            )
        batch = min(BATCH, count // LEAST * LEAST)
        passes = -(-STEPS // EPOCHS // (count // batch))
        config = TrainConfig(
            kind=self.base.kind, epochs=EPOCHS, passes=passes, batch=batch, extra=batch // 4,
            wide_from=0, geographic_epochs=1, learning_rate=1e-4, weight_decay=0.05,
            layout_weight=0.0, blend=True, seed=seed, start=self._start.encoder_sha256,
        )  # fmt: skip
        made_from["config"] = dataclasses.asdict(config)
        return Plan(length_m, made_from, learnt, config, count)

    def figures(self, plan: Plan, name: str) -> dict[str, Any]:
        """What comes of a plan, which has been worked out already or is now."""
        path = self._work / f"figures_{name}.json"
        kept = read_kept(path, plan.made_from)
        if not kept:
            kept = {"made_from": plan.made_from, "figures": self._tuned_by(plan, name)}
            path.write_text(json.dumps(kept), encoding="utf-8")
        figures: dict[str, Any] = kept["figures"]
        return figures

    def _tuned_by(self, plan: Plan, name: str) -> dict[str, Any]:
        pair = EncoderPair(self.base.kind)
        if plan.learnt is None or plan.config is None:
            start_from(pair, self._start)
            return {"length_m": 0.0, "train_views": 0, "steps": 0, **self.judge(pair)}
        here = self._work / f"tuned_{name}"
        said = here / "made_from.json"
        if not read_kept(said, plan.made_from):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir(parents=True)
            said.write_text(json.dumps({"made_from": plan.made_from}), encoding="utf-8")
        recipe = Recipe(
            train=plan.config, running=Running(work=here / "run", threads=1),
            material=plan.learnt, out=here / "model", name="finetuned", start=self._start,
        )  # fmt: skip
        train_encoder(recipe, "python bench/finetune.py", (here / "run/checkpoint.pt").exists())
        start_from(pair, find_model(str(here / "model")))
        steps = EPOCHS * plan.config.passes * (plan.count // plan.config.batch)
        told = {"length_m": plan.length_m, "train_views": plan.count, "steps": steps}
        return {**told, **self.judge(pair)}


def draw(path: Path, rows: list[dict[str, Any]]) -> None:
    """Recall over the way driven."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = ("held-out blocks of the town", "another town of the style", "a style known before")
    for key, label, mark in zip(KEYS, labels, "os^", strict=True):
        x = [row["length_m"] for row in rows]
        y = np.array([row[key]["r1"] for row in rows])
        n = np.array([row[key]["views"] for row in rows])
        # One binomial deviation; neighbours on a street are alike, so it is too small rather.
        axes.errorbar(x, y, np.sqrt(y * (1 - y) / n), marker=mark, capsize=3, label=label)
    axes.set(xlabel="way driven to fine-tune on (m)", ylabel="R@1 within 8 m, 22.5°", ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    lengths = [0, 250, 500, 1000, 1600]
    add("--lengths", type=float, nargs="+", default=lengths, metavar="M",
        help="of the drives (default: 0 250 500 1000 1600)")  # fmt: skip
    add("--model", default="perspective", help="(default: perspective)")
    add("--seed", type=int, default=1, help="of the trainings (default: 1)")
    add("--work", type=Path, default=Path("out/finetune"), metavar="DIR",
        help="worlds, pairs, runs (default: out/finetune)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write the figures")
    add("--plot", type=Path, metavar="FILE", help="draw the curve")
    add("--map", type=Path, metavar="FILE", help="keep the map of the split")
    arguments = parser.parse_args()
    STYLES[DESERT.name] = DESERT
    start = find_model(arguments.model)
    bench, rows = Bench(arguments.work, start), []
    for plan in [bench.plan(length_m, arguments.seed) for length_m in arguments.lengths]:
        rows.append(bench.figures(plan, f"{plan.length_m:g}_{arguments.seed}"))
        print(json.dumps(rows[-1]))
    content = {
        "model": start.name,
        "encoder_sha256": start.encoder_sha256,
        "style": DESERT.name,
        "seed": arguments.seed,
        "split": {**dataclasses.asdict(SPLIT), "buffer_m": bench.base.buffer_m()},
        "rows": rows,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.plot:
        draw(arguments.plot, rows)
    if arguments.map:
        shutil.copy(arguments.work / "pairs" / "drives.png", arguments.map)
    return 0


if __name__ == "__main__":
    sys.exit(main())
