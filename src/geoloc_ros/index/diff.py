# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What two indexes differ in, by their manifests alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from geoloc_ros.index.manifest import Manifest
from geoloc_ros.index.records import ShardRecord
from geoloc_ros.index.search import SEARCHES

#: Cells of two indexes are the same places only if these agree.
PLANE = ("origin", "datum")
#: Numbers that the search of a shard was built with; a shard says itself all that finding needs.
SEARCH_NUMBERS = tuple(f"search.{name}" for kind in SEARCHES.values() for name in kind.PARAMETERS)


@dataclass(frozen=True, slots=True)
class Field:
    """A value that stands in the manifest's header.

    Attributes:
        name: with dots, e.g. `imagery.sha256`.
        old: None if there is none.
        new: None if there is none.
    """

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Changed:
    """A cell that both indexes have, with other content.

    Attributes:
        old: its record in the first index.
        new: in the second.
        parts: files that differ; none if only what is said about them does.
    """

    old: ShardRecord
    new: ShardRecord
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What two indexes differ in.

    Attributes:
        header: values, one by one.
        only_old: shards that only the first index has.
        only_new: shards that only the second one has.
        changed: shards of both, in the order of the second.
        same: shards of both with the very same files.
    """

    header: tuple[Field, ...]
    only_old: tuple[ShardRecord, ...]
    only_new: tuple[ShardRecord, ...]
    changed: tuple[Changed, ...]
    same: tuple[ShardRecord, ...]

    @property
    def nothing(self) -> bool:
        """Whether both are the same index."""
        return not (self.header or self.only_old or self.only_new or self.changed)


def difference(old: Manifest, new: Manifest) -> Difference:
    """Compare two indexes.

    Cells of different planes are different places, whatever they are called.
    """
    header = header_difference(old, new)
    apart = any(field.name.split(".")[0] in PLANE for field in header)
    known = {} if apart else {record.cell: record for record in old.shards}
    same, changed, only_new = [], [], []
    for record in new.shards:
        before = known.pop(record.cell, None)
        if before is None:
            only_new.append(record)
        elif before == record:
            same.append(record)
        else:
            changed.append(Changed(before, record, _parts(before, record)))
    only_old = old.shards if apart else known.values()
    return Difference(header, tuple(only_old), tuple(only_new), tuple(changed), tuple(same))


def header_difference(
    old: Manifest, new: Manifest, leave_out: Iterable[str] = ()
) -> tuple[Field, ...]:
    """Everything but shards that two manifests differ in.

    Args:
        old: one.
        new: the other.
        leave_out: names that may differ.
    """
    left, right = (
        {
            name: value
            for key, content in _header(manifest).items()
            if key not in leave_out
            for name, value in _flat(key, content)
            if name not in leave_out
        }
        for manifest in (old, new)
    )
    return tuple(
        Field(name, left.get(name), right.get(name))
        for name in {**left, **right}
        if left.get(name) != right.get(name)
    )


def size_bytes(records: Iterable[ShardRecord]) -> int:
    """Bytes of all files of shards."""
    return sum(file.bytes for record in records for file in record.files.values())


def report(found: Difference, old: str, new: str) -> dict[str, Any]:
    """A difference for programs, as JSON.

    Args:
        found: the difference.
        old: what the first index is called.
        new: what the second one is called.
    """
    return {
        "old": old,
        "new": new,
        "same": found.nothing,
        "header": [dataclasses.asdict(field) for field in found.header],
        "shards": {
            "only_old": _group(found.only_old),
            "only_new": _group(found.only_new),
            "changed": {
                **_group(change.new for change in found.changed),
                "parts": [list(change.parts) for change in found.changed],
            },
            "same": {"count": len(found.same), "bytes": size_bytes(found.same)},
        },
    }


def _group(records: Iterable[ShardRecord]) -> dict[str, Any]:
    records = list(records)
    cells = [dataclasses.asdict(record)["cell"] for record in records]
    return {"count": len(records), "bytes": size_bytes(records), "cells": cells}


def _parts(old: ShardRecord, new: ShardRecord) -> tuple[str, ...]:
    return tuple(
        part for part in {**old.files, **new.files} if old.files.get(part) != new.files.get(part)
    )


def _header(manifest: Manifest) -> dict[str, Any]:
    return dataclasses.asdict(dataclasses.replace(manifest, shards=()))


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key if key.isprintable() else ascii(key)}", inner)
    else:
        yield name, value
