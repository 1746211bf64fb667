# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Where TensorRT's Python package is installed: does it have what we call? No GPU is needed."""

import numpy as np
import pytest

from geoloc_ros.encoders.backends import native

pytest.importorskip("tensorrt", reason="TensorRT is not installed", exc_type=ImportError)

CALLED = {
    "Builder": "create_network create_builder_config create_optimization_profile "
    "build_serialized_network",
    "OnnxParser": "parse_from_file num_errors get_error",
    "IBuilderConfig": "set_memory_pool_limit set_flag clear_flag add_optimization_profile "
    "set_calibration_profile int8_calibrator progress_monitor",
    "IOptimizationProfile": "set_shape",
    "Runtime": "deserialize_cuda_engine",
    "ICudaEngine": "create_execution_context get_tensor_dtype",
    "IExecutionContext": "set_input_shape get_tensor_shape set_tensor_address execute_async_v3",
    "IProgressMonitor": "phase_start step_complete phase_finish",
    "IInt8EntropyCalibrator2": "get_batch_size get_batch read_calibration_cache "
    "write_calibration_cache",
    "BuilderFlag": "TF32 FP16 INT8",
    "MemoryPoolType": "WORKSPACE",
}


@pytest.mark.parametrize("name", CALLED)
def test_it_has_what_is_called(name: str) -> None:
    import tensorrt as trt

    assert trt.__version__.split(".")[0] == str(native.MAJOR)
    for called in CALLED[name].split():
        assert hasattr(getattr(trt, name), called)
    assert np.dtype(trt.nptype(trt.DataType.FLOAT)) == np.float32


def test_its_phases_and_its_log_arrive() -> None:
    import tensorrt as trt

    told = []
    monitor = native._monitor(trt, lambda done, what: told.append((done, what)))
    assert isinstance(monitor, trt.IProgressMonitor)
    monitor.phase_start("build", None, 2)
    assert monitor.step_complete("build", 0) is True
    monitor.phase_finish("build")
    assert told == [(0.5, "build")]
    log = native._log(trt)
    assert isinstance(log, trt.ILogger)
    log.log(trt.ILogger.Severity.ERROR, "no kernel")
    assert log.worst == "no kernel"
