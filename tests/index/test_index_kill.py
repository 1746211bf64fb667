# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Builds that are killed with SIGKILL at random moments end in the bytes of an undisturbed one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 15  # 'python tests/index/kill_builds.py' kills fifty


@pytest.mark.slow
def test_however_often_a_build_is_killed_the_index_has_the_same_bytes():
    script = Path(__file__).with_name("kill_builds.py")
    done = subprocess.run(
        [sys.executable, str(script), "--kills", str(KILLS), "--seed", "2"],
        check=False,
        timeout=900,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = re.match(r"killed (\d+), resumed (\d+), compared (\d+)", done.stdout)
    killed, resumed, compared = map(int, said.groups())
    assert killed == KILLS
    assert resumed > KILLS // 3, "most kills leave something to go on with"
    assert compared > 1
