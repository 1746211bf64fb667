#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How well a rig's panorama shows a made town, what its gains are worth, and what it costs.

A vehicle with cameras all round stands at several places of a made town. Its stitched panorama is
compared with the panorama cast ray by ray from the middle of its roof; each camera exposes for
itself. Printed, in dB of peak signal-to-noise after the whole exposure was made the same:

  psnr_one_point      the cameras stand in one point: no parallax
  psnr_roof           they stand on a ring of half a metre, as made vehicles have them
  psnr_without_gains  the same without one gain per picture
  psnr_missing        without the camera that looks to the left, where the others see
  coverage_missing    how much of the strip is seen then

and CPU milliseconds of stitching a frame (pictures decoded already) and of all its turns.

Example:
  python bench/panorama.py --json docs/results/panorama.json --picture docs/images/panorama.png
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.panorama import PanoramaView, turned
from geoloc_ros.config import ViewConfig
from geoloc_ros.datatypes import Float32Array, FloatArray, Image, Mask
from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform
from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.render import render_camera
from geoloc_ros.synthetic.scene import Scene, build_scene
from geoloc_ros.synthetic.sensor_rig import ROOF_M, make_rig, surround
from geoloc_ros.synthetic.town import make_town
from geoloc_ros.yaw_hypotheses import YawHypotheses

SPEC = QuerySpec(
    view="panorama", height_px=128, width_px=616, hfov_deg=360.0, vfov_deg=75.0, alignment="north"
)
DAY = Conditions(noise=0.5, blur_px=0.2, vignette=0.0)
SIZE = 480, 360
FINER = 3
REPEATS = 20
GREY = (127.0, 127.0, 127.0)


class WithoutGains(PanoramaView):
    """Leaves the steps between pictures that were exposed differently."""

    def _gains(self, patches: list[Image], overlaps: object) -> Float32Array:
        """One for each."""
        del overlaps
        return np.ones(len(patches), dtype=np.float32)


Cameras = dict[str, tuple[CameraModel, FloatArray]]
Pictures = dict[str, tuple[Image, int]]


def rig_at(
    scene: Scene, T_world_base: FloatArray, count: int, ring: float
) -> tuple[Cameras, Pictures]:
    """Cameras all round a vehicle, and what each takes.

    Args:
        scene: the town.
        T_world_base: (4, 4) pose of the vehicle.
        count: of cameras.
        ring: factor on the radius they stand on.
    """
    rng = np.random.default_rng(0)
    cameras: Cameras = {}
    pictures: Pictures = {}
    for spec in surround(count):
        place = {"forward_m": ring * spec.forward_m, "left_m": ring * spec.left_m}
        size = {"width_px": SIZE[0], "height_px": SIZE[1]}
        rig = make_rig(replace(spec, mount_error_deg=0.0, **place, **size), rng)
        camera = CameraModel.from_camera_info(*SIZE, "plumb_bob", rig.D, rig.K)
        pose = T_world_base @ rig.T_base_camera
        pictures[spec.name] = render_camera(scene, camera.rays(), pose, DAY, rng), 1
        cameras[spec.name] = camera, rig.T_base_camera
    return cameras, pictures


def directly(scene: Scene, T_world_base: FloatArray) -> Image:
    """The strip cast ray by ray from the middle of the roof, several rays to a pixel."""
    width, height = FINER * SPEC.width_px, FINER * SPEC.height_px
    mount = transform(R_BODY_OPTICAL, (0.0, 0.0, ROOF_M))
    per_row = np.radians(SPEC.vfov_deg) / height
    camera = CameraModel.all_round(width, height)
    K = camera.K.copy()
    K[1, 1] = 1.0 / per_row
    rays = CameraModel(width, height, K, "equirectangular").rays()
    rng = np.random.default_rng(1)
    fine = render_camera(scene, rays, T_world_base @ mount, DAY, rng).astype(float)
    cells = fine.reshape(SPEC.height_px, FINER, SPEC.width_px, FINER, 3)
    return np.asarray(cells.mean(axis=(1, 3)).round(), np.uint8)


def psnr(a: Image, b: Image, mask: Mask) -> float:
    """Peak signal-to-noise ratio, dB, of what is seen, after both were made equally bright."""
    first, second = a[mask].astype(float), b[mask].astype(float)
    first *= second.mean() / first.mean()
    return float(20.0 * np.log10(255.0 / np.sqrt(np.mean((first - second) ** 2))))


def places(scene: Scene, count: int) -> list[FloatArray]:
    """Poses (4, 4) of a vehicle in the middle of the longest roads."""
    found = []
    for road in sorted(scene.town.roads, key=lambda r: -r.length_m)[:count]:
        k = len(road.centreline_m) // 2
        step = road.centreline_m[k + 1] - road.centreline_m[k]
        yaw = float(np.arctan2(step[1], step[0]))
        found.append(transform(matrix_from_rpy(0.0, 0.0, yaw), road.centreline_m[k]))
    return found


def compare(scene: Scene, T_world_base: FloatArray, count: int) -> dict[str, float]:
    """The figures of one place."""
    wanted = directly(scene, T_world_base)
    cameras, pictures = rig_at(scene, T_world_base, count, 0.0)
    point = PanoramaView(cameras, SPEC, GREY).stitch(pictures)
    cameras, pictures = rig_at(scene, T_world_base, count, 1.0)
    views = PanoramaView(cameras, SPEC, GREY)
    roof = views.stitch(pictures)
    plain = WithoutGains(cameras, SPEC, GREY).stitch(pictures)
    left = f"camera_{round(count / 4)}"
    missing = views.stitch({name: taken for name, taken in pictures.items() if name != left})
    return {
        "psnr_one_point": psnr(point.image, wanted, point.mask),
        "psnr_roof": psnr(roof.image, wanted, roof.mask),
        "psnr_without_gains": psnr(plain.image, wanted, plain.mask),
        "psnr_missing": psnr(missing.image, wanted, missing.mask),
        "coverage": float(roof.mask.mean()),
        "coverage_missing": float(missing.mask.mean()),
        **_costs(views, pictures),
    }


def _costs(views: PanoramaView, pictures: Pictures) -> dict[str, float]:
    """CPU milliseconds of a strip and of all its turns."""
    view = views.stitch(pictures)
    yaws = YawHypotheses(ViewConfig().yaw_step_deg, SPEC.width_px)
    found = {}
    for name, work in (
        ("stitch_ms", lambda: views.stitch(pictures)),
        ("turns_ms", lambda: yaws.views(view, None)),
    ):
        spent = []
        for _ in range(REPEATS):
            start = time.thread_time()
            work()
            spent.append(time.thread_time() - start)
        found[name] = 1e3 * float(np.median(spent))
    return found


def picture(scene: Scene, T_world_base: FloatArray, count: int) -> Image:
    """What the cameras take, left to right; their panorama; the same with north in the middle."""
    cameras, pictures = rig_at(scene, T_world_base, count, 1.0)
    view = PanoramaView(cameras, SPEC, GREY).stitch(pictures)
    order = [f"camera_{(count // 2 - i) % count}" for i in range(count)]
    width = 2 * SPEC.width_px
    each = width // count, round(width / count * SIZE[1] / SIZE[0])
    row = np.hstack(
        [cv2.resize(pictures[n][0], each, interpolation=cv2.INTER_AREA) for n in order]
    )
    row = cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_REPLICATE)
    yaw = float(np.arctan2(T_world_base[1, 0], T_world_base[0, 0]))
    north = turned(view, 0.5 * np.pi - yaw)
    size = width, 2 * SPEC.height_px
    strips = [
        cv2.resize(each.image, size, interpolation=cv2.INTER_CUBIC) for each in (view, north)
    ]
    _write(strips[0], {"ahead": 0.0, "right": 90.0, "left": -90.0})
    _write(strips[1], {"N": 0.0, "E": 90.0, "W": -90.0})
    gap = np.full((8, width, 3), 255, np.uint8)
    return np.vstack([row, gap, strips[0], gap, strips[1]])


def _write(strip: Image, words: dict[str, float]) -> None:
    """Words at azimuths (degrees, clockwise from the middle), in white on black."""
    for word, azimuth_deg in words.items():
        across = round((0.5 + azimuth_deg / 360.0) * strip.shape[1])
        (length, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 2)
        at = across - length // 2, 24
        for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(strip, word, at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, thick, cv2.LINE_AA)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=5, help="of the town (%(default)s)")
    parser.add_argument("--places", type=int, default=6, help="places (%(default)s)")
    parser.add_argument("--cameras", type=int, default=6, help="cameras all round (%(default)s)")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--picture", type=Path, help="where a picture of one place is written")
    arguments = parser.parse_args()
    from tqdm import tqdm

    cv2.setNumThreads(1)
    scene = build_scene(make_town(arguments.seed, "us_suburb", 300.0), "drive")
    poses = places(scene, arguments.places)
    rows = [compare(scene, pose, arguments.cameras) for pose in tqdm(poses, unit="place")]
    found: dict[str, Any] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    print("| figure | mean | worst place |\n|---|---|---|")
    for name, value in found.items():
        worst = max if name.endswith("_ms") else min
        print(f"| `{name}` | {value:.3g} | {worst(row[name] for row in rows):.3g} |")
    if arguments.json:
        facts = {"seed": arguments.seed, "places": len(rows), "cameras": arguments.cameras}
        arguments.json.write_text(json.dumps({**facts, "mean": found, "rows": rows}, indent=1))
    if arguments.picture:
        shown = picture(scene, poses[-1], arguments.cameras)
        cv2.imwrite(str(arguments.picture), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
