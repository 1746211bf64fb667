# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A made-up replay output: a drive with a kidnapping and honest Gaussian estimates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc_ros import config
from geoloc_ros.datatypes import FloatArray, Status
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import STAGES, Estimates, Latency, Retrieval, Truth

START_NS = 1_700_000_000_000_000_000
SIGMAS = np.array([1.2, 0.6, np.radians(0.8)])


def drive(seconds: float = 200.0, rate_hz: float = 50.0, speed_mps: float = 10.0) -> Truth:
    """A winding drive that is kidnapped 300 m away half way."""
    t = np.arange(0.0, seconds, 1.0 / rate_hz)
    yaw = 0.4 + 0.9 * np.sin(2 * np.pi * t / 60.0)
    step = speed_mps / rate_hz
    x, y = np.cumsum(step * np.cos(yaw)), np.cumsum(step * np.sin(yaw))
    after = t >= seconds / 2
    x[after] -= 700.0
    y[after] += 300.0
    stamps = START_NS + np.round(t * 1e9).astype(np.int64)
    return Truth(stamps, np.column_stack([x, y, yaw]))


def covariance(yaw: FloatArray, sigmas: FloatArray = SIGMAS) -> FloatArray:
    """(N, 3, 3) with the long axis across the heading, as on a road."""
    cov = np.zeros((len(yaw), 3, 3))
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    cov[:, :2, :2] = turn @ np.diag(sigmas[:2] ** 2) @ turn.transpose(0, 2, 1)
    cov[:, 2, 2] = sigmas[2] ** 2
    return cov


def gaussian_estimates(
    truth: Truth, rng: np.random.Generator, every: int = 5, claimed: float = 1.0
) -> Estimates:
    """LOCALISED everywhere, errors drawn from the covariance; `claimed` scales its sigmas."""
    poses = truth.poses[::every]
    cov = covariance(poses[:, 2])
    error = np.einsum("nij,nj->ni", np.linalg.cholesky(cov), rng.standard_normal((len(poses), 3)))
    n = len(poses)
    return Estimates(
        stamp_ns=truth.stamp_ns[::every],
        status=np.full(n, Status.LOCALISED.value),
        reasons=("",) * n,
        poses=poses + error,
        cov_xy_yaw=cov * claimed**2,
        lat_deg=47.0 + poses[:, 1] / 111_000.0,
        lon_deg=8.0 + poses[:, 0] / 76_000.0,
        similarity=rng.normal(0.6, 0.05, n),
        spread_m=np.full(n, 1.5),
    )


def with_statuses(estimates: Estimates, rng: np.random.Generator) -> Estimates:
    """Cold start for 6 s, lost after the kidnapping for 7 s, a doubtful stretch of 8 s."""
    t = (estimates.stamp_ns - START_NS) * 1e-9
    status = estimates.status.astype("<U13").copy()
    poses, cov = estimates.poses.copy(), estimates.cov_xy_yaw.copy()
    reasons = [""] * len(t)

    def put(where: np.ndarray, value: Status, reason: str, sigma_m: float) -> None:
        status[where] = value.value
        for i in np.flatnonzero(where):
            reasons[i] = reason
        poses[where, :2] += rng.normal(0.0, sigma_m, (int(where.sum()), 2))
        cov[where] += np.diag([sigma_m**2, sigma_m**2, 0.05])

    half = (t[-1] + 0.1) / 2
    put(t < 2, Status.SEARCHING, "wide_spread", 200.0)
    put((t >= 2) & (t < 6), Status.AMBIGUOUS, "two_modes", 60.0)
    put((t >= 60) & (t < 68), Status.DEGRADED, "low_similarity", 4.0)
    put((t >= half) & (t < half + 3), Status.LOST, "low_similarity", 40.0)
    put((t >= half + 3) & (t < half + 7), Status.SEARCHING, "two_modes,wide_spread", 120.0)
    return Estimates(
        estimates.stamp_ns,
        status,
        tuple(reasons),
        poses,
        cov,
        estimates.lat_deg,
        estimates.lon_deg,
        estimates.similarity,
        estimates.spread_m,
    )


def fake_retrieval(
    truth: Truth, rng: np.random.Generator, every: int = 50, k: int = 10
) -> Retrieval:
    """Searches every second: 70 % right at rank 1, 90 % somewhere in the list."""
    stamps = truth.stamp_ns[::every]
    n = len(stamps)
    poses = np.repeat(truth.poses[::every, None], k, axis=1)
    poses[:, :, :2] += rng.uniform(60.0, 400.0, (n, k, 2)) * rng.choice([-1.0, 1.0], (n, k, 2))
    place = rng.choice([0, 2, 6, -1], n, p=[0.7, 0.12, 0.08, 0.1])
    for i in np.flatnonzero(place >= 0):
        poses[i, place[i]] = truth.poses[::every][i] + rng.normal(0.0, [2.0, 2.0, 0.05])
    return Retrieval(
        np.repeat(stamps, k),
        np.tile(np.arange(1, k + 1), n),
        rng.integers(0, 5000, n * k),
        poses.reshape(-1, 3),
        np.sort(rng.uniform(0.2, 0.8, (n, k)))[:, ::-1].ravel(),
    )


def fake_latency(stamps: np.ndarray, rng: np.random.Generator) -> Latency:
    """Plausible stage times, ms."""
    typical = dict(zip(STAGES, (2.0, 1.0, 11.0, 0.6, 0.0, 1.5), strict=False))
    stages = {k: v * rng.lognormal(0.0, 0.15, len(stamps)) for k, v in typical.items() if v}
    stages["total"] = np.sum(list(stages.values()), axis=0)
    return Latency(stamps, stages)


def write_run(out_dir: Path, *, with_truth: bool = True, seconds: float = 200.0) -> Path:
    """Write a whole replay output directory."""
    rng = np.random.default_rng(7)
    out_dir.mkdir(parents=True, exist_ok=True)
    truth = drive(seconds)
    estimates = with_statuses(gaussian_estimates(truth, rng), rng)
    tables.write_estimates(out_dir, estimates)
    if with_truth:
        tables.write_truth(out_dir, truth)
    tables.write_retrieval(out_dir, fake_retrieval(truth, rng))
    tables.write_latency(out_dir, fake_latency(estimates.stamp_ns, rng))
    tables.write_summary(
        out_dir,
        {
            "frames": len(estimates) + 3,
            "frames_used": len(estimates),
            "frames_dropped": 3,
            "bag_s": seconds,
            "wall_s": seconds / 4,
            "peak_rss_mb": 512.0,
            "seed": 7,
            "encoder": "made_up",
            "index": "out/index",
            "config_sha256": config.sha256(config.Config()),
            "origin": {"lat_deg": 47.0, "lon_deg": 8.0},
            "anchor_offset_m": [0.0, 0.0],
            "attribution": "Made-up imagery",
        },
    )
    (out_dir / "config.yaml").write_text(config.dump(), encoding="utf-8")
    (out_dir / "versions.json").write_text('{"geoloc_ros": "0.1.0"}\n', encoding="utf-8")
    return out_dir
