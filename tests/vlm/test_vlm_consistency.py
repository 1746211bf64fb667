# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Asked again, changed so that answers should stay: who sees agrees with himself."""

import dataclasses
import json

import numpy as np
import pytest

from geoloc_ros.cli.main import main
from geoloc_ros.errors import ConfigError
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, Reply
from geoloc_ros.vlm.consistency import VARIANTS, ask_repeatedly
from geoloc_ros.vlm.mirror import counterparts, unmirrored
from geoloc_ros.vlm.questions import load_questions

QUESTIONS = load_questions()
#: bright on the left
PICTURE = np.zeros((60, 100, 3), np.uint8)
PICTURE[:, :40] = 200


def answer(question, option, sure=0.8) -> Answer:
    shares = np.full(len(question.options), (1.0 - sure) / (len(question.options) - 1))
    shares[question.index(option)] = sure
    return Answer(question.id, option, sure, tuple(shares.tolist()))


class Fake:
    """Says what `choose` names of the questions it knows, the first option of all others."""

    def __init__(self, choose):
        self.questions, self.choose, self.seen = QUESTIONS, choose, []

    def answer(self, rgb, view="ground", *, paraphrased=False) -> Reply:
        self.seen.append((rgb, view, paraphrased))
        told = self.choose(rgb, paraphrased)
        chosen = (told.get(q.id, q.options[0].id) for q in QUESTIONS.questions)
        answers = map(answer, QUESTIONS.questions, chosen)
        return Reply(tuple(answers))


def brighter_side(rgb, paraphrased):
    left, right = (half.mean() for half in np.array_split(rgb, 2, axis=1))
    side, other = ("left", "right") if left > right else ("right", "left")
    return {
        "road_bend": f"strong_{side}",
        "lawns": side,
        f"{side}_near": "water",
        f"{other}_near": "road",
        "driving_side": other,
    }


def test_who_looks_agrees_with_himself_in_every_variant() -> None:
    vlm = Fake(brighter_side)
    found = ask_repeatedly(vlm, PICTURE)
    said = {row.question: row for row in found.reply.answers}
    for question, option in brighter_side(PICTURE, False).items():
        assert said[question].answer == option
        assert said[question].probability == pytest.approx(0.8)
        assert found.agreement[question] == 1.0
    assert list(said) == list(found.agreement) == [q.id for q in QUESTIONS.questions]
    shapes = {rgb.shape for rgb, _, _ in vlm.seen}
    assert shapes == {(60, 100, 3), (57, 95, 3)}
    assert [paraphrased for _, _, paraphrased in vlm.seen] == [v.paraphrased for v in VARIANTS]
    assert found.reply.guesses == ()


def test_who_does_not_look_is_found_out_by_the_mirror() -> None:
    vlm = Fake(lambda rgb, paraphrased: {"road_bend": "strong_left"})
    found = ask_repeatedly(vlm, PICTURE, "satellite", repeats=3)
    said = {row.question: row for row in found.reply.answers}
    assert found.agreement["road_bend"] == pytest.approx(2 / 3)
    assert said["road_bend"].probability == pytest.approx((0.8 + 0.8 + 0.2 / 6) / 3)
    assert found.agreement["junction_kind"] == 1.0  # the same on both sides: no mirror tells
    assert {view for _, view, _ in vlm.seen} == {"satellite"}


def test_other_words_that_change_the_answer_cost_agreement() -> None:
    vlm = Fake(lambda rgb, paraphrased: {"region": "fr_city"} if paraphrased else {})
    found = ask_repeatedly(vlm, PICTURE, repeats=4)
    said = {row.question: row for row in found.reply.answers}
    assert said["region"].answer == "us_suburb"
    assert found.agreement["region"] == pytest.approx(2 / 3)  # not asked in the mirror


class Mumbling(Fake):
    """Gives no answer when asked in other words, and none about the region at all."""

    def answer(self, rgb, view="ground", *, paraphrased=False) -> Reply:
        if paraphrased:
            raise ValueError("none of 31 questions was answered with a letter")
        said = super().answer(rgb, view).answers
        return Reply(
            tuple(
                Answer(row.question, UNPARSEABLE, 0.0, (), 0.01)
                if row.question == "region"
                else row
                for row in said
            )
        )


def test_a_repeat_that_cannot_be_read_agrees_with_nothing() -> None:
    found = ask_repeatedly(Mumbling(brighter_side), PICTURE, repeats=4)
    said = {row.question: row for row in found.reply.answers}
    assert found.agreement["slope"] == 0.75
    assert sum(said["slope"].probabilities) == pytest.approx(1.0)
    assert (said["region"].answer, found.agreement["region"]) == (UNPARSEABLE, 0.0)


def test_what_is_no_number_of_repeats_or_no_picture_is_refused() -> None:
    for repeats in (0, 1, 9):
        with pytest.raises(ConfigError, match=f"repeats is {repeats}; it must lie in 2..8"):
            ask_repeatedly(Fake(brighter_side), PICTURE, repeats=repeats)

    class Silent(Fake):
        def answer(self, rgb, view="ground", *, paraphrased=False) -> Reply:
            raise ValueError("a picture of shape (3,)")

    with pytest.raises(ValueError, match="a picture of shape"):
        ask_repeatedly(Silent(brighter_side), PICTURE)


def test_a_question_without_a_mirror_image_is_refused() -> None:
    kept = tuple(q for q in QUESTIONS.questions if q.id != "right_near")
    with pytest.raises(ConfigError, match="left_near has no counterpart on the other side"):
        counterparts(dataclasses.replace(QUESTIONS, questions=kept))


def test_a_mirrored_reply_comes_back() -> None:
    reply = Fake(brighter_side).answer(PICTURE)
    there = unmirrored(reply, QUESTIONS)
    assert {row.question: row.answer for row in there.answers}["left_near"] == "road"
    kept = tuple(row for row in reply.answers if row.question != "region")
    assert unmirrored(there, QUESTIONS).answers == kept


def test_describe_tells_the_agreement_of_a_real_model(tmp_path, capsys) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    import cv2
    from tiny_vlm import make_tiny

    path = str(tmp_path / "street.png")
    assert cv2.imwrite(path, PICTURE)
    model = ["--model", str(make_tiny(tmp_path / "tiny").root), "--threads", "1"]
    assert main(["vlm", "describe", path, *model, "--repeats", "4", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["question"] for row in rows] == [q.id for q in QUESTIONS.questions]
    shares = np.array([row["agreement"] for row in rows])
    assert ((shares >= 0.0) & (shares <= 1.0)).all()
    assert (shares < 1.0).any()  # it is random: it does not turn round with the picture
    assert all(sum(row["probabilities"]) == pytest.approx(1.0) for row in rows)
    assert main(["vlm", "describe", path, *model, "--repeats", "4"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["question", "answer", "agree", "instead"]
    assert len(lines) == len(rows)
    assert main(["vlm", "describe", path, *model, "--json"]) == 0
    assert "agreement" not in capsys.readouterr().out
    for wrong, says in (("1", "repeats is 1"), ("9", "repeats is 9")):
        assert main(["vlm", "describe", path, *model, "--repeats", wrong]) == 2
        assert says in capsys.readouterr().err
    assert main(["vlm", "describe", path, *model, "--repeats", "2", "--paraphrased"]) == 2
    assert "leave --paraphrased out" in capsys.readouterr().err
