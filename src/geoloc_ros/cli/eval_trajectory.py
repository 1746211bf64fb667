# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc eval trajectory`: score anybody's trajectories against a reference, through evo."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from geoloc_ros.cli.bootstrap_options import add_bootstrap, resampling
from geoloc_ros.cli.requirements import (
    EXIT_STATUS,
    add_require,
    check_imagery,
    enforce,
    requirements,
)
from geoloc_ros.errors import BagError, TrajectoryError
from geoloc_ros.evaluation.compare_tracks import compare_tracks
from geoloc_ros.evaluation.evo_metrics import ALIGNMENTS, UNITS
from geoloc_ros.evaluation.side_by_side import figures_table, run_names
from geoloc_ros.evaluation.track_files import AXES
from geoloc_ros.evaluation.track_pairs import TrackScoring
from geoloc_ros.evaluation.track_score import TrackScore, score_track, track_rows
from geoloc_ros.evaluation.tracks import Fixes, Track, on_one_plane
from geoloc_ros.geo.wgs84 import LatLon

_DESCRIPTION = f"""\
Score trajectories against a reference: absolute and relative pose errors as the evo library takes
them, and availability and covariance as 'geoloc eval drive' does. EST and REF are TUM, KITTI or
EuRoC text files, recordings (rosbag2, mcap, db3, ROS 1 bag; PATH:/TOPIC where several topics hold
poses: PoseWithCovarianceStamped, Odometry, PoseStamped or NavSatFix; PATH:/tf:PARENT.CHILD for
transforms), or, for EST, folders that 'geoloc replay' wrote. Nothing is moved before it is
compared unless --align asks for it.
{EXIT_STATUS}
"""
_EXAMPLES = """\
examples:
  geoloc eval trajectory estimate.tum --truth groundtruth.tum
  geoloc eval trajectory run.mcap:/tf:map.base_link --truth mocap.mcap:/vehicle/pose
  geoloc eval trajectory run.mcap:/amcl_pose run.mcap:/geoloc_localizer/pose \\
      --truth rtk.mcap:/fix --origin 46.52 6.63 --interpolate
  geoloc eval trajectory out/drive --truth rtk.mcap:/fix --interpolate \\
      --require 'position_error_m.p95<=3' --require 'availability>=0.95'
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to `geoloc eval`."""
    parser = verbs.add_parser(
        "trajectory",
        help="score TUM, KITTI or EuRoC files and recordings against a reference",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("estimate", nargs="+", metavar="EST", help="what is scored")
    parser.add_argument("--truth", required=True, metavar="REF", help="what it is scored against")
    _add_pairing(parser)
    _add_comparing(parser)
    parser.add_argument(
        "--out", type=Path, help="folder for trajectory.html, trajectory.png and trajectory.json"
    )
    parser.add_argument(
        "--imagery", type=Path, help="GeoTIFF for the map on the page, if positions are known"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not the table")
    add_bootstrap(parser)
    add_require(parser)
    parser.set_defaults(run=run)


def _add_pairing(parser: argparse.ArgumentParser) -> None:
    default = TrackScoring()
    group = parser.add_argument_group("what is paired")
    group.add_argument(
        "--tolerance",
        dest="tolerance_s",
        type=float,
        default=default.tolerance_s,
        metavar="S",
        help="pair poses whose stamps differ by at most this, the nearest ones (%(default)s s)",
    )
    group.add_argument(
        "--interpolate",
        action="store_true",
        help="pair every pose with the truth at its own stamp, between samples at most --max-gap "
        "apart: for truth of a low rate, as from GNSS",
    )
    group.add_argument(
        "--max-gap",
        dest="max_gap_s",
        type=float,
        default=default.max_gap_s,
        metavar="S",
        help="poses further apart leave a gap: an estimate is not available in it, nor truth to "
        "--interpolate (%(default)s s)",
    )
    group.add_argument(
        "--origin",
        type=float,
        nargs=2,
        metavar=("LAT", "LON"),
        help="where x = y = 0 of the poses lies, degrees; needed where only one of EST and REF is "
        "in latitude and longitude",
    )
    group.add_argument(
        "--axes",
        choices=AXES,
        help="axes of text files: ros (x forward, z up) or camera (z forward, y down); default: "
        "camera for KITTI, ros for others",
    )


def _add_comparing(parser: argparse.ArgumentParser) -> None:
    default = TrackScoring()
    group = parser.add_argument_group("how it is compared")
    group.add_argument(
        "--align",
        dest="alignment",
        choices=ALIGNMENTS,
        default=default.alignment,
        help="move the estimate first: its first pose onto that of the truth, or all by the rigid "
        "motion (se3), or that with a scale (sim3), that fits best; errors then hide the offset",
    )
    group.add_argument(
        "--planar",
        action="store_true",
        help="compare x, y and yaw only; so it is anyway where heights are unknown",
    )
    group.add_argument(
        "--rpe-delta",
        type=float,
        default=default.rpe_delta,
        metavar="N",
        help="length of the pieces whose relative error is taken (%(default)s)",
    )
    group.add_argument(
        "--rpe-unit", choices=UNITS, default=default.rpe_unit, help="its unit (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Score, compare, print, and write the page."""
    gates = requirements(args)
    check_imagery(args.imagery)
    how = TrackScoring(**{item.name: getattr(args, item.name) for item in fields(TrackScoring)})
    draws = resampling(args)
    names = run_names([Path(name) for name in args.estimate])
    tracks, damages = _read([*args.estimate, args.truth], args.axes)
    origin = LatLon(*args.origin) if args.origin else None
    truth = tracks.pop()
    pairs = [on_one_plane(track, truth, origin) for track in tracks]
    scores = [score_track(*pair, how) for pair in pairs]
    errors = [score.errors for score in scores]
    several = len(scores) > 1
    comparison = compare_tracks(names, errors, how.max_gap_s, draws) if several else None
    _print(args.json, names, scores, comparison)
    if args.out is not None:
        from geoloc_ros.report.trajectory_page import Scored, write_trajectories

        found = Scored(
            names=names,
            scores=scores,
            truth=pairs[0][1],
            max_gap_s=how.max_gap_s,
            comparison=comparison,
        )
        page = write_trajectories(args.out, found, args.imagery)
        if not args.json:
            print(f"\npage: {page}")
    status = 0
    for name, score in zip(names, scores, strict=True):
        status |= enforce(
            gates,
            score.figures,
            unknown=score.unknown,
            name=name if several else "",
            json_on_stdout=args.json,
        )
    if damages:
        raise BagError(f"{damages[0]}; the part before that is scored")
    return status


def _read(names: list[str], axes: str | None) -> tuple[list[Track | Fixes], list[str]]:
    """The trajectories, last the truth, and what is wrong with recordings among them.

    Raises:
        TrajectoryError: the truth is a replay.
    """
    from geoloc_ros.bags.tracks import read_track

    if (Path(names[-1]) / "estimates.parquet").exists():
        raise TrajectoryError(
            f"{names[-1]} is what 'geoloc replay' estimated, and no truth; its own truth scores "
            "it with 'geoloc eval drive'"
        )
    found = [read_track(name, axes) for name in names]
    return [track for track, _ in found], [damage for _, damage in found if damage]


def _print(
    as_json: bool,
    names: list[str],
    scores: list[TrackScore],
    comparison: dict[str, Any] | None,
) -> None:
    if as_json:
        contents = [{**score.figures, "notes": list(score.notes)} for score in scores]
        several = {"trajectories": contents, "comparison": comparison}
        print(json.dumps(contents[0] if comparison is None else several, indent=2))
        return
    print(figures_table([track_rows(score.figures) for score in scores], names))
    if comparison is not None:
        _print_comparison(comparison)
    for note in dict.fromkeys(note for score in scores for note in score.notes):
        print(f"\nnote: {note}")


def _print_comparison(comparison: dict[str, Any]) -> None:
    from geoloc_ros.report.difference_text import blocks_line, difference_lines

    baseline = comparison["baseline"]
    for name in comparison["differences"]:
        print(f"\n{name} against {baseline}, while both have an estimate")
        print(difference_lines(name, baseline, comparison))
    print(f"\n{blocks_line(comparison)}")
    for note in comparison["notes"]:
        print(f"note: {note}")
