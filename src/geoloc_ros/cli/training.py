# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What commands that need torch have in common."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping

from geoloc_ros.errors import TrainingError, shown


def check_bounds(
    arguments: argparse.Namespace, bounds: Mapping[str, tuple[float, float]], unit: str = ""
) -> None:
    """See that numbers given on the command line lie where they must; NaN lies nowhere.

    Args:
        arguments: parsed; a number that was not given is None.
        bounds: least and most, by the name of the argument.
        unit: of all of them.

    Raises:
        TrainingError: one does not.
    """
    for name, (least, most) in bounds.items():
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            raise TrainingError(
                f"{flag(name)} is {shown(value)}; it must lie in "
                f"{_number(least)}..{_number(most)}{unit and ' '}{unit}"
            )


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Imports that need an extra of the package.

    Raises:
        TrainingError: something of it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise TrainingError(
            f"this needs {error.name}; install it with: pip install 'geoloc_ros[{name}]'"
        ) from error


def changed(arguments: argparse.Namespace, defaults: Mapping[str, object]) -> list[str]:
    """Options of a command line that are not as by default, for the command in a model card."""
    given = {name: getattr(arguments, name) for name in defaults}
    return [
        f"{flag(name)} {value if value != '' else repr('')}"
        for name, value in given.items()
        if value != defaults[name]
    ]


def flag(name: str) -> str:
    """An option as it is written on the command line."""
    return f"--{name.replace('_', '-')}"
