# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc vlm`: ask a local vision-language model, try one, time one."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.cli import vlm_prior
from geoloc_ros.errors import ConfigError, ModelError, first_line

if TYPE_CHECKING:
    from geoloc_ros.datatypes import Image
    from geoloc_ros.vlm.consistency import Repeated
    from geoloc_ros.vlm.llama import LlamaVlm
    from geoloc_ros.vlm.questions import QuestionSet
    from geoloc_ros.vlm.trial import Trial

DEFAULT = "vlm-tiny"
MOST_THREADS, MOST_REPEATS = 256, 1000
LEAST_SHOWN = 0.005  # probability of an answer that was not given


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Register the command and its parts."""
    parser = subparsers.add_parser(
        "vlm",
        help="ask a local vision-language model, try one, time one",
        description="A vision-language model says in answers to multiple-choice questions what a "
        "picture shows. It runs on this machine, through llama-cpp-python.",
    )
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    _add_describe(parts)
    vlm_prior.add_parser(parts)
    _add_check(parts)
    _add_bench(parts)


def _add_describe(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        "describe",
        help="answer all questions about a picture",
        description="Answer all questions about one picture and say how sure the model is.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a JPEG or PNG picture")
    add_model(parser)
    parser.add_argument(
        "--view",
        choices=("ground", "satellite"),
        default="ground",
        help="seen from the vehicle, or a satellite crop with the heading up",
    )
    parser.add_argument(
        "--paraphrased", action="store_true", help="ask the same questions in other words"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="ask N times, 2 to 8: in other words, in a mirror, about crops; tell the mean, and "
        "how many repeats agree with it",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_describe)


def _add_check(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        "check",
        help="try a model: does it load, look, answer, and how fast",
        description="Try a model on two made pictures, in a process of its own, or say why it "
        "cannot be used. MODEL is a package, or the GGUF file of a language model whose mmproj "
        "file lies beside it.",
    )
    parser.add_argument(
        "model", metavar="MODEL", help="package by name or directory, or FILE.gguf"
    )
    _add_loading(parser)
    parser.add_argument(
        "--pack",
        metavar="NAME",
        help="if it can be used, write model.json beside the two files, with this name in it: a "
        "package, found by its folder",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_check)


def _add_bench(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = parts.add_parser(
        "bench",
        help="time a model, and what encoding the picture once saves",
        description="Time all questions about a picture, with the picture encoded once and, in "
        "turn, anew for each question; the ratio of the two is what sharing saves.",
    )
    parser.add_argument("--image", type=Path, help="a picture; default: a made one")
    add_model(parser)
    parser.add_argument("--repeats", type=int, default=5, help="how often; medians are told")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_bench)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a model."""
    parser.add_argument(
        "--model",
        default=DEFAULT,
        help=f"package by name or directory, or FILE.gguf (default: {DEFAULT})",
    )
    _add_loading(parser)


def _add_loading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mmproj", type=Path, metavar="FILE", help="vision tower of FILE.gguf")
    parser.add_argument(
        "--threads", type=int, help="default: the cores there are but one, at most 4"
    )


def load(arguments: argparse.Namespace) -> LlamaVlm:
    """The model that the options of `add_model` name."""
    from geoloc_ros.vlm.llama import LlamaVlm
    from geoloc_ros.vlm.opening import open_vlm

    _check_threads(arguments)
    package = open_vlm(arguments.model, arguments.mmproj)
    return LlamaVlm(package, n_threads=arguments.threads)


def _check_threads(arguments: argparse.Namespace) -> None:
    if arguments.threads is not None and not 1 <= arguments.threads <= MOST_THREADS:
        raise ConfigError(f"--threads is {arguments.threads}; it must lie in 1..{MOST_THREADS}")


def _describe(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.files import read_rgb
    from geoloc_ros.vlm.consistency import check_repeats

    if arguments.repeats is not None:
        check_repeats(arguments.repeats)
        if arguments.paraphrased:
            raise ConfigError("--repeats asks in other words by itself; leave --paraphrased out")
    rgb = read_rgb(arguments.image)
    vlm = load(arguments)
    try:
        said = _said(vlm, rgb, arguments)
    except ValueError as error:
        raise ModelError(f"{vlm.package.name} does not answer: {first_line(error)}") from error
    if arguments.json:
        rows = [asdict(answer) for answer in said.reply.answers]
        for row in rows:
            row |= {"agreement": said.agreement[row["question"]]} if said.agreement else {}
        print(json.dumps(rows, indent=2))
    else:
        print(answer_table(said, vlm.questions))
    return 0


def _said(vlm: LlamaVlm, rgb: Image, arguments: argparse.Namespace) -> Repeated:
    """All answers, and their agreement if there are repeats."""
    from geoloc_ros.vlm.consistency import Repeated, ask_repeatedly

    if arguments.repeats is not None:
        return ask_repeatedly(vlm, rgb, arguments.view, arguments.repeats)
    return Repeated(vlm.answer(rgb, arguments.view, paraphrased=arguments.paraphrased), {})


def answer_table(said: Repeated, questions: QuestionSet) -> str:
    """Questions, answers, how probable they are and how many repeats agree, a line each."""
    from geoloc_ros.vlm.answerer import UNPARSEABLE

    rows = [("question", "answer", "", "agree" if said.agreement else "", "instead")]
    for answer in said.reply.answers:
        question = questions[answer.question]
        agree = f"{said.agreement[question.id]:.0%}" if said.agreement else ""
        if answer.answer == UNPARSEABLE:
            rows.append((question.id, UNPARSEABLE, "–", agree, ""))
            continue
        texts = [option.text for option in question.options]
        best, *others = sorted(
            zip(answer.probabilities, texts, strict=True), key=itemgetter(0), reverse=True
        )
        instead = ", ".join(f"{text} {p:.0%}" for p, text in others[:2] if p >= LEAST_SHOWN)
        rows.append((question.id, best[1], f"{best[0]:.0%}", agree, instead))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    shown = [i for i in range(4) if widths[i]]
    return "\n".join(
        "  ".join((*(f"{row[i]:{'<>'[i > 1]}{widths[i]}}" for i in shown), row[4])).rstrip()
        for row in rows
    )


def _check(arguments: argparse.Namespace) -> int:
    from geoloc_ros.vlm.llama_library import check_installed
    from geoloc_ros.vlm.opening import check_packable, open_vlm, pack
    from geoloc_ros.vlm.trial import try_apart

    _check_threads(arguments)
    check_installed()
    package = open_vlm(arguments.model, arguments.mmproj)
    if arguments.pack is not None:
        if not arguments.pack.strip():
            raise ConfigError("--pack is empty; it is the model's name, for people to read")
        if not arguments.model.endswith(".gguf"):
            raise ConfigError(f"{arguments.model} is a package already; leave --pack out")
        check_packable(package)
    trial = try_apart(arguments.model, arguments.mmproj, arguments.threads)
    folder = None if arguments.pack is None else pack(package, arguments.pack)
    if arguments.json:
        packed = {} if folder is None else {"packed": str(folder / "model.json")}
        print(json.dumps(asdict(trial) | packed, indent=2))
    else:
        what = f"{package.text_path} ({package.architecture}, {_mb(package.text.bytes)})"
        eyes = f"{package.mmproj_path} ({package.projector}, {_mb(package.mmproj.bytes)})"
        print(f"model     {what}\nmmproj    {eyes}\n{_trial_table(trial, package.template)}")
        if folder is not None:
            print(f"packed    {folder / 'model.json'}; name it as answerer: {folder}")
    return 0


def _trial_table(trial: Trial, template: str) -> str:
    answered = trial.questions - trial.unparseable
    looks = "change with the picture" if trial.looks else "are the same for different pictures"
    return "\n".join(
        (
            f"template  {template}",
            f"loads     in {trial.load_s:.1f} s, {trial.peak_mb:.0f} MB in all",
            f"answers   {answered} of {trial.questions} questions; they {looks}",
            f"tokens    {trial.picture_tokens} of a picture, {trial.question_tokens} of all "
            "questions",
            f"speed     {trial.image_s:.2f} s a picture",
        )
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _bench(arguments: argparse.Namespace) -> int:
    from geoloc_ros.imagery.files import read_rgb
    from geoloc_ros.vlm.trial import bench, made_picture

    if not 1 <= arguments.repeats <= MOST_REPEATS:
        raise ConfigError(f"--repeats is {arguments.repeats}; it must lie in 1..{MOST_REPEATS}")
    rgb = read_rgb(arguments.image) if arguments.image else made_picture(0)
    vlm = load(arguments)
    try:
        found = bench(vlm, rgb, arguments.repeats)
    except ValueError as error:
        raise ModelError(f"{vlm.package.name} does not answer: {first_line(error)}") from error
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
        return 0
    print(
        f"{found.questions} questions about a picture, medians of {found.pictures}\n"
        f"picture encoded once           {found.image_s:8.3f} s\n"
        f"picture encoded for each       {found.separately_s:8.3f} s\n"
        f"speed-up                       {found.encode_once_speedup:8.1f}\n"
        f"tokens of picture, questions   {found.picture_tokens:8d}, {found.question_tokens}\n"
        f"largest difference of answers  {found.difference:8.3f}"
    )
    return 0
