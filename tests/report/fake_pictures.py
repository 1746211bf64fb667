# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made-up imagery and camera views for report tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from fake_run import write_run

from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Heard, Tile
from geoloc_ros.evaluation.trajectory import interpolate_truth
from geoloc_ros.filtering.outlook import Shift
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.vlm.answerer import Answer, PlaceGuess, Reply
from geoloc_ros.vlm.questions import QuestionSet, load_questions


def fake_ortho(west_m: float, south_m: float, east_m: float, north_m: float, gsd_m: float = 0.5):
    """Blotchy ground with a 50 m grid of roads."""
    rng = np.random.default_rng(3)
    width, height = round((east_m - west_m) / gsd_m), round((north_m - south_m) / gsd_m)
    coarse = rng.integers(60, 150, (height // 24 + 2, width // 24 + 2, 3)).astype(np.uint8)
    rgb = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rgb[:, :, 1] = np.clip(rgb[:, :, 1].astype(int) + 20, 0, 255)
    step = round(50 / gsd_m)
    for at in range(0, max(width, height), step):
        rgb[:, at : at + 12] = (150, 150, 148)
        rgb[at : at + 12, :] = (150, 150, 148)
    return OrthoImage(
        rgb,
        np.ones((height, width), dtype=bool),
        LocalFrame(LatLon(47.0, 8.0)),
        west_m,
        north_m,
        gsd_m,
        {"attribution": "Made-up imagery"},
    )


def write_run_with_frames(out_dir: Path, *, with_truth: bool = True) -> Path:
    """A made-up run with a view kept for every fourth search."""
    write_run(out_dir, with_truth=with_truth)
    retrieval = tables.read_retrieval(out_dir)
    assert retrieval is not None
    rng = np.random.default_rng(4)
    (out_dir / "frames").mkdir()
    for stamp in np.unique(retrieval.stamp_ns)[::4].tolist():
        view = np.zeros((120, 240, 3), np.uint8)
        view[:50] = (235, 206, 170)
        view[50:] = rng.integers(70, 120)
        x = int(rng.integers(10, 200))
        cv2.rectangle(view, (x, 20), (x + 40, 60), rng.integers(60, 220, 3).tolist(), -1)
        cv2.imwrite(str(tables.frame_path(out_dir, stamp)), view)
    return out_dir


def reply(questions: QuestionSet, option: int, sure: float = 0.8, **told: str) -> Reply:
    """Every question answered by an option of a number, but for those told by name."""
    answers = []
    for question in questions.questions:
        best = question.index(told[question.id]) if question.id in told else option
        p = np.full(len(question.options), (1.0 - sure) / (len(question.options) - 1))
        p[best] = sure
        answers.append(Answer(question.id, question.options[best].id, sure, tuple(p.tolist())))
    japan = questions.regions["jp_dense"]
    place = PlaceGuess(LatLon(japan.lat_deg, japan.lon_deg), japan.sigma_m, 0.6)
    return Reply(tuple(answers), (place,))


def write_heard(out_dir: Path) -> list[Heard]:
    """What a model said of every kept frame of a run: the third one moves much, one fails."""
    questions, truth = load_questions(), tables.read_truth(out_dir)
    stamps = sorted(int(path.stem) for path in (out_dir / "frames").glob("*.jpg"))
    poses, _ = interpolate_truth(truth, stamps)
    rows = []
    for number, (stamp, pose) in enumerate(zip(stamps, poses.tolist(), strict=True)):
        seen = reply(questions, 0, road_bend="strong_left" if number == 2 else "straight")
        off = (400.0, 0.0, 0.0) if number % 4 == 3 else (1.0, 0.0, 0.02)
        there = tuple(value + more for value, more in zip(pose, off, strict=True))
        said = reply(questions, 0, slope="cannot_tell", road_bend="straight")
        tile = Tile(number, there, said if number % 4 != 3 else reply(questions, 1))
        shift = Shift(0.3, 0.6, 0.3, False) if number == 2 else Shift(0.0, 1.0, 1.0)
        rows.append(Heard(stamp, stamp + 10**9, "ok", "", 300.0, seen, shift, tile=tile))
    rows[5] = Heard(stamps[5], -1, "timed_out", "no answer in 9 s", 9000.0, Reply())
    tables.write_vlm(out_dir, rows)
    return rows
