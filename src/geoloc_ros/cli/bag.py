# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc bag`: look into recordings, make one from pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from geoloc_ros.bags.frames import FramesCamera, FramesTable, bag_from_frames
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.errors import BagError

_FROM_FRAMES = """\
Make a recording from a folder of pictures and a CSV table with a header row.

The table needs a column with the picture's file name (frame) and one with seconds (t_s). Name the
column of the height above ground with --height-column (written to /height_above_ground). Positions
in the table are ground truth: they are written, to /ground_truth/fix, only if you name them with
--truth-columns, and the localizer never reads them.
"""

_EXAMPLE = """\
example:
  geoloc bag from-frames flight/frames.csv --hfov 73.7 --pitch 45 --height-column rel_alt_m \\
      --truth-columns lat lon --out flight_bag
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("bag", help="look into recordings, make one from pictures")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    info = verbs.add_parser("info", help="list the topics of a recording (ROS 1 or 2)")
    info.add_argument("bag", type=Path, help=".bag, rosbag2 folder, .mcap or .db3")
    info.set_defaults(run=_info)
    frames = verbs.add_parser(
        "from-frames",
        help="make a recording from pictures with time stamps",
        description=_FROM_FRAMES,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_table(frames)
    _add_camera(frames)
    frames.set_defaults(run=_from_frames)


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="CSV file")
    parser.add_argument("--out", type=Path, required=True, help="rosbag2 folder to create")
    parser.add_argument("--images", type=Path, help="folder of the pictures (frames/ beside it)")
    parser.add_argument("--frame-column", default="frame", help="file name (frame)")
    parser.add_argument("--time-column", default="t_s", help="seconds (t_s)")
    parser.add_argument("--height-column", help="height above ground, m")
    parser.add_argument(
        "--truth-columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="latitude longitude [altitude], for scoring",
    )
    parser.add_argument("--max-width", type=int, default=0, help="scale pictures down to this, px")
    parser.add_argument("--start", type=float, default=1e9, help="stamp of t = 0, s (1e9)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_camera(parser: argparse.ArgumentParser) -> None:
    lens = parser.add_argument_group("lens (one of)")
    lens.add_argument("--hfov", type=float, help="horizontal field of view, degrees")
    lens.add_argument("--focal-px", type=float, help="focal length, px of the files")
    lens.add_argument("--calibration", type=Path, help="ROS camera calibration YAML")
    lens.add_argument(
        "--equirectangular", action="store_true", help="the pictures are panoramas, once round"
    )
    mount = parser.add_argument_group("mount of the camera on the vehicle")
    mount.add_argument("--pitch", type=float, default=0.0, help="tilt, down positive, degrees (0)")
    mount.add_argument("--roll", type=float, default=0.0, help="right side down, degrees (0)")
    mount.add_argument("--yaw", type=float, default=0.0, help="left of ahead, degrees (0)")
    mount.add_argument("--forward", type=float, default=0.0, help="ahead of the base, m (0)")
    mount.add_argument("--mount-height", type=float, default=0.0, help="above the base, m (0)")


def _info(arguments: argparse.Namespace) -> int:
    with BagReader(arguments.bag) as bag:
        for topic in bag.topics():
            print(f"{topic.count:8d}  {topic.name}  {topic.msgtype}")
        if damage := bag.damage():
            raise BagError(damage)
    return 0


def _from_frames(arguments: argparse.Namespace) -> int:
    camera = FramesCamera(
        hfov_deg=arguments.hfov,
        focal_px=arguments.focal_px,
        calibration=arguments.calibration,
        equirectangular=arguments.equirectangular,
        pitch_deg=arguments.pitch,
        roll_deg=arguments.roll,
        yaw_deg=arguments.yaw,
        forward_m=arguments.forward,
        height_m=arguments.mount_height,
    )
    columns = FramesTable(
        frame=arguments.frame_column,
        time=arguments.time_column,
        height=arguments.height_column,
        truth=tuple(arguments.truth_columns),
    )
    count = bag_from_frames(
        arguments.table,
        arguments.out,
        camera,
        columns,
        arguments.images,
        arguments.max_width,
        arguments.start,
        progress=not arguments.quiet,
    )
    print(f"{arguments.out}: {count} frames")
    return 0
