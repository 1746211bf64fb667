# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Figures of trajectories: against cases worked out by hand, and against evo's own command."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_tracks import shaken, winding, write_tum

from geoloc_ros.errors import ConfigError, TrajectoryError
from geoloc_ros.evaluation.track_files import read_text_track
from geoloc_ros.evaluation.track_pairs import TrackScoring
from geoloc_ros.evaluation.track_score import (
    available_share,
    score_track,
    statistics,
    track_rows,
)
from geoloc_ros.evaluation.tracks import Fixes, Track, on_one_plane
from geoloc_ros.geo.rotations import matrix_from_rpy, turns_about_z
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame

pytest.importorskip("evo")

BIN = Path(sys.executable).parent
SECOND = 10**9


def straight(count: int = 5, step_m: float = 10.0) -> Track:
    """East at one pose a second, flat, facing east."""
    xyz = np.zeros((count, 3))
    xyz[:, 0] = step_m * np.arange(count)
    return Track("straight", SECOND * np.arange(1, count + 1), xyz, turns_about_z(np.zeros(count)))


def moved(track: Track, by: tuple[float, float, float], yaw_rad: float = 0.0) -> Track:
    """Every pose moved, and turned on the spot."""
    return replace(
        track,
        positions_m=track.positions_m + by,
        rotations=track.rotations @ matrix_from_rpy(0, 0, yaw_rad),
    )


def test_an_offset_is_an_absolute_error_and_no_relative_one():
    truth = straight()
    score = score_track(moved(truth, (0.0, 3.0, 4.0), np.radians(5.0)), truth, TrackScoring())
    figures = score.figures
    assert figures["pairs"] == 5
    assert figures["compared_in"] == "xyz"
    assert figures["ape_m"] == pytest.approx(
        {"rmse": 5, "mean": 5, "median": 5, "p95": 5, "std": 0, "min": 5, "max": 5}
    )
    assert figures["ape_deg"]["max"] == pytest.approx(5.0)
    assert figures["position_error_m"]["median"] == pytest.approx(3.0)
    assert figures["yaw_error_deg"]["p95"] == pytest.approx(5.0)
    assert figures["rpe"]["pieces"] == 4
    # Every piece is the same in its own frame but for the turn of its start: 2 * 10 m * sin(2.5)
    assert figures["rpe"]["m"]["max"] == pytest.approx(20.0 * np.sin(np.radians(2.5)))
    assert figures["rpe"]["deg"]["max"] == pytest.approx(0.0, abs=1e-5)
    assert figures["distance_m"] == pytest.approx(40.0)


def test_an_aligned_error_hides_the_offset_and_the_note_says_so():
    truth = winding(50)
    off = replace(moved(truth, (3.0, 4.0, 0.0)), cov_xy_yaw=np.tile(np.eye(3), (50, 1, 1)))
    plain = score_track(off, truth, TrackScoring())
    assert plain.figures["ape_m"]["rmse"] == pytest.approx(5.0)
    assert not any("aligned" in note for note in plain.notes)
    for how in ("origin", "se3", "sim3"):
        score = score_track(off, truth, TrackScoring(alignment=how))
        assert score.figures["ape_m"]["rmse"] == pytest.approx(0.0, abs=1e-6)
        assert score.figures["alignment_moved_m"] == pytest.approx(5.0)
        assert any("moved by 5 m" in note and "hide" in note for note in score.notes)
        assert score.figures["coverage_95"] is None
        assert "aligned" in score.unknown


def test_only_sim3_hides_a_scale():
    truth = winding(50)
    small = replace(truth, positions_m=0.5 * truth.positions_m)
    assert score_track(small, truth, TrackScoring(alignment="se3")).figures["ape_m"]["max"] > 1.0
    figures = score_track(small, truth, TrackScoring(alignment="sim3")).figures
    assert figures["ape_m"]["max"] == pytest.approx(0.0, abs=1e-6)
    assert figures["alignment_scale"] == pytest.approx(2.0)


def test_a_missing_height_leaves_the_plane():
    truth = winding(30)
    flat = moved(truth, (1.0, 0.0, 0.0))
    flat.positions_m[:, 2] = np.nan
    score = score_track(flat, truth, TrackScoring())
    assert score.figures["compared_in"] == "xy"
    assert score.figures["ape_m"]["max"] == pytest.approx(1.0)
    assert any("has no heights" in note for note in score.notes)
    still = moved(truth, (1.0, 0.0, 0.0))
    still.positions_m[:, 2] = 0.0  # as AMCL's
    score = score_track(still, truth, TrackScoring())
    assert score.figures["ape_m"]["max"] == pytest.approx(1.0)
    assert any("never changes" in note for note in score.notes)
    asked = score_track(moved(truth, (1.0, 0.0, 7.0)), truth, TrackScoring(planar=True))
    assert asked.figures["ape_m"]["max"] == pytest.approx(1.0)


def test_covariance_is_judged_where_it_is_published():
    truth = straight(4)
    off = moved(truth, (2.0, 0.0, 0.0))
    cov = np.tile(np.diag([1.0, 1.0, 1.0]), (4, 1, 1))
    cov[3] = np.nan
    score = score_track(replace(off, cov_xy_yaw=cov), truth, TrackScoring())
    assert score.figures["nees_mean"] == pytest.approx(4.0)  # 2 m of sigma 1 m, three times
    assert score.figures["coverage_95"] == 1.0  # below 7.81
    assert score.figures["confidently_wrong"] == 0.0
    assert any("1 of 4 pairs have no covariance" in note for note in score.notes)
    tight = score_track(replace(off, cov_xy_yaw=cov / 16.0), truth, TrackScoring())
    assert tight.figures["coverage_95"] == 0.0
    assert tight.figures["confidently_wrong"] == 1.0


def test_without_a_heading_the_plane_alone_is_judged():
    truth = straight(4)
    cov = np.full((4, 3, 3), np.nan)
    cov[:, :2, :2] = np.eye(2)
    bare = replace(moved(truth, (2.3, 0.0, 0.0)), rotations=None, cov_xy_yaw=cov)
    score = score_track(bare, truth, TrackScoring())
    assert score.figures["nees_mean"] == pytest.approx(2.3**2)
    assert score.figures["coverage_95"] == 1.0  # 5.29 < 5.99, chi-square with 2 degrees of freedom
    assert score.figures["yaw_error_deg"]["median"] is None
    assert score.figures["ape_deg"]["rmse"] is None
    assert score.figures["rpe"]["m"]["max"] == pytest.approx(0.0, abs=1e-9)
    assert score.figures["rpe"]["deg"]["max"] is None
    assert "orientations" in score.unknown


def test_availability_is_time_not_poses():
    stamps = SECOND * np.array([2, 3, 4, 8, 9])
    # From 2 s to 10 s: 3 s + 1 s + the last second are covered, 4..8 s are not.
    share, first_s, longest_s = available_share(stamps, 0, 10 * SECOND, 1.0)
    assert share == pytest.approx(4.0 / 8.0)
    assert first_s == pytest.approx(2.0)
    assert longest_s == pytest.approx(4.0)
    assert available_share(stamps, 0, 10 * SECOND, 5.0)[0] == 1.0
    assert available_share(stamps, 20 * SECOND, 30 * SECOND, 1.0) == (None, None, None)
    assert available_share(stamps, 9 * SECOND, 9 * SECOND, 1.0)[0] is None


def test_statistics_of_nothing_are_unknown():
    assert set(statistics(np.empty(0)).values()) == {None}
    assert statistics(np.array([3.0, 4.0]))["rmse"] == pytest.approx(np.sqrt(12.5))


def test_every_line_of_the_table_has_a_name_of_its_own():
    figures = score_track(straight(), straight(), TrackScoring()).figures
    names = [name for name, _, _ in track_rows(figures)]
    assert len(names) == len(set(names))


def test_stamps_pair_within_the_tolerance_only():
    truth = straight()
    late = replace(truth, stamp_ns=truth.stamp_ns + np.array([0, 9, 11, -9, -11]) * 10**6)
    assert score_track(late, truth, TrackScoring()).figures["pairs"] == 3
    assert score_track(late, truth, TrackScoring(tolerance_s=0.02)).figures["pairs"] == 5


@pytest.mark.parametrize(("mine", "theirs"), [(1, 4), (4, 1)])
def test_each_pose_finds_the_partner_of_its_own_stamp(mine, theirs):
    """One of the two comes four times as often, and begins 2 s later."""
    track = winding(80, rate_hz=4.0)
    estimate = track.rows(np.arange(8 if mine == 1 else 0, 80, mine))
    truth = track.rows(np.arange(8 if theirs == 1 else 0, 80, theirs))
    figures = score_track(estimate, truth, TrackScoring()).figures
    assert figures["pairs"] == 18
    assert figures["ape_m"]["max"] == 0.0


def test_truth_between_its_samples():
    truth = straight()
    half = replace(truth.rows(np.arange(4)), stamp_ns=truth.stamp_ns[:4] + SECOND // 2)
    on_time = moved(half, (5.0, 0.0, 0.0))
    score = score_track(on_time, truth, TrackScoring(interpolate=True))
    assert score.figures["pairs"] == 4
    assert score.figures["ape_m"]["max"] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(TrajectoryError, match=r"gaps of the truth above 0\.5 s"):
        score_track(on_time, truth, TrackScoring(interpolate=True, max_gap_s=0.5))


@pytest.mark.parametrize(
    ("shift_s", "says"),
    [
        (0.3, r"nearest stamps are 0.3 s apart, more than the tolerance of 0.01 s"),
        (1000.0, "do not overlap; do both use the same clock"),
    ],
)
def test_no_overlap_says_why(shift_s, says):
    truth = straight()
    late = replace(truth, stamp_ns=truth.stamp_ns + round(shift_s * SECOND))
    with pytest.raises(TrajectoryError, match=says):
        score_track(late, truth, TrackScoring())


def test_poses_without_stamps_pair_row_by_row():
    bare = replace(straight(), stamped=False)
    score = score_track(moved(bare, (1.0, 0.0, 0.0)), bare, TrackScoring())
    assert score.figures["pairs"] == 5
    assert score.figures["availability"] is None
    assert "stamps" in score.unknown
    with pytest.raises(TrajectoryError, match="has 3 poses, straight 5"):
        score_track(bare.rows(np.arange(3)), bare, TrackScoring())
    with pytest.raises(TrajectoryError, match="no stamps"):
        score_track(bare, straight(), TrackScoring())


def test_settings_have_bounds():
    with pytest.raises(ConfigError, match="tolerance_s"):
        TrackScoring(tolerance_s=-1.0)
    with pytest.raises(ConfigError, match="alignment"):
        TrackScoring(alignment="best")
    with pytest.raises(TrajectoryError, match="whole number"):
        score_track(straight(), straight(), TrackScoring(rpe_delta=1.5, rpe_unit="frames"))


def test_a_truth_shorter_than_a_piece_has_no_relative_error():
    score = score_track(straight(), straight(), TrackScoring(rpe_delta=500.0))
    assert score.figures["rpe"]["pieces"] == 0
    assert score.figures["rpe"]["m"]["rmse"] is None
    assert any("no piece of 500 m" in note for note in score.notes)


def test_alignment_on_a_line_is_refused():
    with pytest.raises(TrajectoryError, match="on a line"):
        score_track(straight(), straight(), TrackScoring(alignment="se3"))


def test_fixes_are_put_on_the_plane_of_the_other():
    plane = LocalFrame(LatLon(46.5, 6.6))
    track = winding(20)
    lat, lon = plane.to_latlon(track.positions_m[:, :2])
    nothing = np.full((20, 2, 2), np.nan)
    fixes = Fixes("fixes", track.stamp_ns, lat, lon, track.positions_m[:, 2], nothing)
    with pytest.raises(TrajectoryError, match="--origin LAT LON"):
        on_one_plane(track, fixes, None)
    for pair in (
        on_one_plane(track, fixes, plane.origin),
        on_one_plane(replace(track, plane=plane), fixes, None),
        on_one_plane(fixes, replace(track, plane=plane), None),
        on_one_plane(fixes, fixes, None),
    ):
        figures = score_track(*pair, TrackScoring()).figures
        assert figures["ape_m"]["max"] == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(TrajectoryError, match="of no use"):
        on_one_plane(track, track, plane.origin)
    with pytest.raises(TrajectoryError, match="50000 m"):
        on_one_plane(track, fixes, LatLon(40.0, 6.6))


# -- evo --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A truth of 10 Hz and an estimate of 5 Hz that is 3 ms late, in TUM files."""
    folder = tmp_path_factory.mktemp("evo")
    truth = winding(200)
    estimate = shaken(truth, np.random.default_rng(3)).rows(np.arange(0, 200, 2))
    return write_tum(folder / "truth.tum", truth), write_tum(folder / "estimate.tum", estimate)


def evo(command: str, files: tuple[Path, Path], *words: str) -> dict[str, float]:
    """The statistics that evo's own command saves."""
    out = files[0].parent / "result.zip"
    out.unlink(missing_ok=True)
    environment = {**os.environ, "HOME": str(files[0].parent)}
    subprocess.run(
        [BIN / command, "tum", *files, *words, "--save_results", out],
        env=environment,
        check=True,
        capture_output=True,
        timeout=300,
    )
    with zipfile.ZipFile(out) as archive:
        return json.loads(archive.read("stats.json"))


@pytest.mark.parametrize(
    ("command", "words", "how", "key"),
    [
        ("evo_ape", ["--align"], {"alignment": "se3"}, ("ape_m",)),
        (
            "evo_rpe",
            ["--delta", "10", "--delta_unit", "m", "--pairs_from_reference", "-r", "angle_deg"],
            {},
            ("rpe", "deg"),
        ),
    ],
)
def test_the_figures_are_those_of_evos_command(files, command, words, how, key):
    truth, estimate = (read_text_track(path) for path in files)
    figures = score_track(estimate, truth, TrackScoring(**how)).figures
    for name in key:
        figures = figures[name]
    expected = evo(command, files, *words)
    for name in ("rmse", "mean", "median", "std", "min", "max"):
        assert figures[name] == pytest.approx(expected[name], rel=1e-6), name


def test_scoring_leaves_the_home_folder_alone(files):
    home = files[0].parent / "home"
    home.mkdir()
    words = [sys.executable, "-m", "geoloc_ros.cli.main", "eval", "trajectory", str(files[1])]
    subprocess.run(
        [*words, "--truth", str(files[0]), "--align", "se3"],
        env={**os.environ, "HOME": str(home)},
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert not list(home.iterdir())
