# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The map as SVG: tracks, ellipses, events; and the data the page's slider uses."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.report.basemap import Basemap
from geoloc_ros.report.run_data import STATUS_ORDER, RunData

#: sqrt of the 95 % quantile of chi-square with two degrees of freedom
ELLIPSE_95 = math.sqrt(5.991464547107979)
MAX_ELLIPSES = 36
MAX_SCRUB = 3000
MAX_DOUBTFUL = 300
JUMP_M = 25.0
MAX_SQUARES = 200
_LINE_STATUSES = ("DEGRADED", "LOCALISED")


def ellipse_axes(cov_xy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Semi-axes (N,), (N,) in m and direction (N,) in rad of the 95 % position ellipses.

    Args:
        cov_xy: (N, 2, 2); a covariance that is not finite gives NaN.
    """
    major, minor, angle = (np.full(len(cov_xy), np.nan) for _ in range(3))
    sound = np.isfinite(cov_xy).all(axis=(1, 2))
    if sound.any():
        values, vectors = np.linalg.eigh(cov_xy[sound])
        axes = ELLIPSE_95 * np.sqrt(np.maximum(values, 0.0))
        minor[sound], major[sound] = axes[:, 0], axes[:, 1]
        angle[sound] = np.arctan2(vectors[:, 1, 1], vectors[:, 0, 1])
    return major, minor, angle


def map_svg(run: RunData, base: Basemap) -> str:
    """The whole map; the page pans and zooms its viewBox."""
    parts = [
        ground(base),
        _truth(run, base),
        _doubtful(run, base),
        *(_estimated(run, base, name) for name in _LINE_STATUSES),
        _ellipses(run, base),
        _events(run, base),
        '<g id="here" visibility="hidden"><ellipse class="here-cov" id="here-cov"/>'
        '<line class="here-link" id="here-link"/><circle class="here-true" id="here-true" r="5"/>'
        '<path class="here-arrow" id="here-arrow" d="M13 0L-8 -8L-4 0L-8 8Z"/></g>',
        scale_bar(base),
    ]
    alt = (
        "Map of the run: true track white with dark edge, estimated track coloured by status, "
        "95 % ellipses at chosen times"
    )
    return (
        f'<svg id="map" class="map" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {base.width_px} {base.height_px}" preserveAspectRatio="xMidYMid meet">'
        f"{''.join(parts)}</svg>"
    )


def ground(base: Basemap) -> str:
    """The imagery under the tracks, or squares of 100 m (1 km, ...) where there is none."""
    size = f'width="{base.width_px}" height="{base.height_px}"'
    image = base.data_url()
    shown = f'<image href="{image}" {size}/>' if image else _squares(base)
    return f'<rect class="mapground" {size}/>{shown}'


def scrub_data(run: RunData, base: Basemap) -> dict[str, Any]:
    """What the slider needs, as plain lists; NaN becomes None."""
    count = len(run.estimates)
    rows = np.unique(np.linspace(0, max(count - 1, 0), min(count, MAX_SCRUB)).astype(int))[:count]
    poses, true = run.estimates.poses[rows], run.scores.true_poses[rows]
    major, minor, angle = ellipse_axes(run.estimates.cov_xy_yaw[rows, :2, :2])
    place, truth_place = base.to_px(poses), base.to_px(true)
    reasons = sorted(set(run.estimates.reasons))
    return {
        "statuses": list(STATUS_ORDER),
        "reasons": [text.replace(",", ", ") for text in reasons],
        "t": _rounded(run.time_s[rows], 2),
        "s": [STATUS_ORDER.index(str(name)) for name in run.estimates.status[rows]],
        "r": [reasons.index(run.estimates.reasons[row]) for row in rows.tolist()],
        "x": _rounded(place[:, 0], 1),
        "y": _rounded(place[:, 1], 1),
        "yaw": _rounded(-np.degrees(poses[:, 2]), 1),
        "tx": _rounded(truth_place[:, 0], 1),
        "ty": _rounded(truth_place[:, 1], 1),
        "a": _rounded(major * base.scale_px_m, 1),
        "b": _rounded(minor * base.scale_px_m, 1),
        "th": _rounded(-np.degrees(angle), 1),
        "e": _rounded(run.scores.error_m[rows], 2),
        "ye": _rounded(run.scores.yaw_error_deg[rows], 2),
        "sg": _rounded(run.scores.sigma_m[rows], 2),
        "sim": _rounded(run.estimates.similarity[rows], 3),
    }


def _rounded(values: FloatArray, digits: int) -> list[float | None]:
    return [round(v, digits) if math.isfinite(v) else None for v in values.tolist()]


def path_data(points: FloatArray, breaks: npt.NDArray[np.bool_]) -> str:
    """Data of an SVG path through points (N, 2), interrupted after each of (N-1,) breaks."""
    pieces = np.split(points, np.flatnonzero(breaks) + 1)
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in piece.tolist())
        for piece in pieces
        if len(piece) > 1
    )


def _truth(run: RunData, base: Basemap) -> str:
    if run.truth is None or not run.has_truth:
        return ""
    return true_track(run.truth.poses[:, :2], base)


def true_track(xy_m: FloatArray, base: Basemap) -> str:
    """The true track (N, 2), m, white with a dark edge."""
    # One point per half metre is plenty.
    walked = np.r_[0.0, np.cumsum(np.hypot(*np.diff(xy_m, axis=0).T))]
    rows = np.unique(np.searchsorted(walked, np.arange(0.0, walked[-1] + 0.5, 0.5)))
    xy = xy_m[np.minimum(rows, len(xy_m) - 1)]
    path = path_data(base.to_px(xy), np.hypot(*np.diff(xy, axis=0).T) > JUMP_M)
    return f'<path class="true-edge" d="{path}"/><path class="true" d="{path}"/>'


def _estimated(run: RunData, base: Basemap, status: str) -> str:
    rows = np.flatnonzero(
        (run.estimates.status == status) & np.isfinite(run.estimates.poses[:, 0])
    )
    if not len(rows):
        return ""
    xy = run.estimates.poses[rows, :2]
    breaks = (np.diff(rows) > 1) | (np.hypot(*np.diff(xy, axis=0).T) > JUMP_M)
    return f'<path class="track s-{status}" d="{path_data(base.to_px(xy), breaks)}"/>'


def _doubtful(run: RunData, base: Basemap) -> str:
    parts = []
    inside = np.isfinite(run.estimates.poses[:, 0])
    px = base.to_px(run.estimates.poses)
    inside &= (px[:, 0] > 0) & (px[:, 0] < base.width_px)
    inside &= (px[:, 1] > 0) & (px[:, 1] < base.height_px)
    for status in STATUS_ORDER:
        if status in _LINE_STATUSES:
            continue
        rows = np.flatnonzero(inside & (run.estimates.status == status))
        rows = rows[:: max(1, len(rows) // MAX_DOUBTFUL)]
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>' for x, y in px[rows].tolist()
        )
        parts.append(f'<g class="doubt s-{status}">{dots}</g>' if dots else "")
    return "".join(parts)


def _ellipses(run: RunData, base: Basemap) -> str:
    rows = np.flatnonzero(
        np.isin(run.estimates.status, _LINE_STATUSES) & np.isfinite(run.estimates.poses[:, 0])
    )
    if not len(rows):
        return ""
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_ELLIPSES).astype(int))]
    major, minor, angle = ellipse_axes(run.estimates.cov_xy_yaw[rows, :2, :2])
    px = base.to_px(run.estimates.poses[rows])
    parts = []
    for (x, y), a, b, turn, row in zip(px.tolist(), major, minor, angle, rows, strict=True):
        if np.isfinite(a):
            parts.append(
                f'<ellipse rx="{a * base.scale_px_m:.1f}" ry="{b * base.scale_px_m:.1f}" '
                f'transform="translate({x:.1f} {y:.1f}) rotate({-math.degrees(turn):.1f})">'
                f"<title>t = {run.time_s[row]:.1f} s: 95 % ellipse {a:.1f} × {b:.1f} m</title>"
                "</ellipse>"
            )
    return f'<g class="ellipses">{"".join(parts)}</g>'


def _events(run: RunData, base: Basemap) -> str:
    if run.truth is None or not run.has_truth:
        return ""
    parts = []
    xy = base.to_px(run.truth.poses)
    stamps = run.truth.stamp_ns
    parts.append(_pin(xy[0], "start", "S"))
    for event in run.events:
        after = min(int(np.searchsorted(stamps, event.stamp_ns)), len(stamps) - 1)
        label = f"{event.label} (t = {event.time_s:.0f} s)"
        if event.kind == "kidnap" and after > 0:
            (x0, y0), (x1, y1) = xy[after - 1].tolist(), xy[after].tolist()
            parts.append(
                f'<line class="kidnap" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}">'
                f"<title>{escape(label)}</title></line>"
            )
            parts.append(_pin(xy[after - 1], f"{label}: from here", "K"))
        parts.append(_pin(xy[after], label, "K′" if event.kind == "kidnap" else "!"))
    parts.append(_pin(xy[-1], "end", "E"))
    return "".join(parts)


def _pin(at: FloatArray, title: str, letter: str) -> str:
    return (
        f'<g class="pin" data-x="{at[0]:.1f}" data-y="{at[1]:.1f}" '
        f'transform="translate({at[0]:.1f} {at[1]:.1f})"><title>{escape(title)}</title>'
        f'<circle r="10"/><text y="4" text-anchor="middle">{letter}</text></g>'
    )


def scale_bar(base: Basemap) -> str:
    """A bar of a round number of metres in the lower left corner."""
    metres = 0.2 * base.width_px / base.scale_px_m
    power = 10.0 ** math.floor(math.log10(metres))
    metres = max(f * power for f in (1, 2, 5) if f * power <= metres)
    length = metres * base.scale_px_m
    x, y = 18, base.height_px - 22
    return (
        f'<g class="scalebar" transform="translate({x} {y})">'
        f'<path d="M0 -6V0H{length:.1f}V-6"/>'
        f'<text x="{length / 2:.1f}" y="-8" text-anchor="middle">{metres:g} m</text></g>'
    )


def _squares(base: Basemap) -> str:
    step = 100.0 * base.scale_px_m
    while base.width_px > MAX_SQUARES * step:
        step *= 10.0
    across = "".join(f"M{x:.1f} 0V{base.height_px}" for x in np.arange(0, base.width_px, step))
    down = "".join(f"M0 {y:.1f}H{base.width_px}" for y in np.arange(0, base.height_px, step))
    return f'<path class="mapgrid" d="{across}{down}"/>'
