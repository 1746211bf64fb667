# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The list of questions: complete, short, versioned by content, refused when it is wrong."""

import re
from pathlib import Path

import pytest
import yaml

from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.questions import CANNOT_TELL, LETTERS, REGION, SHIPPED, load_questions, prompt

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shipped():
    return load_questions()


def _written(tmp_path: Path, change) -> Path:
    content = yaml.safe_load(SHIPPED.read_text())
    change(content)
    path = tmp_path / "questions.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_thirty_questions_and_the_region(shipped) -> None:
    assert len(shipped.questions) == 31
    assert shipped.questions[-1].id == REGION
    asked_of_both = [q for q in shipped.questions if q.views == ("ground", "satellite")]
    assert len(asked_of_both) >= 30


def test_questions_are_short_and_end_with_cannot_tell(shipped) -> None:
    for question in shipped.questions:
        for text in (question.text, question.paraphrase):
            assert 6 <= len(text.split()) <= 12, text
            assert text.endswith("?")
        assert question.text != question.paraphrase
        assert question.options[-1].id == CANNOT_TELL
        assert len({o.id for o in question.options}) == len(question.options)
        assert len({o.text for o in question.options}) == len(question.options)
        assert all(len(o.text.split()) <= 3 for o in question.options)
        assert len(question.options) <= (len(LETTERS) if question.id == REGION else 8)


def test_slices_tile_the_vector(shipped) -> None:
    end = 0
    for question in shipped.questions:
        part = shipped.slices[question.id]
        assert (part.start, part.stop - part.start) == (end, len(question.options))
        end = part.stop
    assert end == shipped.total_options


def test_every_region_has_a_place(shipped) -> None:
    options = [o.id for o in shipped[REGION].options]
    assert [*shipped.regions, CANNOT_TELL] == options
    assert shipped.regions["au_suburb"].lat_deg < 0 < shipped.regions["au_suburb"].sigma_m


def test_prompt_letters_the_options(shipped) -> None:
    question = shipped["driving_side"]
    assert prompt(question) == f"{question.text}\nA left\nB right\nC cannot tell\nAnswer:"
    assert prompt(question, paraphrased=True).startswith(question.paraphrase + "\nA left\n")


def test_options_are_found_by_id(shipped) -> None:
    question = shipped["road_bend"]
    assert question.options[question.index("ends")].id == "ends"
    with pytest.raises(ConfigError, match=r"no option 'u_turn'; it has straight"):
        question.index("u_turn")
    with pytest.raises(ConfigError, match="no question 'railway'"):
        shipped["railway"]


def test_identity_is_the_content_not_the_layout(shipped, tmp_path) -> None:
    assert load_questions(_written(tmp_path, lambda c: None)).sha256 == shipped.sha256

    def reworded(content) -> None:
        content["questions"][0]["options"]["straight"] = "dead straight"

    def moved(content) -> None:
        content["questions"][-1]["options"]["fr_city"]["lat_deg"] = 48.9

    def raised(content) -> None:
        content["version"] += 1

    changed = {load_questions(_written(tmp_path, c)).sha256 for c in (reworded, moved, raised)}
    assert len(changed | {shipped.sha256}) == 4


def _set(*keys, value):
    def change(content) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("version", value=0), "version is 0; it must be a whole number"),
        (_set("questions", value=[]), "must be a list with an entry"),
        (_set("questions", 0, value="why?"), "question 1 is 'why.'; it must map"),
        (_set("questions", 0, "views", value=["radar"]), r"views of question road_bend .*'radar'"),
        (_set("questions", 0, "views", value=[["ground"]]), "views of question road_bend"),
        (_set("questions", 0, "hint", value="no"), r"unknown \['hint'\]"),
        (_set("questions", 0, "id", value="slope"), "questions: slope is there twice"),
        (_set("questions", 0, "text", value="two\nlines"), "must be one line of text"),
        (_set("questions", 0, "options", "straight", value=False), "straight is False"),
        (_set("questions", 0, "options", "cannot_tell", value="?"), "cannot_tell is there twice"),
        (_set("questions", 0, "options", value={"one": "one"}), "must map 2 to 25 ids"),
        (_set("questions", -1, "options", "fr_city", "lat_deg", value=95), "lat_deg .* is 95"),
        (_set("questions", -1, "options", "fr_city", "lon_deg", value=float("nan")), "lon_deg"),
        (_set("questions", -1, "options", "fr_city", value="Paris"), "region fr_city is 'Paris'"),
    ],
)
def test_what_is_wrong_is_refused_and_named(tmp_path, change, says) -> None:
    path = _written(tmp_path, change)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}: .*{says}"):
        load_questions(path)


@pytest.mark.parametrize("text", ["[1, 2", "", "- a\n- b\n", "\x00"])
def test_what_is_no_list_of_questions_is_refused(tmp_path, text) -> None:
    path = tmp_path / "questions.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="questions"):
        load_questions(path)
    with pytest.raises(ConfigError, match="cannot read questions"):
        load_questions(tmp_path / "nowhere.yaml")


def test_the_list_is_installed_with_the_package() -> None:
    assert SHIPPED.parent.name == "vlm"
    assert '"vlm/*.yaml"' in (ROOT / "setup.py").read_text()
