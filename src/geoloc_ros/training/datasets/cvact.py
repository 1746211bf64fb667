# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""CVACT: Canberra, panorama and satellite picture of each place, positions in metres.

Liu and Li, "Lending Orientation to Neural Networks for Cross-view Geo-localization", CVPR 2019;
layout and `ACT_data.mat` as the programs of github.com/Liumouliu/OriCNN read them. `test` is their
`valSetAll`: there a find counts when it lies within 5 m (`RecallGeo.m`); most later papers count
the very picture. The archives lack a few pictures of the lists.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros.errors import DatasetError, first_line
from geoloc_ros.training.datasets.base import (
    IntArray,
    Pictures,
    Places,
    Related,
    Split,
    duplicates,
)
from geoloc_ros.training.datasets.findings import Findings

LAYOUT = """\
ACT_data.mat                                         panoIds, utm, trainSet, valSet, valSetAll
ANU_data_small/streetview/ID_grdView.jpg             panorama, north in the middle: train and val
ANU_data_small/satview_polish/ID_satView_polish.jpg  satellite
ANU_data_test/streetview/ID_grdView.jpg              the same of test
ANU_data_test/satview_polish/ID_satView_polish.jpg"""

SPLITS = ("val", "test", "train")
#: split -> folder, and set and field of ACT_data.mat with one-based rows
_PARTS = {
    "train": ("ANU_data_small", "trainSet", "trainInd"),
    "val": ("ANU_data_small", "valSet", "valInd"),
    "test": ("ANU_data_test", "valSetAll", "valInd"),
}


def read(root: Path, split: str, found: Findings) -> Split:
    """Read one split; each panorama has one right satellite picture.

    Raises:
        DatasetError: `ACT_data.mat` is missing or is not what it should be.
    """
    folder, group, field = _PARTS[split]
    path = root / "ACT_data.mat"
    found.need("lists missing, expected", [path])
    found.stop_if_any()
    ids, utm_m, rows = _table(path, group, field)
    ids = [ids[row] for row in rows]
    for name in duplicates(ids):
        found.add(f"names stand more than once in {path.name}", name)
    found.stop_if_any()
    places = Places(utm_m[rows], "m", "UTM as in ACT_data.mat")
    north = np.zeros(len(ids))
    small = root / folder
    return Split(
        dataset="cvact",
        name=split,
        root=root,
        queries=Pictures(
            paths=tuple(small / "streetview" / f"{name}_grdView.jpg" for name in ids),
            ids=tuple(ids),
            view="panorama",
            places=places,
            heading_deg=north,
            hfov_deg=360.0,
            vfov_deg=180.0,
        ),
        references=Pictures(
            paths=tuple(small / "satview_polish" / f"{name}_satView_polish.jpg" for name in ids),
            ids=tuple(ids),
            view="overhead",
            places=places,
            heading_deg=north,
        ),
        positives=Related([row] for row in range(len(ids))),
        semi_positives=Related([] for _ in ids),
    )


def _table(path: Path, group: str, field: str) -> tuple[list[str], Any, IntArray]:
    """All names, their positions (N, 2) in metres, and the zero-based rows of one set."""
    from scipy.io import loadmat

    try:
        content = loadmat(str(path))
        ids = [str(np.squeeze(name)) for name in np.ravel(content["panoIds"])]
        utm_m = np.asarray(content["utm"], dtype=np.float64)
        rows = np.ravel(content[group][field][0][0]).astype(np.int64) - 1
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise DatasetError(
            f"{path} is not the table of CVACT: {type(error).__name__}: {first_line(error)}; it "
            f"needs panoIds, utm and {group}.{field}; fetch it again"
        ) from error
    if utm_m.shape != (len(ids), 2) or not len(rows):
        raise DatasetError(
            f"{path} has {len(ids)} panoIds, utm of shape {utm_m.shape} and {len(rows)} rows in "
            f"{group}; fetch it again"
        )
    if rows.min() < 0 or rows.max() >= len(ids):
        raise DatasetError(
            f"{path}: {group}.{field} names row {rows.max() + 1} of {len(ids)}; fetch it again"
        )
    return ids, utm_m, rows
