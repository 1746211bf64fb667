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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from geoloc_ros.digest import digest
from geoloc_ros.encoders.card_rules import (
    OF_PANORAMAS,
    QUERY_FILE,
    REFERENCE_FILE,
    SHARED_FILE,
    check_values,
)
from geoloc_ros.errors import ModelError, first_line

SCHEMA = 1
#: log-likelihood ratio that no place ever collects: who asks for it believes none
NEVER_ENOUGH = 1e6


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
            for name in OF_PANORAMAS:
                del content[name]
        return content


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
    then stays as it was. `Calibration.none` is what an encoder has until then.

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

    @classmethod
    def none(cls, temperature: float = 0.05) -> Calibration:
        """Of an encoder whose similarities nobody has looked at: no place is ever believed.

        Retrieval and hypotheses work with it as guesses; the status stays SEARCHING.
        """
        return cls(temperature=temperature, confirm_evidence=NEVER_ENOUGH)

    @property
    def missing(self) -> bool:
        """Whether no place is ever believed, as with `none`.

        What a similarity is worth may be known all the same: training on drives fits that, the
        evidence that a place needs only `geoloc calibrate`.
        """
        return self.confirm_evidence >= NEVER_ENOUGH


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """One encoder pair on disk.

    Attributes:
        root: its directory.
        files: file name -> sha256: QUERY_FILE and REFERENCE_FILE, or SHARED_FILE for both sides.
        mean: per RGB channel, of pixels in 0..1; also the fill colour of unseen pixels.
        std: per RGB channel.
        resize: how whole pictures of a data set are brought to size, a key of `RESIZES`.
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
    resize: str = "area"
    calibration: Calibration = field(default_factory=Calibration)
    training: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def query_file(self) -> str:
        """Name of the file that describes views."""
        return SHARED_FILE if SHARED_FILE in self.files else QUERY_FILE

    @property
    def reference_file(self) -> str:
        """Name of the file that describes satellite crops."""
        return SHARED_FILE if SHARED_FILE in self.files else REFERENCE_FILE

    def file_of(self, side: str) -> str:
        """Name of the file of a side, `query` or `reference`."""
        return self.query_file if side == "query" else self.reference_file

    @property
    def encoder_sha256(self) -> str:
        """Identity of the pair: hash over the hashes of its files."""
        text = json.dumps(sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def preprocessing_sha256(self) -> str:
        """Identity of everything that happens to pixels before the encoders see them."""
        parts = [self.query.content(), dataclasses.asdict(self.reference)]
        return digest([*parts, self.mean, self.std, self.channel_order])

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
    package = read_card(root)
    for name, expected in package.files.items():
        verify_file(root / name, expected)
    return package


def read_card(root: Path) -> ModelPackage:
    """What a package says of itself; its files, which may be large, are not looked at.

    Raises:
        ModelError: no `model.json`, unreadable, another schema or a value that makes no sense.
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
    check_values(package, path, "export the model again")
    return package
