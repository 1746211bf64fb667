# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Training on published data sets, in made folders of their layouts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_datasets import make_cvusa, make_vigor  # noqa: E402

from geoloc_ros.encoders.onnx_backend import OnnxEncoder  # noqa: E402
from geoloc_ros.encoders.package import load_package  # noqa: E402
from geoloc_ros.errors import TrainingError  # noqa: E402
from geoloc_ros.training import pair as pairs_of_encoders  # noqa: E402
from geoloc_ros.training.config import Running, TrainConfig  # noqa: E402
from geoloc_ros.training.convnext import ConvNextSpec  # noqa: E402
from geoloc_ros.training.dataset_material import (  # noqa: E402
    DatasetMaterial,
    dataset_card,
    evaluate_pairs,
)
from geoloc_ros.training.datasets.base import Related  # noqa: E402
from geoloc_ros.training.datasets.preparation import Preparation  # noqa: E402
from geoloc_ros.training.datasets.registry import open_split  # noqa: E402
from geoloc_ros.training.draws import Draws, Part  # noqa: E402
from geoloc_ros.training.export import export_package  # noqa: E402
from geoloc_ros.training.pair import EncoderPair, card_of, kind_of  # noqa: E402
from geoloc_ros.training.picture_pairs import PicturePairs, turned  # noqa: E402
from geoloc_ros.training.place_split import HELD_OUT, TRAIN, SplitConfig  # noqa: E402
from geoloc_ros.training.recipe import Recipe, train_encoder  # noqa: E402
from geoloc_ros.training.start import start_from  # noqa: E402

TINY = ConvNextSpec(depths=(1, 2, 1, 1), widths=(8, 12, 16, 24))


@pytest.fixture
def tiny_convnext(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pairs_of_encoders.CONVNEXTS, "convnext_tiny", TINY)


def vigor(root: Path, places: int = 8) -> DatasetMaterial:
    make_vigor(root, places)
    split = SplitConfig(block_m=150.0, share=0.2, buffer_m=10.0)
    return DatasetMaterial(kind="panorama", dataset="vigor", root=root, hold_out=split)


def picture_pairs(material: DatasetMaterial) -> PicturePairs:
    split = material.opened().split
    return PicturePairs(Preparation(material.card(), split), split.pairs)


def test_the_first_training_split_is_taken_and_places_are_held_out(tmp_path: Path) -> None:
    material = vigor(tmp_path)
    assert material.opened().split.name == "same-train"
    parts = material.parts()
    assert 0.1 * len(parts) <= (parts == HELD_OUT).sum() <= 0.3 * len(parts)
    assert (parts == TRAIN).sum() == material.samples() > 0
    assert f"{material.samples()} pairs to train on" in material.prepare()


def test_places_either_side_of_a_tenth_of_a_degree_are_near(tmp_path: Path) -> None:
    material = vigor(tmp_path)
    split = material.opened().split
    assert split.queries.places is not None
    values = np.full_like(split.queries.places.values, (10.0, 20.0))
    values[:, 1] += 0.1 * np.arange(len(values))
    values[:2] = [[40.74990, -73.98], [40.75010, -73.98]]  # 22 m apart
    places = dataclasses.replace(split.queries.places, values=values)
    queries = dataclasses.replace(split.queries, places=places)
    moved = dataclasses.replace(split, queries=queries)
    material._opened["split"] = dataclasses.replace(material.opened(), split=moved)
    rows = [int(np.flatnonzero(split.pairs[:, 0] == query)[0]) for query in (0, 1)]
    for seed in range(1, 9):
        hold_out = SplitConfig(block_m=150.0, share=0.4, buffer_m=50.0, seed=seed)
        parts = dataclasses.replace(material, hold_out=hold_out).parts()[rows]
        assert sorted(parts.tolist()) != [TRAIN, HELD_OUT]


def test_pairs_are_held_out_by_reference_where_some_place_is_unknown(tmp_path: Path) -> None:
    material = vigor(tmp_path)
    assert "blocks of 150 m" in material._protocol()
    split = material.opened().split
    assert split.queries.places is not None
    split.queries.places.values[0] = np.nan
    assert "references drawn at random" in material._protocol()
    parts, references = material.parts(), split.pairs[:, 1]
    assert not set(references[parts == HELD_OUT]) & set(references[parts == TRAIN])


def test_cards_say_what_the_data_set_shows(tmp_path: Path, tiny_convnext: None) -> None:
    make_vigor(tmp_path / "vigor")
    make_cvusa(tmp_path / "cvusa")
    panoramas = open_split("vigor", tmp_path / "vigor", "same-train").split
    card = dataset_card("panorama", panoramas)
    assert (card.query.vfov_deg, card.query.alignment) == (180.0, "north")
    assert card.reference.extent_m == 71.0
    strips = open_split("cvusa", tmp_path / "cvusa", "train").split
    assert dataset_card("panorama", strips).query.vfov_deg == pytest.approx(65.45, abs=0.01)
    large = dataset_card("convnext_tiny", strips)
    assert (large.query.height_px, large.query.width_px) == (140, 768)
    assert large.descriptor_dim == 24


def test_neighbours_are_near_but_show_another_place(tmp_path: Path) -> None:
    pairs = picture_pairs(vigor(tmp_path))
    near, same = pairs.near(3), pairs.same(np.arange(len(pairs)))
    assert same.diagonal().all()
    for row, others in enumerate(near):
        for other in others[others >= 0]:
            assert not same[row, other]


def test_references_that_are_not_wrong_are_not_negatives(tmp_path: Path) -> None:
    pairs = picture_pairs(vigor(tmp_path))
    rows = np.arange(len(pairs))
    batch = pairs.batch(rows, Draws(1, 0, 0), Part(), 0)
    split = pairs._split
    for i in rows:
        query = int(pairs.pairs[i, 0])
        related = {*split.positives[query].tolist(), *split.semi_positives[query].tolist()}
        for j in rows:
            expected = i != j and int(pairs.pairs[j, 1]) in related
            assert batch.ignore[i, j] == expected
    assert batch.ignore.any()


def test_a_pair_is_turned_as_a_whole() -> None:
    """What stands east of the tile is right of north in the panorama; a quarter later it is up."""
    tile = np.zeros((9, 9, 3), np.uint8)
    tile[4, 8] = 255  # east
    panorama = np.zeros((2, 16, 3), np.uint8)
    panorama[:, 8 + 4] = 255  # 90 degrees clockwise of the middle
    view, above = turned(panorama, tile, 1)
    assert np.argwhere(above[..., 0]).tolist() == [[0, 4]]  # up
    assert np.flatnonzero(view[0, :, 0]).tolist() == [8]  # in the middle
    again, tile_again = view, above
    for _ in range(3):
        again, tile_again = turned(again, tile_again, 1)
    np.testing.assert_array_equal(again, panorama)
    np.testing.assert_array_equal(tile_again, tile)
    three = turned(panorama, tile, 3)
    np.testing.assert_array_equal(turned(*three, 1)[0], panorama)


def test_parts_of_a_batch_of_pictures_are_the_batch(tmp_path: Path) -> None:
    pairs, rows, draws = picture_pairs(vigor(tmp_path)), np.arange(8), Draws(1, 0, 3)
    whole = pairs.batch(rows, draws, Part(), 0)
    parts = [pairs.batch(rows, draws, Part(rank, 2), 0) for rank in range(2)]
    np.testing.assert_array_equal(whole.query, np.concatenate([p.query for p in parts]))
    np.testing.assert_array_equal(whole.reference, np.concatenate([p.reference for p in parts]))


class Colours(EncoderPair):
    """Describes both sides by their mean colour; pairs of made data sets share it."""

    def __init__(self) -> None:
        super().__init__("panorama")

        class Mean(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.nn.functional.normalize(x.mean(dim=(2, 3)), dim=1)

        self.query, self.reference = Mean(), Mean()


def test_the_held_out_part_is_searched_without_semi_positives(tmp_path: Path) -> None:
    material = vigor(tmp_path)
    split = material.opened().split
    judge = Preparation(material.card(), split)
    scores = evaluate_pairs(Colours(), judge, split.pairs)
    assert scores["r10"] > 0.8
    assert scores["matched"] > scores["background"]
    # Let a query be like a semi-positive, and unlike what is right: it does not count.
    all_semi = Related(
        [r for r in range(len(split.references)) if r not in split.positives[q]]
        for q in range(len(split.queries))
    )
    generous = Preparation(material.card(), dataclasses.replace(split, semi_positives=all_semi))
    assert evaluate_pairs(Colours(), generous, split.pairs)["r1"] == 1.0


def test_a_data_set_trains_a_package(tmp_path: Path) -> None:
    material = vigor(tmp_path / "data")
    config = TrainConfig(
        kind="panorama", epochs=2, batch=8, cluster=4, pool=6, extra=0, warm_up=1, patience=1,
        layout_weight=0.0, geographic_epochs=1,
    )  # fmt: skip
    recipe = Recipe(
        train=config, running=Running(work=tmp_path / "run", threads=1), material=material,
        out=tmp_path / "model", name="toy",
    )  # fmt: skip
    scores = train_encoder(recipe, "geoloc train encoder", resume=False)
    package = load_package(tmp_path / "model")
    assert 0.0 <= scores["r1"] <= 1.0
    assert package.calibration.missing
    assert package.query.vfov_deg == 180.0
    assert "VIGOR" in (tmp_path / "model" / "README.md").read_text()
    assert kind_of(package) == "panorama"


def test_a_convnext_goes_on_from_its_own_package(tmp_path: Path, tiny_convnext: None) -> None:
    torch.manual_seed(4)
    card = card_of("convnext_tiny")
    query = dataclasses.replace(card.query, height_px=64, width_px=128)
    card = dataclasses.replace(
        card, query=query, reference=dataclasses.replace(card.reference, size_px=64)
    )
    old = EncoderPair("convnext_tiny", card=card).eval()
    with torch.no_grad():
        for parameter in old.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    package = export_package(old, tmp_path, name="toy", version="0", training={}, scores={})
    assert package.files.keys() == {"encoder.onnx"}
    assert kind_of(package) == "convnext_tiny"
    new = EncoderPair("convnext_tiny", card=card)
    start_from(new, package)
    for (name, value), theirs in zip(
        old.query.state_dict().items(), new.query.state_dict().values(), strict=True
    ):
        assert torch.equal(value, theirs), name
    views = np.random.default_rng(0).integers(0, 255, (2, 64, 128, 3)).astype(np.uint8)
    with torch.no_grad():
        found = new.eval().query(new.queries(views)).numpy()
    np.testing.assert_allclose(found, OnnxEncoder(package).encode_query(views), atol=1e-4)


def test_another_convnext_is_refused(tmp_path: Path, tiny_convnext: None) -> None:
    card = card_of("convnext_tiny")
    package = export_package(
        EncoderPair("convnext_tiny", card=card), tmp_path, name="toy", version="0", training={},
        scores={},
    )  # fmt: skip
    other = EncoderPair("convnext_tiny", card=card)
    other.query = other.reference = pairs_of_encoders.ConvNextEncoder(
        dataclasses.replace(TINY, depths=(1, 3, 1, 1))
    )
    with pytest.raises(TrainingError, match=r"lacks .* start from a package of the same --kind"):
        start_from(other, package)


def test_forgetting_activations_of_a_convnext_changes_nothing(tiny_convnext: None) -> None:
    torch.manual_seed(0)
    pair = EncoderPair("convnext_tiny")
    picture = torch.randn(2, 3, 64, 64)
    gradients = []
    for forget in (False, True):
        pair.forget(forget)
        pair.zero_grad()
        pair.query.head(pair.query.look(picture)).square().mul(torch.arange(24)).sum().backward()
        gradients.append([p.grad.clone() for p in pair.query.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_data_set_without_a_training_split_needs_a_name(tmp_path: Path) -> None:
    material = DatasetMaterial(kind="panorama", dataset="im2gps", root=tmp_path)
    with pytest.raises(TrainingError, match="no split to train on, only test"):
        material.opened()
