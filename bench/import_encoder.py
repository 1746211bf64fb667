#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Import an encoder of published size, with weights nobody trained, and see what comes out.

No published weights are needed: a checkpoint with the names and shapes of Sample4Geo's is made, of
timm's own network where timm is installed and of ours elsewhere. That network is then the
reference for what the package says. Also how long the large file takes to verify and to open.

    python bench/import_encoder.py --json docs/results/import_encoder.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from geoloc_ros.cli.main import main as geoloc
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import ModelPackage, file_sha256, load_package
from geoloc_ros.training.convnext import ConvNext
from geoloc_ros.training.importing.made import made_weights
from geoloc_ros.training.importing.packing import PRECISIONS
from geoloc_ros.training.importing.parity import Parity, Probe
from geoloc_ros.training.importing.sample4geo import RECIPES

NETWORK = "convnext_base.fb_in22k_ft_in1k_384"
T = TypeVar("T")


def network() -> tuple[torch.nn.Module, str]:
    """The published architecture with made weights, and whose code it is."""
    try:
        import timm
    except ImportError:
        net: torch.nn.Module = ConvNext()
        whose = "geoloc_ros"
    else:
        net = timm.create_model(NETWORK, pretrained=False, num_classes=0)
        whose = f"timm {timm.__version__}"
    net.load_state_dict(made_weights(net, 1))
    return net.eval(), whose


@torch.no_grad()
def said_by(net: torch.nn.Module, package: ModelPackage, probe: Probe) -> np.ndarray:
    """Unit descriptors of a probe, by the network itself and with numpy's preprocessing."""
    rows = []
    for image in (*probe.views, *probe.crops):
        pixels = ((image / 255.0 - package.mean) / package.std).transpose(2, 0, 1)
        row = net(torch.from_numpy(pixels[None].astype(np.float32)))[0].numpy()
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a piece of work gives, and its CPU time over all threads, in seconds."""
    start = time.process_time()
    found = work()
    return found, round(time.process_time() - start, 3)


def measure(package: ModelPackage, expected: np.ndarray, probe: Probe) -> dict[str, float]:
    """Parity with the network, size and CPU seconds of a package."""
    path = package.root / package.query_file
    _, hashing = timed(lambda: file_sha256(path))
    _, loading = timed(lambda: load_package(package.root))
    encoder = OnnxEncoder(package, threads=os.cpu_count() or 1)
    _, opening = timed(lambda: encoder.session(package.query_file))
    views, encoding = timed(lambda: encoder.encode_query(probe.views))
    said = np.concatenate([views, encoder.encode_reference(probe.crops)])
    parity = Parity.of(expected, said)
    return {
        "file_mb": round(path.stat().st_size / 1e6, 1),
        "sha256_cpu_s": hashing,
        "load_and_verify_cpu_s": loading,
        "open_session_cpu_s": opening,
        "encode_view_cpu_s": round(encoding / len(views), 2),
        "max_abs": float(f"{parity.max_abs:.3g}"),
        "mean_abs": float(f"{parity.mean_abs:.3g}"),
        "one_minus_cosine_max": float(f"{1.0 - parity.cosine_min:.3g}"),
    }


def run(dataset: str, images: int, folder: Path) -> dict[str, Any]:
    """Import in both precisions; figures by name."""
    net, whose = network()
    path = folder / "weights.pth"
    weights = {f"model.{name}": value for name, value in net.state_dict().items()}
    torch.save({**weights, "logit_scale": torch.tensor(4.6)}, path)
    found: dict[str, Any] = {
        "dataset": dataset,
        "reference": whose,
        "torch": torch.__version__,
        "pictures": 2 * images,
    }
    expected, probe = None, None
    for precision in PRECISIONS:
        words = ["--dataset", dataset, "--out", folder / precision, "--images", images]
        command = ["model", "import", "sample4geo", path, *words, "--precision", precision]
        if geoloc([str(word) for word in command]):
            raise SystemExit(f"{' '.join(map(str, command))} failed")
        package = load_package(folder / precision)
        if expected is None or probe is None:
            probe = Probe.of(package, images, seed=99)
            expected = said_by(net, package, probe)
        found[precision] = measure(package, expected, probe)
    return found


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=sorted(RECIPES), default="vigor")
    parser.add_argument("--images", type=int, default=2, help="pictures of each side")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(arguments.dataset, arguments.images, Path(folder))
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
