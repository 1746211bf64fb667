# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From what a user names, a package or bare GGUF files, to a package that can be loaded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from geoloc_ros.errors import ModelError
from geoloc_ros.vlm.gguf_header import PROJECTOR_ARCHITECTURE, read_header
from geoloc_ros.vlm.package import (
    CARD,
    PLAIN_NAME,
    SIDE_PX,
    ModelFile,
    VlmPackage,
    check_pair,
    find_vlm,
    is_plain_name,
    model_file,
)

SUFFIX = ".gguf"


def open_vlm(name: str, mmproj: Path | None = None) -> VlmPackage:
    """The model of a name: a package, verified, or a GGUF file with its mmproj, taken as it is.

    Args:
        name: package by name or directory, or path of the language model's file.
        mmproj: path of the vision tower's file; None to look for it beside the language model.

    Raises:
        ModelError: something is missing, altered, cut off or does not fit.
    """
    if not name.endswith(SUFFIX):
        if mmproj is not None:
            raise ModelError(f"{name} is a package, which knows its mmproj; leave --mmproj out")
        return find_vlm(name)
    path = Path(name)
    text = read_header(path)
    if text.architecture == PROJECTOR_ARCHITECTURE:
        check_pair(text, text)
    eyes = read_header(mmproj or _mmproj_beside(path))
    check_pair(text, eyes)
    folder = path.parent.resolve()
    beside = eyes.path.parent.resolve() == folder
    return VlmPackage(
        root=folder,
        name=path.stem,
        version="1",
        text=ModelFile(name=path.name, sha256="", bytes=text.found_bytes),
        mmproj=ModelFile(
            name=eyes.path.name if beside else str(eyes.path.absolute()),
            sha256="",
            bytes=eyes.found_bytes,
        ),
        architecture=text.architecture,
        projector=eyes.projector,
        image_size=SIDE_PX,
        image_fit="at_most",
        template="chat" if "tokenizer.chat_template" in text.values else "plain",
        licence=str(text.values.get("general.license") or ""),
    )


def pack(package: VlmPackage, name: str) -> Path:
    """Make the folder of two GGUF files a package: write its `model.json`.

    Args:
        package: from `open_vlm`.
        name: of the package, for people; it is found by its folder's.

    Returns:
        The folder.

    Raises:
        ModelError: see `check_packable`.
    """
    check_packable(package)
    text, mmproj = model_file(package.text_path), model_file(package.mmproj_path)
    replace(package, name=name, text=text, mmproj=mmproj).save()
    return package.root


def check_packable(package: VlmPackage) -> None:
    """See that two GGUF files can be made a package.

    Raises:
        ModelError: they do not lie in one folder, it is a package already or cannot be written,
            or a name is too long.
    """
    if (package.root / CARD).exists():
        raise ModelError(f"{package.root / CARD} is there already; move it away first")
    if Path(package.mmproj.name).is_absolute():
        raise ModelError(
            f"{package.mmproj.name} must lie beside {package.text_path} to be packed with it"
        )
    if not os.access(package.root, os.W_OK):
        raise ModelError(f"{package.root} cannot be written; copy the two files elsewhere first")
    for file in (package.text, package.mmproj):
        if not is_plain_name(file.name):
            raise ModelError(f"a file is named {file.name!r}; rename it: {PLAIN_NAME}")


def _mmproj_beside(text: Path) -> Path:
    """The mmproj in a language model's folder.

    Raises:
        ModelError: there is none, or more than one.
    """
    near = sorted(path for path in text.parent.glob(f"*{SUFFIX}") if "mmproj" in path.name.lower())
    if not near:
        raise ModelError(
            f"{text} is a language model and needs its eyes, a second file whose name begins "
            f"with 'mmproj'; there is none in {text.parent}: fetch it from where the model came "
            "from, or name it with --mmproj"
        )
    if len(near) > 1:
        names = ", ".join(path.name for path in near[:4])
        raise ModelError(
            f"{len(near)} files beside {text} could be its mmproj ({names}); name "
            "one with --mmproj"
        )
    return near[0]
