# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Queries and what retrieval found for them, as one HTML page or one PNG picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.evaluation.examples import Example, ExampleGroup, Shown
from geoloc_ros.report.basemap import jpeg_url

QUERY_PX, TILE_PX = 640, 240
_RIGHT, _WRONG, _TRUTH = "#009e73", "#d55e00", "#1c2430"
_DPI = 130


def write_gallery(groups: Sequence[ExampleGroup], path: Path, title: str, subtitle: str) -> None:
    """Write a page (.html) or a picture (.png); it is complete or as it was.

    Args:
        groups: what is shown.
        path: the file.
        title: its heading.
        subtitle: one line below.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        figure = _figure(groups, title, subtitle)
        figure.savefig(partial, format="png", metadata={"Software": None})
    else:
        partial.write_text(_page(groups, title, subtitle), encoding="utf-8")
    partial.replace(path)


def _page(groups: Sequence[ExampleGroup], title: str, subtitle: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geoloc_ros.report", "templates"),
        autoescape=jinja2.select_autoescape(["html", "j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        {
            "title": group.title,
            "text": group.text,
            "examples": [
                {
                    "query": _item(example.query, QUERY_PX),
                    "truth": _item(example.truth, TILE_PX) if example.truth else None,
                    "finds": [_item(find, TILE_PX) for find in example.finds],
                }
                for example in group.examples
            ],
        }
        for group in groups
    ]
    template = environment.get_template("retrieval.html.j2")
    return template.render(title=title, subtitle=subtitle, groups=shown, statuses={}, stages={})


def _item(shown: Shown, longest_px: int) -> dict[str, Any]:
    url = None if shown.image is None else jpeg_url(_shrunk(shown.image, longest_px))
    return {"url": url, "caption": shown.caption, "right": shown.right}


def _shrunk(rgb: Image, longest_px: int) -> Image:
    """A picture whose longer side is at most so long."""
    scale = longest_px / max(rgb.shape[:2])
    if scale >= 1.0:
        return rgb
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _figure(groups: Sequence[ExampleGroup], title: str, subtitle: str) -> Any:  # noqa: ANN401
    """All examples below one another; matplotlib is untyped."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(group, i, e) for group in groups for i, e in enumerate(group.examples)]
    figure = Figure(figsize=(14.0, 1.0 + 2.0 * max(1, len(rows))), dpi=_DPI)
    FigureCanvasAgg(figure)
    top = 1.0 - 0.95 / figure.get_figheight()
    figure.suptitle(f"{title}\n{subtitle}", fontsize=11, y=1.0 - 0.15 / figure.get_figheight())
    widths = [2.4, *[1.0] * 6]
    grid = figure.add_gridspec(
        max(1, len(rows)), 7, width_ratios=widths, left=0.01, right=0.99, bottom=0.02,
        top=top, hspace=0.3, wspace=0.06,
    )  # fmt: skip
    for row, (group, i, example) in enumerate(rows):
        heading = f"{group.title}: {group.text}" if i == 0 else ""
        for column, shown in enumerate(_cells(example)):
            if shown is not None:
                axes = figure.add_subplot(grid[row, column])
                _draw(axes, shown, column)
                if heading and column == 0:
                    axes.set_title(heading, fontsize=9, fontweight="bold", loc="left", pad=5)
    return figure


def _cells(example: Example) -> list[Shown | None]:
    return [example.query, example.truth, *example.finds[:5]]


def _draw(axes: Any, shown: Shown, column: int) -> None:  # noqa: ANN401
    axes.set_xticks([])
    axes.set_yticks([])
    if shown.image is not None:
        axes.imshow(_shrunk(shown.image, QUERY_PX if column == 0 else TILE_PX))
    mark = "" if column < 2 or shown.right is None else "✓ " if shown.right else "✗ "
    caption = shown.caption if len(shown.caption) < 52 else f"{shown.caption[:49]}..."
    axes.set_xlabel(mark + caption, fontsize=7.5, labelpad=2)
    colour = _TRUTH if column == 1 else {True: _RIGHT, False: _WRONG}.get(bool(shown.right))
    known = column == 1 or (column > 1 and shown.right is not None)
    for spine in axes.spines.values():
        spine.set_visible(known)
        spine.set_edgecolor(colour)
        spine.set_linewidth(2.4)
