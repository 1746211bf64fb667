# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a process is said to have needed is its own need."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from geoloc_ros.process_memory import peak_rss_mb, resident_bytes

HELD_MB = 300


def test_peak_counts_what_was_held_and_given_back():
    before = peak_rss_mb()
    held = np.ones(HELD_MB * 2**20, dtype=np.uint8)
    assert held.sum() == held.size
    del held
    assert peak_rss_mb() >= max(before, HELD_MB)


def test_peak_of_a_child_leaves_out_its_parents():
    held = np.ones(HELD_MB * 2**20, dtype=np.uint8)
    code = "from geoloc_ros.process_memory import peak_rss_mb; print(peak_rss_mb())"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert held[-1] == 1
    assert 0.0 < float(child.stdout) < HELD_MB


def test_resident_follows_what_is_held():
    before = resident_bytes()
    held = np.ones(HELD_MB * 2**20, dtype=np.uint8)
    assert resident_bytes() - before > 0.9 * held.size
    del held
    assert resident_bytes() - before < 0.5 * HELD_MB * 2**20


def test_resident_is_that_of_the_process_asked_about():
    held = np.ones(HELD_MB * 2**20, dtype=np.uint8)
    code = "import numpy, sys; print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        child.stdout.readline()
        assert held[-1] == 1
        assert 2**20 < resident_bytes(child.pid) < held.size
        child.stdin.close()
        child.wait(60.0)
    assert resident_bytes(child.pid) == 0
    assert resident_bytes(0) == 0
