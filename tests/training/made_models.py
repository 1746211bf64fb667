# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A model package that tells the places of `made_datasets` apart: pooled colours, projected."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from geoloc_ros.encoders.package import ModelPackage, QuerySpec, ReferenceSpec, file_sha256

SIDE, DIM = 24, 32
PERSPECTIVE = QuerySpec(view="perspective", height_px=SIDE, width_px=SIDE, hfov_deg=90.0)
PANORAMA = QuerySpec(
    view="panorama",
    height_px=SIDE,
    width_px=SIDE,
    hfov_deg=360.0,
    vfov_deg=180.0,
    alignment="north",
)


def make_model(root, query=PERSPECTIVE, **changes) -> ModelPackage:
    """Write a package whose one network serves both sides."""
    root.mkdir(parents=True, exist_ok=True)
    weights = np.random.default_rng(0).normal(size=(108, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["image"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["f", "m"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("LpNormalization", ["d"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, root / "encoder.onnx")
    values = {
        "root": root,
        "name": "colours",
        "version": "1",
        "query": query,
        "reference": ReferenceSpec(size_px=SIDE, extent_m=70.0, offset_forward_m=0.0),
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "descriptor_dim": DIM,
        "files": {"encoder.onnx": file_sha256(root / "encoder.onnx")},
    }
    package = ModelPackage(**{**values, **changes})
    package.save()
    return package
