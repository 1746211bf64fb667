# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, on CUDA, and through TensorRT.

ONNX Runtime lists a provider when it was compiled with it, and where that provider cannot start
it goes on with the next one, in silence or with a banner on stdout (seen with onnxruntime-gpu 1.22
on a machine without CUDA). So what a session really runs on is asked of the session.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from geoloc_ros.encoders.backends.base import (
    BATCHES,
    Backend,
    EngineBackend,
    InParts,
    Job,
    Session,
    Tell,
    describe_with,
)
from geoloc_ros.encoders.backends.cuda import gpu
from geoloc_ros.encoders.onnx_backend import CPU_PROVIDER, INPUT, OUTPUT, open_session
from geoloc_ros.errors import ModelError

CUDA_PROVIDER, TENSORRT_PROVIDER = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_INFER_LIBRARY = "libnvinfer.so.10"
#: fp32 means fp32: TF32 keeps ten bits of twenty-three
_CUDA = (CUDA_PROVIDER, {"device_id": "0", "use_tf32": "0"})


class OrtCpu(Backend):
    """Works everywhere; what all others are compared with."""

    name = "ort-cpu"

    def trouble(self) -> str:
        """Nothing: onnxruntime is a requirement of the package."""
        return ""

    def open(self, job: Job, engine: Path | None = None) -> Session:
        """A session on the CPU."""
        del engine
        return _session(job, (CPU_PROVIDER,))


class OrtCuda(Backend):
    """ONNX Runtime's kernels for CUDA."""

    name = "ort-cuda"

    def trouble(self) -> str:
        """Why it cannot work here: another build of ONNX Runtime."""
        return _not_compiled(CUDA_PROVIDER)

    def open(self, job: Job, engine: Path | None = None) -> Session:
        """A session on the GPU."""
        del engine
        return _session(job, (_CUDA, CPU_PROVIDER))


class OrtTensorRT(EngineBackend):
    """TensorRT inside ONNX Runtime: what TensorRT does not know runs on CUDA or the CPU."""

    name = "ort-tensorrt"
    precisions = ("fp32", "fp16")

    def trouble(self) -> str:
        """Why it cannot work here: another build of ONNX Runtime, no TensorRT, no GPU."""
        missing = _not_compiled(TENSORRT_PROVIDER)
        if missing:
            return missing
        try:
            _tensorrt_version()
            gpu()
        except ModelError as error:
            return str(error)
        return ""

    def machine(self) -> dict[str, str]:
        """GPU, compute capability, driver, TensorRT, ONNX Runtime."""
        import onnxruntime

        versions = {"tensorrt": _tensorrt_version(), "onnxruntime": onnxruntime.__version__}
        return {**gpu(), **versions}

    def flags(self, job: Job) -> dict[str, str | int | bool]:
        """What the provider is told."""
        return dict(tensorrt_options(job))

    def build(self, job: Job, folder: Path, tell: Tell) -> None:
        """Let ONNX Runtime write its engines there; it does not say how far it is."""
        tell(None, "ONNX Runtime builds its engine")
        session = self.open(job, folder)
        most = BATCHES[job.network.side][1]
        describe_with(session, np.zeros(job.network.shape(most), dtype=np.float32))
        if not any(folder.iterdir()):
            raise ModelError("ONNX Runtime wrote no engine: TensorRT took no part of the network")

    def open(self, job: Job, engine: Path | None = None) -> Session:
        """A session of an engine, or of one that is built while it opens."""
        if engine is None:
            raise ModelError("ort-tensorrt runs engines; build one first")
        options = {**tensorrt_options(job), "trt_engine_cache_path": str(engine)}
        session = _session(job, ((TENSORRT_PROVIDER, options), _CUDA, CPU_PROVIDER))
        return InParts(session, BATCHES[job.network.side][1])


def tensorrt_options(job: Job) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider (release 1.22), but for the engine's folder.

    Shapes are told, so that it builds one engine, and builds none on the way. It has no option
    against TF32; the environment has: NVIDIA_TF32_OVERRIDE=0.
    """
    usual, most = BATCHES[job.network.side]

    def images(count: int) -> str:
        return f"{INPUT}:{'x'.join(map(str, job.network.shape(count)))}"

    return {
        "device_id": "0",
        "trt_engine_cache_enable": "True",
        "trt_fp16_enable": str(job.precision == "fp16"),
        "trt_max_workspace_size": str(job.workspace_mb << 20),
        "trt_profile_min_shapes": images(1),
        "trt_profile_opt_shapes": images(usual),
        "trt_profile_max_shapes": images(most),
    }


def _not_compiled(provider: str) -> str:
    import onnxruntime

    known = onnxruntime.get_available_providers()
    if provider in known:
        return ""
    return (
        f"onnxruntime {onnxruntime.__version__} was compiled without {provider}; a build for GPUs "
        "has it (docs/backends.md)"
    )


def _tensorrt_version() -> str:
    """Version of the TensorRT library that ONNX Runtime will load.

    Raises:
        ModelError: it is not installed.
    """
    try:
        number = int(ctypes.CDLL(_INFER_LIBRARY).getInferLibVersion())
    except (OSError, AttributeError) as error:
        raise ModelError(f"TensorRT is not installed: {error}") from error
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _session(job: Job, providers: Sequence[Any]) -> Session:
    """A session that really runs on the first of some providers.

    Raises:
        ModelError: the file cannot be loaded, or the provider did not start.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        session = open_session(job.network.path, job.threads, (INPUT,), (OUTPUT,), providers)
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    running = session.get_providers()[0]
    if running != first:
        words = [line for line in said.getvalue().splitlines() if line.startswith("EP Error")]
        why = words[0].rpartition(") ")[2] if words else "its log says why"
        raise ModelError(f"ONNX Runtime could not start {first}, it took {running}: {why}")
    return cast(Session, session)
