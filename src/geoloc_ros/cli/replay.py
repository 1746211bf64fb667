# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc replay`: run a recorded drive through the spine and score it."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc_ros import config
from geoloc_ros.cli.settings_options import add_settings
from geoloc_ros.errors import BagError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "replay",
        help="run a recorded drive: estimates, result table, report",
        description="Run a rosbag1 or rosbag2 (db3, mcap) recording through the same code as the "
        "live node. No ROS needed. Same bag, configuration and seed give the same bytes in "
        "estimates.parquet, where the index fits in search.memory_budget_mb.",
        epilog="Topics are found by their type; where several fit, they are listed to paste back. "
        "Truth is read for scoring only and never reaches the estimates.",
    )
    parser.add_argument("bag", type=Path, help="recording: a directory, .mcap, .db3 or .bag file")
    parser.add_argument(
        "--index", type=Path, required=True, help="index from 'geoloc index build'"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory for the results")
    parser.add_argument("--model", help="model package; default: the one the index was built with")
    add_settings(parser)
    parser.add_argument("--image-topic", help="camera topic, where there are several")
    parser.add_argument(
        "--odometry-topic",
        help="odometry topic; 'none': motion from the images, of a camera that looks down",
    )
    parser.add_argument(
        "--truth", metavar="TOPIC", help="PoseStamped or NavSatFix, for scoring only"
    )
    parser.add_argument(
        "--vlm",
        metavar="MODEL",
        help="ask a vision-language model about the frames: a package, by name or directory, or "
        "'rules', a stand-in for tests; without it none is asked",
    )
    parser.add_argument(
        "--vlm-latency",
        metavar="S",
        help="an answer is heard so long after its frame, in recorded time; default: 2 s",
    )
    parser.add_argument(
        "--vlm-every", metavar="S", help="rest between frames asked about; default: none"
    )
    parser.add_argument("--imagery", type=Path, help="GeoTIFF for the report's map")
    parser.add_argument("--events", type=Path, help="scene.json with known events, for the report")
    parser.add_argument("--no-report", action="store_true", help="write no report.html")
    parser.add_argument("--force", action="store_true", help="overwrite an earlier replay in OUT")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from geoloc_ros.bags.replay import Replay, ReplayInputs
    from geoloc_ros.evaluation.result import format_table, write_result

    for file in (arguments.imagery, arguments.events):
        if file is not None and not file.is_file():
            raise BagError(f"there is no file {file}, which the report was to show")
    overrides = list(arguments.set)
    if arguments.image_topic:
        overrides.append(f"input.image_topic={arguments.image_topic}")
    if arguments.odometry_topic:
        overrides.append(f"input.odometry_topic={arguments.odometry_topic}")
    if arguments.vlm is not None:
        overrides.append(f"vlm.model={arguments.vlm}")
    if arguments.vlm_latency:
        overrides.append(f"vlm.latency_s={arguments.vlm_latency}")
    if arguments.vlm_every:
        overrides.append(f"vlm.every_s={arguments.vlm_every}")
    inputs = ReplayInputs(
        bag=arguments.bag,
        index=arguments.index,
        out=arguments.out,
        model=arguments.model,
        truth_topic=arguments.truth,
        force=arguments.force,
    )
    settings = config.load(arguments.config, tuple(overrides))
    _check_answers(settings)
    damage = Replay(inputs, settings).run()
    result = write_result(arguments.out)
    print(format_table(result))
    if not arguments.no_report:
        _report(arguments)
    if damage:
        raise BagError(f"{damage}; what could be read is in {arguments.out}")
    return 0


def _check_answers(settings: config.Config) -> None:
    """See that the reranker knows the model that is asked, if there are both.

    Raises:
        ConfigError: there is no such model.
        ModelError: it does not, or the files of one of them are missing or altered.
    """
    from geoloc_ros.rerank.package import find_reranker
    from geoloc_ros.vlm.answerer import identity_of

    if settings.search.reranker and settings.vlm.model:
        package = find_reranker(settings.search.reranker)
        package.check_vlm(*identity_of(settings.vlm.model))


def _report(arguments: argparse.Namespace) -> None:
    from geoloc_ros.report.page import write_report

    path = write_report(
        arguments.out,
        imagery=arguments.imagery,
        index=arguments.index,
        events=arguments.events,
    )
    print(f"report: {path}")
