# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A town without pictures: a random descriptor field over a street grid, to drive the belief.

Every pose has a unit descriptor: random Fourier features (Rahimi and Recht, 2007) with a
correlation length of 4 m and 10 degrees, mixed with a street type that is shared by places far
apart, so wrong places can look alike for a whole street. A query is the descriptor of the true
pose, displaced by what the imagery's registration is off, plus noise that stays for about 5 m of
driving and varies in strength from street to street; now and then another vehicle fills the view.

Run it: `python tests/filtering/simulated.py [seeds [noise [case ...]]]`
prints the table the design was tuned on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace

import numpy as np

from geoloc_ros.config import FilterConfig
from geoloc_ros.datatypes import Candidates, Motion, PoseEstimate, Status
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.filtering.belief import Belief
from geoloc_ros.filtering.motion_model import increment_covariance
from geoloc_ros.geo import se2

BLOCK_M = 150.0
TYPES = 12
FINE, COARSE = 40, 24


@dataclass(frozen=True)
class Case:
    """One drive."""

    name: str = "normal"
    length_m: float = 500.0
    noise: float = 1.05  # of the query descriptor, per unit of signal
    kidnap_at_m: float | None = None
    outside_at_m: float | None = None
    covered_at_m: float | None = None
    occlusions: bool = True


@dataclass
class Town:
    """The field and its index."""

    seed: int
    blocks: int = 7
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = rng = np.random.default_rng([self.seed, 1])
        self.size_m = self.blocks * BLOCK_M
        self.frequency = rng.standard_normal((2, FINE)) / 4.0
        self.turns = np.round(rng.standard_normal(FINE) / np.deg2rad(10.0))
        self.phase = rng.uniform(0, 2 * np.pi, FINE)
        self.kinds = rng.standard_normal((TYPES, COARSE)) / np.sqrt(COARSE)
        cells = int(self.size_m // 50) + 8
        self.kind_of = rng.integers(TYPES, size=(cells, cells, 4))
        self.entries = self._entries()
        self.descriptors = self.describe(self.entries).astype(np.float32)

    def _entries(self) -> np.ndarray:
        along = np.arange(0.0, self.size_m, 2.0)
        out = []
        for line in range(self.blocks):
            fixed = np.full_like(along, (line + 0.5) * BLOCK_M)
            for yaw in (0.0, np.pi):
                out.append(np.column_stack([along, fixed, np.full_like(along, yaw)]))
                out.append(np.column_stack([fixed, along, np.full_like(along, yaw + np.pi / 2)]))
        poses = np.concatenate(out)
        scatter = self.rng.uniform(-1, 1, poses.shape) * [2.0, 2.0, np.deg2rad(10.0)]
        return poses + scatter

    def describe(self, poses: np.ndarray) -> np.ndarray:
        angle = poses[:, :2] @ self.frequency + np.outer(poses[:, 2], self.turns) + self.phase
        fine = np.cos(angle)
        fine /= np.linalg.norm(fine, axis=1, keepdims=True)
        cell = np.clip((poses[:, :2] // 50).astype(int) + 4, 0, len(self.kind_of) - 1)
        quarter = np.round(poses[:, 2] / (np.pi / 2)).astype(int) % 4
        coarse = self.kinds[self.kind_of[cell[:, 0], cell[:, 1], quarter]]
        both = np.concatenate([0.85 * fine, 0.53 * coarse], axis=1)
        return both / np.linalg.norm(both, axis=1, keepdims=True)

    def supported(self, poses: np.ndarray) -> np.ndarray:
        offset = np.abs((poses[:, :2] % BLOCK_M) - BLOCK_M / 2)
        inside = np.all((poses[:, :2] > -5) & (poses[:, :2] < self.size_m + 5), axis=1)
        return inside & (offset.min(axis=1) < 9.0)

    def search(self, query: np.ndarray, k: int = 50) -> Candidates:
        similarity = self.descriptors @ query.astype(np.float32)
        top = np.argpartition(-similarity, k)[:k]
        top = top[np.argsort(-similarity[top], kind="stable")]
        return Candidates(top.astype(np.int64), self.entries[top], similarity[top].astype("f4"))


def drive(town: Town, case: Case, rng: np.random.Generator) -> np.ndarray:
    """True poses (F, 3), one metre apart, turning at random crossings."""

    def start() -> np.ndarray:
        line, along = rng.integers(1, town.blocks - 1), rng.uniform(0.3, 0.7) * town.size_m
        side = rng.integers(4)
        fixed = (line + 0.5) * BLOCK_M
        spot = (along, fixed) if side % 2 == 0 else (fixed, along)
        return np.array([*spot, side * np.pi / 2])

    pose, out, turn_left, turn = start(), [], 0, 0.0
    radius = 8.0
    steps_of_turn = round(radius * np.pi / 2)
    for step in range(int(case.length_m)):
        if case.kidnap_at_m is not None and step == int(case.kidnap_at_m):
            pose, turn_left = start(), 0
        axis = int(np.round(np.cos(pose[2]))) == 0
        ahead = pose[1 if axis else 0] * np.sign(np.sin(pose[2]) if axis else np.cos(pose[2]))
        to_cross = (BLOCK_M / 2 - radius - ahead) % BLOCK_M
        if turn_left == 0 and to_cross < 1.0:
            heading = np.array([np.cos(pose[2]), np.sin(pose[2])])
            beyond = pose[:2] + heading * BLOCK_M
            options = [-1.0, 1.0] + (
                [0.0, 0.0] if np.all((beyond > 0) & (beyond < town.size_m)) else []
            )
            turn = float(rng.choice(options))
            turn_left = steps_of_turn if turn else 0
            if not turn:
                pose = pose + np.array([*(2.0 * heading), 0.0])
        yaw_step = turn * (np.pi / 2) / steps_of_turn if turn_left else 0.0
        pose = se2.compose(pose, [1.0, 0.0, yaw_step])
        turn_left = max(0, turn_left - 1)
        if turn_left == 0 and turn:
            pose[2] = np.round(pose[2] / (np.pi / 2)) * np.pi / 2
            turn = 0.0
        wobble = np.array([0.0, 1.2 * np.sin(step / 23.0), np.deg2rad(2.0) * np.cos(step / 23.0)])
        out.append(se2.compose(pose, wobble))
    return np.array(out)


def run(
    seed: int, case: Case, config: FilterConfig, calibration: Calibration
) -> tuple[np.ndarray, list[PoseEstimate], dict[str, list[float]]]:
    """Drive once; returns truth, estimates and raw similarities."""
    town, rng = Town(seed), np.random.default_rng([seed, 2])
    truth = drive(town, case, rng)
    belief = Belief(config, calibration, seed, entries=len(town.entries))
    shift = np.array([*rng.uniform(-1.0, 1.0, 2), np.deg2rad(rng.uniform(-0.5, 0.5))])
    scale, yaw_bias = 1 + 0.015 * rng.standard_normal(), np.deg2rad(0.02) * rng.standard_normal()
    dim = FINE + COARSE
    noise, street, blocked = rng.standard_normal(dim), 0.0, 0
    picture, cover, elsewhere = None, None, None
    estimates, log = [], {"matched": [], "wrong": [], "r1": [], "r50": []}
    for step, pose in enumerate(truth):
        if step:
            inc = se2.between(truth[step - 1], pose)
            if case.kidnap_at_m is not None and step == int(case.kidnap_at_m):
                inc = np.array([1.0, 0.0, 0.0])
            inc = inc * [scale, 1, 1] + rng.standard_normal(3) * [0.02, 0.01, np.deg2rad(0.05)]
            inc[2] += yaw_bias
            cov = increment_covariance(inc, 0.1, config)
            belief.predict(Motion((step - 1) * 10**8, step * 10**8, inc, cov))
        keep = np.exp(-1 / 5.0)
        noise = keep * noise + np.sqrt(1 - keep**2) * rng.standard_normal(dim)
        street = 0.98 * street + np.sqrt(1 - 0.98**2) * rng.standard_normal()
        shifted = pose + shift
        query = town.describe(shifted[None])[0]
        query = query + case.noise * np.exp(0.25 * street) * noise / np.sqrt(dim)
        outside = case.outside_at_m is not None and step >= case.outside_at_m
        if outside:
            elsewhere = Town(seed + 1000) if elsewhere is None else elsewhere
            query = elsewhere.describe(shifted[None])[0]
            query = query + case.noise * np.exp(0.25 * street) * noise / np.sqrt(dim)
        covered = case.covered_at_m is not None and step >= case.covered_at_m
        if case.occlusions and blocked == 0 and rng.random() < 1 / 400:
            blocked, picture = int(rng.uniform(5, 25)), rng.standard_normal(dim)
        if covered:
            cover = rng.standard_normal(dim) if cover is None else cover
            query = cover + 0.3 * rng.standard_normal(dim)
        elif blocked:
            blocked -= 1
            query = picture + 0.3 * rng.standard_normal(dim)
        query = query / np.linalg.norm(query)

        def similarity_at(poses: np.ndarray, query: np.ndarray = query) -> tuple:
            return town.describe(poses) @ query, town.supported(poses)

        candidates = town.search(query) if belief.wants_candidates() else None
        belief.update(similarity_at, candidates)
        estimates.append(belief.estimate(step * 10**8))
        if step % 20 == 0 and not blocked:
            found = town.search(query)
            hit = (np.hypot(*(found.poses[:, :2] - pose[:2]).T) < 8.0) & (
                np.abs(se2.wrap_angle(found.poses[:, 2] - pose[2])) < np.deg2rad(22.5)
            )
            log["r1"].append(float(hit[0]))
            log["r50"].append(float(hit.any()))
            log["matched"].append(float(town.describe(shifted[None])[0] @ query))
            wrong = town.descriptors[rng.integers(len(town.descriptors), size=20)]
            log["wrong"].extend(wrong @ query)
    return truth, estimates, log


CHI2_95_3 = 7.815


def score(truth: np.ndarray, estimates: list[PoseEstimate], case: Case) -> dict[str, float]:
    """The figures of one drive."""
    localised = np.array([e.status is Status.LOCALISED for e in estimates])
    poses = np.array([e.pose for e in estimates])
    error = poses - truth
    error[:, 2] = se2.wrap_angle(np.nan_to_num(error[:, 2]))
    distance = np.hypot(error[:, 0], error[:, 1])
    sigma = np.array(
        [
            np.sqrt(max(np.linalg.eigvalsh(np.nan_to_num(e.cov_xy_yaw))[-1], 1e-9))
            for e in estimates
        ]
    )
    nees = np.array(
        [
            d @ np.linalg.solve(e.cov_xy_yaw, d) if np.all(np.isfinite(d)) and loc else np.nan
            for d, e, loc in zip(error, estimates, localised, strict=True)
        ]
    )
    first = int(np.argmax(localised)) if localised.any() else -1
    out = {
        "median": float(np.median(distance[localised])) if localised.any() else np.nan,
        "p95": float(np.percentile(distance[localised], 95)) if localised.any() else np.nan,
        "yaw": float(np.rad2deg(np.median(np.abs(error[localised, 2]))))
        if localised.any()
        else np.nan,
        "avail": float(localised[first:].mean()) if first >= 0 else 0.0,
        "wrong": float((distance > 3 * sigma)[localised].mean()) if localised.any() else 0.0,
        "false_m": float((distance > 15)[localised].sum()),
        "far": float((distance > 15)[localised].mean()) if localised.any() else 0.0,
        "cover": float(np.nanmean((nees < CHI2_95_3)[localised])) if localised.any() else np.nan,
        "nees": float(np.nanmean(nees)) if localised.any() else np.nan,
        "fix_m": float(first) if first >= 0 else np.inf,
    }
    if case.kidnap_at_m is not None:
        right = localised & (distance < 15)
        after = np.flatnonzero(right[int(case.kidnap_at_m) :])
        out["recover_m"] = float(after[0]) if len(after) else np.inf
    event = case.outside_at_m or case.covered_at_m
    if event is not None:
        still = np.flatnonzero(localised[int(event) :])
        out["withdrawn_m"] = float(still[-1] + 1) if len(still) else 0.0
    return out


CASES = (
    Case(),
    Case("kidnapped", kidnap_at_m=250.0),
    Case("outside", length_m=500.0, outside_at_m=100.0),
    Case("covered", length_m=500.0, covered_at_m=100.0),
)


def levels(noise: float) -> Calibration:
    """Calibration measured on a town that is not scored."""
    from geoloc_ros.filtering.calibration import fit_similarity

    town, rng = Town(4242), np.random.default_rng(4242)
    dim = FINE + COARSE
    matched, background = [], []
    for _ in range(400):
        place = town.entries[rng.integers(len(town.entries))]
        query = town.describe(place[None])[0]
        query = query + noise * np.exp(0.25 * rng.standard_normal()) * rng.standard_normal(
            dim
        ) / np.sqrt(dim)
        query /= np.linalg.norm(query)
        near = place + rng.uniform(-1, 1, (1, 3)) * [1.0, 1.0, 0.04]
        matched.append(town.describe(near) @ query)
        background.append(town.descriptors[rng.integers(len(town.descriptors), size=64)] @ query)
    return fit_similarity(np.concatenate(matched), np.array(background), fitted_on="simulated")


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
    config = FilterConfig()
    for noise in [float(v) for v in sys.argv[2:3]] or (1.4, 2.2):
        calibration = levels(noise)
        print(f"noise {noise}: {calibration}")
        for case in CASES:
            if len(sys.argv) > 3 and case.name not in sys.argv[3:]:
                continue
            rows, logs = [], []
            for seed in seeds:
                used = replace(case, noise=noise)
                truth, estimates, log = run(seed, used, config, calibration)
                rows.append(score(truth, estimates, used))
                logs.append((np.mean(log["r1"]), np.mean(log["r50"]), np.mean(log["matched"])))
            keys = sorted({key for row in rows for key in row}, key=list(rows[0]).index)
            r1, r50, matched = np.mean(logs, axis=0)
            line = ""
            for key in keys:
                values = [row[key] for row in rows]
                if key.endswith("_m"):
                    line += f"{key} {np.nanmedian(values):.1f}/{np.nanmax(values):.0f} "
                else:
                    line += f"{key} {np.nanmean(values):.3f} "
            print(
                f"  {case.name:10s} R1 {r1:.2f} R50 {r50:.2f} s {matched:.2f} | {line}", flush=True
            )


if __name__ == "__main__":
    main()
