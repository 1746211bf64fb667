# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The engine cache: built once, verified, bounded, whoever dies and whatever rots meanwhile."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geoloc_ros import durable
from geoloc_ros.encoders.backends.cache import MANIFEST, EngineCache
from geoloc_ros.encoders.backends.key import EngineKey
from geoloc_ros.errors import ModelError

PLAN = "engine.plan"


def key(number: int = 0, **machine: str) -> EngineKey:
    content = {"backend": "tensorrt", "precision": "fp32", "onnx_sha256": f"{number:064x}"}
    return EngineKey({**content, "machine": {"gpu": "Orin", **machine}})


def writes(content: bytes = b"engine"):
    return lambda folder: durable.write_bytes(folder / PLAN, content)


def never(folder: Path) -> None:
    raise AssertionError("it is built already")


def build(cache: EngineCache, of: EngineKey, content: bytes = b"engine") -> bool:
    return cache.build(of, writes(content), len(content))


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines", budget_mb=16)


def names(cache: EngineCache) -> list[str]:
    return sorted(path.name for path in cache.root.iterdir() if path.name != "locks")


def test_an_engine_is_built_once_and_found_again(cache):
    assert cache.open(key()) is None
    assert build(cache, key())
    lease = cache.open(key())
    assert (lease.folder / PLAN).read_bytes() == b"engine"
    assert lease.manifest["key"] == key().content
    assert not cache.build(key(), never, 0)
    assert names(cache) == [key().digest]


def test_another_gpu_gets_an_engine_of_its_own(cache):
    build(cache, key())
    for change in ({"gpu": "Thor"}, {"tensorrt": "10.9"}, {"driver": "2"}):
        assert cache.open(key(**change)) is None
    build(cache, key(gpu="Thor"), b"other")
    assert (cache.open(key()).folder / PLAN).read_bytes() == b"engine"
    assert (cache.open(key(gpu="Thor")).folder / PLAN).read_bytes() == b"other"


def test_an_engine_in_the_folder_of_another_is_not_taken(cache):
    build(cache, key())
    (cache.root / key().digest).rename(cache.root / key(gpu="Thor").digest)
    assert cache.open(key(gpu="Thor")) is None


def damage_bit(folder: Path) -> None:
    content = bytearray((folder / PLAN).read_bytes())
    content[3] ^= 1
    (folder / PLAN).write_bytes(content)


def cut(folder: Path) -> None:
    os.truncate(folder / PLAN, 3)


def lose(folder: Path) -> None:
    (folder / PLAN).unlink()


def manifest_text(text: str):
    def damage(folder: Path) -> None:
        (folder / MANIFEST).write_text(text)

    return damage


@pytest.mark.parametrize(
    "damage",
    [damage_bit, cut, lose]
    + [manifest_text(t) for t in ("", "{}", "[1]", '{"key": 1, "files": 2}', "[" * 100_000)],
)
def test_a_damaged_engine_is_not_used_and_built_again(cache, caplog, damage):
    build(cache, key())
    damage(cache.root / key().digest)
    assert cache.open(key()) is None
    assert "it will be built again" in caplog.text
    assert build(cache, key(), b"anew")
    assert (cache.open(key()).folder / PLAN).read_bytes() == b"anew"
    assert names(cache) == [key().digest]


def test_a_full_disk_is_one_line_and_leaves_nothing(cache):
    def full(folder: Path) -> None:
        (folder / PLAN).symlink_to("/dev/full")
        writes()(folder)

    with pytest.raises(ModelError, match=r"cannot be kept in .*: No space left on device; free"):
        cache.build(key(), full, 0)
    assert names(cache) == []
    assert build(cache, key())


def test_what_cannot_fit_on_the_disk_is_not_begun(cache):
    with pytest.raises(ModelError, match=r"disk full: an engine needs about .* MB"):
        cache.build(key(), never, 10**18)


def test_a_builder_that_fails_leaves_nothing(cache):
    def fails(folder: Path) -> None:
        writes()(folder)
        raise ModelError("no kernel")

    with pytest.raises(ModelError, match="no kernel"):
        cache.build(key(), fails, 0)
    assert names(cache) == []


MB = bytes(10**6)


def test_those_not_used_for_longest_go_first_but_none_in_use(tmp_path):
    cache = EngineCache(tmp_path / "engines", budget_mb=3)
    for number in range(2):
        build(cache, key(number), MB)
        past = time.time() - 100 + number
        os.utime(cache.root / key(number).digest / MANIFEST, (past, past))
    in_use = cache.open(key(0))  # which also makes 1 the one that was not used for longest
    build(cache, key(2), MB)
    assert cache.open(key(1)) is None
    assert {folder.name for folder, _ in cache.engines()} == {key(0).digest, key(2).digest}
    past = time.time() - 100
    os.utime(in_use.folder / MANIFEST, (past, past))
    build(cache, key(3), MB)
    assert cache.open(key(2)) is None, "0 is older, but in use"
    in_use.close()
    build(cache, key(4), MB)
    assert {folder.name for folder, _ in cache.engines()} == {key(3).digest, key(4).digest}


def test_engines_in_use_may_exceed_the_budget_and_that_is_said(tmp_path, caplog):
    cache = EngineCache(tmp_path / "engines", budget_mb=2)
    build(cache, key(0), MB)
    lease = cache.open(key(0))
    build(cache, key(1), MB)
    assert "engine_budget_mb is 2" in caplog.text
    assert len(cache.engines()) == 2
    lease.close()


def test_an_engine_larger_than_the_budget_is_refused(tmp_path):
    cache = EngineCache(tmp_path / "engines", budget_mb=0)
    with pytest.raises(ModelError, match=r"takes 1\.0 MB, .* raise encoder\.engine_budget_mb"):
        build(cache, key(), MB)
    assert names(cache) == []


def test_a_hundred_at_once_in_one_process_build_once(cache):
    calls = []

    def slowly(folder: Path) -> None:
        calls.append(1)
        time.sleep(0.3)
        writes()(folder)

    def one(_: int) -> bytes:
        cache.build(key(), slowly, 0)
        lease = cache.open(key())
        content = (lease.folder / PLAN).read_bytes()
        lease.close()
        return content

    with ThreadPoolExecutor(100) as pool:
        assert set(pool.map(one, range(100))) == {b"engine"}
    assert len(calls) == 1


OPENER = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from geoloc_ros.encoders.backends.cache import EngineCache
from geoloc_ros.encoders.backends.key import EngineKey

root, content, hold = Path(sys.argv[1]), eval(sys.argv[2]), sys.argv[3] == "hold"
cache, key = EngineCache(root, 16), EngineKey(content)
def write(folder):
    (folder / "engine.plan").write_bytes(b"eng")
    with (root.parent / "log").open("a") as log:
        log.write("built\\n")
    time.sleep(600 if hold else 0.5)
    (folder / "engine.plan").write_bytes(b"engine")
def one(_):
    cache.build(key, write, 0)
    lease = cache.open(key)
    assert (lease.folder / "engine.plan").read_bytes() == b"engine"
    lease.close()
print("up", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(25) as pool:
    list(pool.map(one, range(25)))
"""


def opener(cache: EngineCache, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", OPENER, str(cache.root), repr(key().content), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def let_go(process: subprocess.Popen) -> None:
    """Wait until it is up, then let it begin."""
    assert process.stdout.readline() == "up\n"
    process.stdin.write("\n")
    process.stdin.flush()


def log_lines(cache: EngineCache) -> int:
    log = cache.root.parent / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_hundred_at_once_in_four_processes_build_once(cache):
    processes = [opener(cache, "go") for _ in range(4)]
    for process in processes:
        let_go(process)
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0] * 4
    assert log_lines(cache) == 1
    assert names(cache) == [key().digest]


def test_kill_9_during_a_build_leaves_nothing_in_the_way(cache):
    process = opener(cache, "hold")
    let_go(process)
    while not log_lines(cache):
        time.sleep(0.05)
    waited = threading.Event()
    result = []
    second = threading.Thread(
        target=lambda: result.append(cache.build(key(), writes(), 0, waited.set))
    )
    second.start()
    assert waited.wait(60.0), "the second one waits"
    assert names(cache) == [key().digest + ".partial"]
    assert cache.open(key()) is None
    process.kill()
    process.communicate()
    second.join(60.0)
    assert result == [True]
    assert (cache.open(key()).folder / PLAN).read_bytes() == b"engine"
    assert names(cache) == [key().digest]


def test_leftovers_of_other_engines_are_swept(cache):
    build(cache, key(0))
    (cache.root / (key(1).digest + ".partial")).mkdir()
    (cache.root / (key(2).digest + ".dead-1-2")).mkdir()
    build(cache, key(3))
    assert names(cache) == sorted([key(0).digest, key(3).digest])


def test_a_folder_that_others_may_write_to_is_refused(cache):
    cache.root.mkdir()
    cache.root.chmod(0o777)
    with pytest.raises(ModelError, match=r"others may write to .*chmod 700"):
        cache.open(key())
    cache.root.chmod(0o700)
    assert cache.open(key()) is None


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot be kept in .*encoder\.engine_dir"):
        EngineCache(tmp_path / "file" / "engines", 16).open(key())


def test_the_manifest_says_what_was_built(cache, caplog):
    caplog.set_level(logging.DEBUG)
    build(cache, key())
    content = json.loads((cache.root / key().digest / MANIFEST).read_text())
    assert content["key"] == key().content
    assert content["files"][PLAN]["bytes"] == 6
    assert content["build_s"] >= 0.0
