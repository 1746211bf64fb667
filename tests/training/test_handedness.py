# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Flips and turns keep both sides of a pair aligned: what a view shows left, its crop has left.

Each place is flat grey ground with a red and a blue landmark. A camera's picture of it goes
through the code that makes views on the vehicle; the crops are cut as for towns or for drives.
"""

import numpy as np
import pytest

pytest.importorskip("torch")

from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.mounts import mount_from_pitch
from geoloc_ros.cameras.views import make_views
from geoloc_ros.encoders.package import ModelPackage
from geoloc_ros.geo import se2
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.crops import CropCutter
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.training import augment, posed_pairs
from geoloc_ros.training.data import TownGround
from geoloc_ros.training.draws import WHOLE, Draws
from geoloc_ros.training.drive_material import CutGround
from geoloc_ros.training.pair import card_of
from geoloc_ros.training.posed_pairs import Area, Ground, PosedPairs, Reach
from geoloc_ros.training.raster import Ortho

SIDE_M, GSD_M, AWAY_M = 160.0, 0.25, 16.0
RED, BLUE = 0, 2
# Bearings of the landmarks, degrees to the left of the vehicle's heading.
BEARINGS = {
    "perspective": {RED: 22.0, BLUE: -28.0},
    "ground_plane": {RED: 40.0, BLUE: -120.0},
    "panorama": {RED: 70.0, BLUE: -150.0},
}
CAMERAS = {
    "perspective": (CameraModel.from_hfov(640, 360, 110.0), mount_from_pitch(3.0, 4.0)),
    "ground_plane": (
        CameraModel.from_hfov(640, 640, 90.0),
        mount_from_pitch(40.0, 80.0, yaw_deg=20.0),
    ),
    "panorama": (CameraModel.all_round(720, 360), mount_from_pitch(3.0, 0.0, yaw_deg=30.0)),
}


def picture(kind: str, image: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """What the camera of a vehicle at a pose sees of the ground below a grey sky."""
    camera, mount = CAMERAS[kind]
    rays = camera.rays() @ mount[:3, :3].T
    seen = rays[..., 2] < -1e-3
    reach = mount[2, 3] / -rays[seen][:, 2]
    along = np.column_stack([rays[seen][:, :2] * reach[:, None], np.zeros(len(reach))])
    x, y, _ = np.moveaxis(se2.compose(np.broadcast_to(pose, along.shape), along), -1, 0)
    limit = len(image) - 1
    rows = np.clip((SIDE_M / 2 - y) / GSD_M, 0, limit).astype(int)
    columns = np.clip((SIDE_M / 2 + x) / GSD_M, 0, limit).astype(int)
    out = np.full((*seen.shape, 3), 200, np.uint8)
    out[seen] = image[rows, columns]
    return out


def ground_with_landmarks(anchor: np.ndarray, kind: str) -> np.ndarray:
    """Grey ground from above, north up, with landmarks of 2 m around an anchor."""
    image = np.full((round(SIDE_M / GSD_M),) * 2 + (3,), 90, np.uint8)
    middle = (np.arange(len(image)) + 0.5) * GSD_M - SIDE_M / 2
    for channel, bearing_deg in BEARINGS[kind].items():
        angle = anchor[2] + np.radians(bearing_deg)
        x, y = anchor[:2] + AWAY_M * np.array([np.cos(angle), np.sin(angle)])
        near = np.hypot(middle[None, :] - x, -middle[:, None] - y) < 2.0
        image[near] = np.where(np.arange(3) == channel, 230, 10)
    return image


def area(kind: str, card: ModelPackage, pose: np.ndarray, drive: bool) -> Area:
    """A place seen once, and its ground as towns or as drives have it."""
    camera, mount = CAMERAS[kind]
    views = make_views(camera, mount, card)
    blank = views.build(np.zeros((camera.height, camera.width, 3), np.uint8))
    anchor = se2.compose(pose, blank.anchor)
    image = ground_with_landmarks(anchor, kind)
    view = views.build(picture(kind, image, pose))
    ground: Ground = TownGround((Ortho(image, -SIDE_M / 2, SIDE_M / 2, GSD_M),), card.reference)
    if drive:
        valid, half = np.ones(image.shape[:2], bool), SIDE_M / 2
        ortho = OrthoImage(image, valid, LocalFrame(LatLon(46.5, 6.6)), -half, half, GSD_M)
        ground = CutGround((CropCutter(ortho, card.reference),))
    masks = view.mask[None] if kind == "ground_plane" else None
    return Area(view.image[None], anchor[None], ground, masks=masks)


def pixels_of(image: np.ndarray, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a landmark."""
    others = np.delete(image, channel, axis=-1).max(axis=-1).astype(int)
    rows, columns = np.nonzero(image[..., channel].astype(int) - others > 60)
    assert len(rows) >= 8
    return rows, columns


def bearing_from_above(crop: np.ndarray, channel: int, extent_m: float, ahead_m: float) -> float:
    rows, columns = pixels_of(crop, channel)
    res, middle = extent_m / len(crop), (len(crop) - 1) / 2
    forward, left = ahead_m + (middle - rows.mean()) * res, (middle - columns.mean()) * res
    return float(np.degrees(np.arctan2(left, forward)))


def bearing_in_view(view: np.ndarray, channel: int, card: ModelPackage) -> float:
    query = card.query
    if query.view == "ground_plane":
        return bearing_from_above(view, channel, query.extent_m, 0.0)
    right = pixels_of(view, channel)[1] - (query.width_px - 1) / 2
    if query.view == "panorama":
        turn = np.exp(-2j * np.pi * right / query.width_px)
        return float(np.degrees(np.angle(turn.mean())))
    focal = query.width_px / 2 / np.tan(np.radians(query.hfov_deg / 2))
    return float(-np.degrees(np.arctan(right.mean() / focal)))


def draws(flip: bool) -> Draws:
    """Draws of a step at which a batch is flipped, or is not."""
    steps = (Draws(1, 0, step) for step in range(100))
    return next(d for d in steps if bool(d.batch().random() < 0.5) == flip)


def off_deg(a: float, b: float) -> float:
    return float(np.degrees(se2.wrap_angle(np.radians(a - b))))


@pytest.mark.parametrize("flip", [False, True], ids=["as_it_is", "flipped"])
@pytest.mark.parametrize("drive", [False, True], ids=["town", "drive"])
@pytest.mark.parametrize("kind", list(BEARINGS))
def test_a_landmark_has_the_bearing_in_the_crop_that_it_has_in_the_view(
    kind: str, drive: bool, flip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "mild", lambda image, rng: image)
    monkeypatch.setitem(posed_pairs.NARROW, kind, Reach((0.0, 0.0, 0.0), 4.0))
    card = card_of(kind)
    poses = [np.array([4.0 * i - 12.0, 9.0 - 3.0 * i, 0.9 * i]) for i in range(8)]
    pairs = PosedPairs([area(kind, card, pose, drive) for pose in poses], card)
    batch = pairs.batch(np.arange(8), draws(flip), WHOLE, 0)
    turned = []
    for view, crop in zip(batch.query, batch.reference, strict=True):
        for channel, bearing_deg in BEARINGS[kind].items():
            spec = card.reference
            above = bearing_from_above(crop, channel, spec.extent_m, spec.offset_forward_m)
            seen = bearing_in_view(view, channel, card)
            assert abs(off_deg(seen, above)) < 2.0
            turned.append(off_deg(-seen if flip else seen, bearing_deg))
    # By how much views were turned to the right: a mirrored world has its bearings mirrored.
    reach = {"perspective": (4.0, 9.0), "ground_plane": (0.0, 2.0), "panorama": (90.0, 180.0)}
    least, most = reach[kind]
    assert least <= max(np.abs(turned)) <= most


def test_what_was_unseen_is_mirrored_with_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "mild", lambda image, rng: image)
    card = card_of("ground_plane")
    seen = area("ground_plane", card, np.zeros(3), drive=False)
    assert seen.masks is not None
    assert (seen.masks[0] != seen.masks[0][:, ::-1]).mean() > 0.02
    batch = PosedPairs([seen], card).batch(np.arange(1), draws(flip=True), WHOLE, 0)
    np.testing.assert_array_equal(batch.query[0], seen.images[0][:, ::-1])
