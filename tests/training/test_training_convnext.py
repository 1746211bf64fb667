# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt against its definition, and against timm where timm is installed."""

import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from importing_toy import SMALL  # noqa: E402

from geoloc_ros.training.convnext import ConvNext, ConvNextSpec  # noqa: E402
from geoloc_ros.training.importing.made import made_weights  # noqa: E402

PUBLISHED = "convnext_base.fb_in22k_ft_in1k_384"
#: of the network of that name in timm 1.0.31, without a classifier
NAMES_SHA256 = "38e440686716c10019a660c930cf0b934cb39ff52ecb0218c97b03d3bb3f4d71"


def built(spec=SMALL, seed=1):
    net = ConvNext(spec).eval()
    net.load_state_dict(made_weights(net, seed))
    return net


def norm(x, weights, name):
    """Over the last axis, biased variance, epsilon 1e-6."""
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)
    return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def patches(x, weights, name, side):
    """A convolution whose kernel and stride are `side`, of (H, W, C)."""
    rows, columns = x.shape[0] // side, x.shape[1] // side
    x = x[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return np.einsum("risjc,ocij->rso", x.transpose(0, 1, 2, 3, 4), kernel) + bias


def depthwise(x, weights, name):
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    padded = np.pad(x, ((3, 3), (3, 3), (0, 0)))
    out = np.zeros_like(x)
    for i in range(7):
        for j in range(7):
            out += padded[i : i + x.shape[0], j : j + x.shape[1]] * kernel[:, 0, i, j]
    return out + bias


def gelu(x):
    from scipy.special import erf

    return x * 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


def by_hand(image, weights, depths):
    """The network in numpy, float64, written from the paper: (H, W, 3) -> (C,)."""
    x = norm(patches(image, weights, "stem.0", 4), weights, "stem.1")
    for stage, depth in enumerate(depths):
        here = f"stages.{stage}"
        if stage:
            x = norm(x, weights, f"{here}.downsample.0")
            x = patches(x, weights, f"{here}.downsample.1", 2)
        for block in range(depth):
            b = f"{here}.blocks.{block}"
            y = norm(depthwise(x, weights, f"{b}.conv_dw"), weights, f"{b}.norm")
            y = gelu(y @ weights[f"{b}.mlp.fc1.weight"].T + weights[f"{b}.mlp.fc1.bias"])
            y = y @ weights[f"{b}.mlp.fc2.weight"].T + weights[f"{b}.mlp.fc2.bias"]
            x = x + y * weights[f"{b}.gamma"]
    return norm(x.mean(axis=(0, 1)), weights, "head.norm")


@pytest.mark.parametrize("size", [(32, 32), (76, 101)])
def test_it_is_the_network_of_the_paper(size):
    net = built()
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = net(image)[0].numpy()
    weights = {k: v.numpy().astype(np.float64) for k, v in net.state_dict().items()}
    expected = by_hand(image[0].permute(1, 2, 0).numpy().astype(np.float64), weights, SMALL.depths)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def names_sha256(weights):
    """Identity of all names and shapes."""
    lines = sorted(f"{name} {tuple(value.shape)}" for name, value in weights.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_full_size_has_the_published_names():
    """Counts and names of timm's convnext_base without a classifier."""
    with torch.device("meta"):
        weights = ConvNext().state_dict()
    assert len(weights) == 342
    assert names_sha256(weights) == NAMES_SHA256
    assert sum(value.numel() for value in weights.values()) == 87_566_464
    shapes = {
        "stem.0.weight": (128, 3, 4, 4),
        "stem.1.bias": (128,),
        "stages.0.blocks.2.gamma": (128,),
        "stages.1.downsample.0.weight": (128,),
        "stages.1.downsample.1.weight": (256, 128, 2, 2),
        "stages.2.blocks.26.conv_dw.weight": (512, 1, 7, 7),
        "stages.3.blocks.0.mlp.fc1.weight": (4096, 1024),
        "stages.3.blocks.0.mlp.fc2.bias": (1024,),
        "head.norm.weight": (1024,),
    }
    assert {name: tuple(weights[name].shape) for name in shapes} == shapes
    assert "stages.0.downsample.0.weight" not in weights


@pytest.mark.parametrize(
    ("spec", "size"),
    [(SMALL, (140, 768)), (ConvNextSpec(), (64, 96))],
    ids=["small", "ConvNeXt-B"],
)
def test_it_is_timms(spec, size):
    timm = pytest.importorskip("timm", reason="timm has no build beside this torch; see docs")
    sizes = {"depths": spec.depths, "dims": spec.widths}
    theirs = timm.create_model(PUBLISHED, pretrained=False, num_classes=0, **sizes).eval()
    weights = made_weights(theirs, 4)
    if spec == ConvNextSpec():
        assert names_sha256(weights) == NAMES_SHA256
    ours = ConvNext(spec).eval()
    theirs.load_state_dict(weights)
    ours.load_state_dict(weights)  # strict: all names, no others
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected, found = theirs(image), ours(image)
    print("largest difference of features", float((expected - found).abs().max()))
    assert expected.shape == (2, spec.widths[-1])
    assert float((expected - found).abs().max()) <= 1e-5 * float(expected.abs().max())
    config = timm.data.resolve_model_data_config(theirs)
    assert config["mean"] == (0.485, 0.456, 0.406)
    assert config["std"] == (0.229, 0.224, 0.225)
