# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of questions: read from YAML, checked, and laid out as one flat vector of options."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from geoloc_ros.errors import ConfigError, first_line, shown

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
VIEWS = ("ground", "satellite")
CANNOT_TELL = "cannot_tell"
REGION = "region"
SHIPPED = Path(__file__).with_name("questions.yaml")


@dataclass(frozen=True, slots=True)
class Option:
    """One answer to choose.

    Attributes:
        id: identifier, unique within its question.
        text: a few words for the model.
    """

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """One multiple-choice question.

    Attributes:
        id: identifier, unique within the set.
        text: the question.
        paraphrase: the same in other words, to see whether the answer stays.
        options: what can be answered; the last one is `CANNOT_TELL`.
        views: of ``ground`` and ``satellite``, those that are asked; for a view that is not,
            the answer is `CANNOT_TELL` with certainty.
    """

    id: str
    text: str
    paraphrase: str
    options: tuple[Option, ...]
    views: tuple[str, ...]

    def index(self, option: str) -> int:
        """Position of an option.

        Raises:
            ConfigError: the question has no such option.
        """
        for i, item in enumerate(self.options):
            if item.id == option:
                return i
        known = ", ".join(item.id for item in self.options)
        raise ConfigError(f"question {self.id} has no option {shown(option)}; it has {known}")


@dataclass(frozen=True, slots=True)
class Region:
    """Where in the world an option of the question `REGION` lies: a round Gaussian.

    Attributes:
        lat_deg: latitude of its centre.
        lon_deg: longitude of its centre.
        sigma_m: spread in each direction.
    """

    lat_deg: float
    lon_deg: float
    sigma_m: float


@dataclass(frozen=True)
class QuestionSet:
    """All questions in order.

    Attributes:
        version: number of the list, raised with every change of meaning.
        sha256: identity of everything in it; comments and layout of the file do not count.
        questions: the questions.
        regions: where each option of the question `REGION` lies, `CANNOT_TELL` left out.
    """

    version: int
    sha256: str
    questions: tuple[Question, ...]
    regions: dict[str, Region]

    def __getitem__(self, question: str) -> Question:
        """The question of an identifier.

        Raises:
            ConfigError: there is none.
        """
        for item in self.questions:
            if item.id == question:
                return item
        raise ConfigError(f"there is no question {shown(question)} in version {self.version}")

    @property
    def total_options(self) -> int:
        """Length of the vector that holds the probabilities of all options of all questions."""
        return sum(len(question.options) for question in self.questions)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each question's options lie in that vector."""
        out, start = {}, 0
        for question in self.questions:
            out[question.id] = slice(start, start + len(question.options))
            start += len(question.options)
        return out


def prompt(question: Question, paraphrased: bool = False) -> str:
    """A question with its lettered options, ready to be answered by one letter."""
    text = question.paraphrase if paraphrased else question.text
    lines = [f"{letter} {o.text}" for letter, o in zip(LETTERS, question.options, strict=False)]
    return "\n".join([text, *lines, "Answer:"])


def by_name(question: Question) -> str:
    """A question asked by its name, of a model that learned what the name stands for."""
    return f"{question.id}:"


def load_questions(path: Path | None = None) -> QuestionSet:
    """Read a list of questions.

    Args:
        path: a YAML file; None for the one that ships with the package.

    Raises:
        ConfigError: the file cannot be read, or something in it is missing, unknown or wrong.
    """
    path = path or SHIPPED
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read questions from {path}: {first_line(error)}") from error
    try:
        return _question_set(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _question_set(content: object) -> QuestionSet:
    top = _mapping(content, "the file", {"version", "cannot_tell", "questions"})
    version, items = top["version"], top["questions"]
    if type(version) is not int or version < 1:
        raise ConfigError(f"version is {shown(version)}; it must be a whole number from 1 on")
    if not isinstance(items, list) or not items:
        raise ConfigError(f"questions is {shown(items)}; it must be a list with an entry at least")
    unsure = Option(CANNOT_TELL, _text(top["cannot_tell"], "cannot_tell"))
    questions = tuple(_question(item, i, unsure) for i, item in enumerate(items))
    _unique([question.id for question in questions], "questions")
    regions = {
        key: _region(value, key)
        for item in items
        if item["id"] == REGION
        for key, value in item["options"].items()
    }
    parts = [[asdict(q) for q in questions], {key: asdict(r) for key, r in regions.items()}]
    digest = hashlib.sha256(json.dumps([version, *parts]).encode()).hexdigest()
    return QuestionSet(version, digest, questions, regions)


def _question(item: object, number: int, unsure: Option) -> Question:
    where = f"question {number + 1}"
    fields = _mapping(item, where, {"id", "text", "paraphrase", "views", "options"})
    name = _text(fields["id"], f"id of {where}")
    where = f"question {name}"
    views, options = fields["views"], fields["options"]
    if not isinstance(views, list) or not views or not set(map(str, views)) <= set(VIEWS):
        raise ConfigError(f"views of {where} is {shown(views)}; choose from {', '.join(VIEWS)}")
    if not isinstance(options, dict) or not 2 <= len(options) < len(LETTERS):
        raise ConfigError(f"options of {where} must map 2 to {len(LETTERS) - 1} ids to texts")
    found = []
    for key, value in options.items():
        words = value.get("text") if name == REGION and isinstance(value, dict) else value
        found.append(Option(_text(key, f"option of {where}"), _text(words, f"{where}, {key}")))
    _unique([*(o.id for o in found), CANNOT_TELL], f"options of {where}")
    return Question(
        name,
        _text(fields["text"], f"text of {where}"),
        _text(fields["paraphrase"], f"paraphrase of {where}"),
        (*found, unsure),
        tuple(view for view in VIEWS if view in views),
    )


def _region(value: object, name: str) -> Region:
    limits = {"lat_deg": (-90.0, 90.0), "lon_deg": (-180.0, 180.0), "sigma_m": (1.0, 2e7)}
    fields = _mapping(value, f"region {name}", {"text", *limits})
    for key, (low, high) in limits.items():
        number = fields[key]
        if type(number) not in (int, float) or not low <= number <= high:
            raise ConfigError(
                f"{key} of region {name} is {shown(number)}; it must lie in {low:g}..{high:g}"
            )
    return Region(*(float(fields[key]) for key in limits))


def _mapping(value: object, where: str, keys: set[str]) -> dict[str, Any]:
    """A mapping with exactly these keys."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {shown(value)}; it must map {', '.join(sorted(keys))}")
    missing, extra = keys - value.keys(), value.keys() - keys
    if missing or extra:
        raise ConfigError(
            f"{where}: missing {sorted(missing)}, unknown {sorted(map(str, extra))}; "
            f"the keys are {', '.join(sorted(keys))}"
        )
    return value


def _text(value: object, where: str) -> str:
    """One line of text."""
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise ConfigError(f"{where} is {shown(value)}; it must be one line of text")
    return value.strip()


def _unique(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{where}: {', '.join(twice)} is there twice")
