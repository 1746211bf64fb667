# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A random tiny model through llama.cpp: the numbers, the answers, and what it refuses."""

import dataclasses
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

from numpy_vlm import embeddings_of, logits_of
from tiny_vlm import (
    IMAGE_PX,
    make_tiny,
    question_vocabulary,
    random_weights,
    text_spec,
    text_weights,
    vision_spec,
)

from geoloc_ros.config import WorkerConfig
from geoloc_ros.errors import ConfigError, ModelError
from geoloc_ros.vlm.answerer import UNPARSEABLE, Reply, make_answerer
from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.llama_session import LlamaSession
from geoloc_ros.vlm.package import VlmPackage
from geoloc_ros.vlm.pictures import at_most, square
from geoloc_ros.vlm.process import AnswererProcess, Outcome
from geoloc_ros.vlm.questions import prompt
from geoloc_ros.vlm.trial import difference, made_picture


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> VlmPackage:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def vlm(package: VlmPackage) -> Iterator[LlamaVlm]:
    vlm = LlamaVlm(package, n_threads=1)
    yield vlm
    vlm.close()


def test_llama_cpp_cuts_texts_into_the_tokens_that_were_trained(vlm: LlamaVlm) -> None:
    vocabulary, tokenize = question_vocabulary(), vlm._session.tokenize
    for question in vlm.questions.questions:
        for paraphrased in (False, True):
            text = "\n" + prompt(question, paraphrased)
            assert tokenize(text) == vocabulary.encode(text)
    for text in ("\nWhäßt 日本?", "  a\n\nb", "<s>[INST] ignore this", "B", "\nAnswer: A"):
        assert tokenize(text) == vocabulary.encode(text)


def test_llama_cpp_computes_what_the_description_says(vlm: LlamaVlm) -> None:
    spec, eyes = text_spec(), vision_spec()
    weights, seen = text_weights(spec), random_weights(eyes.shapes(), 101)
    rgb = made_picture(3)
    picture = embeddings_of(square(rgb, IMAGE_PX), eyes, seen)
    asked = [q for q in vlm.questions.questions if "ground" in q.views]
    vlm._session.look(vlm._frame.prefix, square(rgb, IMAGE_PX))
    found = vlm._session.continue_with([vlm._tokens(question, False) for question in asked])
    for question, row in zip(asked[:6], found, strict=False):
        tokens = spec.vocabulary.encode("\n" + prompt(question))
        expected = logits_of(picture, tokens, spec, weights)
        assert np.abs(_softmax(row) - _softmax(expected)).max() < 1e-3


def _softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max())
    return p / p.sum()


def test_sharing_the_picture_changes_no_answer(vlm: LlamaVlm) -> None:
    rgb = made_picture(0)
    shared = vlm.answer(rgb)
    assert difference(shared, vlm.ask_separately(rgb)) < 1e-5
    assert vlm.answer(rgb) == shared
    assert difference(shared, vlm.answer(made_picture(1))) > 1e-3


def test_a_model_that_knows_names_is_asked_by_name(package: VlmPackage, vlm: LlamaVlm) -> None:
    rgb = made_picture(0)
    in_words = vlm.answer(rgb)
    named = LlamaVlm(dataclasses.replace(package, asked_by="name"), n_threads=1)
    question = named.questions.questions[0]
    assert named._tokens(question, False) == named._session.tokenize(f"\n{question.id}:")
    assert named._tokens(question, True) == vlm._tokens(question, True)
    answered = named.answer(rgb)
    assert difference(answered, named.ask_separately(rgb)) < 1e-5
    assert difference(answered, in_words) > 1e-3
    assert named.size.question_tokens < vlm.size.question_tokens / 2
    named.close()


def test_every_option_has_a_probability(vlm: LlamaVlm) -> None:
    reply = vlm.answer(made_picture(0))
    assert [answer.question for answer in reply.answers] == [q.id for q in vlm.questions.questions]
    for answer, question in zip(reply.answers, vlm.questions.questions, strict=True):
        assert len(answer.probabilities) == len(question.options)
        assert sum(answer.probabilities) == pytest.approx(1.0)
        assert answer.probability == max(answer.probabilities)
        assert 0.05 <= answer.mass <= 1.0
    assert vlm.size.questions == sum("ground" in q.views for q in vlm.questions.questions)


def test_what_a_view_cannot_tell_is_not_asked(vlm: LlamaVlm) -> None:
    reply = vlm.answer(made_picture(0), "satellite")
    for answer, question in zip(reply.answers, vlm.questions.questions, strict=True):
        if "satellite" not in question.views:
            assert (answer.answer, answer.probability) == ("cannot_tell", 1.0)
    with pytest.raises(ConfigError, match="view is 'underwater'"):
        vlm.answer(made_picture(0), "underwater")


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (6000, 8000, 3)])
def test_pictures_of_any_size_are_answered(vlm: LlamaVlm, shape: tuple[int, int, int]) -> None:
    assert len(vlm.answer(np.full(shape, 90, np.uint8)).answers) == len(vlm.questions.questions)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 5), (5, 5, 4)])
def test_what_is_no_picture_is_refused(vlm: LlamaVlm, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        vlm.answer(np.zeros(shape, np.uint8))


def test_a_hot_question_is_cooled(package: VlmPackage, vlm: LlamaVlm) -> None:
    first = vlm.questions.questions[0].id
    cooled = LlamaVlm(
        dataclasses.replace(package, temperature={"ground": {first: 3.0}}), n_threads=1
    )
    before, after = vlm.answer(made_picture(0)), cooled.answer(made_picture(0))
    cooled.close()
    flat = np.array(before.answers[0].probabilities) ** (1.0 / 3.0)
    assert np.allclose(after.answers[0].probabilities, flat / flat.sum(), atol=1e-6)
    assert after.answers[1:] == before.answers[1:]


def test_a_model_that_says_something_else_is_unparseable(tmp_path: Path) -> None:
    vlm = LlamaVlm(make_tiny(tmp_path / "shy", eager=False), n_threads=1)
    with pytest.raises(ValueError, match=r"none of .* questions was answered"):
        vlm.answer(made_picture(0))
    logits = np.zeros(vlm._session.n_vocab, np.float32)
    answer = vlm._answer(vlm.questions.questions[0], logits, "ground")
    assert (answer.answer, answer.probability, answer.probabilities) == (UNPARSEABLE, 0.0, ())
    assert answer.mass < 0.05
    vlm.close()


def test_another_thread_is_refused(vlm: LlamaVlm) -> None:
    errors = []

    def ask() -> None:
        try:
            vlm.answer(made_picture(0))
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert "belongs to the thread" in errors[0]


def test_writing_keeps_to_the_grammar(vlm: LlamaVlm) -> None:
    rgb = made_picture(0)
    before = vlm.answer(rgb)
    text = vlm.write(rgb, "Where is this?", 'root ::= "{" [a-z]{2,5} "}"')
    assert text.startswith("{")
    assert text.endswith("}")
    with pytest.raises(ModelError, match="grammar"):
        vlm.write(rgb, "Where is this?", "root ::= (")
    assert vlm.answer(rgb) == before


def test_llama_cpp_speaks_to_the_log_only(
    package: VlmPackage, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "geoloc_ros.llama_cpp"):
        LlamaVlm(package, n_threads=1).close()
    assert "general.architecture" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_files_that_do_not_fit_are_refused(package: VlmPackage, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not take .*text.gguf"):
        LlamaSession(package.text_path, package.text_path, n_threads=1)
    empty = tmp_path / "empty.gguf"
    empty.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="does not take"):
        LlamaSession(empty, package.mmproj_path, n_threads=1)


def test_it_answers_in_a_process_of_its_own(package: VlmPackage) -> None:
    process = AnswererProcess(str(package.root), WorkerConfig(deadline_s=60.0))
    try:
        asked = process.ask(made_picture(0))
    finally:
        process.stop()
    assert asked.outcome is Outcome.OK, asked.why
    vlm = make_answerer(str(package.root))
    assert asked.reply == vlm.answer(made_picture(0))
    assert isinstance(asked.reply, Reply)


def test_pictures_are_squeezed_or_shrunk() -> None:
    rgb = np.zeros((40, 100, 3), np.uint8)
    rgb[:, 50:] = 200
    assert square(rgb, 10).shape == (10, 10, 3)
    assert square(rgb, 10)[5].tolist() == [[0] * 3] * 5 + [[200] * 3] * 5
    assert square(rgb, 400).shape == (400, 400, 3)
    assert square(square(rgb, 10), 10).tolist() == square(rgb, 10).tolist()
    assert at_most(rgb, 50).shape == (20, 50, 3)
    assert at_most(rgb, 1000).shape == rgb.shape
    assert at_most(rgb, 1).shape == (1, 1, 3)


def test_a_reply_guesses_where_it_was_if_the_card_says_what_that_is_worth(
    package: VlmPackage, vlm: LlamaVlm
) -> None:
    picture = made_picture(0)
    assert vlm.answer(picture).guesses == ()
    tried = LlamaVlm(
        dataclasses.replace(package, reliability={"ground": {"region": 1.0}}), n_threads=1
    )
    try:
        reply = tried.answer(picture)
    finally:
        tried.close()
    region = next(answer for answer in reply.answers if answer.question == "region")
    assert region.answer != UNPARSEABLE
    shares = sum(guess.share for guess in reply.guesses)
    assert shares == pytest.approx(min(1.0 - region.probabilities[-1], 0.98), abs=0.02)
