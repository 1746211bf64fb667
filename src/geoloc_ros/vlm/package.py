# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The package of a vision-language model: `model.json` and the two GGUF files it vouches for.

Like an encoder's package it is a directory under `models/`; ``"kind": "vlm"`` tells them apart.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from geoloc_ros.digest import digest
from geoloc_ros.encoders.package import file_sha256, verify_file
from geoloc_ros.encoders.registry import find_folder
from geoloc_ros.errors import ModelError, first_line, shown
from geoloc_ros.vlm.gguf_header import PROJECTOR_ARCHITECTURE, GgufHeader, read_header
from geoloc_ros.vlm.questions import VIEWS, QuestionSet

KIND, SCHEMA = "vlm", 1
CARD = "model.json"
#: a picture's longer side where nothing else is said
SIDE_PX = 1024
#: what a file's name must be
PLAIN_NAME = "printable characters, 1 to 200, and no folder"
Template = Literal["plain", "chat"]
Fit = Literal["square", "at_most"]
AskedBy = Literal["words", "name"]
#: view -> question -> number
Table = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A file of a package.

    Attributes:
        name: see `PLAIN_NAME`.
        sha256: of its bytes, in hex.
        bytes: its size.
    """

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmPackage:
    """A vision-language model on disk.

    Attributes:
        root: its directory.
        text: the language model.
        mmproj: the vision tower with its projector.
        architecture: of the language model, as its file says; refused when it differs.
        projector: type of the projector, likewise.
        image_size: side of the picture the model is given, px.
        image_fit: ``square``: squeezed to exactly that; ``at_most``: shrunk until its longer side
            is no longer.
        image_tokens: most tokens a picture may become, for models that let one choose; 0 for as
            many as the model wants.
        template: ``plain``: picture, newline, question, for our own models; ``chat``: by the chat
            template in the language model's file.
        asked_by: ``words``: questions and options are read out; ``name``: the model knows each
            question by its name as well, which takes a sixth of the time.
        question_set: `version` and `sha256` of the questions it was trained for; empty for a
            model that answers any.
        temperature: by view and question, what log-probabilities are divided by; 1 where missing.
        reliability: by view and question, how often the answer is right on held-out data, 0..1.
        scores: held-out figures by name.
        training: command, seeds, data.
    """

    root: Path
    name: str
    version: str
    text: ModelFile
    mmproj: ModelFile
    architecture: str
    projector: str
    image_size: int
    image_fit: Fit
    template: Template
    image_tokens: int = 0
    asked_by: AskedBy = "words"
    question_set: dict[str, Any] = field(default_factory=dict)
    temperature: Table = field(default_factory=dict)
    reliability: Table = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""

    @property
    def text_path(self) -> Path:
        """The language model's file."""
        return self.root / self.text.name

    @property
    def mmproj_path(self) -> Path:
        """The file of the vision tower and projector."""
        return self.root / self.mmproj.name

    @property
    def sha256(self) -> str:
        """Identity of what it answers: its files, what they are shown, how they are asked."""
        files = [self.text.sha256, self.mmproj.sha256]
        shown_as = [self.image_size, self.image_fit, self.image_tokens]
        return digest([files, shown_as, self.template, self.asked_by, self.temperature])

    @property
    def author(self) -> tuple[str, str]:
        """Name with version, and `sha256`: whose answers they are."""
        return f"{self.name} {self.version}", self.sha256

    def save(self) -> None:
        """Write `model.json`; the two files are already there."""
        content = dataclasses.asdict(self)
        files = {role: content.pop(role) for role in ("text", "mmproj")}
        del content["root"]
        content = {"kind": KIND, "schema": SCHEMA, "files": files, **content}
        partial = self.root / (CARD + ".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.root / CARD)

    def check_questions(self, questions: QuestionSet) -> None:
        """See that it was trained for these questions, or for none in particular.

        Raises:
            ModelError: it was trained for others.
        """
        trained = self.question_set.get("sha256")
        if trained is not None and trained != questions.sha256:
            raise ModelError(
                f"model {self.name} answers version {self.question_set.get('version')} of the "
                f"questions ({shown(trained)[1:13]}), here is version {questions.version} "
                f"({questions.sha256[:12]}); take a model trained for these"
            )


def model_file(path: Path) -> ModelFile:
    """What a package says of a file.

    Raises:
        OSError: it cannot be read.
    """
    return ModelFile(name=path.name, sha256=file_sha256(path), bytes=path.stat().st_size)


def find_vlm_folder(name: str) -> Path:
    """Directory of the package at a path or of a name; what is in it is not looked at.

    Raises:
        ModelError: there is none.
    """
    try:
        return find_folder(name, KIND)
    except ModelError as error:
        raise ModelError(
            f"{error}. Ours is made by 'geoloc train vlm --out models/vlm-tiny'; published ones "
            "are put in as docs/vlm.md says"
        ) from error


def find_vlm(name: str) -> VlmPackage:
    """The package at a path or of a name, verified.

    Raises:
        ModelError: there is none, or it was altered.
    """
    return load_vlm(find_vlm_folder(name))


def load_vlm(root: Path) -> VlmPackage:
    """Read a package and verify it: sizes, hashes, architecture, projector.

    Raises:
        ModelError: something is missing, altered, cut off or of another kind.
    """
    package = read_card(root)
    for file in (package.text, package.mmproj):
        verify_file(root / file.name, file.sha256, file.bytes)
    text, mmproj = read_header(package.text_path), read_header(package.mmproj_path)
    check_pair(text, mmproj)
    for what, said, found in (
        ("architecture", package.architecture, text.architecture),
        ("projector", package.projector, mmproj.projector),
    ):
        if said != found:
            raise ModelError(
                f"{root / CARD}: {what} is {shown(said)}, the file's is {shown(found)}; "
                "fetch the package again"
            )
    return package


def check_pair(text: GgufHeader, mmproj: GgufHeader) -> None:
    """See that two GGUF files are a language model and a vision tower that fits it.

    Raises:
        ModelError: they are not.
    """
    if text.architecture == PROJECTOR_ARCHITECTURE:
        raise ModelError(
            f"{text.path} is a vision tower (mmproj); name the language model, and this with "
            "--mmproj"
        )
    if mmproj.architecture != PROJECTOR_ARCHITECTURE:
        raise ModelError(
            f"{mmproj.path} is a language model ({shown(mmproj.architecture)}), no mmproj; the "
            "mmproj of a model is usually published beside it, its name begins with 'mmproj'"
        )
    if mmproj.values.get("clip.has_vision_encoder") is not True:
        raise ModelError(f"{mmproj.path} cannot see: it has no vision tower")


def read_card(root: Path) -> VlmPackage:
    """Read `model.json` alone; the files it names are not looked at.

    Raises:
        ModelError: it is missing, of another kind or schema, or a value makes no sense.
    """
    path = root / CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"no usable model package at {root}: {first_line(error)}") from error
    if not isinstance(content, dict) or content.pop("kind", None) != KIND:
        raise ModelError(f"{path} is no package of a vision-language model")
    if content.pop("schema", None) != SCHEMA:
        raise ModelError(f"{path} is not of schema {SCHEMA}; export the model again")
    try:
        files = content.pop("files")
        content |= {role: ModelFile(**files[role]) for role in ("text", "mmproj")}
        package = VlmPackage(root=root, **content)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is incomplete or has unknown keys: {first_line(error)}; export it again"
        ) from error
    if wrong := _wrong(package):
        raise ModelError(f"{path}: {wrong}; export the model again")
    return package


def _wrong(package: VlmPackage) -> str:
    """What makes no sense in a package, empty if all does."""
    texts = ("name", "version", "architecture", "projector", "licence")
    for key in texts:
        if not isinstance(getattr(package, key), str):
            return f"{key} is {shown(getattr(package, key))}; it must be text"
    kinds = {"template": Template, "image_fit": Fit, "asked_by": AskedBy}
    for key, choices in ((key, get_args(kind)) for key, kind in kinds.items()):
        if getattr(package, key) not in choices:
            return f"{key} is {shown(getattr(package, key))}; choose from {', '.join(choices)}"
    if type(package.image_size) is not int or not 16 <= package.image_size <= 8192:
        return f"image_size is {shown(package.image_size)}; it must lie in 16..8192 px"
    if type(package.image_tokens) is not int or not 0 <= package.image_tokens <= 4096:
        return f"image_tokens is {shown(package.image_tokens)}; it must lie in 0..4096"
    for file in (package.text, package.mmproj):
        if not isinstance(file.name, str) or not is_plain_name(file.name):
            return f"a file's name is {shown(file.name)}; it must have {PLAIN_NAME}"
        if not isinstance(file.sha256, str) or type(file.bytes) is not int:
            return f"sha256 or bytes of {file.name} make no sense"
    for key in ("question_set", "scores", "training"):
        if not isinstance(getattr(package, key), dict):
            return f"{key} is {shown(getattr(package, key))}; it must be a mapping"
    for key, low, high in (("temperature", 1e-3, 1e3), ("reliability", 0.0, 1.0)):
        if not _is_table(getattr(package, key), low, high):
            return f"{key} must map views, then questions, to numbers in {low:g}..{high:g}"
    return ""


def is_plain_name(name: str) -> bool:
    """Whether a file of a package may be called that, see `PLAIN_NAME`."""
    return name.isprintable() and 0 < len(name) <= 200 and Path(name).name == name


def _is_table(value: object, low: float, high: float) -> bool:
    return isinstance(value, dict) and all(
        view in VIEWS
        and isinstance(row, dict)
        and all(type(number) in (int, float) and low <= number <= high for number in row.values())
        for view, row in value.items()
    )
