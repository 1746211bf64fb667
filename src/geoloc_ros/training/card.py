# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card a person reads, written from the one a program reads."""

from __future__ import annotations

import re

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


def model_card(package: ModelPackage) -> str:
    """Markdown text of a package's README."""
    training = package.training
    settings = training.get("settings", {})
    figures = "\n".join(f"| {k} | {v} |" for k, v in package.scores.items())
    towns, unseen = training.get("train_seeds", []), training.get("validation_seeds", [])
    aerial = ""
    if training.get("aerial_sites"):
        aerial = (
            f"\n- Aerial photos of {', '.join(training['aerial_sites'])} "
            f"({training['aerial_source']}); held out for validation: "
            f"{', '.join(training['aerial_sites_held_out'])}."
        )
    started = ""
    if training.get("start"):
        first = training["start"]
        size = f"{first['query']['height_px']} x {first['query']['width_px']} px"
        started = (
            f"\n- Began with the weights of a pair for queries of {size}, itself made by "
            f"`{first['training']['command']}` ({first['training']['epochs_done']} epochs)."
        )
    notes = "".join(f"\n- {note}" for note in training.get("notes", []))
    return f"""# {package.name} {package.version}

{_WHAT[package.query.view]}

| | |
|---|---|
| query | {view_words(package.query)} |
| reference | {crop_words(package.query, package.reference)} |
| descriptor | {package.descriptor_dim} numbers, unit length, cosine similarity |
| licence | {package.licence} |

## Training

- {training.get("train_images", 0)} rendered views of {len(towns)} made towns \
(seeds {min(towns, default=0)}-{max(towns, default=0)}).{aerial}{started}
- {training.get("recipe", "")}; {training.get("epochs_done", 0)} of {settings.get("epochs", 0)} \
epochs, seed {settings.get("seed", 0)}.
- Again: `{training.get("command", "")}`{notes}

## Validation (made towns with seeds {", ".join(str(s) for s in unseen)}, never trained on)

| figure | value |
|---|---|
{figures}

`r1 r5 r10`: share of single views whose right place is among the first K of `entries`:
{training.get("validation", "")}. `photo_*`: held-out aerial photos against overlapping neighbours;
`matched` and `background`: mean similarity of right and of wrong pairs.

{calibration_section(package)}
## Limits

{_LIMITS[package.query.view]}
"""


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
