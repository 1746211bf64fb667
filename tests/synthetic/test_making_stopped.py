# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Making a world that is stopped: one line, no process, no file is left."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from geoloc_ros.cli.main import main
from geoloc_ros.errors import ConfigError, ImageryError
from geoloc_ros.synthetic import ray_casting
from geoloc_ros.synthetic.make import WorldSpec, make_world
from geoloc_ros.synthetic.sensor_rig import CameraSpec

SPEC = WorldSpec(
    seed=4, size_m=300.0, length_m=40.0, camera=CameraSpec(width_px=32, height_px=18), gsd_m=2.0
)


def group(pgid: int) -> list[int]:
    """Processes of a group that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == pgid and state != "Z":
                found.append(int(stat.parent.name))
    return found


def comes_true(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60.0
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("stage", ["processes start", "a recording has begun"])
def test_ctrl_c_is_one_line_and_leaves_nothing(tmp_path, stage) -> None:
    out = tmp_path / "world"
    words = f"synth make --seed 4 --out {out} --size 300 --length 4000 --quiet --workers 2"
    with subprocess.Popen(
        [sys.executable, "-m", "geoloc_ros.cli.main", *words.split()],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        try:
            if stage == "processes start":
                assert comes_true(lambda: len(group(command.pid)) >= 3)
            else:
                assert comes_true((out / "drive_00/drive_00.mcap").exists)
                time.sleep(1.0)
            os.killpg(command.pid, signal.SIGINT)
            _, errors = command.communicate(timeout=60.0)
        finally:
            command.kill()
        assert (command.returncode, errors) == (130, "geoloc: interrupted\n")
        assert comes_true(lambda: not group(command.pid))
    assert not out.exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_leaves_nothing_and_an_empty_folder_empty(
    tmp_path, monkeypatch, workers
) -> None:
    def full(path: Path, *_: object) -> None:
        path.mkdir()
        (path / "drive_00.mcap").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ray_casting, "write_recording", full)
    for out in (tmp_path, tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            make_world(out, SPEC, workers=workers, progress=False)
        assert not list(tmp_path.iterdir())


def test_a_disk_full_of_imagery_is_one_clear_error(tmp_path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ImageryError, match=r"imagery.tif: .*; is the disk full\?"):
            make_world(tmp_path / "world", SPEC, workers=1, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [-3, 0, 100_000])
def test_processes_that_no_machine_has_are_refused(tmp_path, capsys, workers) -> None:
    words = f"synth make --seed 4 --out {tmp_path}/world --workers {workers}"
    assert main(words.split()) == 2
    assert f"--workers is {workers}; it must lie in [1, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_clear_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ray_casting, "_work", killed)
    with pytest.raises(ConfigError, match=r"ended from outside.*--workers \(now 2\)"):
        make_world(tmp_path / "world", SPEC, workers=2, progress=False)
    assert not list(tmp_path.iterdir())
