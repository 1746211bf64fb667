# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc train reranker`: learn to order candidates by what a vision-language model says."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from geoloc_ros.cli.training import changed, check_bounds, extra
from geoloc_ros.encoders.registry import find_model

_DESCRIPTION = """\
Train the reranker: it orders the encoder's first places by what a vision-language model says of
the camera view and of each place's satellite tile, and abstains where it is not sure to help.

Renders made towns (kept in --data), retrieves the first places for every view, lets the model
describe views and tiles (kept in --work), trains each fusion with a margin ranking loss and a gate
on the same lists, prints the ablation table and exports the best. Needs the extra dependencies:
pip install 'geoloc_ros[train]'.

A reranker belongs to one encoder, one list of questions and one model. --truth takes the made
world's truth in place of a model's answers, wrong as often as asked: to see what answers of some
accuracy are worth.
"""
_EPILOG = """\
examples:
  geoloc train reranker --vlm vlm-tiny --out models/reranker
  geoloc train reranker --truth 0.8 --out /tmp/at80
"""
DEFAULTS = {
    "encoder": "perspective",
    "towns": 36,
    "views": 200,
    "validation_towns": 6,
    "first_seed": 1100,
    "epochs": 30,
    "seed": 1,
}
BOUNDS = {
    "towns": (1, 10_000),
    "validation_towns": (1, 1000),
    "views": (20, 100_000),
    "epochs": (1, 10_000),
    "threads": (1, 1000),
    "workers": (1, 1000),
    "seed": (0, 2**31 - 1),
    "first_seed": (0, 2**31 - 1),
}


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = verbs.add_parser(
        "reranker",
        help="train the reranker that listens to a vision-language model",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    answers = parser.add_mutually_exclusive_group(required=True)
    answers.add_argument("--vlm", metavar="MODEL", help="who answers: a name, or a package folder")
    answers.add_argument(
        "--truth", type=float, metavar="SHARE", help="the truth, right in this share of answers"
    )
    add("--out", required=True, type=Path, metavar="MODEL", help="model directory to write")
    add("--encoder", help="encoder package (%(default)s)")
    add("--towns", type=int, metavar="N", help="training towns (%(default)s)")
    add("--views", type=int, metavar="N", help="views of each town (%(default)s)")
    add("--validation-towns", type=int, metavar="N", help="other towns (%(default)s)")
    add("--first-seed", type=int, metavar="SEED",
        help="seed of the first training town; better none the encoder learnt from; 2000.. "
             "validate, 900000.. are refused (%(default)s)")  # fmt: skip
    add("--leave-out", nargs="*", metavar="STYLE",
        help="styles no training town has (default: uk_terrace es_coast jp_dense)")  # fmt: skip
    add("--epochs", type=int, metavar="N", help="of each training (%(default)s)")
    add("--seed", type=int, help="of weights and order (%(default)s)")
    add("--data", type=Path, default=Path("out/train/reranker/towns"), metavar="DIR",
        help="rendered towns, made where missing (%(default)s)")  # fmt: skip
    add("--work", type=Path, default=Path("out/train/reranker/run"), metavar="DIR",
        help="lists, answers, checkpoints, all variants (%(default)s)")  # fmt: skip
    add("--threads", type=int, default=2, metavar="N", help="CPU threads (%(default)s)")
    add("--workers", type=int, default=2, metavar="N",
        help="processes that render and describe (%(default)s)")  # fmt: skip
    add("--resume", action="store_true", help="continue from the checkpoints in --work")
    parser.set_defaults(run=_reranker, **DEFAULTS)


def _reranker(arguments: argparse.Namespace) -> int:
    check_bounds(arguments, BOUNDS)
    logging.getLogger("geoloc_ros.training").setLevel(logging.INFO)
    with extra("train"):
        from geoloc_ros.training import reranker_recipe as recipes
        from geoloc_ros.training.reranker_answers import AnswerSource, ModelSource, TruthSource
        from geoloc_ros.training.reranker_score import table_text
        from geoloc_ros.training.reranker_train import FitConfig
        from geoloc_ros.training.worlds import WorldConfig
    from geoloc_ros.vlm.answerer import identity_of
    from geoloc_ros.vlm.questions import load_questions

    encoder, questions = find_model(arguments.encoder), load_questions()
    world = WorldConfig(seasons=1, views=arguments.views, drone_views=1)
    source: AnswerSource
    if arguments.vlm is None:
        source = TruthSource(questions, arguments.truth, world.size_m, arguments.seed)
    else:
        source = ModelSource(
            arguments.vlm, *identity_of(arguments.vlm), questions, encoder.reference,
            arguments.work / "answers", arguments.workers,
        )  # fmt: skip
    left_out = arguments.leave_out
    recipe = recipes.RerankerRecipe(
        encoder=encoder,
        questions=questions,
        source=source,
        fit=FitConfig(epochs=arguments.epochs, seed=arguments.seed),
        world=world,
        towns=arguments.towns,
        first_seed=arguments.first_seed,
        validation_towns=arguments.validation_towns,
        left_out=recipes.LEFT_OUT if left_out is None else tuple(left_out),
        data=arguments.data,
        work=arguments.work,
        out=arguments.out,
        workers=arguments.workers,
        threads=arguments.threads,
    )
    package, table = recipes.train_reranker(recipe, _command(arguments), arguments.resume)
    print(table_text(table))
    print(f"reranker package: {arguments.out} ({package.fusion}, {package.text})")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The command that makes this model again, without paths of this machine."""
    if arguments.vlm is None:
        who = f"--truth {arguments.truth:g}"
    else:
        who = f"--vlm {Path(arguments.vlm).name}"
    parts = [f"geoloc train reranker {who} --out models/reranker"]
    parts += changed(arguments, DEFAULTS)
    if arguments.leave_out is not None:
        parts.append(" ".join(["--leave-out", *arguments.leave_out]))
    return " ".join(parts)
