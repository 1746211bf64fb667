# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc locate`: where could this one picture have been taken?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geoloc_ros.errors import ConfigError

if TYPE_CHECKING:
    from geoloc_ros.datatypes import Candidates, FloatArray
    from geoloc_ros.geo.wgs84 import LocalFrame

HIGHEST_M = 10_000.0
MOST_PLACES = 100
ENTRIES_PER_PLACE = 20  # looked through to find distinct places


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "locate",
        help="rank the places one picture may show",
        description="Rank places by the similarity of their best index entry to one picture. One "
        "picture alone is often ambiguous: the list is for looking, 'geoloc replay' is for "
        "knowing.",
    )
    parser.add_argument("image", type=Path, help="a JPEG or PNG picture")
    parser.add_argument(
        "--index", type=Path, required=True, help="index from 'geoloc index build'"
    )
    parser.add_argument("--model", help="model package; default: the one the index was built with")
    parser.add_argument("--hfov", type=float, default=90.0, help="horizontal field of view, deg")
    parser.add_argument("--pitch-down", type=float, default=0.0, help="camera looks down by, deg")
    parser.add_argument("--height", type=float, default=1.6, help="camera above ground, m")
    parser.add_argument("--top", type=int, default=10, help="how many places to list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from geoloc_ros.cameras.models import CameraModel
    from geoloc_ros.cameras.views import make_views, mount_from_pitch
    from geoloc_ros.encoders.onnx_backend import OnnxEncoder
    from geoloc_ros.encoders.registry import find_model, find_model_by_sha
    from geoloc_ros.geo import se2
    from geoloc_ros.imagery.files import read_rgb
    from geoloc_ros.index.manifest import load_manifest
    from geoloc_ros.index.place_index import ShardedIndex
    from geoloc_ros.index.places import one_per_place

    if not 1 <= arguments.top <= MOST_PLACES:
        raise ConfigError(f"--top is {arguments.top}; it must lie in 1..{MOST_PLACES}")
    if not 0.0 < arguments.height <= HIGHEST_M:
        raise ConfigError(
            f"--height is {arguments.height:g} m; it must be above 0 and at most {HIGHEST_M:g} m"
        )
    if arguments.model:
        package = find_model(arguments.model)
    else:
        package = find_model_by_sha(load_manifest(arguments.index).encoder_sha256)
    index = ShardedIndex.open(arguments.index, package)
    rgb = read_rgb(arguments.image)
    camera = CameraModel.from_hfov(rgb.shape[1], rgb.shape[0], arguments.hfov)
    mount = mount_from_pitch(arguments.height, arguments.pitch_down)
    view = make_views(camera, mount, package).build(rgb, arguments.height)
    descriptor = OnnxEncoder(package).encode_query(view.image[None])[0]
    found = index.search_exact(descriptor, ENTRIES_PER_PLACE * arguments.top)
    found = one_per_place(found, arguments.top)
    poses = se2.compose(found.poses, se2.inverse(view.anchor))
    rows = _rows(found, poses, index.manifest.frame)
    print(json.dumps(rows, indent=2) if arguments.json else _table(rows))
    return 0


def _rows(found: Candidates, poses: FloatArray, plane: LocalFrame) -> list[dict[str, float]]:
    if not len(poses):
        return []
    lat_deg, lon_deg = plane.to_latlon(poses[:, :2])
    return [
        {
            "rank": rank,
            "lat_deg": round(float(lat), 7),
            "lon_deg": round(float(lon), 7),
            "heading_deg": round(float((90.0 - np.degrees(pose[2])) % 360.0), 1),
            "similarity": round(float(similarity), 4),
        }
        for rank, (lat, lon, pose, similarity) in enumerate(
            zip(lat_deg, lon_deg, poses, found.similarity, strict=True), start=1
        )
    ]


def _table(rows: list[dict[str, float]]) -> str:
    lines = ["rank  latitude     longitude    heading  similarity"]
    lines += [
        f"{row['rank']:4.0f}  {row['lat_deg']:11.6f}  {row['lon_deg']:11.6f}  "
        f"{row['heading_deg']:6.1f}°  {row['similarity']:10.3f}"
        for row in rows
    ]
    return "\n".join(lines)
