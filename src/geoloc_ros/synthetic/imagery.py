# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of a made town: the satellite image with its faults, and the road layer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from geoloc_ros.errors import ImageryError
from geoloc_ros.synthetic.conditions import sample_conditions
from geoloc_ros.synthetic.noise import vec
from geoloc_ros.synthetic.render import render_ortho
from geoloc_ros.synthetic.scene import Scene, build_scene
from geoloc_ros.synthetic.street_plan import ATTRIBUTION
from geoloc_ros.synthetic.town import Town

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
EDGE_M = 60.0
REGISTRATION_M = 1.5
REGISTRATION_DEG = 0.5
STRIP_PX = 512


@dataclass(frozen=True)
class Registration:
    """How the satellite image is misplaced: shown(p) = turn(p) + shift + waves(p).

    The errors together stay within 1.5 m over the town: the rotation is kept small enough for the
    town's size, and the shift takes what is left.

    Attributes:
        angle_rad: Rotation about the town's centre.
        shift_m: `(2,)` shift.
        waves: `(4, 5)` slow waves: wave vector x, y (rad/m), phase, amplitude x, y (m).
    """

    angle_rad: float
    shift_m: F64
    waves: F64

    def displacement_m(self, xy_m: F64) -> F64:
        """Where things at `(N, 2)` appear, minus where they are, `(N, 2)` metres."""
        c, s = np.cos(self.angle_rad) - 1.0, np.sin(self.angle_rad)
        turned = xy_m @ np.array([[c, s], [-s, c]]) + self.shift_m
        phase = xy_m @ self.waves[:, :2].T + self.waves[:, 2]
        return np.asarray(turned + np.sin(phase) @ self.waves[:, 3:])


def draw_registration(rng: np.random.Generator, half_m: float, gap: bool) -> Registration:
    """A registration error of at most 1.5 m in the town and 0.5 degrees; none without a gap."""
    if not gap:
        return Registration(0.0, np.zeros(2), np.zeros((4, 5)))
    limit = min(np.radians(REGISTRATION_DEG), 0.5 * REGISTRATION_M / (1.42 * half_m))
    angle = float(rng.uniform(-limit, limit))
    left = REGISTRATION_M - abs(angle) * 1.42 * half_m - 0.35
    heading, length = rng.uniform(0, 2 * np.pi), left * np.sqrt(rng.uniform())
    waves = np.zeros((4, 5))
    k = 2 * np.pi / rng.uniform(250, 900, 4)
    toward = rng.uniform(0, 2 * np.pi, 4)
    waves[:, 0], waves[:, 1] = k * np.cos(toward), k * np.sin(toward)
    waves[:, 2] = rng.uniform(0, 2 * np.pi, 4)
    waves[:, 3:] = rng.uniform(-0.06, 0.06, (4, 2))
    return Registration(angle, length * np.array([np.cos(heading), np.sin(heading)]), waves)


def utm_crs(town: Town) -> str:
    """EPSG code of the UTM zone at the town's origin."""
    zone = int((town.origin.lon_deg + 180.0) // 6.0) + 1
    return f"EPSG:{(32600 if town.origin.lat_deg >= 0 else 32700) + zone}"


def make_imagery(
    town: Town, path: str | Path, gsd_m: float = 0.4, gap: bool = True, seed: int = 0
) -> None:
    """Write the satellite image of a town as a GeoTIFF in its UTM zone.

    The image shows the satellite epoch. With `gap` it has its own light and season, buildings that
    lean off nadir, blur, noise, JPEG artefacts, haze, a colour cast and a registration error.

    Args:
        town: The town.
        path: GeoTIFF to write.
        gsd_m: Pixel size in UTM metres.
        gap: False leaves every fault out.
        seed: Seed of the faults and the light.

    Raises:
        ImageryError: Pixel size out of bounds.
    """
    if not 0.05 <= gsd_m <= 5.0:
        raise ImageryError(f"gsd_m is {gsd_m}; satellite imagery is made at 0.05 to 5 m per pixel")
    rng = np.random.default_rng([town.seed, seed, 77])
    scene = build_scene(town, "satellite" if gap else "drive", rng_seed=seed)
    conditions = sample_conditions(rng, "satellite", gap)
    half = 0.5 * town.size_m + EDGE_M
    registration = draw_registration(rng, 0.5 * town.size_m, gap)
    margin = half + 12.0
    side = int(np.ceil(2 * margin / gsd_m))
    local = render_ortho(scene, -margin, -margin, side, side, gsd_m, conditions, rng)
    if gap:
        local = _lean(scene, local, margin, gsd_m, rng)
    to_utm = pyproj.Transformer.from_crs(town.frame.crs, utm_crs(town), always_xy=True)
    corners = np.array([[x, y] for x in (-half, half) for y in (-half, half)])
    east, north = to_utm.transform(corners[:, 0], corners[:, 1])
    west, top = np.floor(min(east)), np.ceil(max(north))
    width, height = (int((max(east) - west) / gsd_m), int((top - min(north)) / gsd_m))
    image = np.empty((height, width, 3), np.uint8)
    for row in range(0, height, STRIP_PX):
        rows = min(STRIP_PX, height - row)
        image[row : row + rows] = _strip(
            local, to_utm, registration, (west, top - row * gsd_m), (rows, width), margin, gsd_m
        )
    if gap:
        image = _compress(image, int(rng.integers(55, 92)))
    _write(Path(path), image, utm_crs(town), from_origin(west, top, gsd_m, gsd_m))
    if town.streets:
        with rasterio.open(path, "r+") as out:
            out.update_tags(ATTRIBUTION=ATTRIBUTION)


def _strip(
    local: NDArray[np.uint8],
    to_utm: pyproj.Transformer,
    registration: Registration,
    corner: tuple[float, float],
    shape: tuple[int, int],
    margin: float,
    gsd_m: float,
) -> NDArray[np.uint8]:
    """Rows of the UTM image, looked up in the local picture with the registration error."""
    rows, cols = shape
    # the mapping is smooth: compute it every 16 pixels and interpolate
    r, c = np.arange(0, rows + 16, 16.0), np.arange(0, cols + 16, 16.0)
    e, n = np.meshgrid(corner[0] + (c + 0.5) * gsd_m, corner[1] - (r + 0.5) * gsd_m)
    x, y = to_utm.transform(e.ravel(), n.ravel(), direction="INVERSE")
    xy = np.stack([x, y], 1)
    shown = xy - registration.displacement_m(xy)
    col = ((shown[:, 0] + margin) / gsd_m - 0.5).reshape(e.shape)
    side = local.shape[0]
    row = (side - 0.5 - (shown[:, 1] + margin) / gsd_m).reshape(e.shape)
    grid_c, grid_r = (np.arange(k, dtype=np.float32) / 16 for k in (cols, rows))
    at_c, at_r = np.meshgrid(grid_c, grid_r)
    map_x = cv2.remap(col.astype(np.float32), at_c, at_r, cv2.INTER_LINEAR)
    map_y = cv2.remap(row.astype(np.float32), at_c, at_r, cv2.INTER_LINEAR)
    return np.asarray(
        cv2.remap(local, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT),
        dtype=np.uint8,
    )


def _lean(
    scene: Scene, image: NDArray[np.uint8], margin: float, gsd_m: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Shift roofs and crowns away from nadir by height * tan(angle), up to about 6 degrees.

    A relief displacement by backward lookup: each pixel finds the highest point leaning onto it.
    """
    tilt = np.tan(np.radians(rng.uniform(0.0, 6.0)))
    heading = rng.uniform(0, 2 * np.pi)
    coarse = 1.0
    side = int(np.ceil(2 * margin / coarse))
    axis = (np.arange(side) + 0.5) * coarse - margin
    x, y = np.meshgrid(axis, axis[::-1])
    origins = np.stack([x.ravel(), y.ravel(), np.full(x.size, 400.0)], 1).astype(np.float32)
    down = np.broadcast_to(vec([0, 0, -1]), origins.shape)
    top = 400.0 - scene.mesh.cast(origins, down).distance_m.astype(np.float64)
    ground = scene.town.height_m(origins[:, :2].astype(np.float64))
    height = np.clip(top - ground, 0, 80).reshape(side, side).astype(np.float32)
    # displacement that ends at each pixel: of the highest thing along the lean direction
    push = height * np.float32(tilt / coarse)
    ux, uy = np.float32(np.cos(heading)), np.float32(-np.sin(heading))
    reach = np.zeros_like(push)
    cols, rows = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    for step in np.arange(0.0, float(push.max()) + 0.5, 0.5, dtype=np.float32):
        source = cv2.remap(push, cols - ux * step, rows - uy * step, cv2.INTER_NEAREST)
        reach = np.where(
            source >= step - 0.25, np.maximum(reach, np.minimum(source, step + 0.25)), reach
        )
    reach = cv2.GaussianBlur(reach, (0, 0), 0.5)
    full = cv2.resize(reach, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) * (coarse / gsd_m)
    cols, rows = np.meshgrid(
        np.arange(image.shape[1], dtype=np.float32), np.arange(image.shape[0], dtype=np.float32)
    )
    return np.asarray(
        cv2.remap(
            image,
            cols - ux * full,
            rows - uy * full,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        ),
        dtype=np.uint8,
    )


def _compress(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Leave JPEG artefacts."""
    ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ImageryError(
            f"an image of {image.shape[1]} x {image.shape[0]} px cannot be made a JPEG"
        )
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def _write(path: Path, image: NDArray[np.uint8], crs: str, transform: Any) -> None:  # noqa: ANN401 - affine is untyped
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=image.shape[1],
        height=image.shape[0],
        count=3,
        dtype="uint8",
        crs=crs,
        transform=transform,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        predictor=2,
        photometric="RGB",
        interleave="pixel",
    ) as out:
        out.write(np.moveaxis(image, -1, 0))


def write_roads_geojson(town: Town, path: str | Path) -> None:
    """Write road centrelines as GeoJSON, WGS84 longitude and latitude.

    Args:
        town: The town.
        path: File to write.
    """
    features = []
    for road in town.roads:
        lat, lon = town.frame.to_latlon(road.centreline_m[:, :2])
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "LineString",
                    "coordinates": np.round(np.stack([lon, lat], 1), 8).tolist(),
                },
                "properties": {
                    "id": road.id,
                    "kind": road.kind,
                    "width_m": road.width_m,
                    "lanes": road.lanes,
                    "oneway": road.oneway,
                },
            }
        )
    out = Path(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    credit = {"attribution": ATTRIBUTION} if town.streets else {}
    text = json.dumps({"type": "FeatureCollection", **credit, "features": features})
    out.write_text(text, encoding="utf-8")
