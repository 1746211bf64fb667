# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures as networks take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor  # noqa: TID253

from geoloc_ros.training.augment import normalise
from geoloc_ros.training.nets import MEAN, STD

Colour = tuple[float, float, float]


def to_tensor(images: npt.NDArray[np.uint8], mean: Colour = MEAN, std: Colour = STD) -> Tensor:
    """Images (N, H, W, 3) uint8 -> normalised (N, 3, H, W), channels last."""
    return torch.from_numpy(normalise(images, mean, std))


def fitted(pictures: Tensor, height: int, width: int) -> Tensor:
    """Pictures (N, 3, H, W) of the size an encoder takes; larger ones are averaged down."""
    if pictures.shape[2:] == (height, width):
        return pictures
    return F.interpolate(pictures, (height, width), mode="bilinear", antialias=True)
