# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Events of a run: kidnappings, a covered camera, leaving the area; and what came of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Estimates, ReplayOutputError, Truth
from geoloc_ros.evaluation.trajectory import (
    distance_to_first_fix_m,
    recovery_distance_m,
    truth_jumps,
    withdrawn_distance_m,
)

WITHDRAWING = ("covered", "outside")
_SAME_NS = 1_000_000_000
_LABELS = {"kidnap": "kidnapped", "covered": "camera covered", "outside": "left the area"}
_ENDS = {"covered": "camera clear again", "outside": "back in the area"}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a known time.

    Attributes:
        time_s: seconds since the first frame.
        stamp_ns: the same as a stamp.
        kind: `kidnap`, `outside`, `covered`, or anything else.
        label: short text for people.
    """

    time_s: float
    stamp_ns: int
    kind: str
    label: str


def gather(
    summary: Mapping[str, Any],
    truth: Truth | None,
    start_ns: int,
    scene: Path | None,
) -> tuple[Event, ...]:
    """Events named in the summary or a scene file, and jumps of the truth, by time.

    Args:
        summary: of the run; its `events`, and `bag` to find the drive in the scene file.
        truth: whose jumps are kidnappings.
        start_ns: stamp of the first frame.
        scene: `scene.json` of a made world; None: none.

    Raises:
        ReplayOutputError: the scene file or the summary's events cannot be read.
    """
    known = [*(summary.get("events") or [])]
    if scene is not None:
        known += _from_scene(scene, Path(str(summary.get("bag") or "")))
    jumps = truth_jumps(truth).tolist() if truth is not None else []
    found: dict[int, Event] = {}
    try:
        for item in known:
            stamp, kind = int(item["stamp_ns"]), str(item.get("kind", "event"))
            if kind == "kidnap":  # at the first true pose of the new place, where truth has it
                stamp = min((j for j in jumps if abs(j - stamp) <= _SAME_NS), default=stamp)
            label = str(item.get("label") or _LABELS.get(kind, kind))
            found[stamp] = Event((stamp - start_ns) / 1e9, stamp, kind, label)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReplayOutputError(
            f"an event needs stamp_ns, kind and label; found something else: {error!r}"
        ) from error
    for stamp in jumps:
        if all(abs(stamp - other) > _SAME_NS for other in found):
            found[stamp] = Event((stamp - start_ns) / 1e9, stamp, "kidnap", _LABELS["kidnap"])
    return tuple(found[stamp] for stamp in sorted(found))


def outcomes(
    events: tuple[Event, ...], estimates: Estimates, truth: Truth | None
) -> list[tuple[str, str]]:
    """(what happened, what came of it) of the start and of every event; empty without truth."""
    if truth is None or len(truth) == 0 or len(estimates) == 0:
        return []
    fixed = distance_to_first_fix_m(estimates, truth)
    rows = [("start", _driven("first fix", fixed))]
    kidnaps = [event.stamp_ns for event in events if event.kind == "kidnap"]
    again = dict(zip(kidnaps, recovery_distance_m(estimates, truth, kidnaps), strict=True))
    for event in events:
        name = f"{event.label}, t = {event.time_s:.1f} s"
        if event.kind == "kidnap":
            rows.append((name, _driven("right again", again[event.stamp_ns])))
        elif event.kind in WITHDRAWING:
            (metres,) = withdrawn_distance_m(estimates, truth, [event.stamp_ns])
            rows.append((name, _driven("fix withdrawn", metres)))
        else:
            rows.append((name, ""))
    return rows


def _driven(what: str, metres: float | None) -> str:
    return f"{what}: never" if metres is None else f"{what} after {metres:.0f} m"


def _from_scene(path: Path, bag: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise ReplayOutputError(f"no scene file at {path}; leave --events out or correct it")
    drives = tables.read_json(path).get("drives")
    try:
        named = [drive for drive in drives or [] if drive["name"] in (bag.name, bag.stem)]
        found: list[dict[str, Any]] = []
        for drive in named:
            found += [{"stamp_ns": t, "kind": "kidnap"} for t in drive["kidnap_stamps_ns"]]
            for kind in WITHDRAWING:
                for start, end in drive[f"{kind}_stamps_ns"]:
                    found.append({"stamp_ns": start, "kind": kind})
                    found.append({"stamp_ns": end, "kind": "end", "label": _ENDS[kind]})
    except (KeyError, TypeError, ValueError) as error:
        raise ReplayOutputError(f"{path} is no scene file of a made world: {error!r}") from error
    if not named:
        raise ReplayOutputError(f"{path} knows no drive named {bag.name!r}")
    return found
