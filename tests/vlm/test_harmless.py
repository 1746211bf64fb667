# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Whatever a vision-language model says or does, the vehicle is where it would be without one."""

import json
from dataclasses import dataclass

import hostile
import numpy as np
import pytest

from geoloc_ros import config
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.result import result_from
from geoloc_ros.geo.se2 import wrap_angle

#: what another draw of the particles changes
NOISE_M = 0.25


@dataclass
class Drive:
    """What a replay gave."""

    vlm: dict
    heard: list
    error_m: np.ndarray
    yaw_error_rad: np.ndarray
    localised: np.ndarray
    bytes: bytes


def drive(made, bag, out, model="", **vlm) -> Drive:
    worker = {"deadline_s": vlm.pop("deadline_s", 20.0), "memory_mb": 500}
    tree = {"vlm": {"model": model, "latency_s": 0.8, **vlm, "worker": worker}}
    inputs = ReplayInputs(bag=bag, index=made.index, out=out, model=str(made.model), quiet=True)
    replay = Replay(inputs, config.from_mapping(tree), make_answerer=hostile.make)
    assert replay.run() == ""
    estimates = tables.read_estimates(out)
    off = estimates.poses - made.poses
    return Drive(
        result_from(out)["vlm"],
        tables.read_vlm(out),
        np.hypot(off[:, 0], off[:, 1]),
        np.abs(wrap_angle(off[:, 2])),
        estimates.localised,
        (out / "estimates.parquet").read_bytes(),
    )


@pytest.fixture(scope="module")
def alone(made, bag, tmp_path_factory) -> Drive:
    return drive(made, bag, tmp_path_factory.mktemp("alone") / "out")


def assert_as_good(found: Drive, alone: Drive) -> None:
    assert found.localised.sum() >= alone.localised.sum() - 4
    good = found.localised
    assert np.median(found.error_m[good]) < np.median(alone.error_m[good]) + NOISE_M
    assert np.percentile(found.error_m[good], 95) < np.percentile(alone.error_m[good], 95) + 0.5
    assert np.max(found.error_m[good]) < np.max(alone.error_m[good]) + 1.0
    assert np.median(found.yaw_error_rad[good]) < np.median(alone.yaw_error_rad[good]) + 0.02


@pytest.mark.parametrize("kind", ["wrong", "random", "constant", "abroad"])
@pytest.mark.parametrize("latency_s", [0.4, 30.0])
def test_an_answer_that_is_wrong_moves_no_vehicle(
    made, bag, alone, tmp_path, kind, latency_s
) -> None:
    found = drive(made, bag, tmp_path / "out", kind, latency_s=latency_s)
    assert found.vlm["answered"] >= (1 if latency_s > 1.0 else 80)
    assert any(row.heard_ns > 0 for row in found.heard)
    assert_as_good(found, alone)


@pytest.mark.parametrize(
    ("kind", "counted"), [("rambling", "unparseable"), ("broken", "failed"), ("mad", "failed")]
)
def test_what_is_no_answer_moves_no_byte(made, bag, alone, tmp_path, kind, counted) -> None:
    found = drive(made, bag, tmp_path / "out", kind)
    assert found.bytes == alone.bytes
    assert found.vlm["asked"] >= 40
    assert counted in {row.outcome for row in found.heard}


@pytest.mark.parametrize(
    ("kind", "outcome", "words"),
    [
        ("dying", "failed", "exit code 1"),
        ("killed", "failed", "killed by signal 9"),
        ("stopped", "timed_out", "no answer in 1 s"),
        ("greedy", "failed", "more than the 500 MB of memory_mb"),
    ],
)
def test_a_process_that_ends_or_hangs_moves_no_byte(
    made, bag, alone, tmp_path, kind, outcome, words
) -> None:
    deadline_s = 1.0 if kind == "stopped" else 20.0
    found = drive(made, bag, tmp_path / "out", kind, every_s=5.0, deadline_s=deadline_s)
    assert found.bytes == alone.bytes
    assert found.vlm["asked"] >= 10
    assert any(row.outcome == outcome and words in row.why for row in found.heard)


def test_a_random_answerer_gives_the_same_bytes_again(made, bag, tmp_path) -> None:
    first, again = (drive(made, bag, tmp_path / name, "random") for name in ("a", "b"))
    assert first.bytes == again.bytes
    plain = [(row.stamp_ns, row.heard_ns, row.outcome, row.reply) for row in first.heard]
    assert plain == [(r.stamp_ns, r.heard_ns, r.outcome, r.reply) for r in again.heard]
    written = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert written["frames_used"] == 130
