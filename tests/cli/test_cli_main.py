# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: every failure is one line and an exit status."""

import subprocess
import sys

import pytest

from geoloc_ros.cli import config as config_command
from geoloc_ros.cli.main import main

GEOLOC = [sys.executable, "-m", "geoloc_ros.cli.main"]


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    words = " ".join([*GEOLOC, "config", "dump"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {words} | true"], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_what_the_system_refuses_is_one_line(monkeypatch, capsys) -> None:
    def refuse(_: object) -> int:
        raise PermissionError(13, "Permission denied", "/somewhere/file.yaml")

    monkeypatch.setattr(config_command, "_dump", refuse)
    assert main(["config", "dump"]) == 2
    assert capsys.readouterr().err == "geoloc: /somewhere/file.yaml: Permission denied\n"


def test_a_full_disk_names_the_place(monkeypatch, capsys) -> None:
    def refuse(_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("geoloc_ros.cli.bag._from_frames", refuse)
    assert main(["bag", "from-frames", "frames.csv", "--out", "some/bag"]) == 2
    assert capsys.readouterr().err == "geoloc: some/bag: No space left on device\n"


def test_an_interruption_is_one_line(monkeypatch, capsys) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_command, "_dump", interrupt)
    assert main(["config", "dump"]) == 130
    assert capsys.readouterr().err == "geoloc: interrupted\n"


@pytest.mark.parametrize("words", [[], ["fly"], ["index"], ["replay"]])
def test_wrong_usage_says_how_to_use_it(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: geoloc" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_refused(capsys) -> None:
    assert main(["index", "info", "/tmp/\udcffindex"]) == 2
    assert "cannot be printed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--top", "0"], "--top is 0; it must lie in 1..100"),
        (["--top", "101"], "--top is 101; it must lie in 1..100"),
        (["--height", "-1"], "--height is -1 m; it must be above 0 and at most 10000 m"),
        (["--height", "0"], "--height is 0 m"),
        (["--height", "1e300"], "--height is 1e+300 m"),
        (["--height", "nan"], "--height is nan m"),
    ],
)
def test_locate_refuses_numbers_that_make_no_sense(words: list[str], says: str, capsys) -> None:
    assert main(["locate", "picture.jpg", "--index", "index", *words]) == 2
    assert capsys.readouterr().err.startswith(f"geoloc: {says}")
