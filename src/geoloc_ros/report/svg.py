# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A small chart as SVG text: axes, lines, bands, bars, dots; colours come from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About `count` round numbers within [low, high]."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high]."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1)]


def number(value: float) -> str:
    """A number short enough for a label."""
    text = f"{value:.10g}" if abs(value) < 1e5 else f"{value:.2e}"
    return text.replace("-", "−")


class Chart:
    """One chart; draw into it, then `render`.

    Args:
        x_range: data range of the horizontal axis.
        y_range: data range of the vertical axis.
        width: of the whole picture, user units.
        height: of the whole picture, user units.
        log_x: logarithmic horizontal axis.
        log_y: logarithmic vertical axis.
        margins: left, right, top, bottom, user units.
    """

    def __init__(
        self,
        x_range: Range,
        y_range: Range,
        *,
        width: int = 960,
        height: int = 220,
        log_x: bool = False,
        log_y: bool = False,
        margins: tuple[int, int, int, int] = (58, 22, 12, 40),
    ) -> None:
        self.x_range, self.y_range = _widened(x_range), _widened(y_range)
        self.width, self.height = width, height
        self.log_x, self.log_y = log_x, log_y
        left, right, top, bottom = margins
        self.left, self.right = float(left), float(width - right)
        self.top, self.bottom = float(top), float(height - bottom)
        self._parts: list[str] = []
        self._x_ticks: Sequence[tuple[float, str]] | None = None
        self._y_ticks: Sequence[tuple[float, str]] | None = None

    def x(self, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Horizontal place of data values, clipped to the plot."""
        return _place(value, self.x_range, self.log_x, self.left, self.right)

    def y(self, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Vertical place of data values, clipped to the plot."""
        return _place(value, self.y_range, self.log_y, self.bottom, self.top)

    def line(self, x: npt.ArrayLike, y: npt.ArrayLike, css: str, gaps: bool = True) -> None:
        """A polyline; with `gaps`, NaN breaks it."""
        xs, ys = self.x(x), self.y(y)
        pieces = []
        for run in _runs(np.isfinite(xs) & np.isfinite(ys), gaps):
            pieces.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(xs[run], ys[run])))  # noqa: B905
        if pieces:
            self._parts.append(f'<path class="line {css}" d="{"".join(pieces)}"/>')

    def band(self, x: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, css: str) -> None:
        """A filled band between two curves; NaN breaks it."""
        xs, lows, highs = self.x(x), self.y(low), self.y(high)
        pieces = []
        for run in _runs(np.isfinite(xs) & np.isfinite(lows) & np.isfinite(highs), True):
            there = [f"{a:.1f} {b:.1f}" for a, b in zip(xs[run], highs[run], strict=True)]
            back = [f"{a:.1f} {b:.1f}" for a, b in zip(xs[run], lows[run], strict=True)]
            pieces.append("M" + "L".join(there + back[::-1]) + "Z")
        if pieces:
            self._parts.append(f'<path class="band {css}" d="{"".join(pieces)}"/>')

    def box(self, x0: float, x1: float, y0: float, y1: float, css: str, title: str = "") -> None:
        """A rectangle in data coordinates, with a tooltip."""
        (a, b), (c, d) = self.x([x0, x1]), self.y([y1, y0])
        tip = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<rect class="{css}" x="{a:.1f}" y="{c:.1f}" width="{max(b - a, 0.6):.1f}" '
            f'height="{max(d - c, 0.0):.1f}">{tip}</rect>'
        )

    def dots(self, x: npt.ArrayLike, y: npt.ArrayLike, css: str, radius: float = 2.2) -> None:
        """Dots; NaN is left out."""
        circles = [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>'
            for a, b in zip(self.x(x), self.y(y), strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]
        if circles:
            self._parts.append(f'<g class="dots {css}">{"".join(circles)}</g>')

    def mark_x(self, x: float, css: str, label: str = "") -> None:
        """A vertical line with a label at its head."""
        at = float(self.x(x))
        self._parts.append(
            f'<line class="mark {css}" x1="{at:.1f}" x2="{at:.1f}" y1="{self.top}" '
            f'y2="{self.bottom}"/>'
        )
        if label:
            end = at > self.right - 110
            self.text(
                at + (-4 if end else 4), self.top + 11, label, css, "end" if end else "start"
            )

    def mark_y(self, y: float, css: str, label: str = "") -> None:
        """A horizontal line with a label at its end."""
        at = float(self.y(y))
        self._parts.append(
            f'<line class="mark {css}" x1="{self.left}" x2="{self.right}" y1="{at:.1f}" '
            f'y2="{at:.1f}"/>'
        )
        if label:
            self.text(self.right - 4, at - 4, label, css, "end")

    def text(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        """Text at picture coordinates."""
        self._parts.append(
            f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def ticks(
        self,
        x: Sequence[tuple[float, str]] | None = None,
        y: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        """Ticks of one's own instead of the round numbers."""
        self._x_ticks = x if x is not None else self._x_ticks
        self._y_ticks = y if y is not None else self._y_ticks

    def render(
        self, description: str, x_label: str = "", y_label: str = "", *, timed: bool = False
    ) -> str:
        """The finished `<svg>`.

        Args:
            description: what the chart shows, for those who cannot see it.
            x_label: name and unit of the horizontal axis.
            y_label: name and unit of the vertical axis.
            timed: the horizontal axis is the time of the run; the page's cursor follows.
        """
        data = ""
        if timed:
            data = (
                f' data-t0="{self.x_range[0]:.6f}" data-t1="{self.x_range[1]:.6f}" '
                f'data-left="{self.left}" data-right="{self.right}"'
            )
        cursor = (
            f'<line class="cursor" x1="-9" x2="-9" y1="{self.top}" y2="{self.bottom}"/>'
            if timed
            else ""
        )
        return (
            f'<svg class="chart{" timed" if timed else ""}" role="img" '
            f'aria-label="{escape(description)}" viewBox="0 0 {self.width} {self.height}"{data}>'
            f"{self._grid(x_label, y_label)}{''.join(self._parts)}{cursor}</svg>"
        )

    def _grid(self, x_label: str, y_label: str) -> str:
        parts = []
        for value, label in self._y_ticks if self._y_ticks is not None else self._auto("y"):
            at = float(self.y(value))
            parts.append(
                f'<line x1="{self.left}" x2="{self.right}" y1="{at:.1f}" y2="{at:.1f}"/>'
                f'<text x="{self.left - 7}" y="{at + 4:.1f}" text-anchor="end">'
                f"{escape(label)}</text>"
            )
        for value, label in self._x_ticks if self._x_ticks is not None else self._auto("x"):
            at = float(self.x(value))
            parts.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{self.bottom}" y2="{self.bottom + 4}"/>'
                f'<text x="{at:.1f}" y="{self.bottom + 17}" text-anchor="middle">'
                f"{escape(label)}</text>"
            )
        middle_x, middle_y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        if x_label:
            parts.append(
                f'<text class="label" x="{middle_x}" y="{self.height - 4}" text-anchor="middle">'
                f"{escape(x_label)}</text>"
            )
        if y_label:
            parts.append(
                f'<text class="label" text-anchor="middle" '
                f'transform="translate({self.left - 45} {middle_y}) rotate(-90)">'
                f"{escape(y_label)}</text>"
            )
        return f'<g class="grid">{"".join(parts)}</g>'

    def _auto(self, axis: str) -> list[tuple[float, str]]:
        span, log = (self.x_range, self.log_x) if axis == "x" else (self.y_range, self.log_y)
        size = self.right - self.left if axis == "x" else self.bottom - self.top
        values = (
            log_ticks(*span) if log else nice_ticks(*span, int(size / (90 if axis == "x" else 38)))
        )
        return [(value, number(value)) for value in values]


def _widened(span: Range) -> Range:
    low, high = (float(value) for value in span)
    return (low, high) if high > low else (low, low + 1.0)


def _place(
    value: npt.ArrayLike, span: Range, log: bool, start: float, end: float
) -> npt.NDArray[np.float64]:
    values = np.asarray(value, dtype=np.float64)
    low, high = span
    values = np.clip(values, low, high)
    if log:
        share = (np.log10(values) - math.log10(low)) / (math.log10(high) - math.log10(low))
    else:
        share = (values - low) / (high - low)
    return np.asarray(start + share * (end - start))


def _runs(good: npt.NDArray[np.bool_], gaps: bool) -> list[npt.NDArray[np.intp]]:
    where = np.flatnonzero(good)
    if not len(where):
        return []
    return np.split(where, np.flatnonzero(np.diff(where) > 1) + 1) if gaps else [where]
