# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From trained weights to a model package: two ONNX files, checked, and their card."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import nn  # noqa: TID253

from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import TrainingError
from geoloc_ros.training.nets import MEAN, QUERY_SPECS, REFERENCE_SPECS, STD, EncoderPair
from geoloc_ros.training.onnx_writer import OPSET, write_onnx

LOG = logging.getLogger(__name__)
MAX_BYTES = 15_000_000
PARITY = 1e-4


def export_onnx(encoder: nn.Module, height: int, width: int, path: Path) -> float:
    """Write one encoder as ONNX (`image` (N, 3, H, W) -> `descriptor` (N, D)) and check it.

    Args:
        encoder: the network; exported in evaluation mode.
        height: rows of its input.
        width: columns of its input.
        path: file to write.

    Returns:
        Largest difference between torch and ONNX Runtime over a batch of another size.

    Raises:
        TrainingError: the difference exceeds 1e-4 or the file exceeds 15 MB.
    """
    import onnxruntime

    encoder.eval()
    part = path.with_suffix(".part")
    write_onnx(encoder, torch.randn(2, 3, height, width), part)
    with torch.no_grad():
        probe = torch.randn(5, 3, height, width)
        expected = encoder(probe).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(part), options, providers=["CPUExecutionProvider"])
    found = session.run(["descriptor"], {"image": probe.numpy()})[0]
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY:
        raise TrainingError(
            f"{path.name} differs from torch by {difference:.1e}; at most {PARITY}"
        )
    if part.stat().st_size > MAX_BYTES:
        raise TrainingError(f"{path.name} has {part.stat().st_size} bytes; at most {MAX_BYTES}")
    part.replace(path)
    return difference


def export_package(
    pair: EncoderPair,
    root: Path,
    *,
    version: str,
    training: dict[str, Any],
    scores: dict[str, Any],
) -> ModelPackage:
    """Write `query.onnx`, `reference.onnx` and `model.json`.

    Args:
        pair: trained encoders.
        root: model directory, made if missing.
        version: of the package.
        training: provenance: command, seeds, data.
        scores: validation figures.

    Raises:
        TrainingError: an encoder fails its checks.
    """
    query, reference = QUERY_SPECS[pair.kind], REFERENCE_SPECS[pair.kind]
    root.mkdir(parents=True, exist_ok=True)
    parity = max(
        export_onnx(pair.query, query.height_px, query.width_px, root / "query.onnx"),
        export_onnx(pair.reference, reference.size_px, reference.size_px, root / "reference.onnx"),
    )
    files = {name: file_sha256(root / name) for name in ("query.onnx", "reference.onnx")}
    package = ModelPackage(
        root=root,
        name=f"geoloc-{pair.kind.replace('_', '-')}",
        version=version,
        query=query,
        reference=reference,
        mean=MEAN,
        std=STD,
        descriptor_dim=128,
        files=files,
        training={**training, "onnx_opset": OPSET, "onnx_parity": float(f"{parity:.1e}")},
        scores={k: round(v, 4) if math.isfinite(v) else None for k, v in scores.items()},
    )
    package.save()
    LOG.info("exported %s, parity %.1e", root, parity)
    return package
