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


@pytest.mark.parametrize("option", ["--towns", "--epochs", "--batch", "--threads"])
def test_numbers_that_make_no_sense_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=option):
        run("--kind", "perspective", "--out", str(tmp_path), option, "-3")


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
        run("--kind", "panorama", "--out", str(tmp_path))
