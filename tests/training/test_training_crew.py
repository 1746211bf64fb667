# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several processes that train together do what one does with the whole batch."""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_training_train import toy_pairs  # noqa: E402
from training_toy import toy_shard  # noqa: E402

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.crew import alone, mustered  # noqa: E402
from geoloc_ros.training.data import Shard  # noqa: E402
from geoloc_ros.training.draws import Draws, Part  # noqa: E402
from geoloc_ros.training.joint_norm import JointNorm, run_layers  # noqa: E402
from geoloc_ros.training.sources import MinedSource  # noqa: E402
from geoloc_ros.training.train import Trainer  # noqa: E402

HERE = Path(__file__).parent
# Relative to the largest of the numbers compared; descriptors and losses are in single precision.
TOLERANCE = 1e-5


def rough(shard: Shard) -> Shard:
    """With pictures of noise: even ones leave normalisation next to nothing to divide by."""
    noise = np.random.default_rng(shard.seed).integers(0, 255, shard.images.shape)
    return dataclasses.replace(shard, images=noise.astype(np.uint8))


def train(work: Path, forget: bool = False) -> None:
    """One step; what is left of it lies in its checkpoint.

    In double precision: a network with random weights makes half a percent of a gradient out of
    the seventh digit of a picture, and sums over processes are made in another order.
    """
    config = TrainConfig(
        kind="perspective", epochs=1, batch=8, extra=4, cluster=4, pool=8, warm_up=1,
        learning_rate=1e-3, masked_weight=0.5, precision="float32",
    )  # fmt: skip
    source = MinedSource(toy_pairs(*(rough(toy_shard(seed, 6)) for seed in (1, 2))), 128)
    with mustered("cpu") as crew:
        running = Running(work=work, threads=1, forget=forget, save_every_s=1e9)
        trainer = Trainer(config, source, running, crew)
        for network in (trainer.lesson.model, trainer.lesson.average.model):
            network.double()
        trainer.run(lambda pair, final: {}, lambda pair, row: None)
        trainer.save()


def read(work: Path) -> dict[str, Any]:
    return torch.load(work / "checkpoint.pt", weights_only=True)


SCRIPT = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from pathlib import Path
from test_training_crew import train
train(Path({work!r}), {forget})
"""


def free_port() -> str:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return str(bound.getsockname()[1])


def together(work: Path, size: int, forget: bool = False) -> dict[str, Any]:
    """What `torchrun` does: the same program in several processes."""
    script = SCRIPT.format(here=str(HERE), tests=str(HERE.parent), work=str(work), forget=forget)
    port = free_port()
    processes = []
    for rank in range(size):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
                 "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", script], env={**os.environ, **place},
                stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    errors = [p.communicate(timeout=500)[1] for p in processes]
    assert [p.returncode for p in processes] == [0] * size, errors[0][-3000:] + errors[-1][-3000:]
    return read(work)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("single")
    train(work)
    return read(work)


def gradients(state: dict[str, Any]) -> list[torch.Tensor]:
    """Of every weight: Adam's mean after one step is a tenth of it (Kingma and Ba, 2015)."""
    return [moments["exp_avg"] * 10.0 for moments in state["optimizer"]["state"].values()]


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))


def test_two_processes_make_the_update_of_one_with_the_joint_batch(
    tmp_path: Path, single: dict[str, Any]
) -> None:
    pair = together(tmp_path, 2, forget=True)
    assert single["plans"] == pair["plans"] == 1
    of_one, of_two = gradients(single), gradients(pair)
    largest = max(float(g.abs().max()) for g in of_one)
    for mine, theirs in zip(of_one, of_two, strict=True):
        assert float((mine - theirs).abs().max()) < TOLERANCE * largest
    for name, value in single["model"].items():
        if name.endswith(("running_mean", "running_var")):
            assert gap(value, pair["model"][name]) < TOLERANCE, name
    for name in ("query", "reference"):
        assert gap(single["source"][name], pair["source"][name]) < TOLERANCE
    losses = single["history"][0]["losses"], pair["history"][0]["losses"]
    assert losses[1] == pytest.approx(losses[0], rel=TOLERANCE)


def test_forgetting_activations_changes_no_bit(tmp_path: Path, single: dict[str, Any]) -> None:
    train(tmp_path, forget=True)
    again = read(tmp_path)
    for name, value in single["model"].items():
        assert torch.equal(value, again["model"][name]), name


def test_what_is_compared_is_not_nothing(single: dict[str, Any]) -> None:
    """Half of the batch alone has another gradient, by far more than what is tolerated."""
    found = gradients(single)
    assert len(found) > 60
    assert sum(float(g.abs().max()) > 1e-4 for g in found) > 50


def test_parts_of_a_batch_are_the_batch() -> None:
    pairs, draws, rows = toy_pairs(toy_shard(1, 30)), Draws(1, 0, 0), np.arange(12)
    whole = pairs.batch(rows, draws, Part(), 4)
    parts = [pairs.batch(rows, draws, Part(rank, 2), 4) for rank in range(2)]
    np.testing.assert_array_equal(whole.query, np.concatenate([p.query for p in parts]))
    right = np.concatenate([p.reference[:6] for p in parts])
    wrong = np.concatenate([p.reference[6:] for p in parts])
    np.testing.assert_array_equal(whole.reference, np.concatenate([right, wrong]))
    for part in parts:
        np.testing.assert_array_equal(whole.ignore, part.ignore)


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(TrainingError, match="multiple of 3"):
        Part(1, 3).of(16)


def test_a_crew_that_is_not_complete_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TrainingError, match=r"RANK.*torchrun"), mustered("cpu"):
        pass


def test_a_device_that_is_not_there_is_one_clear_error() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(TrainingError, match="--device cpu"):
        alone("cuda")


def test_a_layer_that_is_run_again_counts_its_batch_once() -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), JointNorm(4), torch.nn.ReLU())
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), JointNorm(4), torch.nn.ReLU())
    other.load_state_dict(plain.state_dict())
    x = torch.randn(6, 3, 8, 8)
    for layers, forget in ((plain, False), (other, True)):
        run_layers(layers, x, forget).square().sum().backward()
    for (name, value), theirs in zip(
        plain.state_dict().items(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(value, theirs), name
    assert torch.equal(plain[0].weight.grad, other[0].weight.grad)
    assert float(plain[1].running_mean.abs().max()) > 0.0
