# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The reranker at run time: a real trained one, asked right and asked wrongly."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from rerank_toy import QUESTIONS, TOP, toy_encoder, toy_lists

from geoloc_ros.datatypes import Candidates
from geoloc_ros.encoders.registry import find_folder
from geoloc_ros.errors import ModelError
from geoloc_ros.index.descriptions import DescriptionRecord
from geoloc_ros.rerank.language import LanguageReranker
from geoloc_ros.rerank.package import load_reranker
from geoloc_ros.rerank.text import fit_embedder, sentences
from geoloc_ros.training.reranker_export import Provenance, export_variant
from geoloc_ros.training.reranker_nets import NetSpec, blocks_of
from geoloc_ros.training.reranker_recipe import in_words
from geoloc_ros.training.reranker_train import Fit, FitConfig, first_right, judged
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.vectors import vector

VLM = "d" * 64


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Two packages: one of answers, one of words."""
    root = tmp_path_factory.mktemp("rerankers")
    told = toy_lists()
    embedder = fit_embedder([sentences(row, QUESTIONS) for row in told.query], 32)
    provenance = Provenance(
        encoder=toy_encoder(),
        questions=QUESTIONS,
        vlm="toy 1",
        vlm_sha256=VLM,
        top=TOP,
        training={
            "command": "none",
            "settings": dataclasses.asdict(FitConfig()),
            "train_seeds": [1, 2],
            "validation_seeds": [3],
            "left_out_styles": [],
            "lists": {"train": 1, "same": 1, "cross": 1},
            "encoder": "toy 1",
        },
        table=(),
    )
    for fusion, text in (("pairwise", "answers"), ("pairwise", "template")):
        seen = told if text == "answers" else in_words(told, QUESTIONS, embedder)
        blocks = blocks_of(QUESTIONS) if text == "answers" else (embedder.dim,)
        spec = NetSpec(fusion=fusion, descriptor_dim=16, blocks=blocks, width=16)
        fit = Fit(spec, FitConfig(epochs=20, batch=64), seen, root / f"{text}.pt")
        judge = fit.run(share_of(seen), False)
        export_variant(judge, fusion, text, embedder, 0.5, [seen], provenance, root / text)
    return root


@pytest.fixture(params=["answers", "template"])
def package(made, request):
    return load_reranker(made / request.param)


def share_of(told):
    return lambda judge: float(first_right(judged(judge, told)[0], told.lists).mean())


def manifest(package, **changes):
    said = DescriptionRecord(
        questions_version=1,
        questions_sha256=package.questions_sha256,
        options=package.options,
        vlm="toy 1",
        vlm_sha256=VLM,
        within_m=4.0,
        within_deg=15.0,
    )
    values = {"encoder_sha256": package.encoder_sha256, "model": "toy 1", "descriptions": said}
    return SimpleNamespace(**{**values, **changes})


class ToyIndex:
    """The candidates of one list, as an index would know them."""

    def __init__(self, package, told, row, **changes):
        self.manifest = manifest(package, **changes)
        self._told, self._row = told, row

    def vectors(self, entry_ids):
        return self._told.lists.descriptors[self._row][entry_ids % TOP]

    def descriptions(self, entry_ids):
        if self.manifest.descriptions is None:
            return None
        return self._told.texts[self._row][entry_ids % TOP]


def candidates(told, row):
    return Candidates(
        np.arange(TOP), np.arange(3.0 * TOP).reshape(TOP, 3), told.lists.similarity[row]
    )


def reply(told, row):
    said = told.query[row]
    return Reply(
        tuple(
            Answer(q.id, "", 0.0, tuple(said[QUESTIONS.slices[q.id]].tolist()))
            for q in QUESTIONS.questions
        )
    )


def test_the_right_place_comes_first_more_often(package):
    told, reranker = toy_lists(count=200, seed=9), LanguageReranker(package)
    lists, better = told.lists, 0
    for row in range(len(told)):
        verdict = reranker.judge(
            lists.query[row], told.query[row], lists.similarity[row], lists.descriptors[row],
            told.texts[row],
        )  # fmt: skip
        right = lists.correct[row]
        better += int(right[verdict.order[0]]) - int(right[0])
        assert verdict.abstains or verdict.chance.sum() == pytest.approx(1.0)
    assert better > 0.05 * len(told)


def test_verdicts_name_every_candidate_once(package):
    told, reranker = toy_lists(count=200, seed=9), LanguageReranker(package)
    moved = 0
    for row in range(60):
        index = ToyIndex(package, told, row)
        verdict = reranker.rerank(
            index, told.lists.query[row], reply(told, row), candidates(told, row)
        )
        assert sorted(verdict.order) == list(range(TOP))
        if not verdict.abstains:
            assert verdict.order[0] == np.argmax(verdict.chance)
        moved += int(verdict.order[0] != 0)
    assert moved > 4


def test_it_abstains_where_there_is_nothing_to_go_by(package):
    told, reranker = toy_lists(count=200, seed=9), LanguageReranker(package)
    row = next(r for r in range(99) if not told.lists.correct[r, 0])
    found, index, said = candidates(told, row), ToyIndex(package, told, row), reply(told, row)
    query = told.lists.query[row]
    other = dataclasses.replace(index.manifest.descriptions, vlm_sha256="e" * 64)
    few = [Candidates(found.entry_ids[:k], found.poses[:k], found.similarity[:k]) for k in (0, 1)]
    for case in (
        reranker.rerank(index, query, Reply(), found),  # nothing came back in time
        reranker.rerank(ToyIndex(package, told, row, descriptions=None), query, said, found),
        reranker.rerank(ToyIndex(package, told, row, descriptions=other), query, said, found),
        *(reranker.rerank(index, query, said, some) for some in few),
    ):
        assert case.abstains
        assert (case.order == np.arange(len(case.order))).all()
        assert not case.chance.any()


def test_wrong_answers_move_hardly_anything(package):
    told, reranker = toy_lists(count=200, seed=9), LanguageReranker(package)
    other = told.shuffled(4)
    before = after = 0
    for row in range(len(told)):
        index = ToyIndex(package, told, row)
        verdict = reranker.rerank(
            index, told.lists.query[row], reply(other, row), candidates(told, row)
        )
        before += int(told.lists.correct[row, 0])
        after += int(told.lists.correct[row, verdict.order[0]])
    assert after >= 0.94 * before


def test_a_candidate_of_which_nothing_was_said_keeps_its_rank(package):
    told = toy_lists(count=200, seed=9)
    texts = told.texts.copy()
    texts[:, 1] = 0.0
    mute = dataclasses.replace(told, texts=texts)
    reranker = LanguageReranker(package)
    for row in range(40):
        verdict = reranker.rerank(
            ToyIndex(package, mute, row), told.lists.query[row], reply(told, row),
            candidates(told, row),
        )  # fmt: skip
        assert verdict.order[1] == 1
        assert verdict.chance[1] == 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: {"descriptions": None}, "geoloc index describe"),
        (lambda m: {"encoder_sha256": "f" * 64}, "encoder"),
        (lambda m: {"descriptions": dataclasses.replace(m.descriptions, vlm_sha256="e" * 64)},
         "vision-language model"),
        (lambda m: {"descriptions": dataclasses.replace(m.descriptions,
                                                        questions_sha256="e" * 64)}, "questions"),
    ],
)  # fmt: skip
def test_an_index_of_other_company_is_refused(package, change, words):
    fits = manifest(package)
    LanguageReranker(package, fits)
    with pytest.raises(ModelError, match=words):
        LanguageReranker(package, manifest(package, **change(fits)))


def test_other_questions_are_refused(package):
    with pytest.raises(ModelError, match="train it again"):
        LanguageReranker(dataclasses.replace(package, questions_sha256="0" * 64))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fusion", "magic"), ("text", "speech"), ("threshold", -1.0), ("threshold", None),
        ("temperature", 0.0), ("temperature", float("nan")), ("top", 0), ("files", {}),
        ("options", 1.5), ("vlm_sha256", "short"), ("reliability", {"a": 2.0}), ("unknown", 1),
        ("schema", 2), ("kind", "encoder"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense_are_refused(made, tmp_path, key, value):
    root = shutil.copytree(made / "answers", tmp_path / "altered")
    content = json.loads((root / "model.json").read_text())
    (root / "model.json").write_text(json.dumps({**content, key: value}))
    with pytest.raises(ModelError):
        load_reranker(root)


def test_altered_and_missing_files_are_refused(made, tmp_path):
    root = shutil.copytree(made / "template", tmp_path / "altered")
    for name in ("reranker.onnx", "vocabulary.json", "embedder.npy"):
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[:-1])
        with pytest.raises(ModelError, match="altered"):
            load_reranker(root)
        (root / name).unlink()
        with pytest.raises(ModelError, match="lacks"):
            load_reranker(root)
        (root / name).write_bytes(content)
    load_reranker(root)


def test_a_reranker_is_no_encoder(made, monkeypatch):
    from geoloc_ros.encoders.registry import find_model, find_model_by_sha

    monkeypatch.setenv("GEOLOC_MODELS", str(made))
    assert find_folder("answers", "reranker") == made / "answers"
    with pytest.raises(ModelError, match="no encoder package"):
        find_model("answers")
    with pytest.raises(ModelError, match="was built with"):
        find_model_by_sha("0" * 64)


def test_replies_become_vectors():
    question = QUESTIONS.questions[0]
    at = QUESTIONS.slices[question.id]
    count = len(question.options)
    best = question.options[1].id
    shares = (0.1,) * (count - 1) + (0.5,)
    said = vector(Reply((Answer(question.id, best, 0.7, shares),)), QUESTIONS)
    assert said[at].sum() == pytest.approx(1.0)
    assert np.argmax(said[at]) == count - 1
    assert said.sum() == pytest.approx(1.0)
    only = vector(Reply((Answer(question.id, best, 0.7),)), QUESTIONS)
    assert only[at][1] == pytest.approx(0.7)
    assert only[at].sum() == pytest.approx(1.0)
    for wrong in (
        Answer("no_such_question", best, 0.7),
        Answer(question.id, "no_such_option", 0.7),
        Answer(question.id, best, float("nan")),
        Answer(question.id, best, 0.7, (0.5, 0.5)[: count - 1]),
        Answer(question.id, best, 0.7, (float("inf"),) * count),
        Answer(question.id, best, 0.7, (-1.0,) * count),
    ):
        assert not vector(Reply((wrong,)), QUESTIONS).any()
