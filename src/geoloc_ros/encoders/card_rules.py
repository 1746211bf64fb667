# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What must hold for the values of a model card."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from operator import attrgetter, eq
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from geoloc_ros.encoders.resizing import RESIZES
from geoloc_ros.errors import ModelError, shown

if TYPE_CHECKING:
    from geoloc_ros.encoders.package import ModelPackage

#: names of a package's files
QUERY_FILE = "query.onnx"
REFERENCE_FILE = "reference.onnx"
#: in the place of the two: one network that describes views and satellite crops alike
SHARED_FILE = "encoder.onnx"
#: fields of a query that say nothing of other views -> what they are there
OF_PANORAMAS: dict[str, float | str] = {
    "vfov_deg": 0.0,
    "centre_elevation_deg": 0.0,
    "centre_azimuth_deg": 0.0,
    "alignment": "",
}


def _finite(value: object, low: float = -sys.float_info.max) -> bool:
    """Whether it is a number (a bool is none) of at least `low`, neither infinite nor NaN."""
    return type(value) in (int, float) and low <= cast(float, value) <= sys.float_info.max


def _positive(value: object) -> bool:
    return _finite(value, sys.float_info.min)


def _name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200


def _sha256_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(r"\w[\w.-]{0,99}", name, re.ASCII)
        and isinstance(digest, str)
        and re.fullmatch("[0-9a-f]{64}", digest)
        for name, digest in value.items()
    )


def _one_set_of_files(value: dict[str, str]) -> bool:
    return SHARED_FILE not in value or not {QUERY_FILE, REFERENCE_FILE} & set(value)


_Rule = tuple[Callable[[Any], bool], str]
_NAME: _Rule = (_name, "one line of 1 to 200 characters")
_FINITE: _Rule = (_finite, "a finite number")
_NOT_NEGATIVE: _Rule = (lambda v: _finite(v, 0.0), "a finite number of at least 0")
_POSITIVE: _Rule = (_positive, "a finite number above 0")
_COUNT: _Rule = (lambda v: type(v) is int and 1 <= v <= 10_000, "a whole number in 1..10000")
_MAPPING: _Rule = (lambda v: isinstance(v, dict), "a mapping")
#: field -> what it must be
_RULES: dict[str, _Rule] = {
    "name": _NAME,
    "version": _NAME,
    "licence": _NAME,
    "query.view": (
        lambda v: v in ("perspective", "ground_plane", "panorama"),
        "perspective, ground_plane or panorama",
    ),
    "query.height_px": _COUNT,
    "query.width_px": _COUNT,
    "query.hfov_deg": _FINITE,
    "query.extent_m": _FINITE,
    "query.vfov_deg": _FINITE,
    "query.centre_elevation_deg": _FINITE,
    "query.centre_azimuth_deg": _FINITE,
    "reference.size_px": _COUNT,
    "reference.extent_m": _POSITIVE,
    "reference.offset_forward_m": _FINITE,
    "mean": (
        lambda v: len(v) == 3 and all(_finite(x, 0.0) and x <= 1.0 for x in v),
        "3 numbers in 0..1",
    ),
    "std": (lambda v: len(v) == 3 and all(_positive(x) for x in v), "3 finite numbers above 0"),
    "descriptor_dim": _COUNT,
    "files": (
        lambda v: _sha256_by_name(v) and _one_set_of_files(v),
        "file names without folders, each with 64 hex digits of sha256; "
        f"{SHARED_FILE}, or {QUERY_FILE} and {REFERENCE_FILE}",
    ),
    "metric": (lambda v: v == "cosine", "cosine"),
    "channel_order": (lambda v: v == "RGB", "RGB"),
    "resize": (lambda v: isinstance(v, str) and v in RESIZES, f"one of {', '.join(RESIZES)}"),
    "calibration.temperature": _POSITIVE,
    "calibration.background": _FINITE,
    "calibration.background_sigma": _NOT_NEGATIVE,
    "calibration.matched": _FINITE,
    "calibration.matched_sigma": _NOT_NEGATIVE,
    "calibration.covariance_scale": _POSITIVE,
    "calibration.confirm_evidence": _NOT_NEGATIVE,
    "calibration.confirm_scale": _NOT_NEGATIVE,
    "calibration.confirm_entries": _POSITIVE,
    "calibration.fitted_on": (lambda v: isinstance(v, str), "text"),
    "training": _MAPPING,
    "scores": _MAPPING,
}
_NO_PANORAMA: dict[str, _Rule] = {
    f"query.{name}": (partial(eq, nothing), f"{nothing!r} but for panoramas")
    for name, nothing in OF_PANORAMAS.items()
}
#: what else must hold for a view
_RULES_OF_VIEW: dict[str, dict[str, _Rule]] = {
    "perspective": {
        "query.hfov_deg": (lambda v: 0.0 < v < 180.0, "above 0 and below 180 degrees"),
        **_NO_PANORAMA,
    },
    "ground_plane": {"query.extent_m": _POSITIVE, **_NO_PANORAMA},
    "panorama": {
        "query.hfov_deg": (lambda v: v == 360.0, "360 degrees for a panorama"),
        "query.vfov_deg": (lambda v: 0.0 < v <= 180.0, "above 0 and at most 180 degrees"),
        "query.elevations_deg": (
            lambda v: v[0] >= -90.0 and v[1] <= 90.0,
            "within -90..90 degrees: centre_elevation_deg and half of vfov_deg above and below it",
        ),
        "query.centre_azimuth_deg": (lambda v: 0.0 <= v < 360.0, "0 to below 360 degrees"),
        "query.alignment": (lambda v: v in ("north", "heading"), "north or heading"),
        "reference.offset_forward_m": (lambda v: v == 0.0, "0 m for a panorama"),
    },
}


def check_values(package: ModelPackage, where: Path, again: str) -> None:
    """See that a card makes sense.

    Args:
        package: what it says.
        where: the file it stands in, for the message.
        again: what to do about a value that makes none.

    Raises:
        ModelError: names the first value that makes none.
    """
    for rules in (_RULES, _RULES_OF_VIEW.get(str(package.query.view), {})):
        for field_name, (fits, words) in rules.items():
            value = attrgetter(field_name)(package)
            if not fits(value):
                raise ModelError(
                    f"{where}: {field_name} is {shown(value)}; it must be {words}; {again}"
                )
