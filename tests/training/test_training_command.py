# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from geoloc_ros.cli import train
from geoloc_ros.errors import TrainingError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["train", "encoder", *arguments])
    return int(parsed.run(parsed))


@pytest.mark.parametrize("value", ["-3", "1000000000000"])
@pytest.mark.parametrize(
    "option", ["--towns", "--epochs", "--batch", "--threads", "--seed", "--first-seed"]
)
def test_numbers_that_make_no_sense_are_refused(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=rf"{option} is {value}; it must lie in"):
        run("--kind", "perspective", "--out", str(tmp_path), option, value)


def test_a_town_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from geoloc_ros.training.worlds import WorldConfig, render_towns

    with pytest.raises(TrainingError, match=r"town 7 cannot .*size_m is 1;") as caught:
        render_towns([7], WorldConfig(size_m=1.0), tmp_path, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("first_seed", [-5, 1990, 2002, 899_999])
def test_seeds_of_other_towns_are_refused(first_seed: int) -> None:
    pytest.importorskip("torch")
    from geoloc_ros.training.town_material import TownMaterial

    with pytest.raises(TrainingError, match="must not touch"):
        TownMaterial(kind="perspective", first_seed=first_seed).seeds()


def test_a_missing_photo_folder_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    with pytest.raises(TrainingError, match="--aerial"):
        run("--kind", "ground_plane", "--out", str(tmp_path), "--aerial", missing)


def test_held_out_seeds_are_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(TrainingError, match="900000"):
        run("--kind", "perspective", "--out", str(tmp_path), "--first-seed", "900101",
            "--data", str(tmp_path / "towns"))  # fmt: skip
    assert not (tmp_path / "towns").exists()


def test_the_command_line_loads_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import geoloc_ros.cli.train"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unfit_kind_ends_with_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run("--kind", "birds", "--out", str(tmp_path))
