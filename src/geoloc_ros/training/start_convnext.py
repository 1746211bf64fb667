# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of a ConvNeXt read back from the ONNX file of a package.

The file holds no normalisation over batches, so nothing is folded: weights of convolutions, of
layer normalisations and the factors of branches keep their names. Those of linear layers have lost
theirs and are transposed; they are told by the bias that is added to what they give.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this room is torch; nothing onboard imports it
from torch import Tensor, nn  # noqa: TID253

from geoloc_ros.errors import ModelError, TrainingError, first_line

_LINEAR = ("MatMul", "Gemm")


def load_convnext(network: nn.Module, path: Path) -> None:
    """Give a `pair.ConvNextEncoder` the weights in an ONNX file.

    Args:
        network: its weights are replaced.
        path: of a package, in single or half precision.

    Raises:
        ModelError: the file cannot be read.
        TrainingError: it holds another architecture.
    """
    found = dict(_weights(path))
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in found]
    odd = [n for n in wanted if n in found and found[n].shape != wanted[n].shape]
    if missing or odd:
        some = ", ".join((missing or odd)[:3])
        what = "lacks" if missing else "has other shapes of"
        raise TrainingError(
            f"{path} {what} {len(missing or odd)} of {len(wanted)} weights of this architecture, "
            f"the first {some}; start from a package of the same --kind"
        )
    network.load_state_dict({name: found[name] for name in wanted})


def _weights(path: Path) -> Iterator[tuple[str, Tensor]]:
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's errors share no public base
        raise ModelError(
            f"cannot read {path}: {first_line(error)}; export the model again"
        ) from error
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for name, array in arrays.items():
        yield _plain(name), torch.from_numpy(array.astype(np.float32))
    for node in graph.node:
        if node.op_type in _LINEAR and node.input[1] in arrays:
            bias = _bias_of(node, users, arrays)
            if bias:
                matrix = arrays[node.input[1]].astype(np.float32)
                weight = torch.from_numpy(np.ascontiguousarray(matrix.T))
                yield _plain(bias).removesuffix("bias") + "weight", weight


def _bias_of(node: Any, users: dict[str, list[Any]], arrays: dict[str, Any]) -> str:  # noqa: ANN401
    """Name of the bias that is added to what a linear layer gives."""
    if len(node.input) > 2:
        return str(node.input[2])
    for user in users.get(node.output[0], []):
        if user.op_type == "Add":
            return next((str(name) for name in user.input if name in arrays), "")
    return ""


def _plain(name: str) -> str:
    """A name without the layers that only packing puts around it."""
    return name.replace(".layer.", ".")
