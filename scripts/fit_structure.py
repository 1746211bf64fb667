#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Make models/ground_structure: fit its principal components to overhead imagery and export it.

Example:
  python scripts/fit_structure.py --aerial PHOTOS --out models/ground_structure
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch  # noqa: TID253 - training

from geoloc_ros.encoders.package import Calibration, ReferenceSpec
from geoloc_ros.training.data import read_shard
from geoloc_ros.training.overhead import read_photos
from geoloc_ros.training.raster import prepare
from geoloc_ros.training.structure import EXTENT_M, SIZE_PX
from geoloc_ros.training.structure_recipe import export_structure, fit_structure
from geoloc_ros.training.worlds import TRAIN_SEED, WorldConfig, render_towns

TOWNS = 8
#: similarities on a real flight 50 m up: at the true pose, and at 300 random poses per picture
CALIBRATION = Calibration(
    temperature=0.026,
    background=-0.003,
    background_sigma=0.084,
    matched=0.38,
    matched_sigma=0.088,
    confirm_evidence=16.0,
    fitted_on="real development flight, 118 pictures, 300 wrong poses each",
)


def main() -> None:
    """Fit and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--aerial", type=Path, required=True, help="folder of photos by site")
    parser.add_argument("--towns", type=Path, default=Path("out/train/towns"), help="cache")
    parser.add_argument("--out", type=Path, default=Path("models/ground_structure"))
    parser.add_argument("--patches", type=int, default=3072)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    seeds = range(TRAIN_SEED, TRAIN_SEED + TOWNS)
    folders = render_towns(list(seeds), WorldConfig(), arguments.towns, 2)
    spec = ReferenceSpec(size_px=SIZE_PX, extent_m=EXTENT_M, offset_forward_m=0.0)
    orthos = [prepare(read_shard(folder, "oblique").orthos[0], spec) for folder in folders]
    photos = read_photos(arguments.aerial)
    encoder = fit_structure(photos, orthos, arguments.patches, arguments.seed)
    training = {
        "command": "python scripts/fit_structure.py --aerial PHOTOS",
        "what": "256 principal components, whitening 0.5, of 8 designed channels; no pairs",
        "patches": arguments.patches,
        "seed": arguments.seed,
        "train_seeds": list(seeds),
        "aerial_sites": sorted({photo.site for photo in photos}),
        "aerial_source": "OpenDroneMap sample sets, CC0",
    }
    export_structure(encoder, arguments.out, training, CALIBRATION)


if __name__ == "__main__":
    main()
