# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc model info`: what a model package is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoloc_ros.errors import ModelError

if TYPE_CHECKING:
    from geoloc_ros.encoders.package import ModelPackage


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the parser."""
    parser = verbs.add_parser(
        "info",
        help="say what a model package is",
        description="Verify a model package and say what it looks at, what it gives, whose it "
        "is, how well it did and whether its similarities are calibrated.",
    )
    parser.add_argument("model", metavar="MODEL", help="encoder package by name or directory")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_info)


def _info(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.registry import ENCODER, find_folder, find_model, kind_of

    kind = kind_of(find_folder(arguments.model, ENCODER) / "model.json")
    if kind != ENCODER:
        raise ModelError(
            f"{arguments.model} is a package of kind {kind!r}; this command describes encoders"
        )
    rows = describe(find_model(arguments.model))
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(table(rows))
    return 0


def table(rows: dict[str, Any]) -> str:
    """Rows in words, one a line."""
    return "\n".join(f"{name:<12} {value}" for name, value in rows.items())


def describe(package: ModelPackage) -> dict[str, Any]:
    """What a package is, in words by name; numbers where a program could want them.

    Args:
        package: verified.
    """
    from geoloc_ros.encoders.words import (
        calibration_words,
        crop_words,
        parity_words,
        view_words,
    )

    training = package.training
    rows: dict[str, Any] = {
        "name": f"{package.name} {package.version}",
        "folder": str(package.root),
        "view": package.query.view,
        "query": view_words(package.query),
        "reference": crop_words(package.query, package.reference),
        "pixels": f"{package.channel_order}, mean {_numbers(package.mean)}, std "
        f"{_numbers(package.std)}; whole pictures are resized by {package.resize}",
        "descriptor": package.descriptor_dim,
        "encoder": package.encoder_sha256,
    }
    for name, sha256 in sorted(package.files.items()):
        rows[name] = file_words(package.root / name, sha256)
    if "parity" in training:
        rows["parity"] = f"{training['precision']}, {parity_words(training['parity'])}"
    rows |= {
        "licence": package.licence,
        "source": training.get("source", training.get("command", "not said")),
        "scores": _scores(package.scores),
        "calibration": calibration_words(package.calibration),
    }
    return rows


def file_words(path: Path, sha256: str) -> str:
    """Size, parameters and hash of one network."""
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    count = parameters(path)
    return f"{size}, {f'{count / 1e6:.2f} M parameters, ' if count else ''}sha256 {sha256[:12]}"


def parameters(path: Path) -> int | None:
    """How many numbers a network holds; None where the package `onnx` is not installed."""
    try:
        import onnx
    except ImportError:
        return None
    import numpy as np

    graph = onnx.load(str(path), load_external_data=False).graph
    return sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if len(tensor.dims) > 0)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _scores(scores: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in scores.items()) or "none"
