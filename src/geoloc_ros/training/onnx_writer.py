# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A torch encoder as an ONNX file that the vehicle's runtime takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

OPSET = 17


def write_onnx(encoder: nn.Module, example: Tensor, path: Path, *, any_size: bool = False) -> None:
    """Write a network as ONNX: `image` (N, 3, H, W) -> `descriptor` (N, D), any N.

    Args:
        encoder: the network, in evaluation mode.
        example: (n, 3, H, W) to follow through it.
        path: file to write.
        any_size: leave H and W open; the network must not care.
    """
    free = {0: "N", 2: "H", 3: "W"} if any_size else {0: "N"}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder, (example,), str(path), dynamo=False, opset_version=OPSET,
            input_names=["image"], output_names=["descriptor"],
            dynamic_axes={"image": free, "descriptor": {0: "N"}},
        )  # fmt: skip
