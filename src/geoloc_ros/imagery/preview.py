# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A picture of imagery for people: where it lies, where it is missing, whether roads fit it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import FloatArray, Image, Mask
from geoloc_ros.errors import ImageryError
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.imagery.geotiff import LocalMap, open_raster, read_grid
from geoloc_ros.imagery.grid import Grid

MAX_PX = 1600
_MISSING_RGB = (255, 0, 200)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; }}
img {{ max-width: 100%; }}
td, th {{ padding: .15rem 1rem .15rem 0; text-align: left; vertical-align: top; }}
</style></head>
<body><h1>{title}</h1>
<p><img alt="the imagery" src="data:image/png;base64,{picture}"></p>
<table>{rows}</table></body></html>
"""


@dataclass(frozen=True, eq=False)
class Overview:
    """Imagery seen from afar.

    Attributes:
        rgb: (H, W, 3).
        valid: (H, W), False where there is no imagery.
        frame: the local plane.
        grid: where the pixels lie on it.
    """

    rgb: Image
    valid: Mask
    frame: LocalFrame
    grid: Grid


def overview(path: Path, max_px: int = MAX_PX) -> Overview:
    """Read all of the imagery, at most `max_px` wide or high.

    Raises:
        ImageryError: it cannot be used as imagery.
    """
    with open_raster(path) as dataset:
        local = LocalMap(dataset, path, None)
        west, south, east, north = bounds = local.bounds_m()
        gsd_m = max(local.native_gsd_m(), max(east - west, north - south) / max_px)
        grid = Grid.covering(bounds, gsd_m)
        rgb, valid, _ = read_grid(dataset, local, grid)
    return Overview(rgb, valid, local.frame, grid)


def write_preview(
    seen: Overview,
    path: Path,
    facts: Mapping[str, str],
    roads: Sequence[FloatArray] = (),
) -> None:
    """Write a picture (.png), or a page with it and the facts (.html) that needs no other file.

    Args:
        seen: the imagery.
        path: what to write.
        facts: about the imagery, in the order to show; `attribution` stands below the picture.
        roads: polylines (N, 2) on the plane, m, drawn on top.

    Raises:
        ImageryError: the name ends otherwise, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", ".html"):
        raise ImageryError(f"preview {path} must end in .png or .html")
    picture = _drawn(seen, facts, roads)
    data = picture if suffix == ".png" else _page(picture, facts).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ImageryError(f"cannot write preview {path}: {error.strerror}") from error


def _drawn(seen: Overview, facts: Mapping[str, str], roads: Sequence[FloatArray]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    west, south, east, north = seen.grid.bounds_m
    wide, high = east - west, north - south
    scale = 11.0 / max(wide, high)
    figure = Figure(figsize=(max(wide * scale, 4.0) + 1.4, max(high * scale, 3.0) + 1.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = seen.rgb.copy()
    shown[~seen.valid] = _MISSING_RGB
    axes.imshow(shown, extent=(west, east, south, north), interpolation="nearest")
    for line in roads:
        axes.plot(line[:, 0], line[:, 1], color="yellow", linewidth=0.8)
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    origin = seen.frame.origin
    axes.set_xlabel(f"metres east of {origin.lat_deg:.5f} N {origin.lon_deg:.5f} E")
    axes.set_ylabel("metres north")
    missing = 100.0 * (1.0 - float(np.mean(seen.valid)))
    axes.set_title(
        f"{facts.get('file', '')}   {seen.grid.gsd_m:.2f} m per pixel here"
        + (f", {missing:.1f} % without imagery (magenta)" if missing >= 0.05 else "")
        + (f", {len(roads)} roads (yellow)" if roads else ""),
        fontsize=10,
    )
    credit = facts.get("attribution", "")
    axes.text(
        1.0, -0.09, credit[:150], transform=axes.transAxes, ha="right", va="top", fontsize=8,
        parse_math=False,
    )  # fmt: skip
    data = io.BytesIO()
    figure.savefig(data, format="png", bbox_inches="tight", metadata={"Software": None})
    return data.getvalue()


def _page(picture: bytes, facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
        for key, value in facts.items()
    )
    return _PAGE.format(
        title=html.escape(facts.get("file", "imagery")),
        picture=base64.b64encode(picture).decode(),
        rows=rows,
    )
