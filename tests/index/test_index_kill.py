# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Builds that are killed with SIGKILL at random moments end in the bytes of an undisturbed one."""

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 50


@pytest.mark.slow
def test_killed_fifty_times_the_index_has_the_same_bytes(tmp_path):
    script = Path(__file__).with_name("kill_builds.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "index"), str(KILLS), "1"],
        check=False,
        timeout=900,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    words = done.stdout.split()
    assert words[:2] == ["killed", str(KILLS)]
    assert int(words[3]) > KILLS // 3, "most kills leave something to go on with"
