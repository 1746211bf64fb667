# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From a torch network that describes both sides to a model package."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from tqdm import tqdm

from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.card_rules import SHARED_FILE
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError, first_line
from geoloc_ros.training.importing.packing import Expected, Options, finish, new_folder
from geoloc_ros.training.importing.parity import Probe
from geoloc_ros.training.onnx_writer import OPSET, write_onnx


class UnitLength(nn.Module):
    """A network whose features (N, D) become unit descriptors."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Describe normalised pictures (N, 3, H, W)."""
        return F.normalize(self.net(image), dim=1)


class Half(nn.Module):
    """A layer that computes in half precision; what goes in and comes out is float32."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.half()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's answer."""
        out: Tensor = self.layer(x.half()).float()
        return out


def halve(net: nn.Module) -> None:
    """Let convolutions and linear layers compute in half precision, as torch's autocast does.

    Everything between them, normalisation, residual sums and the unit length, stays in float32.
    """
    for name, child in net.named_children():
        if isinstance(child, nn.Conv2d | nn.Linear):
            setattr(net, name, Half(child))
        else:
            halve(child)


def pack_net(net: nn.Module, draft: ModelPackage, out: Path, options: Options) -> ModelPackage:
    """Write the package of a network that describes views and satellite crops alike.

    One file serves both sides; where they differ in size, it leaves rows and columns open.

    Args:
        net: normalised pictures (N, 3, H, W) to features (N, D); used up by `fp16`.
        draft: the card, without files.
        out: folder to make.
        options: of the import.

    Returns:
        The package in `out`.

    Raises:
        ModelError: there is something at `out`, the network gives no features or cannot be
            exported, or the export describes otherwise.
    """
    described = UnitLength(net).eval()
    probe = Probe.of(draft, options.images, options.seed)
    query, side = draft.query, draft.reference.size_px
    with new_folder(out) as folder:
        with tqdm(total=2 * options.images, desc="describe", unit="picture") as bar:
            expected = Expected(
                _describe(described, probe.views, draft, bar),
                _describe(described, probe.crops, draft, bar),
            )
        if options.precision == "fp16":
            halve(described)
        same = (query.height_px, query.width_px) == (side, side)
        example = torch.zeros(2, 3, query.height_px, query.width_px)
        try:
            write_onnx(described, example, folder / SHARED_FILE, any_size=not same)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ModelError(
                f"{draft.name} cannot be written as ONNX: {first_line(error)}; export it yourself "
                "and use 'geoloc model import onnx'"
            ) from error
        draft = dataclasses.replace(draft, training={**draft.training, "onnx_opset": OPSET})
        package = _proved(draft, folder, probe, expected, options, same)
    return dataclasses.replace(package, root=out)


def _proved(
    draft: ModelPackage,
    folder: Path,
    probe: Probe,
    expected: Expected,
    options: Options,
    same: bool,
) -> ModelPackage:
    """`finish`, which says more where one file had to take two sizes."""
    try:
        return finish(draft, folder, probe, expected, options)
    except ModelError as error:
        if same:
            raise
        raise ModelError(
            f"{error}. One file had to take two sizes of pictures, which not every network "
            "bears: give both sides one size in the card, or export a file for each and use "
            "'geoloc model import onnx'"
        ) from error


@torch.no_grad()
def _describe(net: nn.Module, images: Image, card: ModelPackage, bar: tqdm[Any]) -> Float32Array:
    """Unit descriptors (N, D) of pictures (N, H, W, 3) uint8, one after the other."""
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (card.mean, card.std))
    rows = []
    for image in images:
        pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255.0
        try:
            row: Tensor = net(((pixels - mean) / std)[None])
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            raise ModelError(
                f"{card.name} does not take pictures of {image.shape[0]} x {image.shape[1]} px: "
                f"{first_line(error)}; mend the sizes in the card"
            ) from error
        if row.ndim != 2:
            raise ModelError(
                f"{card.name} gives {tuple(row.shape)} where one row of features a picture is "
                "expected; it must end with pooling and without a classifier"
            )
        rows.append(row[0].numpy())
        bar.update()
    return np.stack(rows)
