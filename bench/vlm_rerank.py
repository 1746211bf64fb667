#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
r"""What the reranker adds to the encoder's order, in towns that nothing was trained or tuned on.

`same`: new drives through towns the reranker was trained in. `cross`: the towns of --seeds. Each
view's first places are ordered by the encoder, then by the reranker as the vehicle runs it, gate
included; once with the answers to the view, once with those to another view of the same town.
--variants names the folder where `geoloc train reranker` kept its variants: the ablation table.

Example:
  python bench/vlm_rerank.py --seeds 900201 900202 900203 --vlm vlm-tiny \
      --variants out/train/reranker/run/variants --json rerank.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scoring import may_be_scored, write_json

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rerank.package import RerankerPackage, find_reranker, load_reranker
from geoloc_ros.training.reranker_answers import AnswerSource, ModelSource, TruthSource
from geoloc_ros.training.reranker_lists import joined, town_lists
from geoloc_ros.training.reranker_train import Told
from geoloc_ros.training.worlds import WorldConfig, render_town
from geoloc_ros.vlm.answerer import identity_of
from geoloc_ros.vlm.questions import load_questions

WANTED = {"rerank_gain_same": 0.099, "rerank_gain_cross": 0.069, "shuffled_gain": 0.0}
NEW_DRIVE = 7


def main() -> int:
    """Print the table; write the figures if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", required=True, help="towns of `cross`, 900000 and up")
    add("--reranker", default="reranker", help="package (%(default)s)")
    add("--variants", type=Path, help="folder of all variants, for the ablation table")
    answers = parser.add_mutually_exclusive_group(required=True)
    answers.add_argument("--vlm", metavar="MODEL", help="who answers")
    answers.add_argument(
        "--truth", type=float, metavar="SHARE", help="the truth, right in this share of answers"
    )
    add("--same", type=int, default=6, metavar="N", help="training towns (%(default)s)")
    add("--views", type=int, default=200, metavar="N", help="views of each town (%(default)s)")
    add("--work", type=Path, default=Path("out/bench/rerank"), help="folder (%(default)s)")
    add("--workers", type=int, default=2, help="processes that describe (%(default)s)")
    add("--json", type=Path, help="file to write")
    add("--development", action="store_true", help="allow seeds below 900000")
    arguments = parser.parse_args()
    if not may_be_scored(arguments.seeds, arguments.development):
        return 2
    package = find_reranker(arguments.reranker)
    encoder = find_model(_encoder_of(package))
    source = _source(arguments, encoder)
    if source.sha256 != package.vlm_sha256:
        raise SystemExit(f"the reranker listens to {package.vlm}, not to {source.name}")
    train = package.training["train_seeds"][: arguments.same]
    splits = {
        "same": _told(arguments, encoder, source, train, NEW_DRIVE),
        "cross": _told(arguments, encoder, source, arguments.seeds, 0),
    }
    rows = {"shipped": _row(package, splits)}
    for folder in sorted(arguments.variants.iterdir()) if arguments.variants else []:
        rows[folder.name] = _row(load_reranker(folder), splits)
    shipped = rows["shipped"]
    figures = {
        "rerank_gain_same": shipped["same_gain"],
        "rerank_gain_cross": shipped["cross_gain"],
        "shuffled_gain": max(shipped["same_shuffled_gain"], shipped["cross_shuffled_gain"]),
    }
    _print(rows, figures, {name: len(told) for name, told in splits.items()})
    if arguments.json:
        content = {
            **figures, "ablation": rows, "seeds": arguments.seeds, "same_seeds": train,
            "answers": source.name, "lists": {name: len(told) for name, told in splits.items()},
        }  # fmt: skip
        write_json(arguments.json, content)
    return 0


def _encoder_of(package: RerankerPackage) -> str:
    from geoloc_ros.encoders.registry import find_model_by_sha

    return str(find_model_by_sha(package.encoder_sha256).root)


def _world(arguments: argparse.Namespace, drive: int) -> WorldConfig:
    return WorldConfig(seasons=1, views=arguments.views, drone_views=1, drive=drive)


def _source(arguments: argparse.Namespace, encoder: ModelPackage) -> AnswerSource:
    questions = load_questions()
    if arguments.vlm is None:
        return TruthSource(questions, arguments.truth, _world(arguments, 0).size_m)
    return ModelSource(
        arguments.vlm, *identity_of(arguments.vlm), questions, encoder.reference,
        arguments.work / "answers", arguments.workers,
    )  # fmt: skip


def _told(
    arguments: argparse.Namespace,
    encoder: ModelPackage,
    source: AnswerSource,
    seeds: list[int],
    drive: int,
) -> Told:
    parts = []
    for seed in seeds:
        towns = arguments.work / f"towns_{drive}"
        towns.mkdir(parents=True, exist_ok=True)
        folder = render_town(seed, _world(arguments, drive), towns, bench=True)
        lists = town_lists(folder, encoder, 10, arguments.work / f"lists_{drive}", threads=2)
        parts.append(Told(lists, *source.describe(folder, lists)))
    return Told(
        joined([part.lists for part in parts]),
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.texts for part in parts]),
    )


def _row(package: RerankerPackage, splits: dict[str, Told]) -> dict[str, float]:
    """Recall at 1 before and after, and the relative gain, also with answers to other views."""
    reranker = LanguageReranker(package)
    row: dict[str, float] = {}
    for name, told in splits.items():
        if "shuffled" in package.root.name:  # learnt and tested with answers to other views
            told = told.shuffled(1)
        before = told.lists.correct[:, 0].mean()
        after = _first_right(reranker, told, told.query).mean()
        wrong = _first_right(reranker, told, told.shuffled(2).query).mean()
        row |= {
            f"{name}_before": float(before),
            f"{name}_after": float(after),
            f"{name}_gain": float(after / before - 1.0),
            f"{name}_shuffled_gain": float(wrong / before - 1.0),
            f"{name}_any": float(told.lists.correct.any(axis=1).mean()),
        }
    return row


def _first_right(reranker: LanguageReranker, told: Told, query: Float32Array) -> Float32Array:
    """Whether the first place is a right one, for each list (N,)."""
    lists, right = told.lists, np.zeros(len(told), np.float32)
    for i in range(len(told)):
        verdict = reranker.judge(
            lists.query[i], query[i], lists.similarity[i], lists.descriptors[i], told.texts[i]
        )
        right[i] = lists.correct[i, verdict.order[0]]
    return right


def _print(
    rows: dict[str, dict[str, float]], figures: dict[str, float], lists: dict[str, int]
) -> None:
    print(f"{lists['same']} views of training towns, {lists['cross']} of held-out towns")
    print(f"{'reranker':20}" + "".join(
        f"{name:>7} {'R@1':>6} {'after':>6} {'gain':>8} {'shuffled':>9}" for name in lists
    ))  # fmt: skip
    for name, row in rows.items():
        cells = "".join(
            f"{'':7} {row[f'{s}_before']:6.3f} {row[f'{s}_after']:6.3f} {row[f'{s}_gain']:+8.1%} "
            f"{row[f'{s}_shuffled_gain']:+9.1%}"
            for s in lists
        )
        print(f"{name:20}{cells}")
    for key, value in figures.items():
        sign = "<=" if key == "shuffled_gain" else ">="
        print(f"{key:20} {value:+.3f}   wanted {sign} {WANTED[key]:g}")


if __name__ == "__main__":
    raise SystemExit(main())
