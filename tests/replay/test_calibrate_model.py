# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""geoloc calibrate on two made flights, end to end on real files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from made_flight import Made, record, write_imagery, write_model

from geoloc_ros.cli.main import main
from geoloc_ros.encoders.package import Calibration, load_package
from geoloc_ros.evaluation import tables
from geoloc_ros.filtering.calibration import LEAST_EVIDENCE
from geoloc_ros.index.policy import SamplingPolicy
from geoloc_ros.training.calibrate import index_world


def make_world(made: Made, root: Path, seed: int) -> Path:
    root.mkdir()
    write_imagery(root / "imagery.tif", seed)
    here = dataclasses.replace(made, imagery=root / "imagery.tif")
    record(here, root / "drive_00")
    return root


@pytest.fixture(scope="module")
def worlds(made, tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("worlds")
    return [make_world(made, root / str(seed), seed) for seed in (11, 12)]


def calibrate(model: Path, worlds: list[Path], work: Path) -> int:
    words = ["calibrate", model, *worlds, "--work", work]
    return main([str(w) for w in words] + ["--grid", "--pitch", "6", "--headings", "16"])


def test_a_model_learns_what_its_similarity_is_worth(worlds, tmp_path, caplog) -> None:
    bare = dataclasses.replace(write_model(tmp_path / "model"), calibration=Calibration.none())
    bare.save()
    before = bare.calibration
    readme = tmp_path / "model/README.md"
    readme.write_text("# toy\n\n## Calibration\n\nNone yet.\n\n## Limits\n\nMany.\n")
    assert calibrate(tmp_path / "model", worlds, tmp_path / "work") == 0
    fitted = load_package(tmp_path / "model").calibration
    assert "has no calibration" not in caplog.text
    text = readme.read_text()
    assert f"Fitted on: {fitted.fitted_on}." in text
    assert "None yet" not in text
    assert text.endswith(" |\n\n## Limits\n\nMany.\n")
    assert before.missing
    assert not fitted.missing
    assert fitted.matched - fitted.background > 3.0 * fitted.background_sigma
    assert LEAST_EVIDENCE <= fitted.confirm_evidence < before.confirm_evidence
    assert fitted.confirm_scale >= 1.0
    assert fitted.confirm_entries > 100
    assert fitted.covariance_scale >= 0.25
    assert "--grid --pitch 6 --headings 16: worlds 11 12" in fitted.fitted_on
    at_home = tables.read_estimates(tmp_path / "work/11_drive_00")
    assert at_home.localised.mean() > 0.5
    for name in ("11_drive_00_on_12", "12_drive_00_on_11"):
        abroad = tables.read_estimates(tmp_path / "work" / name)
        assert len(abroad.stamp_ns) == len(at_home.stamp_ns)
        assert not abroad.localised.any()


def test_one_world_keeps_the_evidence_the_card_asks_for(worlds, tmp_path) -> None:
    before = write_model(tmp_path / "model").calibration
    assert calibrate(tmp_path / "model", worlds[:1], tmp_path / "work") == 0
    fitted = load_package(tmp_path / "model").calibration
    assert fitted.confirm_evidence == before.confirm_evidence
    assert not np.isclose(fitted.temperature, before.temperature)


def test_an_index_of_something_else_is_not_used_again(worlds, tmp_path) -> None:
    package, out = write_model(tmp_path / "model"), tmp_path / "index"
    coarse = SamplingPolicy(kind="grid", pitch_m=60.0, headings=1)

    def indexed(world, model=package, policy=coarse) -> tuple[int, str]:
        written = index_world(world, model, out, policy) / "manifest.json"
        return written.stat().st_mtime_ns, written.read_text()

    first = indexed(worlds[0])
    assert indexed(worlds[0]) == first
    assert indexed(worlds[1])[1] != first[1]
    other = dataclasses.replace(package, version="2")
    assert '"fake 2"' in indexed(worlds[1], other)[1].replace(package.name, "fake")
    finer = dataclasses.replace(coarse, headings=2)
    assert '"headings": 2' in indexed(worlds[1], other, finer)[1]


def test_worlds_of_the_same_name_are_refused(tmp_path, capsys) -> None:
    write_model(tmp_path / "model")
    worlds = [tmp_path / "a/3001", tmp_path / "b/3001"]
    assert calibrate(tmp_path / "model", worlds, tmp_path / "work") == 2
    assert "are both called 3001, as" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
