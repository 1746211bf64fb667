# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What `make demo` asks a vision-language model with, and what it says where there is none."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLIND = "import runpy, sys; sys.modules['llama_cpp'] = None; sys.argv[1:] = sys.argv[2:]; "


def asked(*words: str) -> tuple[str, str]:
    """(options, what people are told)."""
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=True, timeout=300, cwd=ROOT
    )
    return done.stdout.strip(), done.stderr.strip()


def test_a_missing_model_is_named_with_the_next_step(tmp_path: Path) -> None:
    options, told = asked("scripts/demo_vlm.py", str(tmp_path / "vlm-tiny"))
    assert options == ""
    assert len(told.splitlines()) == 1
    assert "goes on without a vision-language model: no vlm package" in told
    assert "geoloc train vlm" in told


def test_the_shipped_model_is_asked_where_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    pytest.importorskip("gguf", reason="gguf is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "vlm"))
    from tiny_vlm import make_tiny

    package = make_tiny(tmp_path / "tiny")
    options, told = asked("scripts/demo_vlm.py", str(package.root))
    assert options == f"--vlm {package.root} --vlm-every 4"
    assert "a picture" in told
    run = "runpy.run_path('scripts/demo_vlm.py', run_name='__main__')"
    options, told = asked("-c", BLIND + run, "scripts/demo_vlm.py", str(package.root))
    assert options == ""
    assert "pip install llama-cpp-python" in told
    package.text_path.write_bytes(package.text_path.read_bytes()[:-9])
    options, told = asked("scripts/demo_vlm.py", str(package.root))
    assert options == ""
    assert len(told.splitlines()) == 1
