# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vlm_toy import toy_config, toy_prompts  # noqa: E402

from geoloc_ros.training.vlm_nets import TinyVlm, pack  # noqa: E402


def toy_vlm(**changes: int) -> TinyVlm:
    torch.manual_seed(3)
    return TinyVlm(*toy_config(**changes).specs(toy_prompts().vocabulary))


@torch.no_grad()
def test_packed_questions_do_not_see_each_other() -> None:
    model = toy_vlm(text_layers=3)
    images = torch.randn(2, 3, 48, 48)
    questions = [[300, 301, 302], [310, 305], [300, 301, 302, 290, 288]]
    together = model(images, pack(questions))
    alone = torch.cat([model(images, pack([q])) for q in questions], dim=1)
    assert together.shape == (2, 3, len(toy_prompts().vocabulary))
    assert torch.allclose(together, alone, atol=1e-5)


@torch.no_grad()
def test_an_answer_depends_on_the_picture_and_on_every_word() -> None:
    model = toy_vlm()
    images = torch.randn(2, 3, 48, 48)
    said = model(images, pack([[300, 301, 302], [300, 307, 302], [301, 300, 302]]))[:, :, 270:]
    assert not torch.allclose(said[0], said[1], atol=1e-4)
    assert not torch.allclose(said[:, 0], said[:, 1], atol=1e-4)
    assert not torch.allclose(said[:, 0], said[:, 2], atol=1e-4)


def test_weights_carry_the_names_and_shapes_of_the_files() -> None:
    model = toy_vlm()
    text, vision = model.weights()
    assert {k: v.shape for k, v in text.items()} == model.language.spec.shapes()
    assert {k: v.shape for k, v in vision.items()} == model.vision.spec.shapes()


def test_patches_are_those_of_a_convolution() -> None:
    model = toy_vlm()
    images = torch.randn(1, 3, 48, 48)
    kernel = torch.from_numpy(np.asarray(model.weights()[1]["v.patch_embd.weight"]))
    expected = torch.nn.functional.conv2d(images, kernel, stride=4).flatten(2).transpose(1, 2)
    found = torch.nn.functional.linear(model.vision.patches(images), model.vision.patch.weight)
    assert torch.allclose(found, expected, atol=1e-5)


def test_llama_cpp_comes_to_the_same_probabilities(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    from geoloc_ros.training.vlm_evaluate import llama_answers, torch_answers
    from geoloc_ros.training.vlm_export import write_files
    from geoloc_ros.vlm.llama_session import LlamaSession

    model, prompts = toy_vlm(vision_layers=2, text_layers=3, vision_width=64), toy_prompts()
    with torch.no_grad():
        for weight in model.parameters():  # far from where training starts, so that all matters
            weight.add_(torch.randn_like(weight) * (0.1 if weight.ndim > 1 else 0.3))
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    session = LlamaSession(
        *write_files(model, tmp_path, "F32"), n_threads=1, exact=True, gpu=False
    )
    try:
        found = llama_answers(session, prompts, images)
    finally:
        session.close()
    expected = torch_answers(model, prompts, images)
    assert np.abs(found - expected).max() < 1e-3
    assert np.abs(expected[0] - expected[1]).max() > 0.02
    assert 0.2 < expected.max(axis=2).mean() < 0.9
