# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What was kept of one's own drives, what was thrown away and why, and a map of the split."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.imagery.grid import Bounds
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.windows import Imagery
from geoloc_ros.training.mining import Mined
from geoloc_ros.training.place_split import BUFFER, HELD_OUT, NAMES, TRAIN, SplitConfig, blocks_of
from geoloc_ros.training.reasons import WORDS

IntArray = npt.NDArray[np.int64]
_COLOURS = {TRAIN: "#2f9e44", BUFFER: "#adb5bd", HELD_OUT: "#f76707"}
_MOST_PX = 1600
_MARGIN_M = 60.0


def report(
    mined: Sequence[Mined], parts: Sequence[IntArray], split: SplitConfig, xy: FloatArray
) -> dict[str, Any]:
    """Counts by drive, and of the split; `xy` (N, 2) are the middles of all views' crops."""
    everything = np.concatenate(parts)
    blocks = {
        name: len(np.unique(blocks_of(xy[everything == part], split.block_m), axis=0))
        for part, name in enumerate(NAMES)
    }
    drives = []
    for item, part in zip(mined, parts, strict=True):
        views = {name: int((part == number).sum()) for number, name in enumerate(NAMES)}
        frames = dict(sorted(item.meta["frames"].items(), key=lambda pair: -pair[1]))
        told = {name: item.meta[name] for name in ("fixes", "damage")}
        drives.append({"name": item.name, "frames": frames, **told, "views": views})
    return {
        "drives": drives,
        "views": {name: int((everything == number).sum()) for number, name in enumerate(NAMES)},
        "blocks": blocks,
        "split": dataclasses.asdict(split),
    }


def text(content: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = []
    for drive in content["drives"]:
        fixes, views = drive["fixes"], drive["views"]
        refused = ", ".join(f"{count} {why}" for why, count in fixes["refused"].items())
        lines.append(
            f"{drive['name']}: {sum(views.values())} views of {sum(drive['frames'].values())} "
            f"frames; {fixes['trusted']} of {fixes['read']} fixes trusted"
            + (f" (refused: {refused})" if refused else "")
        )
        lines += [f"  damaged: {what}" for what in drive["damage"]]
        lines += [f"  note: {note}" for note in fixes["notes"]]
        lines += [
            f"  {count:>7} {why}: {WORDS[why]}"
            for why, count in drive["frames"].items()
            if why != "kept"
        ]
    views, blocks = content["views"], content["blocks"]
    shares = ", ".join(f"{views[name]} {name} in {blocks[name]} blocks" for name in NAMES)
    return "\n".join([*lines, f"views: {shares}"])


def write_report(
    folder: Path,
    ground: Imagery,
    mined: Sequence[Mined],
    parts: Sequence[IntArray],
    split: SplitConfig,
    xy: FloatArray,
) -> dict[str, Any]:
    """Write `drives.json` and `drives.png`, replacing earlier ones; answers the former."""
    content = report(mined, parts, split, xy)
    for name, write in (
        ("drives.json", lambda p: p.write_text(json.dumps(content, indent=1), encoding="utf-8")),
        ("drives.png", lambda p: _draw(p, ground, mined, parts, split, xy)),
    ):
        part = folder / f"part_{name}"
        write(part)
        part.replace(folder / name)
    return content


def _picture_below(ground: Imagery, bounds_m: tuple[float, ...]) -> tuple[Image, Bounds]:
    """The imagery of an area, coarse enough, and its west, east, south, north."""
    west, south, east, north = bounds_m
    gsd_m = max(ground.gsd_m, (east - west) / _MOST_PX, (north - south) / _MOST_PX)
    box = (
        max(west, ground.bounds_m[0]), max(south, ground.bounds_m[1]),
        min(east, ground.bounds_m[2]), min(north, ground.bounds_m[3]),
    )  # fmt: skip
    if not isinstance(ground, OrthoImage):
        found = ground.window(box, gsd_m)
        west, south, east, north = found.bounds_m
        return found.rgb, (west, east, south, north)
    step = max(1, int(gsd_m / ground.gsd_m))
    west, south, east, north = ground.bounds_m
    return ground.rgb[::step, ::step], (west, east, south, north)


def _draw(
    path: Path, ground: Imagery, mined: Sequence[Mined], parts: Sequence[IntArray],
    split: SplitConfig, xy: FloatArray,
) -> None:  # fmt: skip
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    poses, part = np.concatenate([m.poses for m in mined]), np.concatenate(parts)
    (west, south), (east, north) = (
        poses[:, :2].min(axis=0) - _MARGIN_M,
        poses[:, :2].max(axis=0) + _MARGIN_M,
    )
    figure = Figure(figsize=(10, 10), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rgb, extent = _picture_below(ground, (west, south, east, north))
    axes.imshow(rgb, extent=extent, alpha=0.75)
    for column, row in np.unique(blocks_of(xy[part == HELD_OUT], split.block_m), axis=0):
        corner = column * split.block_m, row * split.block_m
        side = split.block_m
        axes.add_patch(Rectangle(corner, side, side, fill=False, color=_COLOURS[HELD_OUT]))
    for number in (TRAIN, BUFFER, HELD_OUT):
        chosen = poses[part == number]
        label = f"{NAMES[number].replace('_', ' ')} ({len(chosen)})"
        axes.scatter(chosen[:, 0], chosen[:, 1], s=6, color=_COLOURS[number], label=label)
    axes.set(xlim=(west, east), ylim=(south, north), xlabel="east (m)", ylabel="north (m)")
    axes.legend(loc="upper right")
    axes.set_title(f"views of {len(mined)} drives; blocks of {split.block_m:g} m are held out")
    figure.savefig(path, dpi=90, format="png")
