# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Self-distillation with a limited field of view, after GeoDistill (arXiv 2507.10935).

A teacher, the averaged weights, sees the whole view; the student sees a window of it and is to
find alike the same places. The teacher is made surer than the student (temperatures 0.09 and 0.2
there). There, the student's prediction is a map of one tile; here, it is the similarity to every
reference of the batch, wrong poses close by among them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor  # noqa: TID253

from geoloc_ros.encoders.package import QuerySpec
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.draws import Draws, Part, Rng

SHARPEN = 0.2 / 0.09
# Share of a view's columns that the student sees. Of a panorama a third to a half, as there; a
# perspective view is narrow already.
WINDOW = {"panorama": (1 / 3, 1 / 2), "perspective": (1 / 2, 3 / 4)}
# Beyond the numbers of a batch's rows, so that their draws do not meet.
_ROWS_FROM = 1_000_000


def window(spec: QuerySpec, rng: Rng) -> npt.NDArray[np.bool_]:
    """Columns (W,) of a view that stay visible: one window, which may wrap around a panorama.

    Raises:
        TrainingError: a view whose columns are no bearings.
    """
    if spec.view not in WINDOW:
        raise TrainingError(
            f"a {spec.view} view has no columns that can be hidden by bearing; train it without "
            "--self-distil"
        )
    width = spec.width_px
    seen = round(width * rng.uniform(*WINDOW[spec.view]))
    wraps = spec.view == "panorama"
    first = int(rng.integers(width if wraps else width - seen + 1))
    columns = np.zeros(width, np.bool_)
    columns[(first + np.arange(seen)) % width] = True
    return columns


def hidden(pictures: Tensor, spec: QuerySpec, draws: Draws, part: Part) -> Tensor:
    """Normalised views (n, 3, H, W) of which each shows a window; the rest is the mean colour.

    Args:
        pictures: this process's part of a batch.
        spec: what they are.
        draws: of the step.
        part: which part it is.
    """
    first = part.rank * len(pictures)
    rows = [window(spec, draws.row(_ROWS_FROM + first + i)) for i in range(len(pictures))]
    columns = torch.from_numpy(np.stack(rows)).to(pictures)
    return pictures * columns[:, None, None, :]
