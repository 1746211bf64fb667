# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Evaluate a model on a split: describe its pictures, search, and keep what came of it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoloc_ros.datatypes import FloatArray
from geoloc_ros.encoders.base import Encoder
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.errors import DatasetError
from geoloc_ros.evaluation.retrieval import Found
from geoloc_ros.training.datasets import score
from geoloc_ros.training.datasets.base import Places, Split
from geoloc_ros.training.datasets.descriptors import DescriptorCache
from geoloc_ros.training.datasets.preparation import Preparation
from geoloc_ros.training.datasets.registry import Opened

RESULT, QUERIES = "retrieval.json", "queries.csv"


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation came to.

    Attributes:
        opened: the split.
        result: content of `retrieval.json`.
        found: what the search found; None where positions were given.
        preparation: what the model saw; None where positions were given.
        error_m: (Q,) distance of the first find, or of the position given, to the truth; None
            where places are not known.
    """

    opened: Opened
    result: dict[str, Any]
    found: Found | None
    preparation: Preparation | None
    error_m: FloatArray | None


def evaluate(
    opened: Opened,
    package: ModelPackage,
    encoder: Encoder,
    cache: DescriptorCache,
    radii_m: Sequence[float],
    *,
    top: int = 10,
    area: bool = False,
    seed: int = 0,
) -> Evaluated:
    """Describe both sides of a split, from the cache as far as they are there, and search.

    Args:
        opened: the split.
        package: the model.
        encoder: of that model.
        cache: where descriptors are kept.
        radii_m: distances that figures are given for; passed over where places are not known.
        top: finds that are kept of each query.
        area: also recall versus area.
        seed: of its draws.

    Raises:
        DatasetError: a picture is unreadable, there is nothing to search, or the cache is full.
        ModelError: the model cannot be given these pictures, or fails.
    """
    split = opened.split
    score.need_references(split)
    preparation = Preparation(package, split)
    radii_m = tuple(radii_m) if score.has_places(split) else ()
    with _bar(len(split.queries), "describing queries", "picture") as tell:
        query = cache.describe("queries", preparation, encoder, tell)
    with _bar(len(split.references), "describing references", "picture") as tell:
        reference = cache.describe("references", preparation, encoder, tell)
    with _bar(len(split.queries), "searching", "query") as tell:
        found = score.search_split(split, query, reference, radii_m, top, tell)
    model = {"model": package.name, "encoder_sha256": package.encoder_sha256}
    result = _head(opened, {**model, "encoder_backend": cache.runs_on})
    result["preparation"] = dict(zip(("queries", "references"), preparation.texts, strict=True))
    result.update(score.figures(split, found, radii_m))
    if area:
        _need_truth(split)
        tile_m2 = _tile_m2(opened)
        result["area"] = score.area_figures(split, found, query, reference, tile_m2, seed)
    return Evaluated(opened, result, found, preparation, _first_error_m(opened, found))


def score_positions(
    opened: Opened, positions: dict[str, tuple[float, float]], radii_m: Sequence[float]
) -> Evaluated:
    """Score positions that something else found, by the names of the queries.

    A query without a position counts as beyond every distance.

    Args:
        opened: the split.
        positions: name -> latitude, longitude in degrees.
        radii_m: distances that shares are given for.

    Raises:
        DatasetError: the places of the queries are not known in degrees, or no name is known.
    """
    split = opened.split
    asked = split.queries.places
    if asked is None or asked.unit != "deg":
        raise DatasetError(f"{split.dataset} does not say in degrees where its queries are")
    said = np.array([positions.get(name, (np.nan, np.nan)) for name in split.queries.ids])
    rows = np.flatnonzero(np.isfinite(said).all(axis=1))
    if not len(rows):
        raise DatasetError(
            f"none of the {len(positions)} positions is of a query of {split.dataset}; its names "
            f"are like {split.queries.ids[0]!r}"
        )
    error_m = np.full(len(said), np.nan)
    given = Places(said[rows], "deg", asked.datum)
    error_m[rows] = score.distance_m(asked, rows, given, np.arange(len(rows)))
    result = {**_head(opened, {}), "queries": len(said)}
    result.update(score.position_figures(error_m, radii_m))
    return Evaluated(opened, result, None, None, error_m)


def _head(opened: Opened, model: dict[str, str]) -> dict[str, Any]:
    split = opened.split
    return {
        "dataset": split.dataset,
        "split": split.name,
        **model,
        "notes": list(opened.notes),
    }


def _need_truth(split: Split) -> None:
    """See that recall versus area means something."""
    if not score.has_places(split):
        raise DatasetError(f"{split.dataset} says not where its pictures are; leave out --area")
    if not split.positives.counts.any():
        raise DatasetError(f"{split.dataset} has no right references; leave out --area")


def _tile_m2(opened: Opened) -> float | None:
    """Ground that one reference shows, from the size of the first one; None: not known."""
    references = opened.split.references
    if references.gsd_m is None:
        return None
    height, width = references.load(0).shape[:2]
    return float(height * width * np.mean(references.gsd_m**2))


def _first_error_m(opened: Opened, found: Found) -> FloatArray | None:
    split = opened.split
    asked, given = split.queries.places, split.references.places
    if asked is None or given is None or not score.has_places(split):
        return None
    return score.distance_m(asked, np.arange(len(found)), given, found.top[:, 0])


@contextlib.contextmanager
def _bar(total: int, text: str, unit: str) -> Iterator[Callable[[int], object]]:
    """A bar of progress and what moves it."""
    with tqdm(total=total, desc=text, unit=unit) as bar:
        yield bar.update


def save(evaluated: Evaluated, folder: Path) -> None:
    """Write `retrieval.json` and `queries.csv`, each complete or as it was.

    Raises:
        DatasetError: they cannot be written.
    """
    text = json.dumps(evaluated.result, indent=2, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((RESULT, text), (QUERIES, _table(evaluated))):
            partial = folder / f"{name}.partial"
            partial.write_text(content, encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise DatasetError(
            f"cannot write to {folder}: {error.strerror or error}; name another folder with --save"
        ) from error


def _table(evaluated: Evaluated) -> str:
    """One line a query: where the right reference stands, what was found first, how far off."""
    split, found, error_m = evaluated.opened.split, evaluated.found, evaluated.error_m
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["query", "rank", "first", "similarity", "error_m"])
    for row, name in enumerate(split.queries.ids):
        cells: list[object] = [name, "", "", ""]
        if found is not None:
            rank = int(found.rank[row])
            first = split.references.ids[found.top[row, 0]]
            known = rank if rank < found.references else ""
            cells = [name, known, first, f"{found.similarity[row, 0]:.6f}"]
        off = "" if error_m is None or not np.isfinite(error_m[row]) else f"{error_m[row]:.2f}"
        table.writerow([*cells, off])
    return file.getvalue()
