# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Groups of parameters that check themselves: what `config` and the nodes' parameters are made of.

Every field has a documentation text, a unit in its name and bounds in its metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, get_type_hints

from geoloc_ros.errors import ConfigError, shown


def param(
    default: float | int | str | bool,
    doc: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 - dataclasses.field has no expressible type
    """One parameter: default, what it means, and the closed interval or choices it must lie in."""
    return field(default=default, metadata={"doc": doc, "ge": ge, "le": le, "choices": choices})


class Checked:
    """Base of the groups: checks every value against its own metadata."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ConfigError: a wrong type, or a value out of bounds.
        """
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            if "doc" in item.metadata:
                value, kind = getattr(self, item.name), hints[item.name]
                _check(item.name, value, kind, item.metadata)
                if kind is float:
                    object.__setattr__(self, item.name, float(value))


def _check(name: str, value: object, kind: type, meta: Mapping[str, Any]) -> None:
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(
            f"{name} must be {kind.__name__}, got {shown(value)} ({type(value).__name__})"
        )
    if meta["choices"] and value not in meta["choices"]:
        raise ConfigError(f"{name} is {shown(value)}; choose one of {', '.join(meta['choices'])}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = meta["ge"], meta["le"]
        if not ((low is None or value >= low) and (high is None or value <= high)):
            raise ConfigError(f"{name} is {shown(value)}; it must lie in [{low}, {high}]")
