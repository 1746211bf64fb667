# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A town of random colours whose camera views are (cheaply) made from its own ground."""

import numpy as np

from geoloc_ros.training.data import Shard
from geoloc_ros.training.raster import Ortho


def toy_ortho(seed: int, side_m: int = 160) -> Ortho:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (side_m // 4, side_m // 4, 3))
    image = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    return Ortho(np.maximum(image, 1), -side_m / 2, side_m / 2, 0.5)


def toy_shard(seed: int, count: int, view: str = "perspective") -> Shard:
    rng = np.random.default_rng([seed, 1])
    ortho = toy_ortho(seed)
    poses = rng.uniform(-1, 1, (count, 3)) * [55.0, 55.0, np.pi]
    shape = (96, 192, 3) if view == "perspective" else (112, 112, 3)
    images = np.empty((count, *shape), np.uint8)
    columns = ((poses[:, 0] + 80.0) / 0.5).astype(int)
    rows = ((80.0 - poses[:, 1]) / 0.5).astype(int)
    images[:] = ortho.image[rows, columns][:, None, None, :]
    masks = np.ones((count, 112, 112), bool)
    masks[:, :20] = False
    anchors = poses + rng.normal(0, 0.3, poses.shape) * [1.0, 1.0, 0.05]
    layout = rng.integers(0, 5, (160, 160), np.uint8)
    return Shard(seed, "toy", (ortho, ortho), images, masks, poses, anchors, layout)
