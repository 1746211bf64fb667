# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card a person reads, written from the one a program reads."""

from __future__ import annotations

import re
from typing import Any

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.encoders.words import crop_words, view_words

_WHAT = {
    "perspective": (
        "Matches the forward camera of a ground vehicle (rectified to a level pinhole) to "
        "heading-up satellite crops that lie ahead of the vehicle."
    ),
    "ground_plane": (
        "Matches camera images warped to a metric overhead patch (drones, 40-150 m) to satellite "
        "crops turned the same way."
    ),
    "panorama": (
        "Matches panoramas, all the way round, to satellite crops around the vehicle: both "
        "with north up, or both turned with the vehicle."
    ),
}
_LIMITS = {
    "perspective": (
        "Trained on a made world only. It has never seen a real street; expect to fine-tune on "
        "real drives before trusting it on a road."
    ),
    "ground_plane": (
        "Trained on made towns and on a few hundred real aerial photos. Expect it to fail over "
        "uniform fields, woods and water, and where the height is wrong by more than 15 %."
    ),
}
# Of a pair that has learnt from drives or from a data set.
_OTHER_LIMITS = (
    "It knows what it was trained on: such places, cameras, seasons and imagery. The figures "
    "above are of ground held out of the same data; try it on a drive elsewhere (`geoloc replay`, "
    "`geoloc eval`) before trusting it there."
)


def model_card(package: ModelPackage) -> str:
    """Markdown text of a package's README."""
    training = package.training
    figures = "\n".join(f"| {k} | {v} |" for k, v in package.scores.items())
    unseen = training.get("validation_seeds", [])
    where = "on ground that was held out"
    if unseen:
        seeds = ", ".join(str(s) for s in unseen)
        where = f"made towns with seeds {seeds}, never trained on"
    limits = _OTHER_LIMITS if training.get("data") else _LIMITS.get(package.query.view, "")
    return f"""# {package.name} {package.version}

{_WHAT[package.query.view]}

| | |
|---|---|
| query | {view_words(package.query)} |
| reference | {crop_words(package.query, package.reference)} |
| descriptor | {package.descriptor_dim} numbers, unit length, cosine similarity |
| licence | {package.licence} |

## Training

{_training(training)}

## Validation ({where})

| figure | value |
|---|---|
{figures}

`r1 r5 r10`: share of single views whose right place is among the first K of `entries`:
{training.get("validation", "")}. `photo_*`: held-out aerial photos against overlapping neighbours;
`matched` and `background`: mean similarity of right and of wrong pairs.

{calibration_section(package)}
## Limits

{limits}
"""


def _training(training: dict[str, Any]) -> str:
    """What the encoders have learnt from, a line each."""
    settings, towns = training.get("settings", {}), training.get("train_seeds", [])
    lines = [
        training.get("data")
        or f"{training.get('train_images', 0)} rendered views of {len(towns)} made towns "
        f"(seeds {min(towns, default=0)}-{max(towns, default=0)})."
    ]
    if training.get("aerial_sites"):
        lines.append(
            f"Aerial photos of {', '.join(training['aerial_sites'])} "
            f"({training['aerial_source']}); held out for validation: "
            f"{', '.join(training['aerial_sites_held_out'])}."
        )
    for part, words in (("start", "Began with the weights of"), ("teacher", "Also taught by")):
        if training.get(part):
            first = training[part]
            size = f"{first['query']['height_px']} x {first['query']['width_px']} px"
            command = first["training"].get("command", "")
            lines.append(
                f"{words} a pair for queries of {size}"
                + (f", itself made by `{command}`" if command else "")
                + "."
            )
    lines += [
        f"{training.get('recipe', '')}; {training.get('epochs_done', 0)} of "
        f"{settings.get('epochs', 0)} epochs, seed {settings.get('seed', 0)}."
        + _blend(training.get("share", 1.0)),
        f"Again: `{training.get('command', '')}`",
        *training.get("notes", []),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _blend(share: float) -> str:
    if share == 1.0:
        return ""
    return f" Of the weights that came of it {share:g}, of those it began with {1.0 - share:g}."


def calibration_section(package: ModelPackage) -> str:
    """What similarity is worth and what it was fitted on, as a section of the README."""
    fitted = package.calibration
    if fitted.missing:
        return "## Calibration\n\nNone: no place is believed until `geoloc calibrate` has run.\n"
    if not fitted.fitted_on:
        return "## Calibration\n\nNone yet; `geoloc calibrate` fits it.\n"
    return f"""## Calibration

Fitted on: {fitted.fitted_on}.

| figure | value |
|---|---|
| similarity at the right pose | {fitted.matched:.3f} ± {fitted.matched_sigma:.3f} |
| at wrong poses | {fitted.background:.3f} ± {fitted.background_sigma:.3f} |
| temperature | {fitted.temperature:.4f} |
| evidence a strange place needs | {fitted.confirm_evidence:.1f} among \
{fitted.confirm_entries:.0f} entries, {fitted.confirm_scale:.1f} more among e times as many |
| factor on the covariance | {fitted.covariance_scale:.2f} |
"""


def update_calibration(package: ModelPackage) -> None:
    """Bring the calibration in the package's README up to date; without a README nothing is done.

    Raises:
        OSError: the README cannot be read or written.
    """
    path = package.root / "README.md"
    if not path.exists():
        return
    section = calibration_section(package)
    text = path.read_text(encoding="utf-8")
    old = re.compile(r"## Calibration\n.*?(?=\n## |\Z)", re.DOTALL)
    if old.search(text):
        text = old.sub(lambda _: section, text)
    elif "## Limits\n" in text:
        text = text.replace("## Limits\n", f"{section}\n## Limits\n", 1)
    else:
        text = f"{text.rstrip()}\n\n{section}"
    path.write_text(text, encoding="utf-8")
