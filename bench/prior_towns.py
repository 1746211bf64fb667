# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Many small made towns for the bench of the prior: made once, indexed, driven through, judged."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scoring import TRUTH

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.cameras.views import make_views
from geoloc_ros.config import Config
from geoloc_ros.datatypes import Float32Array, FloatArray, Image
from geoloc_ros.digest import digest
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.evaluation import columns
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.index.manifest import Manifest, load_manifest
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.index.roads import read_roads
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import CameraSpec
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.training.calibrate import index_world
from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.package import VlmPackage
from geoloc_ros.vlm.questions import REGION

APART_M = 5.0
STREET_M = 8.0  # a vehicle is on every road this near


@dataclasses.dataclass(frozen=True)
class Frames:
    """The searched frames of one town's drive.

    Attributes:
        descriptors: (F, D).
        poses: (F, 3) true vehicle poses.
        regions: (F, O) a model's probabilities of the region question's options, or (F, 0).
    """

    descriptors: Float32Array
    poses: FloatArray
    regions: FloatArray


class Towns:
    """All towns on disk, made when they are not there.

    Args:
        seeds: one a town.
        work: folder.
        package: the encoder.
        size_m: side of a town.
        length_m: of its drive.
        spacing_m: of the index's entries along a road, per direction.
    """

    def __init__(
        self,
        seeds: list[int],
        work: Path,
        package: ModelPackage,
        size_m: float,
        length_m: float,
        spacing_m: float,
    ) -> None:
        self.seeds, self.work, self.package = seeds, work, package
        self.styles = [list(STYLES)[number % len(STYLES)] for number in range(len(seeds))]
        self._policy = SamplingPolicy(spacing_m=spacing_m)
        self._spec = WorldSpec(
            seed=0,
            size_m=size_m,
            length_m=length_m,
            camera=dataclasses.replace(CameraSpec(), width_px=480, height_px=270, rate_hz=1.0),
        )

    def make(self) -> None:
        """World, index and descriptors of every town."""
        for seed in self.seeds:
            world = self.folder(seed) / "world"
            if not (world / "scene.json").exists():
                shutil.rmtree(world, ignore_errors=True)
                make_world(world, self._spec_of(seed), workers=1)
            index_world(world, self.package, self.index(seed), self._policy)

    def _spec_of(self, seed: int) -> WorldSpec:
        return dataclasses.replace(
            self._spec, seed=seed, style=self.styles[self.seeds.index(seed)]
        )

    def folder(self, seed: int) -> Path:
        """Where a town lies, with all that was made of it."""
        return self.work / f"{seed}_{digest(repr(self._spec_of(seed)))[:8]}"

    def index(self, seed: int) -> Path:
        """Where a town's index lies."""
        return self.folder(seed) / f"index_{self._policy.spacing_m:g}"

    def frames(self, card: VlmPackage | None) -> list[Frames]:
        """The drives' frames; a model is asked about each once."""
        encoder = OnnxEncoder(self.package, threads=1)
        vlm = LlamaVlm(card, n_threads=1) if card else None
        asked = card.sha256[:12] if card else "unasked"
        looked = digest([self.package.encoder_sha256, self.package.preprocessing_sha256])
        name = f"frames_{looked[:12]}_{asked}.npz"
        found = []
        for seed in self.seeds:
            kept = self.folder(seed) / name
            if not kept.exists():
                np.savez(kept, **self._frames(seed, encoder, vlm))
            with np.load(kept) as held:
                kept_rows = _apart(held["poses"])
                parts = ("descriptors", "poses", "regions")
                found.append(Frames(*(held[part][kept_rows] for part in parts)))
        return found

    def _frames(self, seed: int, encoder: OnnxEncoder, vlm: LlamaVlm | None) -> dict[str, Any]:
        plane = load_manifest(self.index(seed)).frame
        descriptors, stamps, regions = [], [], []
        with BagReader(self.folder(seed) / "world" / "drive_00") as reader:
            recording = Recording(reader, Config().input)
            views = make_views(recording.camera, recording.T_base_camera, self.package)
            truth = columns.truth_from(*recording.truth(TRUTH, plane))
            for stamp_ns, topic, message in recording.records():
                if topic == recording.topics.image:
                    rgb = messages.image_rgb(message)
                    view = views.build(rgb, None)
                    descriptors.append(encoder.encode_query(view.image[None])[0])
                    stamps.append(messages.stamp_ns(message, stamp_ns))
                    regions.append(_region_answer(vlm, rgb) if vlm else ())
        poses, known = interpolate_truth(truth, np.array(stamps))
        return {
            "descriptors": np.array(descriptors)[known],
            "poses": poses[known],
            "regions": np.array(regions, dtype=np.float64).reshape(len(stamps), -1)[known],
        }


def _apart(poses: FloatArray) -> list[int]:
    """Rows of poses (F, 3) at least `APART_M` from the one taken before: a stop is one view."""
    rows = [0]
    for row, pose in enumerate(poses):
        if np.hypot(*(pose - poses[rows[-1]])[:2]) >= APART_M:
            rows.append(row)
    return rows


def _region_answer(vlm: LlamaVlm, rgb: Image) -> tuple[float, ...]:
    """Probabilities of the options of the question of regions; nonsense is "cannot tell"."""
    options = vlm.questions[REGION].options
    cannot_tell = (*[0.0] * (len(options) - 1), 1.0)
    try:
        answers = vlm.answer(rgb).answers
    except ValueError:
        return cannot_tell
    return next((a.probabilities for a in answers if a.question == REGION), ()) or cannot_tell


class Judge:
    """Says which candidates are right."""

    def __init__(self, towns: Towns, manifests: Sequence[Manifest]) -> None:
        self._roads = [
            read_roads(towns.folder(seed) / "world" / "roads.geojson", manifest.frame)
            for seed, manifest in zip(towns.seeds, manifests, strict=True)
        ]

    def street(self, town: int, pose: FloatArray, candidate: FloatArray) -> bool:
        """Whether a candidate's nearest road is one that the vehicle is on."""
        away = np.array(
            [_away_m(road.xy_m, np.stack([pose, candidate])) for road in self._roads[town]]
        )
        return bool(away[np.argmin(away[:, 1]), 0] <= max(STREET_M, away[:, 0].min()))


def _away_m(line: FloatArray, poses: FloatArray) -> FloatArray:
    """Distances (N,) of poses (N, 3) from a line (V, 2)."""
    start, step = line[:-1], np.diff(line, axis=0)
    to = poses[:, None, :2] - start
    along = (to * step).sum(axis=2) / np.maximum((step**2).sum(axis=1), 1e-9)
    foot = np.clip(along, 0.0, 1.0)[..., None] * step
    return np.asarray(np.hypot(*np.moveaxis(to - foot, 2, 0)).min(axis=1))
