# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Models of other architectures, at random: chats, tiles, positions in three directions."""

import ctypes
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gguf", reason="gguf is not installed")

from foreign_vlm import make_qwen2vl_like, make_smolvlm_like

from geoloc_ros.vlm.llama import LlamaVlm
from geoloc_ros.vlm.opening import open_vlm
from geoloc_ros.vlm.questions import prompt
from geoloc_ros.vlm.templates import CHAT_HINT
from geoloc_ros.vlm.trial import difference, made_picture

Maker = Callable[[Path], Path]


@pytest.fixture(scope="module", params=[make_smolvlm_like, make_qwen2vl_like])
def vlm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaVlm]:
    package = open_vlm(str(request.param(tmp_path_factory.mktemp("foreign") / "model")))
    assert package.template == "chat"
    vlm = LlamaVlm(package, n_threads=1)
    yield vlm
    vlm.close()


def test_it_answers_by_its_chat_template(vlm: LlamaVlm) -> None:
    rgb = made_picture(0)
    reply = vlm.answer(rgb)
    assert all(answer.mass >= 0.05 for answer in reply.answers)
    assert difference(reply, vlm.answer(made_picture(1))) > 1e-3
    assert difference(reply, vlm.ask_separately(rgb)) < 1e-2  # attention in 16-bit floats


def test_logits_are_those_of_the_whole_prompt(vlm: LlamaVlm) -> None:
    session, question = vlm._session, vlm.questions.questions[0]
    rgb = vlm._fitted(made_picture(0))
    session.look(vlm._frame.prefix, rgb)
    found = session.continue_with([vlm._tokens(question, False)])[0]
    frame = vlm._frame
    text = frame.prefix + frame.before + prompt(question) + CHAT_HINT + frame.after
    expected = _evaluate_in_one(vlm, text, rgb)
    assert np.abs(found - expected).max() < 0.01  # of 200; a position too far makes it 0.2


def _evaluate_in_one(vlm: LlamaVlm, text: str, rgb: np.ndarray) -> np.ndarray:
    """What libmtmd's own helper makes of a whole prompt."""
    session, mtmd = vlm._session, vlm._session._mtmd
    session._llama.llama_memory_clear(session._memory, False)
    chunks = mtmd.mtmd_input_chunks_init()
    session._cut(chunks, text, rgb)
    end = session._llama.llama_pos(0)
    failed = mtmd.mtmd_helper_eval_chunks(
        session._eyes, session._context, chunks, 0, 0, 512, True, ctypes.byref(end)
    )
    assert not failed
    mtmd.mtmd_input_chunks_free(chunks)
    return session._logits_at(-1).copy()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 3), (6000, 8000, 3)])
def test_pictures_of_any_size_are_answered(vlm: LlamaVlm, shape: tuple[int, int, int]) -> None:
    assert len(vlm.answer(np.full(shape, 90, np.uint8)).answers) == len(vlm.questions.questions)


@pytest.mark.parametrize("make", [make_smolvlm_like, make_qwen2vl_like])
def test_the_tokens_of_a_picture_can_be_limited(tmp_path: Path, make: Maker) -> None:
    package = open_vlm(str(make(tmp_path / "model")))
    sizes = []
    for most in (0, 8):
        vlm = LlamaVlm(dataclasses.replace(package, image_tokens=most), n_threads=1)
        vlm.answer(made_picture(0))
        sizes.append(vlm.size.picture_tokens)
        vlm.close()
    assert sizes[1] < 0.8 * sizes[0]
