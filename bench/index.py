#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""Our index beside hnswlib, usearch and faiss, and how it grows to ten million entries.

Descriptors are made (`index_data.py`), spread like real ones, and queried by made cameras. Every
system builds its index in one process, on --threads, and is asked in a fresh one on one thread:
recall of the ten nearest, time of a query, bytes on disk and in memory, time to open. What a
system with an effort needs is found by raising it until 99 % are found; the plot has all points.

Parts:
  compare   --entries entries, all --systems side by side
  growth    ours with each of --sizes: search, opening, memory, building; near the vehicle, whose
            surroundings are in memory, and everywhere, within --budget MB

Vectors and indexes lie in --work and are not made again; figures are kept in --json part by part.
usearch and faiss are no dependencies of this project: pip install usearch faiss-cpu.

Examples:
  python bench/index.py --entries 1000000 --dim 128 --json docs/results/index_128.json \
      --plots docs/images
  python bench/index.py --parts growth --sizes 10000 100000 1000000 10000000 \
      --json docs/results/index_128.json --plots docs/images
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import operator
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from index_data import Country, statistics
from index_systems import SYSTEMS, Ours, make_system
from scoring import write_json
from tqdm import tqdm

from geoloc_ros.datatypes import Float32Array, FloatArray, Region
from geoloc_ros.index.codes import default_storage
from geoloc_ros.index.search import DEFAULT_SEARCH
from geoloc_ros.index.shard import open_shard
from geoloc_ros.process_memory import resident_bytes

K, QUERIES, ENOUGH = 10, 1000, 0.99
NEAR_M = 300.0
PARTICLES = 500
WANTED = {
    "recall10": ">= 0.99",
    "search_over_exact": "<= 0.05",
    "bytes_over_hnswlib_f32": "<= 0.33",
    "wrapper_overhead": "<= 0.10",
    "near_over_1m": "<= 2",
}

Row = dict[str, Any]


def main() -> int:
    """Run the parts, print the tables, write JSON and plots."""
    arguments = _parse()
    found: Row = {}
    if arguments.json and arguments.json.exists():
        found = json.loads(arguments.json.read_text(encoding="utf-8"))
    for part in arguments.parts:
        measured = {"compare": compare, "growth": growth}[part]
        for known in measured(arguments, found.get(part, {})):
            found[part] = known
            found |= {"summary": summary(found), "wanted": WANTED}
            if arguments.json:
                write_json(arguments.json, found)
    for key, value in found["summary"].items():
        print(f"{key:>24}  {value:<10.4g} wanted {WANTED.get(key, '')}")
    if arguments.json:
        from index_plot import plot

        folder = arguments.plots or arguments.json.parent
        drawn = plot(found, folder, arguments.json.stem)
        print(f"plots: {', '.join(str(path) for path in drawn)}")
    return 0


def compare(arguments: argparse.Namespace, kept: Row) -> Iterator[Row]:
    """All systems on the same vectors; what is known after each."""
    count, dim = arguments.entries, arguments.dim
    folder, poses, vectors = made(arguments.work, count, dim)
    queries = asked(folder, vectors, dim)
    rows: dict[str, Row] = dict(kept.get("systems", {})) if kept.get("entries") == count else {}
    spread = statistics(np.asarray(vectors[:12_000]), queries)
    print(", ".join(f"{name} {value:.2f}" for name, value in spread.items()))
    for name in arguments.systems:
        if not _installed(name):
            print(f"{name} is not installed; left out", file=sys.stderr)
            continue
        built = folder / name.replace(" ", "_")
        seconds = _built(name, built, vectors, poses, arguments.threads)
        rows[name] = _apart(measure, name, built, arguments.budget)
        rows[name]["build_s"] = seconds
        print(line(name, rows[name]), flush=True)
        yield {"entries": count, "dim": dim, "k": K, "statistics": spread, "systems": rows}


def growth(arguments: argparse.Namespace, kept: Row) -> Iterator[Row]:
    """Ours at all sizes; what is known after each."""
    dim = arguments.dim
    name = default_system(dim)
    rows = [row for row in kept.get("rows", []) if row["entries"] not in arguments.sizes]
    for count in arguments.sizes:
        folder, poses, vectors = made(arguments.work, count, dim)
        asked(folder, vectors, dim)
        built = folder / name.replace(" ", "_")
        seconds = _built(name, built, vectors, poses, arguments.threads)
        row = _apart(measure_growth, built, folder, arguments.budget)
        row |= {"entries": count, "build_s": seconds, "built_per_s": count / seconds}
        rows = sorted([*rows, row], key=operator.itemgetter("entries"))
        print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
        yield {"dim": dim, "budget_mb": arguments.budget, "rows": rows}


# -- what is asked ------------------------------------------------------------------------------


def made(work: Path, count: int, dim: int) -> tuple[Path, FloatArray, Float32Array]:
    """Folder, poses (N, 3) and vectors (N, D), made where missing."""
    folder = work / f"{count}x{dim}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "poses.npy").exists():
        out = np.lib.format.open_memmap(
            folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(count, dim)
        )
        poses, at = np.empty((count, 3)), 0
        with tqdm(total=count, desc="made", unit="entry") as bar:
            for where, vectors in Country(dim).blocks(count):
                out[at : at + len(vectors)], poses[at : at + len(where)] = vectors, where
                at += len(vectors)
                bar.update(len(vectors))
        out.flush()
        np.save(folder / "poses.npy", poses)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    return folder, np.load(folder / "poses.npy"), vectors


def asked(folder: Path, vectors: Float32Array, dim: int) -> Float32Array:
    """Queries (Q, D); the rows (Q, K) most similar to each, best first, are kept beside them."""
    kept = folder / "asked.npz"
    if not kept.exists():
        chosen = np.sort(np.random.default_rng(5).choice(len(vectors), QUERIES, replace=False))
        queries = Country(dim).seen(np.asarray(vectors[chosen]), 1)
        best = np.full((QUERIES, K), -np.inf, dtype=np.float32)
        rows = np.zeros((QUERIES, K), dtype=np.int64)
        for i in tqdm(range(0, len(vectors), 50_000), desc="truth", unit="block"):
            similarity = np.concatenate([best, queries @ vectors[i : i + 50_000].T], axis=1)
            first = np.argpartition(-similarity, K, axis=1)[:, :K]
            known = np.take_along_axis(rows, np.minimum(first, K - 1), axis=1)
            rows = np.where(first < K, known, first - K + i)
            best = np.take_along_axis(similarity, first, axis=1)
        order = np.argsort(-best, axis=1)
        np.savez(
            kept, queries=queries, truth=np.take_along_axis(rows, order, axis=1), chosen=chosen
        )
    with np.load(kept) as content:
        return np.asarray(content["queries"])


# -- measuring ----------------------------------------------------------------------------------


def measure(name: str, built: Path, budget_mb: float) -> Row:
    """One system, asked in a process of its own."""
    folder = built.parent
    with np.load(folder / "asked.npz") as content:
        queries, truth = content["queries"], content["truth"]
    poses = np.load(folder / "poses.npy")
    dim = queries.shape[1]
    system = make_system(name, len(poses), dim, budget_mb)
    system.prepare(dim)
    before, started = resident_bytes(), time.perf_counter()
    system.load(built, poses)
    opened_ms = 1e3 * (time.perf_counter() - started)
    points: list[Row] = []
    for effort in system.efforts:
        system.set_effort(effort)
        answers, spent_ms = timed(lambda query: system.search(query, K), queries)
        rows = np.stack([np.resize(system.rows(answer), K) for answer in answers])
        recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(rows, truth, strict=True)])
        low, high = np.percentile(spent_ms, [50, 95])
        points.append({"effort": effort, "recall10": float(recall), "p50_ms": low, "p95_ms": high})
        if recall >= ENOUGH:
            break
    row: Row = {
        **points[-1], "points": points, "open_ms": opened_ms,
        "disk_bytes": _disk_bytes(built) / len(poses),
        "memory_bytes": (resident_bytes() - before) / len(poses),
    }  # fmt: skip
    if isinstance(system, Ours):
        row |= overhead(system, built, queries)
    return row


def overhead(ours: Ours, built: Path, queries: Float32Array) -> Row:
    """What the index wraps around the kernels, and what opening one shard takes."""
    _, bare_ms = timed(lambda query: ours.bare(query, K), queries)
    _, whole_ms = timed(lambda query: ours.search(query, K), queries)
    spent_ms = []
    for record in ours.index.manifest.shards:
        started = time.perf_counter()
        open_shard(built, record, ours.index.manifest)
        spent_ms.append(1e3 * (time.perf_counter() - started))
    return {
        "wrapper_overhead": float(np.median(whole_ms) / np.median(bare_ms) - 1.0),
        "shard_open_ms": float(np.median(spent_ms)),
    }


def measure_growth(built: Path, folder: Path, budget_mb: float) -> Row:
    """Ours within a budget: near the vehicle and everywhere, in a process of its own."""
    with np.load(folder / "asked.npz") as content:
        queries, chosen = content["queries"], content["chosen"]
    poses = np.load(folder / "poses.npy", mmap_mode="r")
    ours = Ours(default_storage(queries.shape[1]), DEFAULT_SEARCH, budget_mb)
    ours.prepare(queries.shape[1])
    before, started = resident_bytes(), time.perf_counter()
    ours.load(built, np.zeros((1, 3)))
    opened_ms = 1e3 * (time.perf_counter() - started)
    index, rng = ours.index, np.random.default_rng(6)
    near_ms, field_ms = [], []
    for query, row in zip(queries[:100], chosen[:100], strict=True):
        at = np.asarray(poses[row])
        region = Region(float(at[0]), float(at[1]), NEAR_M)
        around = at + rng.normal(size=(PARTICLES, 3)) * [20.0, 20.0, 0.2]
        calls: list[tuple[list[float], Callable[[], Any]]] = [
            (near_ms, lambda q=query, r=region: index.search(q, K, r)),
            (field_ms, lambda q=query, a=around: index.similarity_at(q, a)),
        ]
        for spent, call in calls:
            call()  # what lies around the vehicle is in memory from then on
            started = time.perf_counter()
            call()
            spent.append(1e3 * (time.perf_counter() - started))
    some = queries[:: max(len(queries) // (100 if index.residency.fits else 5), 1)]
    index.search(some[0], K)
    _, all_ms = timed(lambda query: index.search(query, K), some)
    return {
        "open_ms": opened_ms,
        "near_ms": float(np.median(near_ms)),
        "field_ms": float(np.median(field_ms)),
        "everywhere_ms": float(np.median(all_ms)),
        "memory_mb": (resident_bytes() - before) / 1e6,
        "held_mb": index.residency.held_bytes / 1e6,
        "disk_mb": _disk_bytes(built) / 1e6,
        "in_memory": index.residency.fits,
    }


def timed(
    search: Callable[[Float32Array], Any], queries: Float32Array
) -> tuple[list[Any], FloatArray]:
    """Answers, and milliseconds of each (Q,); the first few are asked twice."""
    for query in queries[:10]:
        search(query)
    answers, spent = [], np.empty(len(queries))
    for i, query in enumerate(queries):
        started = time.perf_counter()
        answers.append(search(query))
        spent[i] = 1e3 * (time.perf_counter() - started)
    return answers, spent


def summary(found: Row) -> dict[str, float]:
    """The figures asked of ours."""
    keys: dict[str, float] = {}
    systems = found.get("compare", {}).get("systems", {})
    ours = systems and systems.get(default_system(found["compare"]["dim"]))
    if ours:
        keys |= {name: ours[name] for name in ("recall10", "wrapper_overhead")}
        keys["open_ms"] = ours["shard_open_ms"]
        exact = [systems[name]["p50_ms"] for name in ("exact", "faiss flat") if name in systems]
        if exact:
            keys["search_over_exact"] = ours["p50_ms"] / min(exact)
        if "hnswlib f32" in systems:
            theirs = systems["hnswlib f32"]
            keys["bytes_over_hnswlib_f32"] = ours["disk_bytes"] / theirs["disk_bytes"]
            keys["memory_over_hnswlib_f32"] = ours["memory_bytes"] / theirs["memory_bytes"]
    sizes = {row["entries"]: row for row in found.get("growth", {}).get("rows", [])}
    if {1_000_000, 10_000_000} <= set(sizes):
        small, large = sizes[1_000_000], sizes[10_000_000]
        keys["near_over_1m"] = large["near_ms"] / small["near_ms"]
        keys["field_over_1m"] = large["field_ms"] / small["field_ms"]
        keys["everywhere_10m_s"] = large["everywhere_ms"] / 1e3
        keys["memory_10m_mb"] = large["memory_mb"]
    return keys


def default_system(dim: int) -> str:
    """Ours, as an index of descriptors of this length is built where nothing is said."""
    return f"ours {default_storage(dim)}"


def line(name: str, row: Row) -> str:
    """A row of the table."""
    return (
        f"{name:>16}  recall@10 {row['recall10']:.3f}  p50 {row['p50_ms']:.2f} ms  p95 "
        f"{row['p95_ms']:.2f} ms  {row['disk_bytes']:.0f} B on disk, {row['memory_bytes']:.0f} in "
        f"memory, an entry  opened in {row['open_ms']:.0f} ms  built in {row['build_s']:.0f} s"
    )


# -- processes ----------------------------------------------------------------------------------


def _built(
    name: str, folder: Path, vectors: Float32Array, poses: FloatArray, threads: int
) -> float:
    """Build an index where there is none; answers the seconds it took."""
    done = folder / "seconds.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _apart(_build, name, folder, vectors.shape[1], threads=threads)
    return float(json.loads(done.read_text(encoding="utf-8")))


def _build(name: str, folder: Path, dim: int) -> None:
    vectors = np.load(folder.parent / "vectors.npy", mmap_mode="r")
    poses = np.load(folder.parent / "poses.npy")
    started = time.perf_counter()
    make_system(name, len(vectors), dim, 0.0).build(vectors, poses, folder)
    seconds = time.perf_counter() - started
    (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")


def _apart(call: Callable[..., Any], *arguments: Any, threads: int = 1) -> Any:  # noqa: ANN401
    """Call a function in a fresh process that has so many threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments)


def _installed(name: str) -> bool:
    library = name.split()[0]
    return library in ("ours", "exact") or importlib.util.find_spec(library) is not None


def _disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", nargs="+", choices=("compare", "growth"), default=["compare"],
        help="what to measure (compare)")  # fmt: skip
    add("--entries", type=int, default=1_000_000, metavar="N", help="to compare with (1000000)")
    add("--dim", type=int, default=128, metavar="D", help="length of descriptors (128)")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM",
        help=f"of {', '.join(SYSTEMS)} (all)")  # fmt: skip
    add("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000], metavar="N",
        help="entries of each index of growth")  # fmt: skip
    add("--budget", type=float, default=2048.0, metavar="MB", help="memory of ours (2048)")
    add("--threads", type=int, default=2, help="that build (2)")
    add("--work", type=Path, default=Path("out/index"), help="where indexes lie (out/index)")
    add("--json", type=Path, metavar="FILE", help="where figures go")
    add("--plots", type=Path, metavar="DIR", help="where plots go (beside --json)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
