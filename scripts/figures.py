# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How numbers are written in the tables of the documentation."""

from __future__ import annotations


def figure(value: object) -> str:
    """A number by its first three figures, thousands to the unit; what is none as it is."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"
