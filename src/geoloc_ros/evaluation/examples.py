# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Single queries with what retrieval found, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.datatypes import Image


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture beside a query.

    Attributes:
        image: (H, W, 3) RGB; None: there is none.
        caption: what stands below it.
        right: whether it is a right reference; None: not known, or neither.
    """

    image: Image | None
    caption: str
    right: bool | None


@dataclass(frozen=True, eq=False)
class Example:
    """One query.

    Attributes:
        query: what was asked with, and its name.
        truth: the right reference, None if there is none.
        finds: the most similar references, best first.
    """

    query: Shown
    truth: Shown | None
    finds: tuple[Shown, ...]


@dataclass(frozen=True, eq=False)
class ExampleGroup:
    """Queries chosen for one reason."""

    title: str
    text: str
    examples: tuple[Example, ...]
