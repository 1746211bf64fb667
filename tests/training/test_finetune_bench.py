# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What bench/finetune.py keeps, and when it makes it anew."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import test_training_drives as toy

drives = toy.drives
FILE = Path(__file__).parents[2] / "bench" / "finetune.py"


@pytest.fixture(scope="module")
def finetune() -> Any:
    spec = importlib.util.spec_from_file_location("finetune", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["finetune"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["finetune"]


@pytest.fixture
def bench(
    finetune: ModuleType,
    drives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A bench on small drives that trains and judges nothing; `trained` says what it was asked."""
    made = object.__new__(finetune.Bench)
    made._work, made._start = tmp_path, SimpleNamespace(encoder_sha256="one")
    made.base = toy.material(drives, tmp_path / "pairs")
    made.base.prepare()
    made.trained = []

    def train(recipe: Any, command: str, resume: bool) -> None:
        recipe.running.work.mkdir(parents=True, exist_ok=True)
        (recipe.running.work / "checkpoint.pt").touch()
        made.trained.append((recipe.train.start, resume))

    monkeypatch.setattr(finetune, "train_encoder", train)
    monkeypatch.setattr(finetune, "start_from", lambda pair, package: None)
    monkeypatch.setattr(finetune, "find_model", lambda name: None)
    monkeypatch.setattr(finetune.Bench, "judge", lambda self, pair: {})
    return made


def test_figures_of_another_model_or_seed_are_made_anew(bench: Any) -> None:
    first = bench.figures(bench.plan(100.0, 1), "kept")
    assert bench.trained == [("one", False)]
    assert bench.figures(bench.plan(100.0, 1), "kept") == first
    assert len(bench.trained) == 1
    bench._start.encoder_sha256 = "two"  # and its checkpoint is not gone on from
    bench.figures(bench.plan(100.0, 1), "kept")
    bench.figures(bench.plan(100.0, 2), "kept")
    assert bench.trained[1:] == [("two", False), ("two", False)]
    begun = bench._start.encoder_sha256 = "three"
    assert bench.figures(bench.plan(0.0, 1), "nothing")["steps"] == 0
    held = json.loads((bench._work / "figures_nothing.json").read_text())
    assert held["made_from"]["encoder_sha256"] == begun
    assert len(held["made_from"]["pairs"]) == 2


def test_an_interrupted_length_is_gone_on_with(bench: Any) -> None:
    bench.figures(bench.plan(100.0, 1), "kept")
    (bench._work / "figures_kept.json").unlink()
    bench.figures(bench.plan(100.0, 1), "kept")
    assert bench.trained == [("one", False), ("one", True)]


def test_a_length_does_not_replace_the_map_of_the_split(bench: Any) -> None:
    kept = {p.name: p.stat().st_mtime_ns for p in (bench._work / "pairs").glob("drives.*")}
    assert len(kept) == 2
    bench.figures(bench.plan(60.0, 1), "kept")
    assert {n: (bench._work / "pairs" / n).stat().st_mtime_ns for n in kept} == kept


def test_a_length_of_too_few_views_is_refused_with_their_number(bench: Any) -> None:
    with pytest.raises(SystemExit, match=r"^2 views lie on the first 6 m .* needs 8; leave"):
        bench.plan(6.0, 1)
