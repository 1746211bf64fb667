# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets in the layouts of the published ones: a few places, each with its own colours."""

import csv
from pathlib import Path

import cv2
import numpy as np

LAT, LON = 41.85, -87.69
STEP = 3.3e-4


def picture(path: Path, place: int, height=24, width=24, noise=0.0) -> None:
    """A coarse pattern of colours that belongs to a place; noise in units of a byte."""
    rng = np.random.default_rng(place)
    image = rng.integers(0, 256, (6, 6, 3)).astype(np.float32)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    image += np.random.default_rng([place, 1]).normal(size=image.shape) * noise
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))


def lines(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def make_vigor(root: Path, places=4, corrected=False) -> None:
    """A row of tiles northward in each city; a panorama in each, its own tile first."""
    folder, suffix = ("splits__corrected", "__corrected") if corrected else ("splits", "")
    for c, city in enumerate(("NewYork", "Seattle", "SanFrancisco", "Chicago")):
        tiles, labels = [], []
        for i in range(places):
            lat = LAT + c + i * STEP
            tiles.append(f"satellite_{lat:.7f}_{LON:.7f}.png")
            picture(root / city / "satellite" / tiles[i], 100 * c + i)
        for i in range(places):
            name = f"pa,no{i},{LAT + c + i * STEP + 2e-5:.7f},{LON:.7f},.jpg"
            picture(root / city / "panorama" / name, 100 * c + i, 16, 32, noise=4.0)
            others = [tiles[(i + k) % places] for k in range(4)]
            labels.append(f"{name} " + " ".join(f"{tile} 1.0 -2.0" for tile in others))
        lines(root / folder / city / "satellite_list.txt", tiles)
        lines(
            root / folder / city / f"same_area_balanced_train{suffix}.txt", labels[: places // 2]
        )
        lines(root / folder / city / f"same_area_balanced_test{suffix}.txt", labels[places // 2 :])
        lines(root / folder / city / f"pano_label_balanced{suffix}.txt", labels)


def make_cvusa(root: Path, places=6, locations=True) -> None:
    rows = []
    for i in range(1, places + 1):
        satellite, panorama = f"bingmap/19/{i:07d}.jpg", f"streetview/panos/{i:07d}.jpg"
        picture(root / satellite, i)
        picture(root / panorama, i, 12, 48)
        rows.append(f"{satellite},{panorama},streetview/annotations/{i:07d}.png")
    lines(root / "splits" / "train-19zl.csv", rows[: places // 2])
    lines(root / "splits" / "val-19zl.csv", rows[places // 2 :])
    if locations:
        places_of = [
            f"{LAT + i * STEP},{LON},{LAT + i * STEP},{LON + 1e-5},0" for i in range(places)
        ]
        lines(root / "split_locations" / "all.csv", places_of)


def make_cvact(root: Path, places=6) -> None:
    """Every other place is in `val`, the others in `train`, all of them in `test`."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    ids = [f"pano_id-{i:017d}" for i in range(places)]
    utm = np.stack([690_000.0 + 3.0 * np.arange(places), np.full(places, 6.09e6)], axis=1)
    rows = np.arange(1, places + 1, dtype=np.uint32)[:, None]
    table = {"panoIds": np.array(ids), "utm": utm}
    table["trainSet"] = {"trainId": rows[1::2], "trainInd": rows[1::2]}
    table["valSet"] = {"valId": rows[::2], "valInd": rows[::2]}
    table["valSetAll"] = {"valId": rows, "valInd": rows}
    savemat(root / "ACT_data.mat", table)
    for folder in ("ANU_data_small", "ANU_data_test"):
        for i, name in enumerate(ids):
            picture(root / folder / "streetview" / f"{name}_grdView.jpg", i, 16, 32)
            picture(root / folder / "satview_polish" / f"{name}_satView_polish.jpg", i)


def make_university(root: Path, buildings=3, distractors=2, drones=4) -> None:
    """Buildings that are asked for, and distractors that stand in the galleries only."""
    for b in range(buildings + distractors):
        name = f"{b:04d}"
        for gallery, count in (("satellite", 1), ("drone", drones), ("street", 1)):
            for k in range(count):
                path = root / "test" / f"gallery_{gallery}" / name / f"image-{k:02d}.jpeg"
                picture(path, b, noise=3.0 * k)
                if b < buildings:
                    picture(root / "test" / f"query_{gallery}" / name / path.name, b, noise=5.0)
        picture(root / "train" / "satellite" / f"t{name}" / "0.jpg", 50 + b)
        for k in range(drones):
            picture(root / "train" / "drone" / f"t{name}" / f"{k}.jpeg", 50 + b, noise=3.0 * k)


def make_cvuk(root: Path, places=4) -> None:
    for i in range(places):
        lat = 51.4 + i * STEP
        picture(root / "satellite" / f"woking_{lat:.6f}_-0.565432.png", i)
        picture(root / "query" / f"frame{i}_{lat + 1e-5:.6f}_-0.565432.jpg", i, 18, 32)
    picture(root / "query" / "frame9_51.500000_-0.565432.jpg", 9)


def make_kitti(root: Path, frames=4) -> None:
    day, drive = "2011_09_26", "2011_09_26_drive_0002_sync"
    names = [f"{day}/{drive}/{i:010d}.png" for i in range(frames)]
    lines(root / "dataLoader" / "train_files.txt", names[:1])
    shifted = [f"{name} -0.3 0.9 -0.01" for name in names]
    lines(root / "dataLoader" / "test1_files.txt", shifted[:2])
    lines(root / "dataLoader" / "test2_files.txt", shifted)
    raw = root / "raw_data" / day
    lines(raw / "calib_cam_to_cam.txt", [
        "calib_time: 09-Jan-2012 13:57:47", "S_rect_02: 1.242000e+03 3.750000e+02",
        "P_rect_02: 7.215377e+02 0.0 6.095593e+02 4.485728e+01 0.0 7.215377e+02",
    ])  # fmt: skip
    for i, name in enumerate(names):
        picture(root / "satmap" / name, i, 96, 96)
        picture(raw / drive / "image_02" / "data" / f"{i:010d}.png", i, 24, 80)
        values = [49.0 + 1e-4 * i, 8.4, 110.0, 0.01, 0.02, np.pi / 2 - 0.1 * i, *[0.0] * 24]
        text = " ".join(f"{value:.9f}" for value in values)
        lines(raw / drive / "oxts" / "data" / f"{i:010d}.txt", [text])


def make_ford(root: Path, frames=5) -> None:
    """Log 3, whose training frames are the first 1500; two frames share a satellite picture."""
    folder = root / "2017-08-04" / "V2" / "Log3"
    rows = []
    for i in range(frames):
        north, s_lat = 42.29 + 1e-4 * i, f"{42.29 + 1e-4 * (i // 2 * 2)}"
        half = np.radians(30.0) / 2.0
        rows.append(f"15018{i}.txt {np.cos(half)} 0 0 {np.sin(half)} {north} -83.2 {s_lat} -83.2")
        picture(folder / "2017-08-04-V2-Log3-FL" / f"15018{i}.png", i, 24, 48)
        picture(folder / "SatelliteMaps_18" / f"{s_lat}_-83.2.png", i // 2 * 2, 96, 96)
    lines(folder / "grd_sat_quaternion_latlon.txt", rows)
    lines(folder / "grd_sat_quaternion_latlon_test.txt", [f"{row} 0.1 0.2 0.3" for row in rows])


def make_worldwide(root: Path, name="im2gps3k", photos=5, gallery=True) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for folder, first in ((name, 0), ("mp16", 0))[: 2 if gallery else 1]:
        with (root / f"{folder}_places365.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["IMG_ID", "AUTHOR", "LAT", "LON", "S3_Label"])
            for i in range(photos):
                table.writerow([f"{folder}/{i}.jpg", "x", 10.0 * i, first + 20.0 * i, 1])
                picture(root / folder / folder / f"{i}.jpg", i, noise=2.0)


MAKERS = {
    "vigor": make_vigor,
    "cvusa": make_cvusa,
    "cvact": make_cvact,
    "university": make_university,
    "cvuk": make_cvuk,
    "kitti": make_kitti,
    "ford": make_ford,
    "im2gps3k": make_worldwide,
}
