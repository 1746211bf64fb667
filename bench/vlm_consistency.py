#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""Whether answers that stay when a question is asked again are the right ones.

Every picture of a few towns is asked about once and `--repeats` times (`vlm.consistency`). A
confidence is worth the chance that a right answer has a higher one than a wrong answer (the area
under the curve of true against false positives; 0.5: nothing). Compared are the probability of
the single answer, that of the mean, and the agreement of the repeats; questions that a view does
not tell are left out.

Example:
  python bench/vlm_consistency.py --seeds 900201 900202 --vlm vlm-tiny --json consistency.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from scoring import may_be_scored, write_json

from geoloc_ros.datatypes import FloatArray, Mask
from geoloc_ros.training.data import read_shard
from geoloc_ros.training.vlm_data import VlmData, find_truth
from geoloc_ros.training.vlm_evaluate import some_rows
from geoloc_ros.training.worlds import WorldConfig, render_town
from geoloc_ros.vlm.answerer import Reply
from geoloc_ros.vlm.consistency import ask_repeatedly
from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.opening import open_vlm
from geoloc_ros.vlm.questions import VIEWS

CONFIDENCES = ("once", "mean", "agreement")


def main() -> int:
    """Print the table; write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="towns, 900000 and up")
    add("--vlm", default="vlm-tiny", help="package or FILE.gguf (%(default)s)")
    add("--repeats", type=int, default=8, help="2 to 8 (%(default)s)")
    add("--each", type=int, default=100, metavar="N", help="pictures of each view (%(default)s)")
    add("--size", type=float, default=700.0, metavar="M", help="side of a town (%(default)s)")
    add("--work", type=Path, default=Path("out/bench/consistency"), help="folder (%(default)s)")
    add("--threads", type=int, help="of the model; default: the cores there are but one")
    add("--json", type=Path, help="file to write")
    add("--development", action="store_true", help="allow seeds below 900000")
    arguments = parser.parse_args()
    if not may_be_scored(arguments.seeds, arguments.development):
        return 2
    vlm = LlamaVlm(open_vlm(arguments.vlm), n_threads=arguments.threads)
    data = _data(arguments, vlm)
    rows = some_rows(data, arguments.each)
    figures = {}
    for number, view in enumerate(VIEWS):
        mine = rows[(rows >= data.views) == bool(number)]
        figures[view] = _figures(vlm, data, mine, view, arguments.repeats)
        print(f"{view:10}" + "  ".join(f"{k} {v:.3f}" for k, v in figures[view].items()))
    vlm.close()
    if arguments.json:
        write_json(
            arguments.json,
            {**figures, "seeds": arguments.seeds, "vlm": vlm.package.name,
             "repeats": arguments.repeats},
        )  # fmt: skip
    return 0


def _data(arguments: argparse.Namespace, vlm: LlamaVlm) -> VlmData:
    arguments.work.mkdir(parents=True, exist_ok=True)
    views = max(arguments.each // len(arguments.seeds), 1)
    world = WorldConfig(size_m=arguments.size, seasons=1, views=views, drone_views=1)
    folders = [render_town(seed, world, arguments.work, bench=True) for seed in arguments.seeds]
    truths = [find_truth(folder, vlm.questions, world.size_m) for folder in folders]
    shards = [read_shard(folder, "perspective") for folder in folders]
    return VlmData(shards, truths, vlm.questions, vlm.package.image_size)


def _figures(
    vlm: LlamaVlm, data: VlmData, rows: np.ndarray, view: str, repeats: int
) -> dict[str, float]:
    right: dict[str, list[Mask]] = {"once": [], "mean": []}
    sure: dict[str, list[FloatArray]] = {name: [] for name in CONFIDENCES}
    for row in rows:
        picture = data.pictures(np.array([row]))[0]
        truth = data.answers[row]
        once, again = vlm.answer(picture, view), ask_repeatedly(vlm, picture, view, repeats)
        asked = truth >= 0
        for name, reply in (("once", once), ("mean", again.reply)):
            right[name].append(_right(vlm, reply, truth)[asked])
            sure[name].append(np.array([a.probability for a in reply.answers])[asked])
        sure["agreement"].append(np.array(list(again.agreement.values()))[asked])
    hit = {name: np.concatenate(parts) for name, parts in right.items()}
    found = {f"accuracy_{name}": float(values.mean()) for name, values in hit.items()}
    for name in CONFIDENCES:
        which = hit["once" if name == "once" else "mean"]
        found[f"auc_{name}"] = _auc(np.concatenate(sure[name]), which)
    return found


def _right(vlm: LlamaVlm, reply: Reply, truth: np.ndarray) -> Mask:
    names = (
        question.options[option].id if option >= 0 else None
        for question, option in zip(vlm.questions.questions, truth, strict=True)
    )
    pairs = zip(reply.answers, names, strict=True)
    return np.array([answer.answer == name for answer, name in pairs])


def _auc(confidence: FloatArray, right: Mask) -> float:
    """Chance that a right answer is surer than a wrong one; Mann and Whitney, 1947."""
    hits, misses = int(right.sum()), int((~right).sum())
    if not hits or not misses:
        return float("nan")
    ranks = rankdata(confidence)
    return float((ranks[right].sum() - hits * (hits + 1) / 2) / (hits * misses))


if __name__ == "__main__":
    raise SystemExit(main())
