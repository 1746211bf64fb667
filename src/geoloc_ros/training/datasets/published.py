# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Published figures, to be printed beside our own. In percent, as published.

Every row was read in the place it names; where that is not the paper itself, it says so. The names
of figures are those of `score.percentages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One row of somebody's table.

    Attributes:
        method: its name, with venue and year.
        source: where it was read.
        figures: name -> percent.
    """

    method: str
    source: str
    figures: Mapping[str, float]


_UNIVERSITY = "State-of-the-art page of github.com/layumi/University1652-Baseline (by the authors)"
_FRGEO = "Model Zoo of github.com/zqwlearning/FRGeo (by the authors)"
_GEO2 = "quoted in a summary of Geo2 (Zhang et al., CVPR 2026), its table 2"
_WEIGHTS = "file name of the weights in eval_*.py of github.com/Skyy93/Sample4Geo (by the authors)"
_GEOCLIP = "table 1 of GeoCLIP, quoted by three public comparisons that agree"
_GEO_R = "quoted in a summary of Geo-R (IM2GPS3k table)"

#: (data set, split) -> rows
_ROWS: dict[tuple[str, str], list[tuple[str, str, str]]] = {
    ("vigor", "same-test"): [
        ("FRGeo, AAAI 2024", _FRGEO, "R@1 71.26 R@5 91.38 R@10 94.32 R@1% 99.52 hit 82.41"),
        ("Sample4Geo, ICCV 2023", _GEO2, "R@1 77.86"),
        ("Geo2, CVPR 2026", _GEO2, "R@1 81.59"),
        ("Sample4Geo, released weights", _WEIGHTS, "R@1 77.86"),
    ],
    ("vigor", "cross-test"): [
        ("FRGeo, AAAI 2024", _FRGEO, "R@1 37.54 R@5 59.58 R@10 67.34 R@1% 94.28 hit 40.66"),
        ("Sample4Geo, ICCV 2023", _GEO2, "R@1 61.70"),
        ("Geo2, CVPR 2026", _GEO2, "R@1 66.71"),
        ("Sample4Geo, released weights", _WEIGHTS, "R@1 61.09"),
    ],
    ("cvusa", "val"): [
        ("SAFA (polar), NeurIPS 2019", _UNIVERSITY, "R@1 89.84 R@5 96.93 R@10 98.14 R@1% 99.64"),
        ("TransGeo, CVPR 2022", _UNIVERSITY, "R@1 94.08 R@5 98.36 R@10 99.04 R@1% 99.77"),
        ("FRGeo, AAAI 2024", _FRGEO, "R@1 97.06 R@5 99.25 R@10 99.47 R@1% 99.85"),
        ("Sample4Geo, ICCV 2023", _UNIVERSITY, "R@1 98.68 R@5 99.68 R@10 99.78 R@1% 99.87"),
        ("Sample4Geo, released weights", _WEIGHTS, "R@1 98.68"),
    ],
    ("cvact", "val"): [
        ("SAFA (polar), NeurIPS 2019", _UNIVERSITY, "R@1 81.03 R@5 92.80 R@10 94.84 R@1% 98.17"),
        ("TransGeo, CVPR 2022", _UNIVERSITY, "R@1 84.95 R@5 94.14 R@10 95.78 R@1% 98.37"),
        ("FRGeo, AAAI 2024", _FRGEO, "R@1 90.35 R@5 96.45 R@10 97.25 R@1% 98.74"),
        ("Sample4Geo, ICCV 2023", _UNIVERSITY, "R@1 90.81 R@5 96.74 R@10 97.48 R@1% 98.77"),
        ("Sample4Geo, released weights", _WEIGHTS, "R@1 90.81"),
    ],
    ("cvact", "test"): [("Geo2, CVPR 2026", _GEO2, "R@1 75.08")],
    ("university", "drone-to-satellite"): [
        ("Instance loss, TOMM 2020", _UNIVERSITY, "R@1 58.23 AP 62.91"),
        ("LPN, TCSVT 2021", _UNIVERSITY, "R@1 75.93 AP 79.14"),
        ("MCCG, TCSVT 2023", _UNIVERSITY, "R@1 89.64 AP 91.32"),
        ("Sample4Geo, ICCV 2023", _UNIVERSITY, "R@1 92.65 AP 93.81"),
        ("DAC, TCSVT 2024", _UNIVERSITY, "R@1 94.67 AP 95.50"),
    ],
    ("university", "satellite-to-drone"): [
        ("Instance loss, TOMM 2020", _UNIVERSITY, "R@1 74.47 AP 59.45"),
        ("LPN, TCSVT 2021", _UNIVERSITY, "R@1 86.45 AP 74.79"),
        ("MCCG, TCSVT 2023", _UNIVERSITY, "R@1 94.30 AP 89.39"),
        ("Sample4Geo, ICCV 2023", _UNIVERSITY, "R@1 95.14 AP 91.39"),
        ("DAC, TCSVT 2024", _UNIVERSITY, "R@1 96.43 AP 93.79"),
    ],
    ("im2gps3k", "test"): [
        (
            "GeoCLIP, NeurIPS 2023",
            _GEOCLIP,
            "<1km 14.11 <25km 34.47 <200km 50.65 <750km 69.67 <2500km 83.82",
        ),
        (
            "PIGEON, CVPR 2024",
            _GEO_R,
            "<1km 11.3 <25km 36.7 <200km 53.8 <750km 72.4 <2500km 85.3",
        ),
        (
            "G3, NeurIPS 2024",
            _GEO_R,
            "<1km 16.65 <25km 40.94 <200km 55.56 <750km 71.24 <2500km 84.68",
        ),
    ],
}


def published(dataset: str, split: str) -> tuple[Published, ...]:
    """Rows of a split; none where nobody's figures are known here."""
    return tuple(
        Published(method, source, _figures(text))
        for method, source, text in _ROWS.get((dataset, split), [])
    )


def _figures(text: str) -> dict[str, float]:
    words = text.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}
