# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc locate`: where could this one picture have been taken?"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoloc_ros.cli import priors
from geoloc_ros.errors import ConfigError

if TYPE_CHECKING:
    from geoloc_ros.datatypes import Float32Array, Image, View
    from geoloc_ros.encoders.package import ModelPackage
    from geoloc_ros.geo.place_mixture import PlaceMixture
    from geoloc_ros.index.atlas import Atlas, AtlasCandidates

HIGHEST_M = 10_000.0
MOST_PLACES = 100


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
        "--index",
        type=Path,
        required=True,
        action="append",
        help="index from 'geoloc index build'; given several times, all are searched together",
    )
    priors.add_options(parser)
    parser.add_argument(
        "--prior-use",
        choices=("both", "submaps", "rerank"),
        default="both",
        help="search likely towns more closely, put likely places first, or both (%(default)s)",
    )
    parser.add_argument("--model", help="model package; default: the one the index was built with")
    parser.add_argument(
        "--hfov",
        type=float,
        help="horizontal field of view, deg; 360: an equirectangular panorama, once round (90, "
        "for a model of panoramas 360)",
    )
    parser.add_argument("--pitch-down", type=float, default=0.0, help="camera looks down by, deg")
    parser.add_argument("--height", type=float, default=1.6, help="camera above ground, m")
    parser.add_argument("--top", type=int, default=10, help="how many places to list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.onnx_backend import OnnxEncoder
    from geoloc_ros.encoders.registry import find_model, find_model_by_sha
    from geoloc_ros.imagery.files import read_rgb
    from geoloc_ros.index.atlas import Atlas
    from geoloc_ros.index.manifest import load_manifest

    _check(arguments)
    if arguments.model:
        package = find_model(arguments.model)
    else:
        package = find_model_by_sha(load_manifest(arguments.index[0]).encoder_sha256)
    atlas = Atlas(arguments.index, package)
    prior = priors.mixture_of(arguments)
    views = _views(arguments, read_rgb(arguments.image), package, atlas)
    descriptors = OnnxEncoder(package).encode_query(np.stack([view.image for view in views]))
    softly = prior is not None and arguments.prior_use != "rerank"
    found = _search(atlas, views, descriptors, arguments.top, prior if softly else None)
    if prior is not None and arguments.prior_use != "submaps":
        found = _reranked(atlas, found, prior, package.calibration.temperature)
    rows = _rows(atlas, found.taken(np.arange(min(arguments.top, len(found)))))
    print(json.dumps(rows, indent=2) if arguments.json else _table(rows))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options out of bounds.

    Raises:
        ConfigError: says which.
    """
    if not 1 <= arguments.top <= MOST_PLACES:
        raise ConfigError(f"--top is {arguments.top}; it must lie in 1..{MOST_PLACES}")
    if not 0.0 < arguments.height <= HIGHEST_M:
        raise ConfigError(
            f"--height is {arguments.height:g} m; it must be above 0 and at most {HIGHEST_M:g} m"
        )


def _views(
    arguments: argparse.Namespace, rgb: Image, package: ModelPackage, atlas: Atlas
) -> list[View]:
    """What the encoder looks at: one view, or where tiles have north up, one turned every way.

    Raises:
        ConfigError: tiles have north up in some of the indexes only.
    """
    from geoloc_ros.cameras.models import CameraModel
    from geoloc_ros.cameras.views import make_views, mount_from_pitch
    from geoloc_ros.config import ViewConfig
    from geoloc_ros.yaw_hypotheses import YawHypotheses

    width, height = rgb.shape[1], rgb.shape[0]
    usual_deg = 360.0 if package.query.view == "panorama" else 90.0
    hfov_deg = usual_deg if arguments.hfov is None else arguments.hfov
    if hfov_deg == 360.0:
        camera = CameraModel.all_round(width, height)
    else:
        camera = CameraModel.from_hfov(width, height, hfov_deg)
    mount = mount_from_pitch(arguments.height, arguments.pitch_down)
    view = make_views(camera, mount, package).build(rgb, arguments.height)
    north_up = {manifest.policy.north_up for manifest in atlas.manifests}
    if len(north_up) > 1:
        raise ConfigError("some indexes hold tiles with north up, others do not; ask them apart")
    if north_up == {False}:
        return [view]
    return YawHypotheses(ViewConfig().yaw_step_deg, package.query.width_px).views(view, None)


def _search(
    atlas: Atlas,
    views: list[View],
    descriptors: Float32Array,
    top: int,
    prior: PlaceMixture | None,
) -> AtlasCandidates:
    """Places by the best of the views, with the poses that a vehicle has there."""
    from geoloc_ros.geo import se2
    from geoloc_ros.index.atlas import one_per_town_and_place

    found = []
    for view, descriptor in zip(views, descriptors, strict=True):
        candidates = atlas.search(descriptor, top, prior)
        poses = se2.compose(candidates.poses, se2.inverse(view.anchor))
        found.append(replace(candidates, poses=poses))
    return found[0] if len(found) == 1 else one_per_town_and_place(found)


def _reranked(
    atlas: Atlas, found: AtlasCandidates, prior: PlaceMixture, temperature: float
) -> AtlasCandidates:
    """Candidates ordered by similarity and prior."""
    from geoloc_ros.rerank.geographic import geographic_order

    log_prior = atlas.log_prior(prior, found)
    return found.taken(geographic_order(found.similarity, log_prior, temperature))


def _rows(atlas: Atlas, found: AtlasCandidates) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for rank, (town, pose, similarity) in enumerate(
        zip(found.towns, found.poses, found.similarity, strict=True), start=1
    ):
        position = atlas.manifests[town].frame.position(float(pose[0]), float(pose[1]))
        row = {
            "rank": rank,
            "lat_deg": round(position.lat_deg, 7),
            "lon_deg": round(position.lon_deg, 7),
            "heading_deg": round(float((90.0 - np.degrees(pose[2])) % 360.0), 1),
            "similarity": round(float(similarity), 4),
        }
        rows.append({**row, "index": str(atlas.paths[town])} if len(atlas) > 1 else row)
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["rank  latitude     longitude    heading  similarity"]
    lines += [
        f"{row['rank']:4.0f}  {row['lat_deg']:11.6f}  {row['lon_deg']:11.6f}  "
        f"{row['heading_deg']:6.1f}°  {row['similarity']:10.3f}  {row.get('index', '')}".rstrip()
        for row in rows
    ]
    return "\n".join(lines)
