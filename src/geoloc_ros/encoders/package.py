# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model package: a directory with `model.json` and the files it vouches for.

`model.json` is the model card a program can read: what the two encoders eat, how a satellite crop
is cut for them, how a similarity becomes a likelihood, how they were trained, on what, and how
well they did on held-out data. Every file is bound by its sha256.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter, eq
from pathlib import Path
from typing import Any, Literal, cast

from geoloc_ros.errors import ModelError, first_line, shown

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySpec:
    """What the query encoder eats.

    A `panorama` is an equirectangular strip: columns are equal steps of azimuth, clockwise from
    left to right, all the way round; rows are equal steps of elevation, the highest first.

    Attributes:
        view: which view the camera frame is turned into.
        height_px: rows.
        width_px: columns.
        hfov_deg: horizontal field of view of a perspective view; 360 for a panorama; 0 for
            ground_plane.
        extent_m: side of the square overhead patch of a ground_plane view; else 0.
        vfov_deg: vertical field of view of a panorama, between the outer edges; else 0.
        centre_elevation_deg: elevation of the middle of a panorama above the horizon; else 0.
        centre_azimuth_deg: where the middle of a panorama looks when it belongs to a tile,
            clockwise from what is up in the tile: 0 if up in the tile is the middle column, 180
            if it is the outer edge; else 0.
        alignment: how the panoramas and tiles lay that the model was trained on: `north`, all
            with north up, or `heading`, turned with the vehicle; empty for other views.
    """

    view: Literal["perspective", "ground_plane", "panorama"]
    height_px: int
    width_px: int
    hfov_deg: float = 0.0
    extent_m: float = 0.0
    vfov_deg: float = 0.0
    centre_elevation_deg: float = 0.0
    centre_azimuth_deg: float = 0.0
    alignment: Literal["", "north", "heading"] = ""

    @property
    def elevations_deg(self) -> tuple[float, float]:
        """Elevation of the lower and of the upper edge of a panorama."""
        half = 0.5 * self.vfov_deg
        return self.centre_elevation_deg - half, self.centre_elevation_deg + half

    def content(self) -> dict[str, Any]:
        """What is written of it; of other views nothing that only panoramas have.

        Cards and indexes from before there were panoramas keep their hashes so.
        """
        content = dataclasses.asdict(self)
        if self.view != "panorama":
            for name in _OF_PANORAMAS:
                del content[name]
        return content


#: fields that say nothing of other views -> what they are there
_OF_PANORAMAS: dict[str, float | str] = {
    "vfov_deg": 0.0,
    "centre_elevation_deg": 0.0,
    "centre_azimuth_deg": 0.0,
    "alignment": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSpec:
    """How a satellite crop is cut: square, heading up, shifted ahead of its anchor.

    Attributes:
        size_px: rows and columns.
        extent_m: side on the ground.
        offset_forward_m: how far the crop's centre lies ahead of the anchor.
    """

    size_px: int
    extent_m: float
    offset_forward_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How similarity becomes likelihood and how far to trust the result.

    `geoloc calibrate` fits all of it; from a single world it cannot tell `confirm_evidence`, which
    then stays as it was.

    Attributes:
        temperature: likelihood of an independent image grows as exp(similarity / temperature).
        background: similarity a wrong place reaches on average.
        background_sigma: its standard deviation.
        matched: similarity the right pose reaches on average.
        matched_sigma: its standard deviation.
        covariance_scale: factor on the published covariance.
        confirm_evidence: log-likelihood ratio a strange place must collect before it is believed,
            in an index of `confirm_entries` entries.
        confirm_scale: how much more it must collect where there are e times as many entries to
            choose a wrong one from; also the scale of the exponential tail of what they collect.
        confirm_entries: entries of the indexes it was fitted on, on average.
        fitted_on: command and seeds of the fit.
    """

    temperature: float = 0.05
    background: float = 0.0
    background_sigma: float = 0.15
    matched: float = 0.6
    matched_sigma: float = 0.15
    covariance_scale: float = 1.0
    confirm_evidence: float = 56.0
    confirm_scale: float = 0.0
    confirm_entries: float = 10_000.0
    fitted_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """One encoder pair on disk.

    Attributes:
        root: its directory.
        files: file name -> sha256.
        mean: per RGB channel, of pixels in 0..1; also the fill colour of unseen pixels.
        std: per RGB channel.
        training: command, seeds, data, date-free provenance.
        scores: held-out figures by name.
    """

    root: Path
    name: str
    version: str
    query: QuerySpec
    reference: ReferenceSpec
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    descriptor_dim: int
    files: dict[str, str]
    licence: str = "Apache-2.0"
    metric: str = "cosine"
    channel_order: str = "RGB"
    calibration: Calibration = field(default_factory=Calibration)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def encoder_sha256(self) -> str:
        """Identity of the pair: hash over the hashes of its files."""
        text = json.dumps(sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def preprocessing_sha256(self) -> str:
        """Identity of everything that happens to pixels before the encoders see them."""
        parts = [self.query.content(), dataclasses.asdict(self.reference)]
        text = json.dumps([*parts, self.mean, self.std, self.channel_order], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self) -> None:
        """Write `model.json` (the files themselves are already there).

        Raises:
            ModelError: it cannot be written; an earlier one is kept as it was.
        """
        content = {"schema": SCHEMA, **dataclasses.asdict(self), "query": self.query.content()}
        del content["root"]
        text = json.dumps(content, indent=2) + "\n"
        path = self.root / "model.json"
        partial = path.with_suffix(".partial")
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise ModelError(
                f"cannot write {path}: {error.strerror or error}; an earlier one is kept; free "
                "some space or mend the permissions and run the command again"
            ) from error


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def verify_file(path: Path, sha256: str, size: int | None = None) -> None:
    """See that a file of a model package is what its card says.

    Args:
        path: of the file.
        sha256: of its bytes, in hex.
        size: bytes; None where the card does not say.

    Raises:
        ModelError: it is missing, cannot be read, is cut off or was altered.
    """
    again = "fetch the package again"
    try:
        if not path.is_file():
            raise ModelError(f"the model lacks {path}; {again}")
        held = path.stat().st_size
        if size is not None and held != size:
            state = "cut off" if held < size else "altered"
            raise ModelError(
                f"{path} is {state}: {held} bytes, the model card says {size}; {again}"
            )
        found = file_sha256(path)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(
            f"cannot read {path}: {reason}; mend its permissions or {again}"
        ) from error
    if found != sha256:
        raise ModelError(
            f"{path} was altered: sha256 {found[:12]}, the model card says {sha256[:12]}; {again}"
        )


def load_package(root: Path) -> ModelPackage:
    """Read and verify a model package.

    Raises:
        ModelError: no `model.json`, unreadable, another schema, a value that makes no sense, or a
            file altered or missing.
    """
    path = root / "model.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"no usable model package at {root}: {first_line(error)}") from error
    if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
        raise ModelError(f"{path} is not of schema {SCHEMA}; export the model again")
    try:
        content["query"] = QuerySpec(**content["query"])
        content["reference"] = ReferenceSpec(**content["reference"])
        content["calibration"] = Calibration(**content["calibration"])
        content["mean"], content["std"] = tuple(content["mean"]), tuple(content["std"])
        package = ModelPackage(root=root, **content)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is incomplete or has unknown keys: {first_line(error)}; "
            "export the model again"
        ) from error
    _check_values(package)
    for name, expected in package.files.items():
        verify_file(root / name, expected)
    return package


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
    "files": (_sha256_by_name, "file names without folders, each with 64 hex digits of sha256"),
    "metric": (lambda v: v == "cosine", "cosine"),
    "channel_order": (lambda v: v == "RGB", "RGB"),
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
    for name, nothing in _OF_PANORAMAS.items()
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


def _check_values(package: ModelPackage) -> None:
    for rules in (_RULES, _RULES_OF_VIEW.get(str(package.query.view), {})):
        for field_name, (fits, words) in rules.items():
            value = attrgetter(field_name)(package)
            if not fits(value):
                raise ModelError(
                    f"{package.root / 'model.json'}: {field_name} is {shown(value)}; it must be "
                    f"{words}; export the model again"
                )
