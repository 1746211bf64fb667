# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts builds in forks and kills them with SIGKILL: kill_builds.py OUT KILLS SEED.

A fork costs milliseconds where a new Python costs seconds. Half of the kills come at a random
time; the others with a random one of the calls that change the disk, which are few and near each
other, so that the end of a build gets its share. Whenever a build ends before its kill, its index
is compared with that of a build nobody disturbed, and the next one begins anew. At the end the
last build is resumed and compared. Prints how many were killed, resumed and compared.
"""

import hashlib
import itertools
import os
import random
import shutil
import signal
import sys
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


def make(out: Path) -> None:
    build(out, picture=PICTURE, roads=ROADS, policy=POLICY, workers=2)


def content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


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


def fork(out: Path, call: int | None = None) -> int:
    """A build in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        if call:
            die_at_call(call)
        make(out)
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


def main(out: Path, kills: int, seed: int) -> None:
    os.fsync = lambda _: None  # a killed process takes nothing back from the disk
    whole = out.with_name("whole")
    start = time.monotonic()
    assert not killed(fork(whole))
    duration_s = time.monotonic() - start
    wanted = content(whole)
    rng = random.Random(seed)
    dead = compared = resumed = 0
    while dead < kills:
        resumed += out.with_name(out.name + ".partial").exists()
        if rng.random() < 0.5:
            after_s = rng.uniform(0.0, duration_s)
            done = not killed(fork(out), after_s)
        else:
            done = not killed(fork(out, call=rng.randint(1, 60)))
        dead += not done
        if done:
            assert content(out) == wanted
            compared += 1
            shutil.rmtree(out)
    assert not killed(fork(out))
    assert content(out) == wanted
    left = sorted(path.name for path in out.parent.iterdir())
    assert left == sorted([out.name, whole.name]), left
    print(f"killed {dead} resumed {resumed} compared {compared + 1}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
