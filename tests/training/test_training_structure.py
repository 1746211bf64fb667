# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
import torch  # noqa: TID253 - the encoder under test is torch

from geoloc_ros.encoders.package import load_package
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.overhead import Photo
from geoloc_ros.training.raster import FILL
from geoloc_ros.training.structure import DIM, EXTENT_M, StructureEncoder, StructureFeatures
from geoloc_ros.training.structure_recipe import export_structure, fit_structure, normalised


def ground(seed, size=260):
    """A patch of ground with roofs, paths and plants."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), (120, 110, 80), np.uint8)
    for _ in range(25):
        x, y = (int(v) for v in rng.integers(0, size, 2))
        w, h = (int(v) for v in rng.integers(10, 60, 2))
        colour = [(200, 195, 190), (60, 95, 50), (95, 95, 100)][int(rng.integers(3))]
        cv2.fillConvexPoly(
            image,
            cv2.boxPoints(((x, y), (w, h), float(rng.uniform(0, 90)))).astype(np.int32),
            colour,
        )
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def crop(image, x=74, y=74):
    return np.ascontiguousarray(image[y : y + 112, x : x + 112])


def overcast(image):
    """Another sensor and weather: gain, gamma, tint, noise."""
    values = (image.astype(np.float32) / 255.0) ** 0.7 * (0.8, 0.75, 0.7) + 0.1
    noise = np.random.default_rng(9).normal(0, 0.02, image.shape)
    return (np.clip(values + noise, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def encoder():
    torch.set_num_threads(1)
    photos = [Photo("made", ground(seed, 700)) for seed in range(4)]
    return fit_structure(photos, [], patches=128, seed=3, dim=32)


def describe(encoder, *images):
    with torch.no_grad():
        return encoder(normalised(np.stack(images))).numpy()


def test_same_place_in_other_light_is_nearer_than_other_places(encoder):
    places = [ground(seed) for seed in range(40, 52)]
    reference = describe(encoder, *[crop(p) for p in places])
    query = describe(encoder, *[crop(overcast(p), 76, 72) for p in places])
    similarity = query @ reference.T
    assert (similarity.argmax(axis=1) == np.arange(12)).mean() > 0.7
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1.0, atol=1e-5)


def test_unseen_part_does_not_speak(encoder):
    features = StructureFeatures(EXTENT_M)
    image = crop(ground(60))
    hidden = image.copy()
    hidden[60:] = FILL
    with torch.no_grad():
        cells, known = features(normalised(hidden[None]))
    assert known[0, 0, :6].all()
    assert not known[0, 0, 9:].any()
    assert (cells[0, :, 9:] == 0).all()
    full, half, other = describe(encoder, image, hidden, crop(ground(61)))
    assert full @ half > full @ other + 0.2


def test_heading_matters(encoder):
    image = crop(ground(62))
    same, turned = describe(encoder, image, np.ascontiguousarray(np.rot90(image)))
    assert same @ turned < 0.6


def test_a_patch_without_content_is_finite(encoder):
    blank = np.full((112, 112, 3), FILL, np.uint8)
    assert np.isfinite(describe(encoder, blank, np.zeros_like(blank))).all()


def test_fit_is_the_same_from_the_same_seed():
    photos = [Photo("made", ground(seed, 700)) for seed in range(2)]
    first, second = (fit_structure(photos, [], patches=64, seed=5, dim=16) for _ in range(2))
    assert torch.equal(first.projection, second.projection)


def test_exported_package_describes_alike(encoder, tmp_path):
    package = export_structure(encoder, tmp_path / "model", {"command": "test"})
    again = load_package(tmp_path / "model")
    assert again.descriptor_dim == 32 == package.descriptor_dim
    assert again.query.extent_m == again.reference.extent_m == EXTENT_M
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "model" / "query.onnx"))
    images = np.stack([crop(ground(70)), crop(ground(71))])
    found = session.run(["descriptor"], {"image": normalised(images).numpy()})[0]
    np.testing.assert_allclose(found, describe(encoder, *images), atol=1e-4)


def test_nothing_to_fit_to_is_said():
    with pytest.raises(TrainingError, match="no overhead imagery"):
        fit_structure([], [])
    with pytest.raises(TrainingError, match="too few"):
        fit_structure([Photo("made", ground(1, 700))], [], patches=100)
    assert StructureEncoder().projection.shape == (DIM, 1568)
