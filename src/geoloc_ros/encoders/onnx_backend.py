# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Encoding with ONNX Runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from geoloc_ros.compiled import compiled
from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.package import ModelPackage, load_package
from geoloc_ros.errors import ModelError, first_line

#: the two sides of a model: what describes views, and what describes satellite crops
QUERY, REFERENCE = "query", "reference"
#: names of a network's input and output
INPUT, OUTPUT = "image", "descriptor"
CPU_PROVIDER = "CPUExecutionProvider"
_UNIT_TOLERANCE = 1e-3


class OnnxEncoder:
    """Both encoders of a model package; a session is created when it is first needed.

    A vehicle that only asks questions never loads the reference encoder; one file that serves both
    sides is opened once. Several threads may encode at once. A pickled encoder is its package's
    folder, read and verified anew where it arrives.

    Args:
        package: a verified model package.
        threads: threads per session; they sleep when idle.
    """

    def __init__(self, package: ModelPackage, threads: int = 1) -> None:
        self.package = package
        self.threads = threads
        self._sessions: dict[str, Any] = {}
        self._in_use: dict[str, Any] = {}
        self._opening = Lock()
        # (x / 255 - mean) / std as one product and one sum
        std = np.array(package.std, dtype=np.float64)
        self._gain = (1.0 / (255.0 * std)).astype(np.float32)
        self._shift = (-np.array(package.mean) / std).astype(np.float32)
        self.normalise(np.zeros((1, 1, 1, 3), dtype=np.uint8))  # compiles

    def __reduce__(self) -> tuple[Callable[..., OnnxEncoder], tuple[ModelPackage, int]]:
        """Travel without sessions."""
        package = dataclasses.replace(self.package, root=self.package.root.resolve())
        return _arrived, (package, self.threads)

    def encode_query(self, views: Image) -> Float32Array:
        """Describe views.

        Args:
            views: (N, H, W, 3) uint8 RGB of the size the model card gives.

        Returns:
            (N, D) unit vectors.

        Raises:
            ModelError: wrong shape or type, or the model misbehaves.
        """
        spec = self.package.query
        return self._encode(QUERY, views, (spec.height_px, spec.width_px))

    def encode_reference(self, crops: Image) -> Float32Array:
        """Describe satellite crops.

        Args:
            crops: (N, S, S, 3) uint8 RGB of the size the model card gives.

        Returns:
            (N, D) unit vectors.

        Raises:
            ModelError: wrong shape or type, or the model misbehaves.
        """
        side = self.package.reference.size_px
        return self._encode(REFERENCE, crops, (side, side))

    def normalise(self, images: Image) -> Float32Array:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32, (x / 255 - mean) / std."""
        return _planes(np.ascontiguousarray(images), self._gain, self._shift)

    def _encode(self, side: str, images: Image, size: tuple[int, int]) -> Float32Array:
        name = self.package.file_of(side)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*size, 3):
            raise ModelError(
                f"{name} of model {self.package.name} takes (N, {size[0]}, {size[1]}, 3) uint8 "
                f"RGB, got {images.shape} {images.dtype}"
            )
        if not len(images):
            return np.zeros((0, self.package.descriptor_dim), dtype=np.float32)
        return self._described(side, self.normalise(images))

    def _described(self, side: str, batch: Float32Array) -> Float32Array:
        """Unit vectors (N, D) that one side gives for a batch (N, 3, H, W), checked."""
        name, dim = self.package.file_of(side), self.package.descriptor_dim
        session = self._in_use[side] if side in self._in_use else self.session(name)
        try:
            found = session.run([OUTPUT], {INPUT: batch})[0]
        except Exception as error:  # onnxruntime's errors share no public base
            raise ModelError(
                f"{self.package.root / name} failed: {first_line(error)}; is it the file its "
                "name says? Export the model again"
            ) from error
        descriptors = np.asarray(found, dtype=np.float32)
        if descriptors.shape != (len(batch), dim):
            raise ModelError(
                f"{self.package.root / name} gave {descriptors.shape}, its model card promises "
                f"({len(batch)}, {dim}); export the model again"
            )
        norms = np.sqrt(np.einsum("nd,nd->n", descriptors, descriptors))
        if not (np.abs(norms - 1.0) < _UNIT_TOLERANCE).all():
            worst = norms[np.argmax(np.abs(norms - 1.0))]
            raise ModelError(
                f"{self.package.root / name} gave a descriptor of length {worst:.4f}, expected 1; "
                "export the model again"
            )
        return descriptors

    def session(self, name: str) -> Any:  # noqa: ANN401 - onnxruntime is untyped
        """The inference session of one file of the package, opened when first asked for."""
        with self._opening:
            if name not in self._sessions:
                if name not in self.package.files:
                    raise ModelError(
                        f"model {self.package.name} has no {name}; its card lists "
                        f"{', '.join(sorted(self.package.files)) or 'no file'}"
                    )
                self._sessions[name] = open_session(
                    self.package.root / name, self.threads, (INPUT,), (OUTPUT,)
                )
            return self._sessions[name]

    def use(self, side: str, session: Any) -> None:  # noqa: ANN401 - see `backends.base.Session`
        """Go on with another session for one side; calls that have begun end with the old one."""
        self._in_use[side] = session


def _arrived(package: ModelPackage, threads: int) -> OnnxEncoder:
    """An encoder on the machine it was sent to.

    Raises:
        ModelError: this machine has not the same model in the same folder.
    """
    found = load_package(package.root)
    if found.encoder_sha256 != package.encoder_sha256:
        raise ModelError(
            f"{package.root} holds encoder {found.encoder_sha256[:12]} on this machine, "
            f"{package.encoder_sha256[:12]} on the one that asks; copy the package to all machines"
        )
    return OnnxEncoder(package, threads)


@compiled
def _planes(images: Image, gain: Float32Array, shift: Float32Array) -> Float32Array:
    """Pixels (N, H, W, 3) times gain (3,) plus shift (3,) as planes (N, 3, H, W)."""
    count, height, width, _ = images.shape
    planes = np.empty((count, 3, height * width), dtype=np.float32)
    for i in range(count):
        _fill(images[i].reshape(height * width * 3), gain, shift, planes[i])
    return planes.reshape(count, 3, height, width)


@compiled
def _fill(pixels: Image, gain: Float32Array, shift: Float32Array, planes: Float32Array) -> None:
    """Planes (3, P) of pixels (3 P,), the channels written out so that they become vectors."""
    red, green, blue = planes[0], planes[1], planes[2]
    g0, g1, g2, s0, s1, s2 = gain[0], gain[1], gain[2], shift[0], shift[1], shift[2]
    for i in range(len(red)):
        red[i] = pixels[3 * i] * g0 + s0
        green[i] = pixels[3 * i + 1] * g1 + s1
        blue[i] = pixels[3 * i + 2] * g2 + s2


def open_session(
    path: Path,
    threads: int,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    providers: Sequence[Any] = (CPU_PROVIDER,),
) -> Any:  # noqa: ANN401 - onnxruntime is untyped
    """An inference session of an ONNX file.

    Args:
        path: the file.
        threads: of the session; they sleep when idle.
        inputs: names its inputs may have; a net that makes no use of one has not got it.
        outputs: names it must have among its outputs.
        providers: what runs it, best first, each a name or a name and its options.

    Raises:
        ModelError: it cannot be loaded, or has other inputs or outputs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # idle threads must not burn the core that the filter needs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=list(providers)
        )
    except Exception as error:  # onnxruntime's errors share no public base
        raise ModelError(
            f"cannot load {path}: {first_line(error)}; export the model again"
        ) from error
    found = [item.name for item in session.get_inputs()]
    given = [item.name for item in session.get_outputs()]
    if not found or not set(found) <= set(inputs) or not set(outputs) <= set(given):
        raise ModelError(
            f"{path} has inputs {found} and outputs {given}; expected inputs "
            f"{', '.join(inputs)} and outputs {', '.join(outputs)}"
        )
    return session
