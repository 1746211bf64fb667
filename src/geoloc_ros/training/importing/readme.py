# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The README of an imported encoder, written from its card."""

from __future__ import annotations

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.words import crop_words, parity_words, view_words
from geoloc_ros.training.card import calibration_section


def readme(package: ModelPackage) -> str:
    """Markdown text; `geoloc calibrate` keeps its section up to date."""
    training = package.training
    parity = training["parity"]
    weights = "\n".join(
        f"- `{name}`, sha256 `{sha256}`" for name, sha256 in training["weights"].items()
    )
    notes = "".join(f"- {note}\n" for note in training.get("notes", []))
    return f"""# {package.name} {package.version}

Imported by `{training["command"]}` from weights of others. Source: {training["source"]}.

| | |
|---|---|
| query | {view_words(package.query)} |
| reference | {crop_words(package.query, package.reference)} |
| descriptor | {package.descriptor_dim} numbers, unit length, cosine similarity |
| whole pictures of data sets | resized by `{package.resize}` |
| precision | {training["precision"]} |
| licence of the weights | {package.licence} |

## Weights

{weights}

Descriptors of {parity_words(parity)}.

{calibration_section(package)}
## Limits

{notes}- Nobody has measured how well it does with your imagery and cameras: `geoloc calibrate`
  does on made worlds, `geoloc replay --truth` on a drive of yours.
"""
