# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("embreex")

from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.synthetic.scene import build_scene  # noqa: E402
from geoloc_ros.synthetic.town import make_town  # noqa: E402
from geoloc_ros.training import layout  # noqa: E402
from geoloc_ros.training.layout import BUILDING, CARRIAGEWAY, GREEN, HIDDEN, PLANT  # noqa: E402
from geoloc_ros.training.losses import layout_loss  # noqa: E402
from geoloc_ros.training.nets import QUERY_SPECS, REFERENCE_SPECS, LayoutHead  # noqa: E402

QUERY, REFERENCE = QUERY_SPECS["perspective"], REFERENCE_SPECS["perspective"]
ORIGIN = np.zeros((1, 3))
TOWN = np.zeros(1, np.int64)


def street() -> layout.Raster:
    """A road from west to east, a wall across it 20 m east of the middle, plants to the north."""
    raster = np.full((200, 200), GREEN, np.uint8)
    raster[96:104] = CARRIAGEWAY
    raster[104:, :] = PLANT
    raster[:, 120:130] = BUILDING
    return raster


def look(pose: np.ndarray, flip: bool = False, columns: int = 24) -> np.ndarray:
    lesson = layout.LayoutLesson([street()], QUERY, REFERENCE)
    return lesson(pose, TOWN, flip, columns)[0]


def test_a_wall_hides_what_is_behind_it() -> None:
    cells = look(ORIGIN)[:, 12].argmax(axis=-1)[::-1]  # straight ahead, from near to far
    walls = np.flatnonzero(cells == BUILDING)
    assert len(walls) >= 1
    assert (cells[: walls[0]] == CARRIAGEWAY).all()
    assert (cells[walls[-1] + 1 :] == HIDDEN).all()
    rows = layout.forward_m(QUERY, REFERENCE, layout.BINS)[::-1]
    assert rows[walls[0]] == pytest.approx(20.0, abs=5.0)


def test_left_is_left_and_a_mirror_turns_it_round() -> None:
    shares = look(ORIGIN)
    assert np.allclose(shares.sum(axis=-1), 1.0)
    plants = shares[..., PLANT].sum(axis=0)
    assert plants[:8].sum() > 5.0  # heading east, north is on the left
    assert plants[16:].sum() == 0.0
    assert np.allclose(look(ORIGIN, flip=True)[..., PLANT].sum(axis=0), plants[::-1], atol=0.3)


def test_columns_are_means_of_finer_ones() -> None:
    fine, coarse = look(ORIGIN, columns=48), look(ORIGIN, columns=16)
    assert np.allclose(fine.reshape(layout.BINS, 16, 3, -1).mean(axis=2), coarse, atol=1e-6)


def test_rows_are_those_of_the_resampled_crop() -> None:
    rows = layout.forward_m(QUERY, REFERENCE, 10)
    assert rows[-1] == pytest.approx(layout.NEAR_M)
    assert rows[0] == pytest.approx(REFERENCE.offset_forward_m + REFERENCE.extent_m / 2 - 1.0)
    assert (np.diff(rows) < 0).all()


def test_outside_the_town_the_edge_goes_on() -> None:
    assert np.isfinite(look(np.array([[500.0, -900.0, 1.0]]))).all()


def test_a_raster_that_is_not_square_is_refused() -> None:
    with pytest.raises(TrainingError, match="square"):
        layout.LayoutLesson([np.zeros((3, 4), np.uint8)], QUERY, REFERENCE)


def test_each_feature_column_answers_for_its_own_layout_columns() -> None:
    torch.manual_seed(0)
    head = LayoutHead(5, 6, 2)
    features = torch.zeros(1, 5, 6, 12)
    before = head(features)
    assert before.shape == (1, layout.BINS, 24, len(layout.CLASSES))
    features[:, :, :, 7] = 1.0
    changed = (head(features) - before).abs().sum(dim=(0, 1, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [14, 15]


def test_the_loss_is_least_for_the_truth() -> None:
    shares = torch.from_numpy(look(ORIGIN)[None])
    uniform = layout_loss(torch.zeros_like(shares), shares)
    assert float(uniform) == pytest.approx(np.log(len(layout.CLASSES)), abs=1e-5)
    right = layout_loss(torch.log(shares + 1e-6), shares)
    assert float(right) < 0.5 * float(uniform)


def test_a_town_knows_its_roads_and_buildings() -> None:
    town = make_town(77, "fr_city", 300.0)
    raster = layout.layout_raster(build_scene(town, "drive", 0))
    half = len(raster) / 2
    line = np.concatenate([r.centreline_m[:, :2] for r in town.roads if r.kind != "roundabout"])
    column, row = (np.clip(line + half, 0, len(raster) - 1).astype(int)).T
    assert (raster[row, column] == CARRIAGEWAY).mean() > 0.7  # the rest is under trees
    parts = [p for b in town.buildings for p in b.parts]
    middle = np.array([p.corners().mean(axis=0) for p in parts])
    column, row = (middle + half).astype(int).T
    assert (raster[row, column] == BUILDING).mean() > 0.6  # some are built or gone by now
