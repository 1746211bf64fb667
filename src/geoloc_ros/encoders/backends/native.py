# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT 10 through its own Python package: builds an engine, runs it.

Never run on a GPU by us: nothing here decides anything, and what decides is tested without it.
Names and signatures are those of the Python package of TensorRT 10.16, checked against it by
`tests/encoders/test_tensorrt_api.py` where that is installed. TensorRT 11 has dropped what int8
needs here and is refused.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoloc_ros import durable
from geoloc_ros.datatypes import Float32Array
from geoloc_ros.encoders.backends.base import (
    BATCHES,
    EngineBackend,
    InParts,
    Job,
    Session,
    Tell,
)
from geoloc_ros.encoders.backends.cuda import DeviceArray, Stream, gpu
from geoloc_ros.encoders.backends.progress import Phases
from geoloc_ros.encoders.onnx_backend import INPUT, OUTPUT, OnnxEncoder
from geoloc_ros.errors import ModelError, first_line

logger = logging.getLogger(__name__)

PLAN = "engine.plan"
#: what TensorRT learned of the ranges of int8; written for whoever wants to look at it
TABLE = "calibration.table"
MAJOR = 10
#: images that calibration looks at together
CALIBRATION_BATCH = 8


class NativeTensorRT(EngineBackend):
    """TensorRT's own builder and runtime."""

    name = "tensorrt"
    precisions = ("fp32", "fp16", "int8")

    def trouble(self) -> str:
        """Why it cannot work here: not installed, another version, no GPU."""
        try:
            import tensorrt as trt
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything
            return f"TensorRT cannot be imported ({first_line(error)}); docs/backends.md"
        version = str(trt.__version__)
        if version.split(".")[0] != str(MAJOR):
            return f"TensorRT is {version}; {MAJOR}.x is needed"
        try:
            gpu()
        except ModelError as error:
            return str(error)
        return ""

    def machine(self) -> dict[str, str]:
        """GPU, compute capability, driver, TensorRT."""
        import tensorrt as trt

        return {**gpu(), "tensorrt": str(trt.__version__)}

    def flags(self, job: Job) -> dict[str, str | int | bool]:
        """Which of TensorRT's precisions may be used, and memory."""
        return {
            "tf32": False,  # ten bits of fp32's twenty-three: not what fp32 promises
            "fp16": job.precision != "fp32",
            "int8": job.precision == "int8",
            "workspace_mb": job.workspace_mb,
        }

    def build(self, job: Job, folder: Path, tell: Tell) -> None:
        """Write `engine.plan`, and for int8 `calibration.table`."""
        import tensorrt as trt

        log = _log(trt)
        builder = trt.Builder(log)
        network = builder.create_network()
        parser = trt.OnnxParser(network, log)
        if not parser.parse_from_file(str(job.network.path)):
            raise ModelError(f"TensorRT cannot read {job.network.path}: {_parser_words(parser)}")
        config = builder.create_builder_config()
        flags = self.flags(job)
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_mb << 20)
        for flag in ("tf32", "fp16", "int8"):
            change = config.set_flag if flags[flag] else config.clear_flag
            change(getattr(trt.BuilderFlag, flag.upper()))
        usual, most = BATCHES[job.network.side]
        config.add_optimization_profile(_profile(builder, job, 1, usual, most))
        if job.precision == "int8":
            calibrator = _calibrator(trt, job, folder / TABLE)
            config.int8_calibrator = calibrator
            batch = CALIBRATION_BATCH
            config.set_calibration_profile(_profile(builder, job, batch, batch, batch))
        monitor = _monitor(trt, tell)
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ModelError(f"TensorRT cannot build {job.network.path}: {log.worst}")
        durable.write_bytes(folder / PLAN, memoryview(plan))

    def open(self, job: Job, engine: Path | None = None) -> Session:
        """A session of an engine's plan."""
        import tensorrt as trt

        if engine is None:
            raise ModelError("TensorRT runs engines; build one first")
        log = _log(trt)
        runtime = trt.Runtime(log)
        found = runtime.deserialize_cuda_engine((engine / PLAN).read_bytes())
        if found is None:
            raise ModelError(f"TensorRT does not take {engine / PLAN}: {log.worst}")
        return InParts(_NativeSession(trt, runtime, found, job), BATCHES[job.network.side][1])


class _NativeSession:
    """One execution context, one stream, one batch on the GPU at a time."""

    def __init__(self, trt: Any, runtime: Any, engine: Any, job: Job) -> None:  # noqa: ANN401
        self._runtime, self._engine = runtime, engine  # must outlive the context
        self._context = engine.create_execution_context()
        if self._context is None:
            raise ModelError("TensorRT makes no execution context: not enough GPU memory")
        most = BATCHES[job.network.side][1]
        self._types = {
            name: np.dtype(trt.nptype(engine.get_tensor_dtype(name))) for name in (INPUT, OUTPUT)
        }
        self._dim = job.network.package.descriptor_dim
        pixels = int(np.prod(job.network.shape(most)))
        self._input = DeviceArray(pixels * self._types[INPUT].itemsize)
        self._output = DeviceArray(most * self._dim * self._types[OUTPUT].itemsize)
        self._stream = Stream()
        self._one_at_a_time = threading.Lock()

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, Float32Array]
    ) -> Sequence[Float32Array]:
        """Descriptors of a batch that is no larger than the engine takes."""
        del outputs  # there is one
        with self._one_at_a_time:
            return [self._run(inputs[INPUT])]

    def _run(self, batch: Float32Array) -> Float32Array:
        pixels = np.ascontiguousarray(batch, dtype=self._types[INPUT])
        found = np.empty((len(batch), self._dim), dtype=self._types[OUTPUT])
        if not self._context.set_input_shape(INPUT, pixels.shape):
            raise ModelError(f"the engine does not take {pixels.shape}; build it again")
        shape = tuple(self._context.get_tensor_shape(OUTPUT))
        if shape != found.shape:
            raise ModelError(f"the engine gives {shape}, {found.shape} is expected")
        self._context.set_tensor_address(INPUT, self._input.pointer)
        self._context.set_tensor_address(OUTPUT, self._output.pointer)
        self._input.put(pixels, self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise ModelError("the engine failed on the GPU; its log says why")
        self._output.get(found, self._stream)
        self._stream.wait()
        return found.astype(np.float32, copy=False)


def _profile(builder: Any, job: Job, least: int, usual: int, most: int) -> Any:  # noqa: ANN401
    """Batches that an engine takes."""
    profile = builder.create_optimization_profile()
    shape = job.network.shape
    profile.set_shape(INPUT, shape(least), shape(usual), shape(most))
    return profile


def _parser_words(parser: Any) -> str:  # noqa: ANN401
    found = [str(parser.get_error(number)) for number in range(parser.num_errors)]
    return "; ".join(found)[:300] or "it does not say why"


# Classes of ours that TensorRT calls derive from its own, which exist once it is imported.


def _log(trt: Any) -> Any:  # noqa: ANN401
    """TensorRT's messages in ours; `worst` is the last error."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.worst = "it does not say why"

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.worst = message[:300]
                logger.error("TensorRT: %s", message)
            elif severity == trt.ILogger.Severity.WARNING:
                logger.warning("TensorRT: %s", message)

    return Log()


def _monitor(trt: Any, tell: Tell) -> Any:  # noqa: ANN401
    """TensorRT's phases as a share of the build."""
    phases = Phases()

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.begin(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            tell(phases.done, phase_name)
            return True

        def phase_finish(self, phase_name: str) -> None:
            phases.end(phase_name)

    return Monitor()


def _calibrator(trt: Any, job: Job, table: Path) -> Any:  # noqa: ANN401
    """Entropy calibration on the job's pictures."""
    batches = calibration_batches(job)
    shape = job.network.shape(CALIBRATION_BATCH)

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self._memory = DeviceArray(int(np.prod(shape)) * 4)
            self._stream = Stream()

        def get_batch_size(self) -> int:
            return CALIBRATION_BATCH

        def get_batch(self, names: Sequence[str]) -> list[int] | None:
            del names  # there is one input
            batch = batches()
            if batch is None:
                return None
            self._memory.put(batch, self._stream)
            self._stream.wait()
            return [self._memory.pointer]

        def read_calibration_cache(self) -> bytes | None:
            return None

        def write_calibration_cache(self, cache: Any) -> None:  # noqa: ANN401
            durable.write_bytes(table, memoryview(cache))

    return Calibrator()


def calibration_batches(job: Job) -> Callable[[], Float32Array | None]:
    """Answers one normalised batch (N, 3, H, W) of a job's pictures at each call, then None.

    Raises:
        ModelError: there are no pictures, or they are not of the network's size.
    """
    if job.images is None:
        raise ModelError("int8 needs pictures of the area to calibrate on; see 'build-engine'")
    images = np.load(job.images, mmap_mode="r", allow_pickle=False)
    if images.dtype != np.uint8 or images.shape[1:] != (*job.network.size, 3):
        raise ModelError(
            f"{job.images} holds {images.shape} {images.dtype}; (N, {job.network.size[0]}, "
            f"{job.network.size[1]}, 3) uint8 is needed"
        )
    normalise = OnnxEncoder(job.network.package).normalise
    firsts = iter(range(0, len(images) - CALIBRATION_BATCH + 1, CALIBRATION_BATCH))

    def following() -> Float32Array | None:
        first = next(firsts, None)
        return None if first is None else normalise(images[first : first + CALIBRATION_BATCH])

    return following
