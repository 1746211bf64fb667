# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Begin a training with the weights of a trained package, whose pictures may have another size.

The ONNX files hold every convolution with its normalisation folded in. A normalisation layer that
does nothing but add the folded bias is put behind each, then given the statistics of real pictures
without changing what the network answers, so that it can be trained on. Heads that flatten rows or
columns are resampled where the picture has grown (progressive resizing).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import ModelError, TrainingError
from geoloc_ros.training.nets import ColumnHead, EncoderPair

Weights = list[tuple[Tensor, Tensor]]


def start_from(pair: EncoderPair, package: ModelPackage) -> None:
    """Give a pair of encoders the weights of a package of the same kind.

    Args:
        pair: weights are replaced.
        package: the trained one.

    Raises:
        TrainingError: it is of another kind or architecture.
    """
    if package.query.view != pair.kind:
        raise TrainingError(
            f"{package.root} is a {package.query.view} model; start a {pair.kind} training from "
            f"a {pair.kind} model"
        )
    _load(pair.query, package.root / package.query_file)
    if pair.reference is not pair.query:
        _load(pair.reference, package.root / package.reference_file)


@torch.no_grad()
def _load(encoder: nn.Module, path: Path) -> None:
    found = _read(path)
    *convolutions, projection = [
        m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    if len(found) != len(convolutions) + 1:
        raise TrainingError(
            f"{path} has {len(found)} layers with weights, this architecture "
            f"{len(convolutions) + 1}; start from a package of the same architecture"
        )
    for layer, norm, (weight, bias) in zip(convolutions, norms, found, strict=False):
        _take(layer, _fit(weight, layer.weight.shape), path)
        norm.weight.fill_(1.0)
        norm.bias.copy_(bias)
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]
    weight, bias = found[-1]
    head = encoder.head
    columns = head.column.out_channels if isinstance(head, ColumnHead) else 0
    _take(projection, _fit_columns(weight, projection.weight.shape, columns), path)
    projection.bias.copy_(bias)  # type: ignore[union-attr]


def _take(layer: nn.Module, weight: Tensor, path: Path) -> None:
    wanted: Any = layer.weight
    if weight.shape != wanted.shape:
        raise TrainingError(
            f"{path} has a layer of shape {tuple(weight.shape)} where this architecture has "
            f"{tuple(wanted.shape)}; start from a package of the same architecture"
        )
    wanted.copy_(weight)


def _read(path: Path) -> Weights:
    """Weight and bias of each convolution and projection, in the order they are applied."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's errors share no public base
        raise ModelError(f"cannot read {path}: {error}; export the model again") from error
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight, bias = (arrays[name].astype(np.float32) for name in node.input[1:3])
            layers.append((torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())))
    return layers


def _fit(weight: Tensor, shape: torch.Size) -> Tensor:
    """Resample the rows of a (C, K, rows, 1) column code; anything else as it is."""
    if weight.shape[3] != 1 or weight.shape[2] == shape[2] or shape[3] != 1:
        return weight
    grown = F.interpolate(weight, (shape[2], 1), mode="bilinear", align_corners=False)
    return grown * (weight.shape[2] / shape[2])


def _fit_columns(weight: Tensor, shape: torch.Size, code: int) -> Tensor:
    """Resample the columns of a projection (D, code * columns)."""
    if weight.shape == shape or not code or weight.shape[1] % code:
        return weight
    old = weight.reshape(len(weight), code, -1)
    columns = shape[1] // code
    grown: Tensor = F.interpolate(old, columns, mode="linear", align_corners=False)
    return grown.reshape(shape) * (old.shape[2] / columns)


@torch.no_grad()
def settle(encoder: nn.Module, images: Tensor) -> None:
    """Give the normalisation layers the statistics of pictures; answers stay what they are.

    Args:
        encoder: with layers as `start_from` leaves them.
        images: (N, 3, H, W) normalised pictures as they come in training.
    """

    def adopt(norm: Any, inputs: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - of hooks
        variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - gain * norm.running_mean
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(gain * torch.sqrt(variance + norm.eps))
        norm.bias.copy_(shift + gain * mean)

    hooks = [
        m.register_forward_pre_hook(adopt)
        for m in encoder.modules()
        if isinstance(m, nn.BatchNorm2d)
    ]
    encoder.eval()
    encoder(images)
    for hook in hooks:
        hook.remove()
