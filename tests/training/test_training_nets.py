# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from geoloc_ros.encoders.package import load_package  # noqa: E402
from geoloc_ros.training import nets  # noqa: E402
from geoloc_ros.training.card import model_card  # noqa: E402
from geoloc_ros.training.export import MAX_BYTES, export_package  # noqa: E402
from geoloc_ros.training.pair import EncoderPair  # noqa: E402


@pytest.mark.parametrize("kind", ["perspective", "ground_plane", "panorama"])
def test_the_exported_package_loads_and_agrees_with_torch(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = EncoderPair(kind).eval()
    export_package(
        pair,
        tmp_path,
        name="toy",
        version="0",
        training={"command": "c"},
        scores={"r1": 0.5, "x": np.nan},
    )
    package = load_package(tmp_path)
    assert package.scores == {"r1": 0.5, "x": None}
    shapes = {
        "query": (package.query.height_px, package.query.width_px),
        "reference": (package.reference.size_px,) * 2,
    }
    for name, shape in shapes.items():
        path = tmp_path / getattr(package, f"{name}_file")
        assert path.stat().st_size < MAX_BYTES
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        image = torch.randn(3, 3, *shape)
        (found,) = session.run(["descriptor"], {"image": image.numpy()})
        with torch.no_grad():
            expected = getattr(pair, name)(image).numpy()
        assert found.shape == (3, package.descriptor_dim)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert package.name in model_card(package)


def test_column_grid_puts_a_ground_point_into_the_cameras_column() -> None:
    query, reference = nets.QUERY_SPECS["perspective"], nets.REFERENCE_SPECS["perspective"]
    grid = nets.column_grid(query, reference, 64, 128)[0].numpy()
    for row, column in [(0, 64), (40, 10), (63, 127)]:
        x, y = grid[row, column] * reference.extent_m / 2
        forward, right = reference.offset_forward_m - y, x
        # Textbook pinhole: u = f tan(bearing) + c, f = (W / 2) / tan(hfov / 2).
        focal = 64.0 / np.tan(np.radians(query.hfov_deg / 2))
        assert focal * right / forward + 64.0 == pytest.approx(column + 0.5, abs=1e-3)
        far = reference.offset_forward_m + reference.extent_m / 2
        assert 2.4 <= forward <= far - 0.9


def test_overhead_encoder_ignores_exposure_and_colour_balance() -> None:
    torch.manual_seed(0)
    encoder = nets.OverheadEncoder().eval()
    image = torch.randn(2, 3, 112, 112)
    other = image * torch.tensor([1.3, 0.8, 1.1])[:, None, None] + 0.4
    with torch.no_grad():
        same = (encoder(image) * encoder(other)).sum(dim=1)
        different = (encoder(image) * encoder(image.flip(2))).sum(dim=1)
    assert float(same.min()) > 0.97
    assert float(same.min()) > float(different.max())


def test_unseen_pixels_stay_zero_after_standardising() -> None:
    image = torch.randn(1, 3, 112, 112) + 2.0
    image[:, :, :50] = 0.0
    out = nets.standardise(image)
    assert float(out[:, :, :50].abs().max()) == 0.0
    assert float(out[:, :, 50:].mean()) == pytest.approx(0.0, abs=0.02)
    assert float(out[:, :, 50:].std()) == pytest.approx(1.0, abs=0.05)
