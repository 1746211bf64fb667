# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From overhead imagery to the package of the structure encoder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.encoders.package import (
    Calibration,
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    file_sha256,
)
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.export import export_onnx
from geoloc_ros.training.nets import MEAN, STD
from geoloc_ros.training.overhead import Photo, cluster_poses, photo_ortho
from geoloc_ros.training.raster import Ortho, cut
from geoloc_ros.training.structure import DIM, EXTENT_M, SIZE_PX, StructureEncoder

LOG = logging.getLogger(__name__)
VERSION = "0.1.0"
#: edges of each direction, plants, brightness
WEIGHTS = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.5, 1.5)
WHITENING = 0.5
_BATCH = 32


def fit_structure(
    photos: Sequence[Photo],
    orthos: Sequence[Ortho],
    patches: int = 3072,
    seed: int = 1,
    dim: int = DIM,
) -> StructureEncoder:
    """Fit the principal components to patches of photos and made towns, half and half.

    Args:
        photos: real aerial photos, taken as orthophotos of random scale.
        orthos: orthophotos of made towns.
        patches: how many.
        seed: of places and scales.
        dim: length of the descriptor.

    Raises:
        TrainingError: no imagery, or fewer patches than components.
    """
    if not photos and not orthos:
        raise TrainingError("no overhead imagery to fit to; give --aerial PHOTOS or made towns")
    if patches < 4 * dim:
        raise TrainingError(f"{patches} patches are too few for {dim} components; give {4 * dim}")
    rng = np.random.default_rng(seed)
    spec = ReferenceSpec(size_px=SIZE_PX, extent_m=EXTENT_M, offset_forward_m=0.0)
    batches = []
    for _ in range(-(-patches // _BATCH)):
        if photos and (not orthos or rng.random() < 0.5):
            ortho = photo_ortho(photos[int(rng.integers(len(photos)))], EXTENT_M, rng)
        else:
            ortho = orthos[int(rng.integers(len(orthos)))]
        poses = cluster_poses(ortho, EXTENT_M, _BATCH, rng)
        batches.append(normalised(cut(ortho, poses, spec)))
    encoder = StructureEncoder(dim).eval()
    encoder.fit(batches, torch.tensor(WEIGHTS), WHITENING)
    return encoder


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    """Pixels (N, H, W, 3) as an encoder eats them, (N, 3, H, W)."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def export_structure(
    encoder: StructureEncoder,
    root: Path,
    training: dict[str, Any],
    calibration: Calibration | None = None,
) -> ModelPackage:
    """Write `query.onnx`, `reference.onnx` and `model.json`.

    Raises:
        TrainingError: the exported graph differs from the network.
    """
    root.mkdir(parents=True, exist_ok=True)
    names = ("query.onnx", "reference.onnx")
    parity = max(export_onnx(encoder, SIZE_PX, SIZE_PX, root / name) for name in names)
    package = ModelPackage(
        root=root,
        name="geoloc-ground-structure",
        version=VERSION,
        query=QuerySpec(
            view="ground_plane", height_px=SIZE_PX, width_px=SIZE_PX, extent_m=EXTENT_M
        ),
        reference=ReferenceSpec(size_px=SIZE_PX, extent_m=EXTENT_M, offset_forward_m=0.0),
        mean=MEAN,
        std=STD,
        descriptor_dim=len(encoder.projection),
        files={name: file_sha256(root / name) for name in names},
        calibration=calibration or Calibration(),
        training={**training, "onnx_parity": float(f"{parity:.1e}")},
    )
    package.save()
    LOG.info("exported %s, parity %.1e", root, parity)
    return package
