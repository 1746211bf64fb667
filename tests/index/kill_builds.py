# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts builds in forks and kills them with SIGKILL, then compares what comes of them.

A fork costs milliseconds where a new Python costs seconds. Half of the kills come at a random
time; the others with a random one of the calls that change the disk, which are few and near each
other, so that the end of a build gets its share. After every kill the index is the old one, the
new one or, if there was none, none. Whenever a build ends before its kill, its index is compared
with that of a build nobody disturbed, and the next one begins anew: every other time where
another index is already. At the end the last build is resumed and compared.
"""

import argparse
import hashlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from made_place import build, make_picture

from geoloc_ros.index.policy import Road, SamplingPolicy

ROADS = [
    Road(np.stack([np.linspace(-400.0, 400.0, 9), np.full(9, y)], axis=1)) for y in (-60.0, 60.0)
]
PICTURE = make_picture()
POLICY = SamplingPolicy(spacing_m=5.0, turns=False)
#: calls that change the disk
CALLS = ((os, ("fsync", "rename", "unlink", "rmdir", "mkdir", "replace", "open")),)


def make(out: Path, policy: SamplingPolicy = POLICY) -> None:
    build(out, picture=PICTURE, roads=ROADS, policy=policy, workers=2)


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def check_place(out: Path, old: dict[str, str] | None, wanted: dict[str, str]) -> None:
    """See that a kill left the old index or the new one, whole, or none if there was none."""
    if not out.exists():
        if old is None:
            return
        out = out.with_name(out.name + ".partial") / "replaced"  # between the two renames
    index = {
        name: digest
        for name, digest in content(out).items()
        if name.startswith(("manifest.json", "shards/"))
    }
    assert index in (old, wanted), "neither the old index nor the new one"


def die_at_call(number: int) -> None:
    """Make the `number`th call that changes the disk the last."""
    counter = itertools.count(1)

    def watched(call):
        def called(*arguments, **named):
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return called

    for module, names in CALLS:
        for name in names:
            setattr(module, name, watched(getattr(module, name)))


def fork(out: Path, call: int | None = None, policy: SamplingPolicy = POLICY) -> int:
    """A build in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if call:
            die_at_call(call)
        make(out, policy)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def killed(pid: int, after_s: float | None = None) -> bool:
    """Whether a build was killed, by us or by itself; otherwise it has ended well."""
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "a build failed"
    return False


def torment(folder: Path, kills: int, seed: int) -> str:
    """Kill builds in a folder; what came of them.

    Raises:
        AssertionError: not what should.
    """
    os.fsync = lambda _: None  # a killed process takes nothing back from the disk
    out, whole, other = folder / "index", folder / "whole", folder / "other"
    assert not killed(fork(other, policy=SamplingPolicy(spacing_m=20.0, turns=False)))
    start = time.monotonic()
    assert not killed(fork(whole))
    duration_s = time.monotonic() - start
    wanted, before = content(whole), content(other)
    rng = random.Random(seed)
    dead = compared = resumed = 0
    old: dict[str, str] | None = None
    while dead < kills:
        resumed += out.with_name(out.name + ".partial").exists()
        if rng.random() < 0.5:
            after_s = rng.uniform(0.0, duration_s)
            done = not killed(fork(out), after_s)
        else:
            done = not killed(fork(out, call=rng.randint(1, 60)))
        dead += not done
        check_place(out, old, wanted)
        if done:
            assert content(out) == wanted
            compared += 1
            shutil.rmtree(out)
            old = before if compared % 2 else None
            if old:
                shutil.copytree(other, out)
    assert not killed(fork(out))
    assert content(out) == wanted
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([out.name, whole.name, other.name]), left
    return f"killed {dead}, resumed {resumed}, compared {compared + 1}: all have the same bytes"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of their moments (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geoloc-kill-") as folder:
        start = time.monotonic()
        print(torment(Path(folder), arguments.kills, arguments.seed))
        print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
