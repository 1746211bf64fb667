# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder of an imported encoder: made aside, proved, put in its place when it is complete."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoloc_ros.datatypes import Float32Array
from geoloc_ros.durable import sync
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import ModelError
from geoloc_ros.training.importing.parity import Parity, Probe, check_tells_apart
from geoloc_ros.training.importing.readme import readme

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an encoder is packed.

    Attributes:
        precision: `fp32`, or `fp16`: convolutions and linear layers in half precision.
        images: made pictures of each side that the proof of parity takes.
        seed: of those pictures.
    """

    precision: str = "fp32"
    images: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """What the network itself says of a probe: unit descriptors of views and of crops, (N, D)."""

    views: Float32Array
    crops: Float32Array


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place at the end, and goes away on any error.

    Raises:
        ModelError: there is something at `out` already.
    """
    if out.exists():
        raise ModelError(f"{out} is there already; remove it or name another folder with --out")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an import that was killed
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in (*partial.iterdir(), partial):
            sync(path)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def finish(
    draft: ModelPackage, folder: Path, probe: Probe, expected: Expected, options: Options
) -> ModelPackage:
    """Prove the networks in a folder and write their card and README.

    Args:
        draft: the card, without files.
        folder: with the ONNX files, and nothing else.
        probe: the made pictures.
        expected: what the network itself says of them.
        options: of the import.

    Returns:
        The package, in `folder`; `training["parity"]` says how near it is to the network.

    Raises:
        ModelError: it is not near enough, or says the same of all pictures.
    """
    package = dataclasses.replace(
        draft,
        root=folder,
        descriptor_dim=expected.views.shape[1],
        files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    )
    check_tells_apart(expected.views, package.query_file)
    check_tells_apart(expected.crops, package.reference_file)
    encoder = OnnxEncoder(package, threads=os.cpu_count() or 1)
    found = encoder.encode_query(probe.views), encoder.encode_reference(probe.crops)
    parity = Parity.of(np.concatenate([expected.views, expected.crops]), np.concatenate(found))
    parity.check(options.precision)
    figures = {name: float(f"{v:.7g}") for name, v in dataclasses.asdict(parity).items()}
    training = {
        **package.training,
        "precision": options.precision,
        "parity": {**figures, "images": parity.images, "seed": options.seed},
    }
    package = dataclasses.replace(package, training=training)
    package.save()
    (folder / "README.md").write_text(readme(package), encoding="utf-8")
    return package
