# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where model packages are found: by path, by name, or by the hash an index was built with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from geoloc_ros.encoders.package import ModelPackage, load_package, read_card
from geoloc_ros.errors import ModelError, first_line

#: directories with model packages, besides the ones that are always searched; like PATH
VARIABLE = "GEOLOC_MODELS"
#: kind of a package whose card names none
ENCODER = "encoder"


def model_folders() -> list[Path]:
    """Folders searched for packages, first wins: $GEOLOC_MODELS, ./models, the checkout, share."""
    named = [Path(p) for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p]
    checkout = Path(__file__).resolve().parents[3] / "models"
    installed = Path(sys.prefix) / "share" / "geoloc_ros" / "models"
    return [*named, Path("models"), checkout, installed]


def _packages(kind: str = ENCODER) -> Iterator[Path]:
    seen = set()
    for folder in model_folders():
        for card in sorted(folder.glob("*/model.json")):
            if card.parent.resolve() not in seen and kind_of(card) == kind:
                seen.add(card.parent.resolve())
                yield card.parent


def kind_of(card: Path) -> str:
    """What kind of model a `model.json` is of; an unreadable one counts as an encoder's."""
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ENCODER
    return str(content.get("kind", ENCODER)) if isinstance(content, dict) else ENCODER


def find_folder(name: str, kind: str) -> Path:
    """The folder of a package of some kind at a path or of a name, not verified.

    Raises:
        ModelError: there is none.
    """
    try:
        if (Path(name) / "model.json").is_file():
            return Path(name)
    except OSError as error:
        raise ModelError(
            f"no {kind} package can be read at {name!r}: {first_line(error)}"
        ) from error
    found = list(_packages(kind))
    for path in found:
        if path.name == name:
            return path
    known = ", ".join(path.name for path in found) or "none"
    raise ModelError(f"no {kind} package {name!r}; found here: {known}; or name a directory")


def find_model(name: str) -> ModelPackage:
    """The package at a path or of a name, verified.

    Raises:
        ModelError: there is none, or it was altered.
    """
    return load_package(find_folder(name, ENCODER))


def find_model_by_sha(encoder_sha256: str) -> ModelPackage:
    """The package an index was built with, verified; of others only the cards are read.

    Raises:
        ModelError: no package here has that hash, or the one that has it was altered.
    """
    tried = []
    for path in _packages():
        package = read_card(path)
        if package.encoder_sha256 == encoder_sha256:
            return load_package(path)
        tried.append(f"{path.name} ({package.encoder_sha256[:12]})")
    raise ModelError(
        f"the index was built with encoder {encoder_sha256[:12]}, found here: "
        f"{', '.join(tried) or 'no model packages'}; name its directory with --model"
    )
