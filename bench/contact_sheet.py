# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Picture of the made world: regional styles as seen by satellite, from the road and from the air.

    python bench/contact_sheet.py [--out docs/images/synthetic_contact_sheet.png] [--seed 21]

One row per style: satellite image (0.7 m per pixel, arrow = camera), the street
on a fair day, the same street under other conditions, an oblique aerial view from 80 m.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.conditions import Conditions
from geoloc_ros.synthetic.render import Mover, render_camera, render_ortho
from geoloc_ros.synthetic.roadnet import Road
from geoloc_ros.synthetic.scene import build_scene
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.synthetic.town import Town, make_town

Picture = NDArray[np.uint8]
WIDTH, HEIGHT = 264, 176
DAY = Conditions(noise=0, sun_azimuth_deg=160, sun_elevation_deg=42, cloud=0.2)
OTHERS = (
    Conditions(noise=0, season="autumn", cloud=0.4, sun_azimuth_deg=80, sun_elevation_deg=25),
    Conditions(noise=0, cloud=1.0, visibility_m=160),
    Conditions(noise=0, season="winter", cloud=0.1, sun_azimuth_deg=200, sun_elevation_deg=16),
    Conditions(noise=2, dusk=0.6, cloud=0.3, sun_elevation_deg=2, wetness=0.7),
    Conditions(noise=0, cloud=1.0, wetness=0.9, visibility_m=3000),
    Conditions(
        noise=0, season="spring", sun_azimuth_deg=120, sun_elevation_deg=35, exposure_ev=0.5
    ),
)
SHOWN = ("us_suburb", "us_city", "uk_terrace", "de_town", "nl_canal", "fr_city", "es_coast",
         "fi_forest", "jp_dense", "au_suburb", "br_hills", "pl_blocks")  # fmt: skip


def pinhole(width: int, height: int, hfov_deg: float) -> NDArray[np.float64]:
    """Unit rays `(H, W, 3)` of a pinhole camera."""
    focal = 0.5 * width / np.tan(np.radians(hfov_deg / 2))
    u, v = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    rays = np.stack([u / focal, v / focal, np.ones_like(u)], -1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))


def looking(at: NDArray[np.float64], yaw: float, down_rad: float = 0.0) -> NDArray[np.float64]:
    """Pose `(4, 4)` of an optical frame at `at` (3,) looking along yaw and down."""
    c, s = np.cos(yaw), np.sin(yaw)
    forward = np.array([c * np.cos(down_rad), s * np.cos(down_rad), -np.sin(down_rad)])
    right = np.array([s, -c, 0.0])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (
        right,
        np.cross(forward, right),
        forward,
        at,
    )
    return pose


def in_lane(town: Town, road: Road, share: float) -> tuple[NDArray[np.float64], float]:
    """Point `(3,)` on the driving lane and the heading there."""
    line = road.centreline_m
    k = int(share * (len(line) - 2))
    d = line[k + 1, :2] - line[k, :2]
    yaw = float(np.arctan2(d[1], d[0]))
    side = 1.0 if town.style.driving_side == "left" else -1.0
    lateral = 0.0 if road.lanes == 1 else side * 0.25 * road.width_m
    xy = line[k, :2] + lateral * np.array([-np.sin(yaw), np.cos(yaw)])
    return np.array([*xy, town.height_m(xy[None])[0]]), yaw


def row_of(name: str, seed: int, other: Conditions) -> Picture:
    """The four pictures of one style side by side."""
    town = make_town(seed, name, 600.0)
    drive, before = build_scene(town, "drive"), build_scene(town, "satellite")
    roads = [r for r in town.roads if r.kind in ("residential", "collector") and r.length_m > 55]
    road = min(roads, key=lambda r: float(np.linalg.norm(r.centreline_m[:, :2].mean(0))))
    at, yaw = in_lane(town, road, 0.25)
    rng = np.random.default_rng(seed)
    gsd = 0.7
    satellite = render_ortho(before, at[0] - WIDTH * gsd / 2, at[1] - HEIGHT * gsd / 2, WIDTH,
                             HEIGHT, gsd, DAY, rng)  # fmt: skip
    tip = (round(WIDTH / 2 + 16 * np.cos(yaw)), round(HEIGHT / 2 - 16 * np.sin(yaw)))
    cv2.arrowedLine(satellite, (WIDTH // 2, HEIGHT // 2), tip, (255, 40, 40), 2, tipLength=0.4)
    rays = pinhole(WIDTH, HEIGHT, 80)
    eye = at + np.array([0, 0, 1.5])
    ahead = at[:2] + 15 * np.array([np.cos(yaw), np.sin(yaw)])
    mover = Mover((float(ahead[0]), float(ahead[1]), yaw), colour=(180, 40, 40))
    day = render_camera(drive, rays, looking(eye, yaw), DAY, rng)
    changed = render_camera(drive, rays, looking(eye, yaw), other, rng, [mover])
    above = at + np.array([-70 * np.cos(yaw), -70 * np.sin(yaw), 80.0])
    aerial = render_camera(drive, rays, looking(above, yaw, np.radians(42)), DAY, rng)
    row = np.hstack([satellite, day, changed, aerial])
    label = f"{name}: {town.style.region}, {town.style.plan}, drives {town.style.driving_side}"
    for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            row, label, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, thick, cv2.LINE_AA
        )
    return row


def main() -> None:
    """Make the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=Path("docs/images/synthetic_contact_sheet.png")
    )
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--styles", nargs="+", default=list(SHOWN), choices=list(STYLES))
    args = parser.parse_args()
    rows = []
    for k, name in enumerate(args.styles):
        print(f"{k + 1}/{len(args.styles)} {name}", flush=True)
        rows.append(row_of(name, args.seed + k, OTHERS[k % len(OTHERS)]))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
