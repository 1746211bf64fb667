# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""No ground that is held out is seen in training: crops are laid over one another as polygons."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

from shapely.geometry import Polygon
from shapely.ops import unary_union

from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.geo.se2 import compose
from geoloc_ros.training.draws import Draws
from geoloc_ros.training.pair import card_of
from geoloc_ros.training.place_split import (
    HELD_OUT,
    TRAIN,
    SplitConfig,
    buffer_needed_m,
    crop_centres,
    reach_m,
    shared,
    split_by_place,
)
from geoloc_ros.training.posed_pairs import Area, PosedPairs

KINDS = ("perspective", "ground_plane", "panorama")


def there_and_back() -> np.ndarray:
    """Views of a drive along a street and a crossing one, in both directions."""
    along = np.arange(-900.0, 900.0, 4.0)
    drives = [
        np.column_stack([along * np.cos(yaw), along * np.sin(yaw), np.full(len(along), yaw)])
        for yaw in (0.0, np.pi, np.pi / 2, -np.pi / 2)
    ]
    return np.concatenate(drives)


def footprint(pose: np.ndarray, card: ModelPackage) -> Polygon:
    half, ahead = card.reference.extent_m / 2, card.reference.offset_forward_m
    corners = [(ahead + a * half, b * half, 0.0) for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    return Polygon([compose(pose, corner)[:2] for corner in corners])


def trained_on(poses: np.ndarray, card: ModelPackage) -> np.ndarray:
    """Poses of all crops that a batch of these views is made with, near misses last."""
    pairs = PosedPairs([Area(np.empty(0), poses, None)], card)  # type: ignore[arg-type]
    rows, draws = np.arange(len(poses)), Draws(1, 0, 0)
    generators = [draws.row(i) for i in range(2 * len(rows))]
    return pairs._places(rows, generators, len(rows), True).crops


def overlap(poses: np.ndarray, parts: np.ndarray, card: ModelPackage) -> float:
    """Share of the held-out ground that crops trained on show."""
    held_out = unary_union([footprint(pose, card) for pose in poses[parts == HELD_OUT]])
    crops = trained_on(poses[parts == TRAIN], card)
    seen = unary_union([footprint(pose, card) for pose in crops])
    return float(held_out.intersection(seen).area / held_out.area)


@pytest.mark.parametrize("kind", KINDS)
def test_no_crop_trained_on_overlaps_one_held_out(kind: str) -> None:
    card, poses = card_of(kind), there_and_back()
    centres = crop_centres(poses, card.reference)
    parts = split_by_place(centres, SplitConfig(block_m=200.0), buffer_needed_m(card))
    assert (parts == TRAIN).sum() > 300
    assert overlap(poses, parts, card) == 0.0


def test_a_buffer_between_vehicles_would_let_training_see_what_is_held_out() -> None:
    card, poses = card_of("perspective"), there_and_back()
    parts = split_by_place(poses, SplitConfig(block_m=200.0), 50.0)
    assert overlap(poses, parts, card) > 0.1
    assert shared(poses[parts == TRAIN], poses[parts == HELD_OUT], card.reference) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_crops_are_cut_within_the_reach_and_come_near_it(kind: str) -> None:
    card = card_of(kind)
    poses = np.zeros((20_000, 3))
    centres = crop_centres(trained_on(poses, card), card.reference)
    moved_m = np.hypot(*(centres - crop_centres(poses[:1], card.reference)).T)
    assert 0.85 * reach_m(card) < moved_m.max() <= reach_m(card)


def test_a_crop_far_ahead_needs_a_wider_buffer() -> None:
    card = card_of("perspective")
    ahead = dataclasses.replace(card.reference, offset_forward_m=60.0)
    assert buffer_needed_m(dataclasses.replace(card, reference=ahead)) > buffer_needed_m(card) + 20


def test_what_is_shared_is_the_ground_that_both_show() -> None:
    reference = card_of("perspective").reference  # 72 m, middle 30 m ahead
    view = np.zeros((1, 3))
    facing = np.array([[60.0, 0.0, np.pi]])
    assert shared(facing, view, reference) == 1.0
    assert shared(np.array([[36.0, 0.0, 0.0]]), view, reference) == pytest.approx(0.5, abs=0.05)
    assert shared(np.array([[80.0, 0.0, 0.0]]), view, reference) == 0.0
    both = np.concatenate([facing, facing])
    assert shared(both, view, reference) == 1.0
