# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a model gets to see of a data set's pictures.

A model trained on whole panoramas and whole satellite pictures gets them whole, resized as its
card says: that is what published figures were measured with. A model for a camera with a field of
view gets what that camera would see of a panorama towards north, and of a satellite picture the
crop its card describes, turned to where the query looks: orientation is taken as known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from geoloc_ros.cameras.warp import Warp
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.package import ModelPackage, ReferenceSpec
from geoloc_ros.encoders.resizing import resized
from geoloc_ros.errors import DatasetError
from geoloc_ros.training.datasets.base import Split
from geoloc_ros.training.raster import Ortho, cut, prepare

#: fields of view that differ less count as the same
_SAME_DEG = 1.0
PEOPLE_PX = 240


@dataclass(frozen=True)
class Preparation:
    """How the pictures of a split become what a model eats.

    Attributes:
        package: the model.
        split: the pictures.
    """

    package: ModelPackage
    split: Split

    def __post_init__(self) -> None:
        """Refuse pictures that the model cannot be given.

        Raises:
            DatasetError: what the camera saw is no panorama, no ground seen from above; or it is
                not known how much a panorama shows.
        """
        view, model = self.split.queries.view, self.package.query.view
        if (view, model) in {
            ("perspective", "panorama"),
            ("perspective", "ground_plane"),
            ("panorama", "ground_plane"),
        }:
            raise DatasetError(
                f"model {self.package.name} takes {model} views; the queries of "
                f"{self.split.dataset} are of the kind {view}, from which there is no way there; "
                "choose another model"
            )
        if self._camera_of_panorama and self.split.queries.vfov_deg is None:
            raise DatasetError(
                f"the panoramas of {self.split.dataset} are strips of unknown height in degrees: "
                f"no view of {self.package.query.hfov_deg:g} degrees can be cut from them; "
                "evaluate a model that takes panoramas"
            )

    @property
    def texts(self) -> tuple[str, str]:
        """What happens to queries and to references, in words; two that differ are different."""
        query, reference = self.package.query, self.package.reference
        size = f"{query.height_px} x {query.width_px} px, {self.package.resize}"
        if self._camera_of_panorama:
            seen = f"{query.hfov_deg:g} degrees of the panorama towards its middle, {size}"
        elif self._rows is not None:
            low, high = query.elevations_deg
            seen = f"elevations {low:g} to {high:g} degrees, {size}"
        elif self._narrower is not None:
            seen = f"the middle {query.hfov_deg:g} degrees of the picture, {size}"
        else:
            seen = f"the whole picture, {size}"
        if self._middle_deg:
            seen += f", {self._middle_deg:g} degrees in the middle"
        side = f"{reference.size_px} px"
        if not self._crops:
            return seen, f"the whole picture, {side}, {self.package.resize}"
        turned = "turned to where the query looks" if self._turned else "north up"
        return seen, (
            f"{reference.extent_m:g} m, {reference.offset_forward_m:g} m ahead, {turned}, {side}"
        )

    def query(self, row: int) -> Image:
        """One query as the model takes it, (height_px, width_px, 3).

        Raises:
            DatasetError: the picture is unreadable.
        """
        rgb, spec = self.split.queries.load(row), self.package.query
        if self._camera_of_panorama:
            return self._seen(rgb)
        if self._rows is not None:
            low, high = (np.array(self._rows) * len(rgb)).round().astype(int)
            rgb = rgb[low:high]
        elif self._narrower is not None:
            rgb = _middle(rgb, self._narrower, spec.height_px / spec.width_px)
        if first := round(self._middle_deg / 360.0 * rgb.shape[1]):
            rgb = np.concatenate([rgb[:, first:], rgb[:, :first]], axis=1)
        return resized(rgb, spec.height_px, spec.width_px, self.package.resize)

    def reference(self, row: int) -> Image:
        """One reference as the model takes it, (size_px, size_px, 3).

        Raises:
            DatasetError: the picture is unreadable.
        """
        rgb, spec = self.split.references.load(row), self.package.reference
        if not self._crops:
            return resized(rgb, spec.size_px, spec.size_px, self.package.resize)
        return self._crop(rgb, row, spec)

    def reference_for_people(self, row: int) -> Image:
        """What of a reference the model takes, larger where it is a crop.

        Raises:
            DatasetError: the picture is unreadable.
        """
        rgb = self.split.references.load(row)
        spec = replace(self.package.reference, size_px=PEOPLE_PX)
        return self._crop(rgb, row, spec) if self._crops else rgb

    def _crop(self, rgb: Image, row: int, spec: ReferenceSpec) -> Image:
        """The piece of a satellite picture a card describes, turned to the heading."""
        known = self.split.references.gsd_m
        gsd_m = 1.0 if known is None else float(known[row])
        height, width = (0.5 * gsd_m * side for side in rgb.shape[:2])
        ortho = prepare(Ortho(rgb, -width, height, gsd_m), spec, self._fill)
        yaw_rad = np.radians(90.0 - self._headings_deg[row])
        crop: Image = cut(ortho, np.array([[0.0, 0.0, yaw_rad]]), spec, fill=self._fill)[0]
        return crop

    @property
    def _camera_of_panorama(self) -> bool:
        return self.split.queries.view == "panorama" and self.package.query.view == "perspective"

    @property
    def _rows(self) -> tuple[float, float] | None:
        """Share of a panorama's height at which the rows begin and end that a model wants."""
        queries, spec = self.split.queries, self.package.query
        if queries.vfov_deg is None or (queries.view, spec.view) != ("panorama", "panorama"):
            return None
        if abs(queries.vfov_deg - spec.vfov_deg) < _SAME_DEG and not spec.centre_elevation_deg:
            return None
        low, high = spec.elevations_deg
        edges = 0.5 - high / queries.vfov_deg, 0.5 - low / queries.vfov_deg
        if edges[0] < -1e-6 or edges[1] > 1.0 + 1e-6:
            raise DatasetError(
                f"model {self.package.name} wants elevations {low:g} to {high:g} degrees; the "
                f"panoramas of {self.split.dataset} span {queries.vfov_deg:g} degrees; choose "
                "another model"
            )
        return edges

    @property
    def _narrower(self) -> float | None:
        """Share of a camera picture's width that a model with less field of view wants."""
        queries, spec = self.split.queries, self.package.query
        if queries.view != "perspective" or spec.view != "perspective" or not queries.hfov_deg:
            return None
        half = np.tan(np.radians([spec.hfov_deg / 2.0, queries.hfov_deg / 2.0]))
        wide = spec.hfov_deg > queries.hfov_deg - _SAME_DEG
        return None if wide else float(half[0] / half[1])

    @property
    def _middle_deg(self) -> float:
        """Azimuth that a model wants in the middle column; in the data sets it is 0, north."""
        if (self.split.queries.view, self.package.query.view) != ("panorama", "panorama"):
            return 0.0
        return float(self.package.query.centre_azimuth_deg)

    @property
    def _crops(self) -> bool:
        """Whether references are cut by metres; else they are taken whole."""
        known = self.split.references.gsd_m is not None
        return known and self.package.query.view != "panorama"

    @property
    def _turned(self) -> bool:
        return self.split.queries.view == "perspective" and self._query_headings is not None

    @property
    def _query_headings(self) -> FloatArray | None:
        headings = self.split.queries.heading_deg
        return None if headings is None or not np.isfinite(headings).all() else headings

    @cached_property
    def _headings_deg(self) -> FloatArray:
        """What is up in each reference (R,): where the first query that it is right for looks."""
        headings = np.zeros(len(self.split.references))
        if self._turned and self._query_headings is not None:
            for query, reference in self.split.pairs[::-1]:
                headings[reference] = self._query_headings[query]
        return headings

    @property
    def _fill(self) -> tuple[int, int, int]:
        red, green, blue = (round(255.0 * value) for value in self.package.mean)
        return red, green, blue

    def _seen(self, panorama: Image) -> Image:
        """What a level camera sees towards the middle of a panorama."""
        vfov_deg = self.split.queries.vfov_deg or 180.0
        key = panorama.shape[:2]
        if key not in self._warps:
            self._warps[key] = _camera_warp(key, vfov_deg, self.package)
        return self._warps[key].apply(panorama)

    @cached_property
    def _warps(self) -> dict[tuple[int, ...], Warp]:
        return {}


def _middle(rgb: Image, share: float, aspect: float) -> Image:
    """The middle of a picture: a share of its width, and rows for `aspect` (height / width)."""
    height, width = rgb.shape[:2]
    columns = max(1, round(share * width))
    rows = min(height, max(1, round(columns * aspect)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return rgb[top : top + rows, left : left + columns]


def _camera_warp(shape: tuple[int, ...], vfov_deg: float, package: ModelPackage) -> Warp:
    """Map from a level pinhole camera's pixels to an equirectangular panorama of a shape."""
    rows, columns = shape
    spec = package.query
    focal_px = spec.width_px / (2.0 * np.tan(np.radians(spec.hfov_deg / 2.0)))
    right = np.arange(spec.width_px) - (spec.width_px - 1) / 2.0
    down = np.arange(spec.height_px) - (spec.height_px - 1) / 2.0
    right, down = np.meshgrid(right, down)
    azimuth_deg = np.degrees(np.arctan2(right, focal_px))
    elevation_deg = np.degrees(np.arctan2(-down, np.hypot(right, focal_px)))
    column = (0.5 + azimuth_deg / 360.0) * columns - 0.5
    row = (0.5 - elevation_deg / vfov_deg) * rows - 0.5
    seen = np.abs(elevation_deg) <= vfov_deg / 2.0
    red, green, blue = (255.0 * value for value in package.mean)
    return Warp(
        np.stack([column, row], axis=-1),
        seen,
        (columns, rows),
        per_pixel=False,
        fill_rgb=(red, green, blue),
    )
