# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Gardens of a made town: terraces, beds, pools, trees, hedges and fences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geoloc_ros.synthetic.layout import Area, Occupancy, Prop, rectangle
from geoloc_ros.synthetic.plots import Plots, tinted
from geoloc_ros.synthetic.styles import Rgb, Style

F64 = NDArray[np.float64]


class Gardener:
    """Lays out the open ground of a lot."""

    def __init__(
        self, rng: np.random.Generator, style: Style, taken: Occupancy, plots: Plots
    ) -> None:
        """Keep what the gardens are drawn from and into."""
        self.rng, self.style, self.taken, self.plots = rng, style, taken, plots

    def fill(
        self, at: F64, n: F64, rear: float, back: float, width: float, yaw: float, front: float
    ) -> None:
        """What lies round a house: terrace, beds, a pool, trees, a hedge or fence at the back."""
        rng, style, out = self.rng, self.style, self.plots
        along = np.array([np.cos(yaw), np.sin(yaw)])

        def place(u: float, v: float) -> F64:
            return np.asarray(at + along * u * width + n * v)

        def ground(kind: str, u: float, v: float, wide: float, deep: float) -> None:
            shape = rectangle(place(u, v), yaw, wide, deep)
            if self.taken.free(shape):
                out.areas.append(Area(kind, shape, float(rng.random())))

        if back > 4 and rng.random() < 0.65:
            ground("terrace", rng.uniform(-0.25, 0.25), rear + 1.6, rng.uniform(3, 7), 3.0)
        if back > 8 and rng.random() < style.pools:
            ground(
                "pool", rng.uniform(-0.2, 0.2), rear + 6.0, rng.uniform(5, 9), rng.uniform(3, 4.5)
            )
        for _ in range(int(rng.poisson(1.0))):
            ground(
                "bed",
                rng.uniform(-0.45, 0.45),
                rng.uniform(front + 0.8, rear + back),
                rng.uniform(1, 5),
                rng.uniform(0.8, 2.0),
            )
        for _ in range(int(rng.poisson(1.7 * (0.3 + style.lawn)))):
            v = (
                rng.uniform(rear + 1.5, rear + back)
                if rng.random() < 0.65
                else front + rng.uniform(1, 3)
            )
            spot = place(rng.uniform(-0.5, 0.5), v)
            out.tree_spots.append((float(spot[0]), float(spot[1])))
        if rng.random() < style.hedge + 0.3 * (style.fence != "none"):
            self._line(place(0.0, rear + back - 0.4), yaw, width, rng.random() < style.hedge)
        if rng.random() < 0.5 * style.hedge + 0.25 * (style.fence != "none"):
            self._line(
                place(0.49, rear + 0.45 * back),
                yaw + np.pi / 2,
                0.85 * back,
                rng.random() < style.hedge,
            )

    def _line(self, spot: F64, yaw: float, length: float, hedge: bool) -> None:
        """A straight hedge or fence if its ground is free."""
        if length < 1.0 or not self.taken.free(rectangle(spot, yaw, length, 0.3)):
            return
        rng = self.rng
        base: dict[str, Rgb] = {
            "wood": (150, 122, 92),
            "metal": (90, 94, 98),
            "brick": (140, 84, 68),
            "stucco": (214, 202, 184),
            "block": (158, 156, 152),
        }
        kind = "hedge" if hedge else "fence"
        colour = tinted(
            rng, (58, 92, 44) if hedge else base.get(self.style.fence, (140, 130, 116)), 11
        )
        height = rng.uniform(0.7, 1.9) if hedge else rng.uniform(0.8, 1.8)
        self.plots.props.append(
            Prop(
                kind,
                float(spot[0]),
                float(spot[1]),
                float(yaw),
                float(length),
                float(height),
                colour,
            )
        )

    def front_line(self, at: F64, n: F64, front: float, length: float, yaw: float) -> None:
        """A hedge or fence on the lot line, with a gate."""
        rng, style = self.rng, self.style
        draw = rng.random()
        if draw > style.hedge + (0.45 if style.fence != "none" else 0.0):
            return
        along = np.array([np.cos(yaw), np.sin(yaw)])
        gate = rng.uniform(-0.3, 0.3) * length
        for low, high in ((-0.5 * length, gate - 1.6), (gate + 1.6, 0.5 * length)):
            spot = at + n * (front + 0.85) + along * 0.5 * (low + high)
            self._line(spot, yaw, float(high - low), draw < style.hedge)
