# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A Sample4Geo checkpoint of a small ConvNeXt, and cards."""

from pathlib import Path

import torch  # noqa: TID253 - who imports this has torch
import yaml

from geoloc_ros.training.convnext import ConvNext, ConvNextSpec
from geoloc_ros.training.importing.made import made_weights

SMALL = ConvNextSpec(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32))


def checkpoint(path: Path, spec: ConvNextSpec = SMALL, **changes) -> Path:
    """As published: names behind `model.`, and the scale of the loss; a change of None removes."""
    weights = {f"model.{k}": v for k, v in made_weights(ConvNext(spec), 1).items()}
    weights = {**weights, "logit_scale": torch.tensor(4.6), **changes}
    torch.save({k: v for k, v in weights.items() if v is not None}, path)
    return path


def card_content(**changes) -> dict:
    content = {
        "name": "mine",
        "version": "1",
        "licence": "MIT",
        "source": "https://example.org",
        "query": {"view": "perspective", "height_px": 32, "width_px": 64, "hfov_deg": 90.0},
        "reference": {"size_px": 48, "extent_m": 72.0, "offset_forward_m": 30.0},
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.25, 0.3],
        "resize": "pillow_bicubic",
    }
    return {**content, **changes}


def write_card(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump(card_content(**changes)))
    return path
