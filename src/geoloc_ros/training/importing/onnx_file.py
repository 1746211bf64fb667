# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Any ONNX encoder to a model package: names, types and length as this package wants them.

A file that takes `image` (N, 3, H, W) float32 and gives unit `descriptor` (N, D) is copied as it
is. Any other gets nodes before and behind it that make it so; its own part stays untouched.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geoloc_ros.datatypes import Float32Array, Image
from geoloc_ros.encoders.card_rules import QUERY_FILE, REFERENCE_FILE, SHARED_FILE
from geoloc_ros.encoders.package import ModelPackage, file_sha256
from geoloc_ros.errors import ModelError, first_line
from geoloc_ros.training.importing.card import Card
from geoloc_ros.training.importing.packing import Expected, Options, finish, new_folder
from geoloc_ros.training.importing.parity import Probe

IMAGE, DESCRIPTOR = "image", "descriptor"
#: before the names of a foreign network, so that ours are free
INNER = "given/"
_UNIT_TOLERANCE = 1e-3
_KINDS = {1: np.float32, 10: np.float16}  # onnx.TensorProto.FLOAT, FLOAT16


@dataclass(frozen=True, slots=True)
class Given:
    """An ONNX file of others.

    Attributes:
        path: of the file.
        model: what it holds.
        input: name of the input that takes the picture.
        output: name of the output that is the descriptor.
        kind: element type of the input, `onnx.TensorProto.FLOAT` or `FLOAT16`.
        batch: pictures it takes at once; None: any number.
        whole: whether the file holds all of its weights, none in files beside it.
    """

    path: Path
    model: Any
    input: str
    output: str
    kind: int
    batch: int | None
    whole: bool


def import_onnx(
    query: Path,
    reference: Path | None,
    card: Card,
    out: Path,
    options: Options,
    *,
    command: str = "",
) -> ModelPackage:
    """Make a model package of one or two ONNX files.

    Args:
        query: describes views; satellite crops, too, without `reference`.
        reference: describes satellite crops.
        card: sizes, colours, names of input and output.
        out: folder to make.
        options: of the import; the files' own precision stays.
        command: for the package's card.

    Returns:
        The package, without calibration.

    Raises:
        ModelError: a file cannot be read, takes other pictures than the card says, or gives no
            descriptor.
    """
    draft = card.draft
    probe = Probe.of(draft, options.images, options.seed)
    sources = [query] if reference is None else [query, reference]
    names = (SHARED_FILE,) if reference is None else (QUERY_FILE, REFERENCE_FILE)
    with new_folder(out) as folder:
        given = [_read(path, card) for path in sources]
        weights = {f"{p.absolute().parent.name}/{p.name}": file_sha256(p) for p in sources}
        training = {"command": command, "source": card.source, "weights": weights}
        draft = dataclasses.replace(draft, training=training)
        views, crops = given[0], given[-1]
        _check_size(views, (draft.query.height_px, draft.query.width_px))
        _check_size(crops, (draft.reference.size_px,) * 2)
        with tqdm(total=2 * options.images, desc="describe", unit="picture") as bar:
            raw = (
                _describe(views, probe.views, draft, bar),
                _describe(crops, probe.crops, draft, bar),
            )
        expected = Expected(_unit(raw[0], views.path), _unit(raw[1], crops.path))
        for one, name, rows in zip(given, names, raw, strict=False):
            _adopt(one, folder / name, rows)
        half = any(_KINDS[one.kind] is np.float16 for one in given)
        options = dataclasses.replace(options, precision="fp16" if half else "fp32")
        package = finish(draft, folder, probe, expected, options)
    return dataclasses.replace(package, root=out)


def _read(path: Path, card: Card) -> Given:
    """Open a file and find what takes the picture and what is the descriptor."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError(
            "importing an ONNX file needs onnx; install it with: pip install 'geoloc_ros[import]'"
        ) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
        far = onnx.TensorProto.EXTERNAL
        whole = all(tensor.data_location != far for tensor in model.graph.initializer)
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's errors share no public base
        raise ModelError(
            f"{path} is no ONNX file that can be used: {first_line(error)}; export it again"
        ) from error
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {item.name: item for item in graph.input if item.name not in constants}
    outputs = [item.name for item in graph.output]
    taken = _choose(path, "input", list(inputs), card.input)
    output = _choose(path, "output", outputs, card.output)
    kind = inputs[taken].type.tensor_type
    shape = [side.dim_value if side.HasField("dim_value") else None for side in kind.shape.dim]
    if kind.elem_type not in _KINDS:
        raise ModelError(
            f"{path}: input {taken} is of type {onnx.TensorProto.DataType.Name(kind.elem_type)}; "
            "it must take float pictures, normalised by mean and std of the card"
        )
    if len(shape) != 4 or shape[1] not in (3, None) or (shape[1] is None and shape[3] == 3):
        raise ModelError(
            f"{path}: input {taken} has the shape {_shape(shape)}; it must be (N, 3, H, W), "
            "colours before rows and columns; export it so"
        )
    return Given(path, model, taken, output, kind.elem_type, shape[0] or None, whole)


def _choose(path: Path, what: str, there: list[str], said: str) -> str:
    if said and said not in there:
        raise ModelError(f"{path} has no {what} {said!r}; it has {', '.join(there)}")
    if not said and len(there) != 1:
        raise ModelError(
            f"{path} has {len(there)} {what}s: {', '.join(there)}; name the right one in the "
            f"card, as onnx: {{{what}: NAME}}"
        )
    return said or there[0]


def _check_size(given: Given, size: tuple[int, int]) -> None:
    """See that a file takes pictures of a size, if it names one."""
    inputs = {item.name: item for item in given.model.graph.input}
    sides = inputs[given.input].type.tensor_type.shape.dim[2:]
    fixed = [side.dim_value if side.HasField("dim_value") else None for side in sides]
    if any(have not in (None, want) for have, want in zip(fixed, size, strict=True)):
        raise ModelError(
            f"{given.path} takes pictures of {_shape(fixed)} px, the card says {_shape(size)}; "
            "mend the card, or export the network with open sizes"
        )


def _describe(given: Given, images: Image, card: ModelPackage, bar: tqdm[Any]) -> Float32Array:
    """What the file says of pictures (N, H, W, 3) uint8, as it is: (N, D) float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.log_severity_level = 3
    mean, std = np.array(card.mean), np.array(card.std)
    rows = []
    try:
        session = onnxruntime.InferenceSession(
            str(given.path), options, providers=["CPUExecutionProvider"]
        )
        for image in images:
            pixels = ((image / 255.0 - mean) / std).transpose(2, 0, 1)
            batch = np.repeat(pixels[None], given.batch or 1, axis=0).astype(_KINDS[given.kind])
            row = np.asarray(session.run([given.output], {given.input: batch})[0])
            rows.append(row[:1].astype(np.float32))
            bar.update()
    except Exception as error:  # onnxruntime's errors share no public base
        raise ModelError(
            f"{given.path} cannot be run: {first_line(error)}; export it again"
        ) from error
    found = np.concatenate(rows)
    if found.ndim > 2 and found.size == found.shape[0] * found.shape[1]:
        found = found.reshape(len(found), -1)
    if found.ndim != 2:
        raise ModelError(
            f"{given.path}: output {given.output} is {_shape(found.shape[1:])} a picture; a "
            "descriptor is one row of numbers, export the network with its pooling"
        )
    return found


def _unit(rows: Float32Array, path: Path) -> Float32Array:
    """Rows of unit length."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0.0).all()):
        raise ModelError(
            f"{path} gives descriptors that have no direction (zero or not finite); is the right "
            "output named in the card?"
        )
    return np.asarray(rows / lengths, dtype=np.float32)


def _adopt(given: Given, path: Path, rows: Float32Array) -> None:
    """Write a file with the names, types and lengths this package wants, unchanged if it has them.

    Args:
        given: the file.
        path: to write.
        rows: (N, D) what it says of some pictures.
    """
    from onnx import TensorProto

    unit = bool((np.abs(np.linalg.norm(rows, axis=1) - 1.0) < _UNIT_TOLERANCE).all())
    graph = given.model.graph
    ranks = {item.name: len(item.type.tensor_type.shape.dim) for item in graph.output}
    named = (given.input, given.output) == (IMAGE, DESCRIPTOR)
    plain = given.kind == TensorProto.FLOAT and given.batch is None and ranks[given.output] == 2
    if named and plain and unit and given.whole:
        shutil.copyfile(given.path, path)
        return
    _write_wrapped(given, path, unit, rows.shape[1])


def _write_wrapped(given: Given, path: Path, unit: bool, dim: int) -> None:
    """The network between a cast and a normalisation, under names of its own."""
    import onnx
    from onnx import TensorProto, compose, helper

    model = compose.add_prefix(given.model, INNER)
    inner = model.graph
    dims = next(i for i in inner.input if i.name == INNER + given.input).type.tensor_type.shape.dim
    sides = [side.dim_value or name for side, name in zip(dims[2:], ("H", "W"), strict=True)]
    before = helper.make_node("Cast", [IMAGE], [INNER + given.input], to=given.kind)
    behind = [
        helper.make_node("Cast", [INNER + given.output], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["row" if not unit else DESCRIPTOR], axis=1),
    ]
    if not unit:
        behind.append(helper.make_node("LpNormalization", ["row"], [DESCRIPTOR], axis=1, p=2))
    graph = helper.make_graph(
        [before, *inner.node, *behind],
        "encoder",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["N", 3, *sides])],
        [helper.make_tensor_value_info(DESCRIPTOR, TensorProto.FLOAT, ["N", dim])],
        list(inner.initializer),
    )
    wrapped = helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        functions=list(model.functions),
        ir_version=model.ir_version,
    )
    try:
        onnx.save(wrapped, str(path))
    except Exception as error:  # protobuf's errors share no public base
        raise ModelError(
            f"cannot write {given.path} as one file: {first_line(error)}; networks above 2 GB "
            "are not supported"
        ) from error


def _shape(sides: Any) -> str:  # noqa: ANN401 - numbers, names or nothing
    return " x ".join("?" if side is None else str(side) for side in sides)
