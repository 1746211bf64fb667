# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pairs from a recording: views as the encoder gets them on the vehicle, with trusted poses.

What is kept of a drive lies in a folder: `views.raw` (pixels, one view after the other),
`masks.raw` (which of them were seen), `poses.npy` (anchors on the plane of the imagery),
`stamps.npy`, and `meta.json` with what was thrown away and why. A folder is written whole or not
at all, and found again by what it was made from.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoloc_ros import messages
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.recording import Recording
from geoloc_ros.bags.views import views_of
from geoloc_ros.checked import Checked, param
from geoloc_ros.config import Config
from geoloc_ros.datatypes import FloatArray, Image, Mask, Odometry, Reason, View
from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import BagError, TrainingError
from geoloc_ros.geo import se2
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.training.damage import Damage
from geoloc_ros.training.drive_poses import DeadReckoning, FramePoses
from geoloc_ros.training.fixes import Fixes, Gate, read_fixes
from geoloc_ros.training.reasons import frames_advice

LOG = logging.getLogger(__name__)
SCHEMA = 2
_CELL_M, _CELL_RAD = 3.0, float(np.radians(22.5))
# Grey levels. A view whose pixels differ by less from those of the view kept before is the same
# picture sent twice; one that varies by less shows nothing.
_SAME_LEVELS, _BLANK_LEVELS = 0.5, 3.0
_UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning(Checked):
    """How many frames of a drive are kept."""

    every_m: float = param(2.0, "way from one kept frame to the next, m", ge=0.1, le=1000.0)
    per_place: int = param(
        6, "views kept of one place (3 m, 22.5 degrees), of all drives together", ge=1, le=1000
    )
    least_ground: float = param(0.9, "share of a crop that the imagery must cover", ge=0.0, le=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """How recordings become pairs.

    Attributes:
        gate: when a pose is trusted.
        thinning: how many frames are kept.
        truth_topic: NavSatFix or PoseStamped.
        config: the tree; `input` names topics and base frame, `view` says what can be looked at.
    """

    truth_topic: str
    gate: Gate = field(default_factory=Gate)
    thinning: Thinning = field(default_factory=Thinning)
    config: Config = field(default_factory=Config)

    def content(self) -> dict[str, Any]:
        """What decides which pairs come out."""
        return {
            "truth_topic": self.truth_topic,
            "gate": dataclasses.asdict(self.gate),
            "thinning": dataclasses.asdict(self.thinning),
            "input": dataclasses.asdict(self.config.input),
            "relief_m": self.config.view.relief_m,
            "min_valid_share": self.config.view.min_valid_share,
        }


@dataclass(slots=True)
class Places:
    """How often each place has been seen so far, over all drives."""

    seen: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    @staticmethod
    def key(pose: FloatArray) -> tuple[int, int, int]:
        """The place of an anchor (3,)."""
        x, y = np.floor(pose[:2] / _CELL_M).astype(int).tolist()
        return x, y, int(np.floor(float(se2.wrap_angle(pose[2])) / _CELL_RAD))


@dataclass(frozen=True)
class Mined:
    """What one recording gave.

    Attributes:
        name: of the recording.
        folder: where it lies.
        views: (N, H, W, 3).
        masks: (N, H, W) seen pixels.
        poses: (N, 3) anchors.
        meta: counts and settings; `full`: whether all pixels of all views are seen.
    """

    name: str
    folder: Path
    views: Image
    masks: Mask
    poses: FloatArray
    meta: dict[str, Any]

    @property
    def full(self) -> bool:
        """Whether all pixels of all views are seen."""
        return bool(self.meta["full"])


@dataclass(frozen=True)
class Target:
    """What pairs are made for.

    Attributes:
        package: says which view is wanted; its files are not needed.
        plane: of the imagery.
        coverage: share of ground (N,) in the crops at anchors (N, 3), the least of all imagery.
        imagery: identity of the imagery.
    """

    package: ModelPackage
    plane: LocalFrame
    coverage: Callable[[FloatArray], FloatArray]
    imagery: str

    def content(self) -> dict[str, Any]:
        """What decides which pairs come out."""
        return {
            "origin": list(dataclasses.astuple(self.plane.origin)),
            "query": self.package.query.content(),
            "reference": dataclasses.asdict(self.package.reference),
            "mean": list(self.package.mean),
            "imagery": self.imagery,
        }


def mine(bag: Path, target: Target, config: MiningConfig, places: Places, folder: Path) -> Mined:
    """Take the pairs of one recording, or read them if they have been taken.

    Args:
        bag: the recording.
        target: what for.
        config: how.
        places: seen so far; brought up to date.
        folder: for this recording's pairs.

    Raises:
        BagError: the recording cannot be used.
        CameraError: its camera cannot give the view.
        TrainingError: no pose can be trusted, or nothing is left.
    """
    content = {
        "schema": SCHEMA,
        "bag": bag_identity(bag),
        **target.content(),
        **config.content(),
        "before": digest(sorted(places.seen.items())),
    }
    key = digest(content)
    if not _is_kept(folder, key):
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        report = _Miner(bag, target, config, places, part).run()
        meta = {"key": key, "made_from": content, **report}
        (part / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    mined = read_mined(bag.name, folder)
    places.seen.update(Places.key(pose) for pose in mined.poses)
    return mined


def read_mined(name: str, folder: Path) -> Mined:
    """The pairs in a folder.

    Raises:
        TrainingError: it is missing or incomplete.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        poses, query = np.load(folder / "poses.npy"), meta["made_from"]["query"]
        count = meta["frames"]["kept"]
        if poses.shape != (count, 3):
            raise ValueError(f"poses.npy is {poses.shape}, not {(count, 3)}")
        shape = (count, query["height_px"], query["width_px"])
        for file, size in (("views.raw", 3 * math.prod(shape)), ("masks.raw", math.prod(shape))):
            if (found := (folder / file).stat().st_size) != size:
                raise ValueError(f"{file} holds {found} bytes, not {size}")
        views = np.memmap(folder / "views.raw", np.uint8, "r", shape=(*shape, 3))
        masks = np.memmap(folder / "masks.raw", np.bool_, "r", shape=shape)
        return Mined(name, folder, views, masks, poses, meta)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{folder} is unusable ({error}); delete it and mine anew") from error


def bag_identity(bag: Path) -> list[list[Any]]:
    """Name, size and time of each file of a recording: reading all its bytes would take long."""
    files = sorted(bag.rglob("*")) if bag.is_dir() else [bag]
    found = [(p, p.stat()) for p in files if p.is_file()]
    return [[p.name, stat.st_size, stat.st_mtime_ns] for p, stat in found]


def _is_kept(folder: Path, key: str) -> bool:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and meta.get("key") == key


class _Miner:
    """Walks through one recording."""

    def __init__(
        self, bag: Path, target: Target, config: MiningConfig, places: Places, out: Path
    ) -> None:
        self._bag, self._target, self._config, self._out = bag, target, config, out
        self._seen = Counter(places.seen)
        self._frames: Counter[str] = Counter()
        self._stamps: list[int] = []
        self._anchors: list[FloatArray] = []
        self._last: tuple[FloatArray, FloatArray] | None = None  # pose and pixels
        self._last_way = (0.0, -1)  # driven, and its stretch
        self._full, self._damage = True, Damage()

    def run(self) -> dict[str, Any]:
        """Mine; answers what became of frames and of fixes, and whether views are full."""
        with BagReader(self._bag) as reader:
            package, plane = self._target.package, self._target.plane
            rig = package.query.view == "panorama"
            recording = Recording(reader, self._config.config.input, rig)
            topic, gate = self._config.truth_topic, self._config.gate
            fixes = read_fixes(reader, recording, topic, plane, gate, self._damage)
            odometry = DeadReckoning(_odometry(reader, recording.topics.odometry, self._damage))
            if not len(odometry) and not fixes.know_heading:
                raise TrainingError(
                    f"{self._bag} has fixes but no odometry, so nobody knows where its camera "
                    "looked; record odometry, or give a PoseStamped as --truth"
                )
            self._walk(recording, FramePoses(fixes, odometry, gate))
        if not self._anchors:
            why = frames_advice(self._frames, gate)
            raise TrainingError(
                f"no frame of {self._bag} can be used: " + "; ".join([why, *self._damage.lines()])
            )
        np.save(self._out / "poses.npy", np.stack(self._anchors))
        np.save(self._out / "stamps.npy", np.array(self._stamps, dtype=np.int64))
        unchecked = () if len(odometry) else (f"no odometry confirms the headings of {topic}",)
        return {
            "frames": dict(self._frames),
            "fixes": _fixes_report(fixes, (*fixes.notes, *unchecked)),
            "damage": self._damage.lines(),
            "full": self._full,
        }

    def _walk(self, recording: Recording, poses: FramePoses) -> None:
        """Look at every frame; views are made of those that may be kept."""
        package, config = self._target.package, self._config.config
        records = tqdm(recording.records(), desc=self._bag.name, unit="msg")
        pose, way = np.zeros(3), (0.0, -1)

        def wanted(stamp_ns: int) -> bool:
            nonlocal pose, way
            way = poses.way(stamp_ns)
            found = self._crept(way) or poses.at(stamp_ns)
            why = found if isinstance(found, str) else self._too_soon(found)
            if why:
                self._frames[why] += 1
                return False
            pose = np.asarray(found)
            return True

        def skipped(reason: Reason) -> None:
            why = _UNREADABLE if reason is Reason.BAD_IMAGE else reason.value
            self._frames[why] += 1

        self._pixels = (self._out / "views.raw").open("wb")
        self._seen_pixels = (self._out / "masks.raw").open("wb")
        # Of a damaged recording what could be read will do.
        with records, self._pixels, self._seen_pixels:
            heard = self._damage.until(records)
            for stamp_ns, view in views_of(recording, package, config, wanted, heard, skipped):
                why = self._keep(stamp_ns, pose, view)
                self._frames[why] += 1
                if why == "kept":
                    self._last_way = way

    def _crept(self, way: tuple[float, int]) -> str:
        """Whether not even the way since the last kept frame is enough; costs no pose."""
        (along_m, stretch), (last_m, last_stretch) = way, self._last_way
        near = stretch == last_stretch >= 0
        return "standing" if near and abs(along_m - last_m) < self._config.thinning.every_m else ""

    def _too_soon(self, pose: FloatArray) -> str:
        if self._last is None:
            return ""
        moved_m = float(np.hypot(*(pose[:2] - self._last[0][:2])))
        return "standing" if moved_m < self._config.thinning.every_m else ""

    def _keep(self, stamp_ns: int, pose: FloatArray, view: View) -> str:
        """Keep a view, or say why not."""
        anchor = se2.compose(pose, view.anchor)
        place, seen = Places.key(anchor), np.count_nonzero(view.mask)
        if seen < self._config.config.view.min_valid_share * view.mask.size:
            return "mostly_unseen"
        if self._seen[place] >= self._config.thinning.per_place:
            return "seen_often"
        if self._target.coverage(anchor[None])[0] < self._config.thinning.least_ground:
            return "outside_imagery"
        pixels = view.image.astype(np.float64)
        if not view.mask.any() or float(pixels[view.mask].std()) < _BLANK_LEVELS:
            return "blank"
        if self._last is not None and np.abs(pixels - self._last[1]).mean() < _SAME_LEVELS:
            return "same_picture"
        self._seen[place] += 1
        self._last, self._full = (pose, pixels), self._full and bool(view.mask.all())
        self._stamps.append(stamp_ns)
        self._anchors.append(anchor)
        self._pixels.write(np.ascontiguousarray(view.image).tobytes())
        self._seen_pixels.write(np.ascontiguousarray(view.mask).tobytes())
        return "kept"


def _odometry(reader: BagReader, topic: str, damage: Damage) -> list[Odometry]:
    """All odometry of a recording, of a damaged one what can be read."""
    found: list[Odometry] = []
    for stamp_ns, _, message in damage.until(reader.messages((topic,)) if topic else ()):
        try:
            found.append(messages.odometry(message, stamp_ns))
        except BagError:
            damage.malformed(topic)
    return found


def _fixes_report(fixes: Fixes, notes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "read": fixes.read,
        "trusted": len(fixes),
        "refused": fixes.refused,
        "median_sigma_m": float(np.median(fixes.sigma_m)),
        "notes": list(notes),
    }
