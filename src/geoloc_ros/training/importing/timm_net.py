# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Any encoder of timm (the extra `timm`), with weights of others, to a model package."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn  # noqa: TID253 - this room is torch; nothing onboard imports it

from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import ModelError
from geoloc_ros.training.importing.card import Card
from geoloc_ros.training.importing.packing import Options
from geoloc_ros.training.importing.torch_net import pack_net
from geoloc_ros.training.importing.weights import load_into, read_weights

#: what wrappers of timm's networks keep beside them for their loss
LOSS_ONLY = ("logit_scale",)


def import_timm(
    name: str,
    weights: Path,
    card: Card,
    out: Path,
    options: Options,
    *,
    prefix: str = "",
    command: str = "",
) -> ModelPackage:
    """Make a model package of a network of timm that describes both sides.

    Args:
        name: as timm knows it, for example `convnext_tiny.fb_in22k_ft_in1k`.
        weights: state dict of it without a classifier (`num_classes=0`).
        card: sizes and colours.
        out: folder to make.
        options: of the import.
        prefix: what the names in `weights` begin with, for example `model.`.
        command: for the package's card.

    Returns:
        The package, without calibration.

    Raises:
        ModelError: timm has no such network or is not installed, the weights do not fit, or the
            export describes otherwise than the network.
    """
    net, version = _create(name, card)
    load_into(net, read_weights(weights), weights, prefix=prefix, ignored=LOSS_ONLY)
    training = {
        "command": command,
        "source": card.source,
        "network": f"timm {version}, {name}",
        "weights": {weights.name: file_sha256(weights)},
    }
    draft = dataclasses.replace(card.draft, training=training)
    return pack_net(net, draft, out, options)


def _create(name: str, card: Card) -> tuple[nn.Module, str]:
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            "importing a network of timm needs timm; install it with: pip install "
            "'geoloc_ros[timm]', or export the network to ONNX where timm is and use 'geoloc "
            "model import onnx'"
        ) from error
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:6]
        raise ModelError(f"timm has no network {name!r}; near ones: {', '.join(near) or 'none'}")
    query = card.draft.query
    plain = {"pretrained": False, "num_classes": 0}
    try:  # networks with a position for every patch are made for one size; others know no size
        net = timm.create_model(name, **plain, img_size=(query.height_px, query.width_px))
    except TypeError:
        net = timm.create_model(name, **plain)
    return net, str(timm.__version__)
