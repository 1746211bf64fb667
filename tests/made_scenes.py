# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The made flight's index described by a made model, and a reranker that believes in it.

The model answers by how bright the picture is here and there; the reranker finds a place the
likelier the more of the answers agree.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from made_flight import CAMERA, HEIGHT_M, Made
from onnx import TensorProto, helper, numpy_helper

from geoloc_ros import config
from geoloc_ros.bags.replay import Replay, ReplayInputs
from geoloc_ros.encoders.package import file_sha256
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import Heard
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.index.describe import describe_index
from geoloc_ros.index.descriptions import DescriptionRecord
from geoloc_ros.index.manifest import load_manifest
from geoloc_ros.rerank.language import INPUTS
from geoloc_ros.rerank.package import ONNX, RerankerPackage
from geoloc_ros.ros.scenes import Author
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.questions import load_questions
from geoloc_ros.vlm.vectors import vector

QUESTIONS = load_questions()
VLM, VLM_SHA256 = "made 1", "c" * 64
AUTHOR = Author(
    vlm=VLM,
    vlm_sha256=VLM_SHA256,
    questions_version=QUESTIONS.version,
    questions_sha256=QUESTIONS.sha256,
)
GRID = 6
#: what the encoder's crops show, of what the camera sees
SHARE = 40.0 / (2.0 * HEIGHT_M * CAMERA.width / 2.0 / CAMERA.K[0, 0])


def reply_to(rgb: np.ndarray) -> Reply:
    """Answers to a picture (H, W, 3): each is about one field of it, and exact in 32 bits."""
    grey = cv2.resize(rgb.mean(axis=2), (GRID, GRID), interpolation=cv2.INTER_AREA).ravel()
    level = np.clip(0.5 + 0.25 * (grey - grey.mean()) / max(grey.std(), 1e-6), 0.0, 1.0)
    return Reply(
        tuple(
            _answer(question, level[number % len(level)])
            for number, question in enumerate(QUESTIONS.questions)
        )
    )


def _answer(question, level: float) -> Answer:
    options = [option.id for option in question.options]
    below, share = divmod(level * (len(options) - 2), 1.0)
    probabilities = np.zeros(len(options))
    probabilities[int(below) + 1] = round(256 * share) / 256
    probabilities[int(below)] = 1.0 - probabilities[int(below) + 1]
    best = int(probabilities.argmax())
    return Answer(question.id, options[best], probabilities[best], tuple(probabilities.tolist()))


class Describer:
    """Describes what a camera sees that looks straight down."""

    def answer(self, rgb, view="ground") -> Reply:
        cut = round(0.5 * (1.0 - SHARE) * rgb.shape[0])
        return reply_to(rgb[cut:-cut, cut:-cut])


def make(name: str) -> Describer:
    return Describer()


@dataclass(frozen=True)
class Described:
    """Directories of a described index and of a reranker for it."""

    index: Path
    reranker: Path


def describe(made: Made, root: Path) -> Described:
    """Describe a copy of the made index, and make a reranker for it."""
    index = shutil.copytree(made.index, root / "index")
    package = find_model(str(made.model))
    ortho = OrthoImage.open(made.imagery, gsd_m=load_manifest(index).imagery.gsd_m)
    record = DescriptionRecord(
        questions_version=QUESTIONS.version,
        questions_sha256=QUESTIONS.sha256,
        options=QUESTIONS.total_options,
        vlm=VLM,
        vlm_sha256=VLM_SHA256,
        within_m=9.0,
        within_deg=30.0,
    )

    def said(batches):
        for batch in batches:
            yield np.stack([vector(reply_to(crop), QUESTIONS) for crop in batch])

    describe_index(index, ortho, package, record, said, progress=False)
    _write_reranker(root / "reranker", package)
    return Described(index, root / "reranker")


def _write_reranker(root: Path, package) -> None:
    """Scores by how much of the answers agrees, always sure."""
    root.mkdir()
    shapes = {
        "query_descriptor": ["b", package.descriptor_dim],
        "query_text": ["b", QUESTIONS.total_options],
        "similarity": ["b", "k"],
        "descriptors": ["b", "k", package.descriptor_dim],
        "texts": ["b", "k", QUESTIONS.total_options],
        "score": ["b", "k"],
        "confidence": ["b"],
    }
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("Unsqueeze", ["query_text", "last"], ["column"]),
        helper.make_node("MatMul", ["texts", "column"], ["agreement"]),
        helper.make_node("Squeeze", ["agreement", "last"], ["score"]),
        helper.make_node("ReduceMax", ["similarity"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["most", "most"], ["zero"]),
        helper.make_node("Exp", ["zero"], ["confidence"]),
    ]
    graph = helper.make_graph(
        nodes,
        "agreement",
        [values[name] for name in INPUTS],
        [values["score"], values["confidence"]],
        [numpy_helper.from_array(np.array([2], np.int64), "last")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(root / ONNX))
    RerankerPackage(
        root=root,
        name="agreement",
        version="1",
        files={ONNX: file_sha256(root / ONNX)},
        encoder_sha256=package.encoder_sha256,
        descriptor_dim=package.descriptor_dim,
        questions_version=QUESTIONS.version,
        questions_sha256=QUESTIONS.sha256,
        options=QUESTIONS.total_options,
        vlm=VLM,
        vlm_sha256=VLM_SHA256,
        top=10,
        fusion="sum",
        text="answers",
        threshold=0.5,
        temperature=0.5,
    ).save()


def replay(made: Made, described: Described, bag: Path, out: Path, vlm: str) -> list[Heard]:
    """Replay the flight; answers what was heard. An empty name asks nobody."""
    tree = {
        "search": {"reranker": str(described.reranker)},
        "vlm": {"model": vlm, "latency_s": 0.3, "worker": {"nice": 0, "spared_cores": 0}},
    }
    inputs = ReplayInputs(
        bag=bag, index=described.index, out=out, model=str(made.model), quiet=True
    )
    assert Replay(inputs, config.from_mapping(tree), make_answerer=make).run() == ""
    return tables.read_vlm(out) if vlm else []
