# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A training that is killed, at any step, and goes on is the training it would have been."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_training_train import toy_pairs  # noqa: E402
from training_toy import toy_shard  # noqa: E402

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.export import export_package  # noqa: E402
from geoloc_ros.training.pair import EncoderPair  # noqa: E402
from geoloc_ros.training.sources import MinedSource  # noqa: E402
from geoloc_ros.training.train import Row, Trainer  # noqa: E402

HERE = Path(__file__).parent


class Interrupted(Exception):
    """Stands for a power cut."""


def trainer(folder: Path, **changes: Any) -> Trainer:
    """Three epochs of two batches; the last two mine by similarity."""
    settings = {"epochs": 3, "geographic_epochs": 1, "wide_from": 2, "batch": 8, "extra": 2,
                "cluster": 4, "pool": 12, "warm_up": 2, "masked_weight": 0.5}  # fmt: skip
    config = TrainConfig(kind="perspective", **{**settings, **changes})
    source = MinedSource(toy_pairs(toy_shard(1, 10), toy_shard(2, 10)), 128)
    # A checkpoint after every step.
    return Trainer(config, source, Running(work=folder, threads=1, save_every_s=0.0))


def scores_of(pair: EncoderPair, final: bool) -> dict[str, float]:
    """Some figure that depends on the weights."""
    return {"r1": float(pair.log_scale.detach()), "final": float(final)}


class Exports:
    """Writes packages, and remembers of which epochs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.epochs = folder, []

    def __call__(self, pair: EncoderPair, row: Row) -> None:
        scores = row["scores"]
        export_package(pair, self.folder, name="toy", version="0", training={}, scores=scores)
        self.epochs.append(row["epoch"])

    def sha256(self) -> list[str]:
        return [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(self.folder.iterdir())]


def interrupt_at(run: Trainer, step: int) -> None:
    """Let a run die in the middle of taking a step."""
    take, taken = run.lesson.take, [0]

    def dying(*arguments: Any) -> Any:
        if taken[0] == step:
            run.lesson.optimizer.step()  # some of the step has happened already
            raise Interrupted
        taken[0] += 1
        return take(*arguments)

    run.lesson.take = dying  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Exports]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run, exports = trainer(folder / "run"), Exports(folder / "model")
    run.run(scores_of, exports)
    return run, exports


def same_state(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same_state(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def check_same(run: Trainer, exports: Exports, undisturbed: tuple[Trainer, Exports]) -> None:
    whole, whole_exports = undisturbed
    for mine, theirs in ((run.lesson.model, whole.lesson.model),
                         (run.lesson.average.model, whole.lesson.average.model)):  # fmt: skip
        assert same_state(dict(mine.state_dict()), dict(theirs.state_dict()))
    assert same_state(run.lesson.optimizer.state_dict(), whole.lesson.optimizer.state_dict())
    assert [r["scores"] for r in run.history] == [r["scores"] for r in whole.history]
    assert [r["losses"] for r in run.history] == [r["losses"] for r in whole.history]
    assert exports.sha256() == whole_exports.sha256()


def test_a_run_killed_at_random_steps_ends_as_if_it_had_not_been(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    rng = np.random.default_rng(7)
    exports = Exports(tmp_path / "model")
    for life in range(2):
        run = trainer(tmp_path / "run")
        if life:
            run.resume()
        interrupt_at(run, int(rng.integers(1, 3)))
        with pytest.raises(Interrupted):
            run.run(scores_of, exports)
    run = trainer(tmp_path / "run")
    run.resume()
    assert (run.epoch, run.step) != (0, 0)
    run.run(scores_of, exports)
    check_same(run, exports, undisturbed)


def test_a_run_killed_while_it_validates_validates_again(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    def dying(pair: EncoderPair, final: bool) -> dict[str, float]:
        raise Interrupted

    exports = Exports(tmp_path / "model")
    with pytest.raises(Interrupted):
        trainer(tmp_path / "run").run(dying, exports)
    run = trainer(tmp_path / "run")
    run.resume()
    run.run(scores_of, exports)
    check_same(run, exports, undisturbed)
    assert exports.epochs == [1, 2, 3]


def test_other_draws_would_have_made_another_network(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    """What is compared above would notice a difference."""
    run, exports = trainer(tmp_path / "run", seed=2), Exports(tmp_path / "model")
    run.run(scores_of, exports)
    assert exports.sha256() != undisturbed[1].sha256()


SCRIPT = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from pathlib import Path
from test_training_resume import Exports, scores_of, trainer
folder = Path({folder!r})
run = trainer(folder / "run")
if run.checkpoint.exists():
    run.resume()
run.run(scores_of, Exports(folder / "model"))
"""


def test_sigkill_leaves_a_checkpoint_that_goes_on(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    script = SCRIPT.format(here=str(HERE), tests=str(HERE.parent), folder=str(tmp_path))
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run, exports = trainer(tmp_path / "run"), Exports(tmp_path / "model")
    run.resume()
    run.run(scores_of, exports)
    check_same(run, exports, undisturbed)


def test_who_is_told_to_stop_saves_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    run, exports = trainer(tmp_path / "run"), Exports(tmp_path / "model")
    take = run.lesson.take

    def told(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return take(*arguments)

    run.lesson.take = told  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"after step 1 of epoch 1.*--resume goes on"):
        run.run(scores_of, exports)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    again = trainer(tmp_path / "run")
    again.resume()
    assert (again.epoch, again.step) == (0, 1)
    again.run(scores_of, exports)
    check_same(again, exports, undisturbed)


def test_the_log_is_written_from_the_checkpoint(
    tmp_path: Path, undisturbed: tuple[Trainer, Exports]
) -> None:
    log = np.genfromtxt(undisturbed[0].running.work / "log.csv", delimiter=",", names=True)
    assert log["epoch"].tolist() == [1, 2, 3]
    assert log["final"].tolist() == [0, 0, 1]
    assert {"loss", "layout_query", "masked"} <= set(log.dtype.names)
