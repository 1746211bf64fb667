# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The card a person writes for an encoder of others: YAML, see `template.yaml`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geoloc_ros.encoders.card_rules import check_values
from geoloc_ros.encoders.package import Calibration, ModelPackage, QuerySpec, ReferenceSpec
from geoloc_ros.errors import ModelError, first_line, shown

TEMPLATE = Path(__file__).with_name("template.yaml")
_AGAIN = "'geoloc model template' prints a card to fill in"
_NEEDED = ("name", "version", "licence", "source", "query", "reference", "mean", "std")
_FREE = ("resize", "onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        draft: the package without files and without calibration.
        source: where the weights come from.
        input: which input of an ONNX file takes the picture; empty: the only one.
        output: which of its outputs is the descriptor; empty: the only one.
    """

    draft: ModelPackage
    source: str
    input: str = ""
    output: str = ""


def template() -> str:
    """The card to copy, with what each value means."""
    return TEMPLATE.read_text(encoding="utf-8")


def read_card(path: Path) -> Card:
    """Read a card.

    Args:
        path: of the YAML file.

    Raises:
        ModelError: it cannot be read, lacks something, has something unknown, or a value makes no
            sense.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ModelError(f"cannot read the card {path}: {first_line(error)}; {_AGAIN}") from error
    if not isinstance(content, dict):
        raise ModelError(f"the card {path} holds {shown(content)}, no keys; {_AGAIN}")
    _check_keys(path, "", content, _NEEDED, _FREE)
    source = content["source"]
    if not (isinstance(source, str) and source.isprintable() and 0 < len(source) <= 500):
        raise ModelError(
            f"{path}: source is {shown(source)}; it must be one line of 1 to 500 characters"
        )
    names = _mapping(path, "onnx", content.get("onnx", {}))
    _check_keys(path, "onnx.", names, (), ("input", "output"))
    try:
        draft = _draft(path, content)
        check_values(draft, path, _AGAIN)
    except TypeError as error:  # of a value where a comparison or a sequence is needed
        raise ModelError(
            f"the card {path} makes no sense: {first_line(error)}; {_AGAIN}"
        ) from error
    return Card(draft=draft, source=source, **{key: str(name) for key, name in names.items()})


def _draft(path: Path, content: dict[str, Any]) -> ModelPackage:
    query = _mapping(path, "query", content["query"])
    reference = _mapping(path, "reference", content["reference"])
    _check_keys(path, "query.", query, *_fields(QuerySpec))
    _check_keys(path, "reference.", reference, *_fields(ReferenceSpec))
    return ModelPackage(
        root=path.parent,
        name=content["name"],
        version=content["version"],
        query=QuerySpec(**query),
        reference=ReferenceSpec(**reference),
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        descriptor_dim=1,
        files={},
        licence=content["licence"],
        resize=content.get("resize", "area"),
        calibration=Calibration.none(),
    )


def _fields(kind: type) -> tuple[list[str], list[str]]:
    """Fields without and with a default."""
    fields = dataclasses.fields(kind)
    return (
        [field.name for field in fields if field.default is dataclasses.MISSING],
        [field.name for field in fields if field.default is not dataclasses.MISSING],
    )


def _mapping(path: Path, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{path}: {name} is {shown(value)}; it must hold keys; {_AGAIN}")
    return value


def _check_keys(
    path: Path,
    under: str,
    content: dict[Any, Any],
    needed: tuple[str, ...] | list[str],
    free: tuple[str, ...] | list[str],
) -> None:
    missing = [f"{under}{name}" for name in needed if name not in content]
    unknown = [f"{under}{name}" for name in content if name not in (*needed, *free)]
    faults = [
        f"{what} {', '.join(names)}"
        for what, names in (("lacks", missing), ("has unknown", unknown))
        if names
    ]
    if faults:
        raise ModelError(f"the card {path} {' and '.join(faults)}; {_AGAIN}")
