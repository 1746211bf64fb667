# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The published encoders of Sample4Geo (Deuser, Habel, Oswald, ICCV 2023, arXiv 2303.11851).

One ConvNeXt-B describes both sides. Its checkpoints are state dicts: timm's names behind `model.`,
beside a `logit_scale` that only training needs. Sizes, colours and resizing are those of the
authors' evaluation scripts (github.com/Skyy93/Sample4Geo, commit 498c651: `eval_*.py`,
`sample4geo/transforms.py`): satellite pictures of 384 x 384, panoramas 768 wide, RGB, ImageNet's
mean and deviation, resized with OpenCV's INTER_LINEAR_EXACT.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.encoders.package import (
    Calibration,
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    file_sha256,
)
from geoloc_ros.training.convnext import ConvNext, ConvNextSpec
from geoloc_ros.training.importing.packing import Options
from geoloc_ros.training.importing.torch_net import pack_net
from geoloc_ros.training.importing.weights import load_into, read_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE_PX, WIDE_PX = 384, 768
PREFIX, SCALE = "model.", "logit_scale"
SOURCE = "Sample4Geo (arXiv 2303.11851), github.com/Skyy93/Sample4Geo"
LICENCE = "none stated by the authors; the terms of the training data hold, too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What the weights of one data set expect.

    Attributes:
        query: what the camera side looks at.
        extent_m: side of a satellite picture on the ground.
        extent_source: who says so.
        notes: what a user must know.
    """

    query: QuerySpec
    extent_m: float
    extent_source: str
    notes: tuple[str, ...] = ()


def _panorama(height_px: int, vfov_deg: float) -> QuerySpec:
    """A panorama with north in the middle, as all three data sets keep them."""
    return QuerySpec(
        view="panorama",
        height_px=height_px,
        width_px=WIDE_PX,
        hfov_deg=360.0,
        vfov_deg=vfov_deg,
        alignment="north",
    )


RECIPES: dict[str, Recipe] = {
    "vigor": Recipe(
        query=_panorama(384, 180.0),
        extent_m=71.0,
        extent_source="mean of the four cities, 65 to 76 m, as measured by SliceMatch (CVPR 2023)",
    ),
    "cvusa": Recipe(
        # rows of the published strip, 224 of 1232 columns: round(224 / 1232 * 768)
        query=_panorama(140, 360.0 * 224 / 1232),
        extent_m=55.0,
        extent_source="an estimate of the authors of Sat2StrPanoramaSynthesis (T-PAMI 2022)",
    ),
    "cvact": Recipe(
        query=_panorama(140, 180.0),
        extent_m=73.0,
        extent_source="600 px of 0.122 m, enlarged twice, as the data set's author remembers "
        "(github.com/Liumouliu/OriCNN, issue 5; a reader measured 68 m there)",
        notes=("The whole panorama, 832 x 1664 px, is pressed into 140 x 768.",),
    ),
    "university": Recipe(
        query=QuerySpec(view="ground_plane", height_px=SIDE_PX, width_px=SIDE_PX, extent_m=140.0),
        extent_m=140.0,
        extent_source="assumed: what a lens of 60 degrees sees from the lowest of the data set's "
        "flights, 121.5 m; the data set does not say",
        notes=(
            "Trained on oblique pictures of single buildings from rendered flights around them; "
            "a camera that looks straight down is the nearest this package has.",
        ),
    ),
}


def import_sample4geo(
    weights: Path,
    dataset: str,
    out: Path,
    options: Options,
    *,
    extent_m: float | None = None,
    command: str = "",
    net: ConvNextSpec | None = None,
) -> ModelPackage:
    """Make a model package of published weights.

    Args:
        weights: file as published (`weights_e40_0.7786.pth` and the like).
        dataset: a key of `RECIPES`.
        out: folder to make.
        options: of the import.
        extent_m: side of the satellite crops; None: the recipe's.
        command: for the card.
        net: another size of network, for trials; the published ones are ConvNeXt-B.

    Returns:
        The package, without calibration.

    Raises:
        ModelError: the file is no such checkpoint, there is something at `out`, or the export
            describes otherwise than the network.
    """
    tensors = read_weights(weights)
    with torch.device("meta"):  # the file's weights are all it needs
        network = ConvNext(net)
    load_into(network, tensors, weights, prefix=PREFIX, ignored=(SCALE,))
    draft = _draft(out, dataset, extent_m, weights.stem)
    training = {"command": command, "weights": {weights.name: file_sha256(weights)}}
    draft = dataclasses.replace(
        draft,
        calibration=_calibration(tensors.get(SCALE)),
        training={**training, **draft.training},
    )
    return pack_net(network, draft, out, options)


def _draft(out: Path, dataset: str, extent_m: float | None, version: str) -> ModelPackage:
    """The card of a data set's weights."""
    recipe = RECIPES[dataset]
    extent = extent_m or recipe.extent_m
    whose = "given by --extent-m" if extent_m else recipe.extent_source
    query = recipe.query
    if query.view == "ground_plane":
        query = dataclasses.replace(query, extent_m=extent)
    return ModelPackage(
        root=out,
        name=f"sample4geo-{dataset}",
        version=version[:100],
        query=query,
        reference=ReferenceSpec(size_px=SIDE_PX, extent_m=extent, offset_forward_m=0.0),
        mean=MEAN,
        std=STD,
        descriptor_dim=1,
        files={},
        licence=LICENCE,
        resize="linear_exact",
        training={
            "source": SOURCE,
            "dataset": dataset,
            "notes": [*recipe.notes, f"A satellite crop spans {extent:g} m: {whose}."],
        },
    )


def _calibration(scale: Tensor | None) -> Calibration:
    """None, with the temperature of the training's own softmax where the weights tell it."""
    if scale is None or scale.numel() != 1:
        return Calibration.none()
    return Calibration.none(min(max(math.exp(-float(scale)), 1e-3), 1.0))
