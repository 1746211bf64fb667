# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training_toy import toy_ortho, toy_shard  # noqa: E402

from geoloc_ros.encoders.package import load_package  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training import recipe as recipes  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.data import Shard, read_shard, write_shard  # noqa: E402
from geoloc_ros.training.draws import WHOLE, Draws  # noqa: E402
from geoloc_ros.training.nets import REFERENCE_SPECS  # noqa: E402
from geoloc_ros.training.overhead import OverheadSource, Photo, cluster_poses  # noqa: E402
from geoloc_ros.training.pair import EncoderPair, card_of  # noqa: E402
from geoloc_ros.training.posed_pairs import WIDE, PosedPairs  # noqa: E402
from geoloc_ros.training.raster import FILL  # noqa: E402
from geoloc_ros.training.sampling import offset_pose  # noqa: E402
from geoloc_ros.training.schedule import schedule  # noqa: E402
from geoloc_ros.training.sources import MinedSource  # noqa: E402
from geoloc_ros.training.town_material import TownMaterial, area_of  # noqa: E402
from geoloc_ros.training.train import Row, Trainer  # noqa: E402


def no_evaluation(pair: EncoderPair, final: bool) -> dict[str, float]:
    return {}


def no_export(pair: EncoderPair, row: Row) -> None:
    return None


def toy_pairs(*shards: Shard) -> PosedPairs:
    areas = [area_of(shard, "perspective") for shard in shards]
    return PosedPairs(areas, card_of("perspective"))


def perspective_trainer(folder: Path, threads: int = 1, **changes: Any) -> Trainer:
    settings = {"epochs": 2, "geographic_epochs": 1, "batch": 16, "extra": 4}
    config = TrainConfig(kind="perspective", **{**settings, **changes})
    source = MinedSource(toy_pairs(toy_shard(1, 40), toy_shard(2, 40)), 128)
    return Trainer(config, source, Running(work=folder, threads=threads))


def test_schedule_warms_up_and_ends_at_zero() -> None:
    values = [schedule(step, 1000) for step in range(1001)]
    assert values[0] == pytest.approx(1 / 40)
    assert max(values) == pytest.approx(1.0)
    assert np.diff(values)[:39].min() > 0
    assert np.diff(values)[40:].max() <= 0
    assert values[-1] == pytest.approx(0.0)


def test_the_plateau_does_not_depend_on_the_length_of_the_run() -> None:
    assert [schedule(s, 1000) for s in range(550)] == [schedule(s, 2000) for s in range(550)]


def test_training_learns_a_toy_town(tmp_path: Path) -> None:
    trainer = perspective_trainer(tmp_path, epochs=3, learning_rate=2e-3)
    trainer.run(no_evaluation, no_export)
    log = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    assert log["loss"][-1] < log["loss"][0] - 0.1
    assert log["layout_query"][-1] < log["layout_query"][0] - 0.1
    assert log["layout_reference"][-1] < log["layout_reference"][0] - 0.1


def test_two_threads_train_as_one(tmp_path: Path) -> None:
    rows = np.arange(8)
    losses = []
    for threads in (1, 2):
        trainer = perspective_trainer(tmp_path / str(threads), threads=threads)
        batch = trainer.source.make(rows, trainer.config, Draws(1, 0, 0), WHOLE)
        trainer.lesson.model.train()
        steps = [trainer.lesson.take(batch, Draws(1, 0, i), 1e-3) for i in range(2)]
        losses.append([list(step.losses.values()) for step in steps])
    assert np.allclose(losses[0], losses[1], rtol=0.0, atol=1e-2)
    assert losses[0][1] != losses[0][0]


def test_wide_batches_reach_as_far_as_index_anchors() -> None:
    rng = np.random.default_rng(0)
    wrong = np.stack([offset_pose(np.zeros(3), rng, 6.0) for _ in range(300)])
    units = np.hypot(np.hypot(wrong[:, 0], wrong[:, 1]), np.degrees(wrong[:, 2]) / 4.0)
    assert 5.99 < units.min() < 6.6
    assert 13.4 < units.max() < 14.01
    forward, left, yaw = WIDE["perspective"].right
    units_of_wide = np.hypot(np.hypot(forward, left), np.degrees(yaw) / 4.0)
    assert units_of_wide < units.min()


def test_a_resumed_run_continues_where_it_stopped(tmp_path: Path) -> None:
    trainer = perspective_trainer(tmp_path)
    trainer.epoch = 1  # pretend: one epoch is done, one to go
    trainer.save()
    again = perspective_trainer(tmp_path)
    again.resume()
    assert again.epoch == 1
    for (name, a), b in zip(
        trainer.lesson.model.state_dict().items(),
        again.lesson.model.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b), name
    again.run(no_evaluation, no_export)
    assert again.epoch == 2


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    perspective_trainer(tmp_path).save()
    with pytest.raises(TrainingError, match="batch"):
        perspective_trainer(tmp_path, batch=32).resume()
    perspective_trainer(tmp_path, epochs=9).resume()


def test_a_descending_run_keeps_its_length(tmp_path: Path) -> None:
    trainer = perspective_trainer(tmp_path, epochs=4)
    trainer.epoch = 3
    trainer.save()
    with pytest.raises(TrainingError, match="epochs"):
        perspective_trainer(tmp_path, epochs=9).resume()


def test_a_broken_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    trainer = perspective_trainer(tmp_path)
    trainer.checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match="cannot go on"):
        trainer.resume()


def test_too_little_data_for_one_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no full batch"):
        perspective_trainer(tmp_path, batch=128).run(no_evaluation, no_export)


def test_perspective_batches_put_the_right_crop_first() -> None:
    rows = np.arange(16)
    batch = toy_pairs(toy_shard(1, 40)).batch(rows, Draws(1, 0, 0), WHOLE, 4)
    assert batch.query.shape == (16, 96, 192, 3)
    assert batch.reference.shape == (20, 144, 144, 3)
    assert batch.ignore.shape == (16, 20)
    assert not batch.ignore.diagonal().any()


def test_overhead_batches_hide_pixels_and_ignore_photos_of_one_site() -> None:
    rng = np.random.default_rng(0)
    photos = [Photo("a", rng.integers(1, 255, (600, 800, 3), np.uint8)) for _ in range(4)]
    shards = [toy_shard(3, 20, "oblique")]
    source = OverheadSource(photos, shards, REFERENCE_SPECS["ground_plane"], FILL, 3)
    config = TrainConfig(kind="ground_plane", batch=32, cluster=8)
    plans = source.epoch(0, config, rng)
    assert len(plans) == 3
    photo_seen = False
    for plan in plans:
        batch = source.make(plan, config, Draws(1, 0, 0), WHOLE)
        assert batch.query.shape == batch.reference.shape == (32, 112, 112, 3)
        assert not batch.ignore.diagonal().any()
        for i, cluster in enumerate(plan):
            rows = slice(8 * i, 8 * i + 8)
            if cluster.origin == "drone":
                assert (batch.query[rows, :20] == FILL).all()
            for j, other in enumerate(plan):
                if i != j and cluster.origin == other.origin == "photo":
                    photo_seen = True
                    assert batch.ignore[rows, 8 * j : 8 * j + 8].all()
    assert photo_seen


def test_cluster_poses_are_distinct() -> None:
    poses = cluster_poses(toy_ortho(0, 320), 96.0, 8, np.random.default_rng(1))
    gap = np.hypot(*(poses[:, None, :2] - poses[None, :, :2]).transpose(2, 0, 1))
    turn = np.abs(np.angle(np.exp(1j * (poses[:, None, 2] - poses[None, :, 2]))))
    same = (gap < 9.0) & (turn < np.radians(15.0))
    assert same.sum() == 8


def save_shard(folder: Path, seed: int, view: str) -> None:
    shard = toy_shard(seed, 24, view)
    arrays = {
        view: shard.images, f"{view}_poses": shard.poses, "oblique_masks": shard.masks,
        "anchors": shard.anchors, "layout": shard.layout,
    }  # fmt: skip
    write_shard(folder, {"seed": seed, "style": "toy"}, shard.orthos, arrays)


def test_shards_survive_the_disk(tmp_path: Path) -> None:
    save_shard(tmp_path / "town", 5, "perspective")
    found, made = read_shard(tmp_path / "town", "perspective"), toy_shard(5, 24)
    assert np.array_equal(found.images, made.images)
    assert np.array_equal(found.orthos[0].image, made.orthos[0].image)
    assert found.orthos[0].left_m == made.orthos[0].left_m


def test_a_broken_shard_is_one_clear_error(tmp_path: Path) -> None:
    save_shard(tmp_path / "town", 5, "perspective")
    (tmp_path / "town" / "perspective.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(TrainingError, match="delete it"):
        read_shard(tmp_path / "town", "perspective")
    with pytest.raises(TrainingError, match="delete it"):
        read_shard(tmp_path / "nowhere", "perspective")


@pytest.mark.parametrize("kind", ["perspective", "ground_plane"])
def test_the_whole_recipe_makes_a_package(kind: str, tmp_path: Path) -> None:
    view = "perspective" if kind == "perspective" else "oblique"
    recipe = recipes.Recipe(
        train=TrainConfig(kind=kind, epochs=1, batch=16, cluster=4, extra=4),
        running=Running(work=tmp_path / "run", threads=1),
        material=TownMaterial(
            kind=kind, towns=1, validation_towns=1, overhead_batches=2, data=tmp_path / "towns"
        ),
        out=tmp_path / "model",
        name="toy",
    )
    for seed in (1000, 2000):
        (tmp_path / "towns").mkdir(exist_ok=True)
        save_shard(tmp_path / "towns" / f"town_{seed:06d}", seed, view)
    scores = recipes.train_encoder(recipe, "geoloc train encoder", resume=False)
    package = load_package(tmp_path / "model")
    assert 0.0 <= scores["r1"] <= 1.0
    assert package.training["train_seeds"] == [1000]
    assert (tmp_path / "model" / "README.md").read_text().startswith("# toy")
    again = recipes.train_encoder(recipe, "geoloc train encoder", resume=True)
    assert again["r1"] == pytest.approx(scores["r1"])


def test_held_out_and_overlapping_seeds_are_refused() -> None:
    with pytest.raises(TrainingError, match="900000"):
        TownMaterial(kind="perspective", first_seed=900_000).seeds()
    with pytest.raises(TrainingError, match="validation seeds"):
        TownMaterial(kind="perspective", first_seed=1990).seeds()
