#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""All that a vision-language model on board must show, in one table.

Runs the benches of its parts one after the other, each in a process of its own, and joins their
figures: vlm_prior.py on all towns of --seeds; vlm_rerank.py on the first --drives of those in a
style that the reranker never saw; vlm_harmless.py on the first --drives of all; vlm_load.py on the
first of these drives, which `harmless` makes; and times the model on one picture. Figures are kept
in --json part by part, each with its command: a part whose command is the same is not run again,
and --parts may name one after the other.

Example:
  python bench/vlm.py --seeds $(seq 900400 900447) --json vlm.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scoring import may_be_scored, write_json

from geoloc_ros.rerank.package import find_reranker
from geoloc_ros.synthetic.styles import STYLES
from geoloc_ros.vlm import trial
from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.package import find_vlm

HERE = Path(__file__).parent
SPEED = "speed"
SPEED_REPEATS = 5


@dataclass(frozen=True)
class Key:
    """A figure: which part finds it, and what is wanted of it."""

    part: str
    wanted: float
    least: bool = True

    @property
    def words(self) -> str:
        """What is wanted, as the tables say it."""
        return f"{'>=' if self.least else '<='} {self.wanted:g}"

    def reached(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value >= self.wanted if self.least else value <= self.wanted


KEYS = {
    "rerank_gain_same": Key("rerank", 0.099),
    "rerank_gain_cross": Key("rerank", 0.069),
    "shuffled_gain": Key("rerank", 0.0, least=False),
    "prior_town_points": Key("prior", 13.52),
    "prior_street_points": Key("prior", 4.51),
    "harmless_delta_m": Key("harmless", 0.05, least=False),
    "latency_p95_ratio": Key("load", 1.05, least=False),
    "encode_once_speedup": Key(SPEED, 5.0),
}


def commands(options: argparse.Namespace) -> dict[str, list[object]]:
    """The command of every part, less where it writes."""
    drives = options.seeds[: options.drives]
    worlds = options.work / "worlds"
    heard = ["--vlm", options.vlm]
    strange = strangers(options.seeds, options.reranker) if "rerank" in options.parts else []
    variants = ["--variants", options.variants] if options.variants else []
    covered = worlds / str(drives[0])
    return {
        "prior": [HERE / "vlm_prior.py", "--seeds", *options.seeds, *heard,
                  "--work", options.work / "towns"],
        "rerank": [HERE / "vlm_rerank.py", "--seeds", *strange[: options.drives], *heard,
                   "--reranker", options.reranker, "--work", options.work / "rerank", *variants],
        "harmless": [HERE / "vlm_harmless.py", "--seeds", *drives, *heard, "--reranker",
                     options.reranker, "--worlds", worlds, "--work", options.work / "harmless"],
        "load": [HERE / "vlm_load.py", covered / "covered_world" / "drive_00", *heard,
                 "--index", covered / "covered.index"],
        SPEED: [options.vlm],
    }  # fmt: skip


def strangers(seeds: Sequence[int], reranker: str) -> list[int]:
    """Those towns whose style no town had that the reranker learnt from.

    Raises:
        SystemExit: there is none.
    """
    left_out = find_reranker(reranker).training["left_out_styles"]
    styles = list(STYLES)
    found = [seed for seed in seeds if styles[seed % len(styles)] in left_out]
    if not found:
        raise SystemExit(f"none of --seeds is a town of the styles {', '.join(left_out)}")
    return found


def run(name: str, command: list[object], options: argparse.Namespace) -> dict[str, Any]:
    """What a part finds.

    Raises:
        SystemExit: it failed.
    """
    print(f"\n== {name} ==", flush=True)
    if name == SPEED:
        return speed(options.vlm)
    extra = ["--development"] if options.development and name != "load" else []
    found = options.work / f"{name}.part.json"
    done = subprocess.run([sys.executable, *map(str, command), *extra, "--json", str(found)])
    if done.returncode:
        raise SystemExit(f"the part {name} failed with status {done.returncode}")
    content: dict[str, Any] = json.loads(found.read_text())
    found.unlink()
    return content


def said(command: list[object]) -> list[str]:
    """A command as it is written down: without the place of its script on this machine."""
    script, *words = command
    return [Path(str(script)).name, *map(str, words)]


def speed(vlm: str) -> dict[str, Any]:
    """Seconds for a picture that is encoded once for all questions, and anew for each."""
    answerer = LlamaVlm(find_vlm(vlm))
    try:
        return asdict(trial.bench(answerer, trial.made_picture(0), SPEED_REPEATS))
    finally:
        answerer.close()


def print_table(figures: dict[str, float]) -> None:
    """One row a figure."""
    print(f"\n{'figure':24}{'wanted':>12}{'reached':>12}")
    for name, value in figures.items():
        key = KEYS[name]
        verdict = "" if key.reached(value) else "   fell short"
        print(f"{name:24}{key.words:>12}{value:12.4f}{verdict}")


def main() -> int:
    """Run all parts, or those that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = list(dict.fromkeys(key.part for key in KEYS.values()))
    add: Callable[..., Any] = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="towns, 900000 and up")
    add("--vlm", default="vlm-tiny", help="model package (%(default)s)")
    add("--reranker", default="reranker", help="package (%(default)s)")
    add("--variants", type=Path, help="folder of all variants of it, for the ablation table")
    add("--drives", type=int, default=6, help="towns of reranker and drives (%(default)s)")
    add("--parts", nargs="+", choices=parts, default=parts, help="default: all")
    add("--again", nargs="+", choices=parts, default=[], help="run these anew")
    add("--work", type=Path, default=Path("out/vlm"), help="towns and figures (%(default)s)")
    add("--json", type=Path, help="write the figures here")
    add("--development", action="store_true", help="allow seeds below the reserved ones")
    options = parser.parse_args()
    if not may_be_scored(options.seeds, options.development):
        return 2
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.json or options.work / "vlm.json"
    found = measured(options, kept)
    print_table(figures_of(found))
    return 0


def measured(options: argparse.Namespace, kept: Path) -> dict[str, Any]:
    """All parts that are known after those of --parts were run, each written down at its end."""
    every = commands(options)
    found: dict[str, Any] = json.loads(kept.read_text())["parts"] if kept.exists() else {}
    for name in options.parts:
        asked = said(every[name])
        if name in options.again or found.get(name, {}).get("command") != asked:
            found[name] = run(name, every[name], options) | {"command": asked}
            wanted = {key: of.words for key, of in KEYS.items()}
            write_json(kept, {**figures_of(found), "wanted": wanted, "parts": found})
    return found


def figures_of(found: dict[str, Any]) -> dict[str, float]:
    """The figures of the parts that are known."""
    return {key: float(found[of.part][key]) for key, of in KEYS.items() if of.part in found}


if __name__ == "__main__":
    sys.exit(main())
