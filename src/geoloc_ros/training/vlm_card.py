# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The model card of the vision-language model, written from the one a program reads."""

from __future__ import annotations

from typing import Any

from geoloc_ros.vlm.package import VlmPackage
from geoloc_ros.vlm.questions import VIEWS

DIAGRAM = "reliability.png"


def _question_rows(package: VlmPackage) -> str:
    """One row per question: accuracy, majority and calibration of each view."""
    table = {(s["question"], s["view"]): s for s in package.scores.get("questions", [])}
    rows = []
    for name in dict.fromkeys(question for question, _ in table):
        cells = [name]
        for view in VIEWS:
            score = table.get((name, view))
            if score is None:
                cells += ["not asked", "", "", ""]
                continue
            temperature = package.temperature[view][name]
            cells += [
                f"{100 * score['accuracy']:.1f}",
                f"{100 * score['majority']:.1f}",
                f"{score['ece']:.3f} → {score['ece_fitted']:.3f}",
                f"{temperature:.2f}",
            ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _first_run(training: dict[str, Any]) -> str:
    """What came before, if the run began with the weights of another."""
    first = training.get("start", {}).get("settings")
    if not first:
        return ""
    return (
        f", begun with the weights of a run of {first.get('epochs')} epochs, seed "
        f"{first.get('seed')} (`geoloc train vlm --epochs {first.get('epochs')} --work FIRST "
        "--out FIRST/model`)"
    )


def vlm_card(package: VlmPackage) -> str:
    """Markdown text of a package's README."""
    scores, training = package.scores, package.training
    settings = training.get("settings", {})
    towns, unseen = training.get("train_seeds", []), training.get("validation_seeds", [])
    size = (package.text.bytes + package.mmproj.bytes) / 1e6
    return f"""# {package.name} {package.version}

A vision-language model small enough to look at every picture: it answers the {
        package_questions(package)
    } multiple-choice questions of `geoloc_ros/vlm/questions.yaml` (version \
{package.question_set.get("version")}) about a forward camera's view or a heading-up satellite \
crop. It knows nothing else.

| | |
|---|---|
| files | `{package.text.name}`, `{package.mmproj.name}`: {size:.1f} MB, Q8_0, for llama.cpp |
| picture | squeezed to {package.image_size} x {package.image_size} px, patches of \
{settings.get("patch_px")} px |
| vision tower | ViT, {settings.get("vision_layers")} layers of {settings.get("vision_width")}, \
two-layer projector (`{package.projector}`) |
| language model | `{package.architecture}`, {settings.get("text_layers")} layers of \
{settings.get("text_width")} |
| asked | by name (`road_bend:`), a token each, or in words |
| seconds per picture | {scores.get("seconds_per_picture")}, all questions, \
{training.get("threads")} CPU threads of the machine that made it |
| licence | {package.licence} |

## Training

- {training.get("train_images", 0)} rendered camera views and {training.get("train_crops", 0)} \
satellite crops of {len(towns)} made towns (seeds {min(towns, default=0)}-\
{max(towns, default=0)}); the answers come from the towns themselves.
- Cross entropy of the right letter, every question asked by name, some in words as well; while \
it learns, the vision tower is also asked every question without words, and what stands where. {
        training.get("epochs_done", 0)
    } of \
{settings.get("epochs", 0)} epochs, seed {settings.get("seed", 0)}{_first_run(training)}.
- Again: `{training.get("command", "")}`; the figures below again, from the files alone: \
`geoloc train vlm --out MODEL --measure`.

## Answers in towns it never saw (made, seeds {", ".join(str(s) for s in unseen)})

{scores.get("pictures")} pictures through llama.cpp with the shipped files. *Majority* is what \
always giving the commonest answer would score. Calibration is the expected calibration error in \
ten bins, as the probabilities come and after the temperature beside it, which is fitted per \
question and view; for the error it is fitted on the other half of the towns.

| mean over questions | camera view | satellite crop |
|---|---|---|
| accuracy | {_percent(scores, "accuracy_ground")} | {_percent(scores, "accuracy_satellite")} |
| majority | {_percent(scores, "majority_ground")} | {_percent(scores, "majority_satellite")} |
| accuracy asked in words | {_percent(scores, "words_accuracy_ground")} \
| {_percent(scores, "words_accuracy_satellite")} |

| question | camera: right, % | majority, % | calibration error | temperature \
| satellite: right, % | majority, % | calibration error | temperature |
|---|---|---|---|---|---|---|---|---|
{_question_rows(package)}

![How often answers are right against how sure the model is]({DIAGRAM})

## What eight bits cost

| on {scores.get("quantization_pictures")} pictures, through llama.cpp | 32-bit floats | Q8_0 |
|---|---|---|
| right answers | {_percent(scores, "accuracy_f32", 2)} | {_percent(scores, "accuracy_q8", 2)} |

{_percent(scores, "answers_changed", 2)} of the answers change; the probability of an option moves
by {scores.get("probability_shift")} on average.

## Limits

Trained on a made world only. It has never seen a real street and its words are those of the
questions. Pictures from the road must be {VIEW_DEG} degrees wide and level, crops cut as those of
`models/perspective`.
"""


VIEW_DEG = 90


def package_questions(package: VlmPackage) -> int:
    """How many questions it was measured on."""
    return len({s["question"] for s in package.scores.get("questions", [])})


def _percent(scores: dict[str, float], key: str, digits: int = 1) -> str:
    value = scores.get(key)
    return "-" if value is None else f"{100 * value:.{digits}f} %"
