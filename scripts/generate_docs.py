#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the generated texts, or check that they are up to date.

docs/cli.md            every command's help
config/geoloc.yaml     every parameter with its default, unit and bounds
config/localizer.yaml  the same for the ROS 2 node, as a parameter file
docs/parameters.md     all parameters of the ROS 2 nodes
README.md and those of docs/ that main() names
                       the blocks between '<!-- generated: NAME -->' and '<!-- end -->'
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import backend_tables
import dataset_docs
import index_docs
import scale_cost
import vlm_docs
from figures import figure

ROOT = Path(__file__).resolve().parents[1]


def _helps(parser: argparse.ArgumentParser, title: str) -> list[tuple[str, str]]:
    found = [(title, parser.format_help())]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += _helps(child, f"{title} {name}")
    return found


def _cli_page() -> str:
    from geoloc_ros.cli.main import build_parser

    parts = ["# The `geoloc` command\n\nWritten by `make docs` from the commands' own help.\n"]
    for title, text in _helps(build_parser(), "geoloc"):
        parts.append(f"## {title}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def _config_page() -> str:
    from geoloc_ros import config

    return config.dump()


def _localizer_parameters() -> list[tuple[str, Any, dataclasses.Field[Any]]]:
    from geoloc_ros.config import Config, flatten
    from geoloc_ros.ros.node_config import NOT_OF_NODE, LocalizerConfig

    tree = [item for item in flatten(Config()) if not item[0].startswith(NOT_OF_NODE)]
    return [*flatten(LocalizerConfig()), *tree]


def _node_file() -> str:
    lines = [
        "# Every parameter of the localizer node with its default. Written by 'make docs'.",
        "geoloc_localizer:",
        "  ros__parameters:",
    ]
    for name, value, item in _localizer_parameters():
        lines.append(f"    # {item.metadata['doc']}{_bounds(item, ' [', ']')}")
        lines.append(f"    {name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _bounds(item: dataclasses.Field[Any], before: str, after: str) -> str:
    if item.metadata["choices"]:
        return f"{before}{', '.join(item.metadata['choices'])}{after}"
    if item.metadata["ge"] is None:
        return ""
    return f"{before}{item.metadata['ge']:g}, {item.metadata['le']:g}{after}"


def _parameters_page() -> str:
    from geoloc_ros.config import flatten
    from geoloc_ros.ros import node_config

    parts = [
        "# Parameters of the ROS 2 nodes\n\nWritten by `make docs` from the code that declares "
        "them. *start*: read when the node starts; *configure*: when it is configured; *live*: "
        "may be changed while it is active.\n"
    ]
    nodes = {
        "geoloc_localizer": (_localizer_parameters(), node_config.LOCALIZER_FIXED),
        "geoloc_vlm": (list(flatten(node_config.VlmConfig())), node_config.VLM_FIXED),
    }
    for node, (parameters, fixed) in nodes.items():
        lines = [f"## {node}", "", "| parameter | default | range | read | meaning |"]
        lines.append("|---|---|---|---|---|")
        for name, value, item in parameters:
            when = "configure" if name.startswith(fixed) else "live"
            when = "start" if name in node_config.READ_ONLY else when
            row = (f"`{name}`", f"`{json.dumps(value)}`", _bounds(item, "", ""), when)
            lines.append(f"| {' | '.join(row)} | {item.metadata['doc']} |")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _commands_block() -> str:
    from geoloc_ros.cli.main import build_parser

    return "```text\n" + build_parser().format_help().rstrip() + "\n```"


def _heldout_block() -> str:
    path = ROOT / "docs/results/heldout.json"
    if not path.exists():
        return "No held-out run is recorded yet: `bench/heldout.py` writes it."
    content = json.loads(path.read_text())
    seeds = content["seeds"]
    lines = [
        f"Means over {len(seeds)} held-out towns (seeds {', '.join(map(str, seeds))}):",
        "",
        "| figure | wanted | reached |",
        "|---|---|---|",
    ]
    for key, wanted in content["wanted"].items():
        lines.append(f"| `{key}` | {wanted} | {figure(content['figures'][key]['mean'])} |")
    return "\n".join(lines)


def _heldout_flights_block() -> str:
    path = ROOT / "docs/results/heldout_flights.json"
    if not path.exists():
        return "No held-out run is recorded yet: `bench/heldout_flights.py` writes it."
    content = json.loads(path.read_text())
    seeds = " | ".join(map(str, content["seeds"]))
    lines = [
        f"| figure | wanted | mean | {seeds} |",
        "|---|---|---|" + "---|" * len(content["seeds"]),
    ]
    for key, wanted in content["wanted"].items():
        row = content["figures"][key]
        cells = " | ".join(figure(value) for value in (row["mean"], *row["per_seed"]))
        lines.append(f"| `{key}` | {wanted} | {cells} |")
    return "\n".join(lines)


def _flight_block() -> str:
    path = ROOT / "docs/results/real_flight.json"
    if not path.exists():
        return "No run is recorded yet: `bench/real_flight.py` makes one."
    runs = json.loads(path.read_text())["runs"]
    lines = [
        "| filter seed | availability | median, m | p95, m | wrong | coverage of 95 % |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        error = run["position_error_m"]
        cells = (run["availability"], error["median"], error["p95"])
        row = (run["seed"], *cells, run["confidently_wrong"], run["coverage_95"])
        lines.append("| " + " | ".join(figure(value) for value in row) + " |")
    return "\n".join(lines)


def _overhead_block() -> str:
    path = ROOT / "docs/results/overhead.json"
    if not path.exists():
        return "No run is recorded yet: `bench/overhead.py` makes one."
    found = json.loads(path.read_text())
    lines = ["| CPU ms per weighed frame | mean | median |", "|---|---|---|"]
    for name, row in found["ms_per_weighed_frame"].items():
        lines.append(f"| {name} | {row['mean']:.2f} | {row['median']:.2f} |")
    ratio = found["ratio"]
    lines.append(f"| **around / session** | {ratio['mean']:.2f} | {ratio['median']:.2f} |")
    return "\n".join(lines)


def _soak_block() -> str:
    path = ROOT / "docs/results/soak.json"
    if not path.exists():
        return "No run is recorded yet: `bench/soak.py` makes one."
    lines = ["| figure | wanted | reached |", "|---|---|---|"]
    wanted = {"memory_growth": "<= 0.02", "threads_grown": "0", "files_grown": "0"}
    wanted["outside_of_core"] = "<= 0.15"
    for name, value in json.loads(path.read_text()).items():
        lines.append(f"| `{name}` | {wanted.get(name, '')} | {figure(value)} |")
    return "\n".join(lines)


def _compare_block() -> str:
    path = ROOT / "docs/results/compare.json"
    if not path.exists():
        return "No comparison is recorded yet: `geoloc eval compare --out` makes one."
    from geoloc_ros.report.difference_text import VERDICTS, comparison_rows

    content = json.loads(path.read_text())
    first, blocks = content["baseline"], content["blocks"]
    lines = []
    for name, difference in content["differences"].items():
        lines += [
            f"| {difference['frames']} frames | {first} | {name} | difference | "
            f"{100 * blocks['level']:g} % interval | |",
            "|---|---|---|---|---|---|",
        ]
        for row in comparison_rows(difference):
            cells = (row.name, row.baseline, row.value, row.difference, row.interval)
            lines.append(f"| {' | '.join(cells)} | {VERDICTS[row.verdict]} |")
    return "\n".join(lines)


def _intervals_block() -> str:
    path = ROOT / "docs/results/compare_intervals.json"
    if not path.exists():
        return "No run is recorded yet: `bench/compare_intervals.py` makes one."
    lines = ["| errors last | drive | block | median | p95 |", "|---|---|---|---|---|"]
    for row in json.loads(path.read_text())["rows"]:
        cells = (f"{row[key]:g} m" for key in ("correlation_m", "drive_m", "block_m"))
        shares = (f"{100 * row[key]:.0f} %" for key in ("median", "p95"))
        lines.append(f"| {' | '.join((*cells, *shares))} |")
    return "\n".join(lines)


def _panorama_block() -> str:
    path = ROOT / "docs/results/panorama.json"
    if not path.exists():
        return "not measured yet"
    found = json.loads(path.read_text())
    rows = ["| figure | mean | worst place |", "|---|---|---|"]
    for name, mean in found["mean"].items():
        each = [row[name] for row in found["rows"]]
        worst = max(each) if name.endswith("_ms") else min(each)
        rows.append(f"| `{name}` | {mean:.3g} | {worst:.3g} |")
    return "\n".join(rows)


def _scale_block(write: Callable[[Any], str]) -> str:
    path = ROOT / "docs/results/index_build.json"
    if not path.exists():
        return "No run is recorded yet: `bench/index_build.py` makes one."
    return write(json.loads(path.read_text()))


def _finetune_block() -> str:
    path = ROOT / "docs/results/finetune.json"
    if not path.exists():
        return "No run is recorded yet: `bench/finetune.py` makes one."
    places = {
        "held_out_blocks": "held-out blocks",
        "other_town": "another town of the style",
        "known_style": "a style known before",
    }
    rows = json.loads(path.read_text())["rows"]
    heads = [f"R@1 {words} ({rows[0][key]['views']} views)" for key, words in places.items()]
    lines = [f"| way driven, m | views | {' | '.join(heads)} |", "|---|---|---|---|---|"]
    for row in rows:
        cells = " | ".join(figure(row[key]["r1"]) for key in places)
        lines.append(f"| {row['length_m']:g} | {row['train_views']} | {cells} |")
    return "\n".join(lines)


def _import_block() -> str:
    path = ROOT / "docs/results/import_encoder.json"
    if not path.exists():
        return "No run is recorded yet: `bench/import_encoder.py` makes one."
    found = json.loads(path.read_text())
    kinds = ("fp32", "fp16")
    lines = [
        f"Reference {found['reference']}, torch {found['torch']}, `--dataset {found['dataset']}`, "
        f"{found['pictures']} pictures:",
        "",
        f"| figure | {' | '.join(kinds)} |",
        "|---|---|---|",
    ]
    for name in found["fp32"]:
        cells = " | ".join(figure(found[kind][name]) for kind in kinds)
        lines.append(f"| `{name}` | {cells} |")
    return "\n".join(lines)


BLOCKS = {
    "layouts": dataset_docs.layouts,
    "published": dataset_docs.published,
    "retrieval_scale": dataset_docs.scale,
    "pose_set": dataset_docs.pose_set,
    "backends_precision": lambda: backend_tables.recorded(backend_tables.precision),
    "backends_around": lambda: backend_tables.recorded(backend_tables.around),
    "finetune": _finetune_block,
    "import_encoder": _import_block,
    "index_reached": index_docs.reached,
    "index_compared": index_docs.compared,
    "index_grown": index_docs.grown,
    "vlm_worth": vlm_docs.worth,
    "vlm_ablation": vlm_docs.ablation,
    "vlm_prior": vlm_docs.prior_curve,
    "vlm_harm": vlm_docs.harm,
    "vlm_steadiness": vlm_docs.steadiness,
    "build_rates": lambda: _scale_block(scale_cost.rates),
    "scale_facts": scale_cost.facts,
    "scale_cost": lambda: _scale_block(scale_cost.table),
    "compare": _compare_block,
    "compare_intervals": _intervals_block,
    "panorama": _panorama_block,
    "soak": _soak_block,
    "overhead": _overhead_block,
    "commands": _commands_block,
    "heldout": _heldout_block,
    "heldout_flights": _heldout_flights_block,
    "flight": _flight_block,
}


def _blocks(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    for name, write in BLOCKS.items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = pattern.sub(lambda m, w=write: m.group(1) + w() + "\n" + m.group(2), text)
    return text


def main() -> int:
    """Write or check; answers 1 when something is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when out of date"
    )
    arguments = parser.parse_args()
    os.environ["COLUMNS"] = "90"
    pages = {
        "docs/cli.md": _cli_page,
        "config/geoloc.yaml": _config_page,
        "config/localizer.yaml": _node_file,
        "docs/parameters.md": _parameters_page,
        "README.md": lambda: _blocks("README.md"),
        "docs/backends.md": lambda: _blocks("docs/backends.md"),
        "docs/flights.md": lambda: _blocks("docs/flights.md"),
        "docs/panorama.md": lambda: _blocks("docs/panorama.md"),
        "docs/real_flight.md": lambda: _blocks("docs/real_flight.md"),
        "docs/scale.md": lambda: _blocks("docs/scale.md"),
        "docs/training.md": lambda: _blocks("docs/training.md"),
        "docs/evaluation.md": lambda: _blocks("docs/evaluation.md"),
        "docs/datasets.md": lambda: _blocks("docs/datasets.md"),
        "docs/models.md": lambda: _blocks("docs/models.md"),
        "docs/index.md": lambda: _blocks("docs/index.md"),
        "docs/vlm.md": lambda: _blocks("docs/vlm.md"),
    }
    stale = []
    for name, write in pages.items():
        path, text = ROOT / name, write()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
    if stale and arguments.check:
        print(f"out of date: {', '.join(stale)}; run 'make docs'", file=sys.stderr)
        return 1
    print(f"generated texts {'written: ' + ', '.join(stale) if stale else 'are up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
