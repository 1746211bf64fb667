# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp itself takes the grammar, and lets through what the reader reads and nothing else."""

import ctypes
import json
import math

import pytest

from geoloc_ros.vlm.place_answer import GRAMMAR, parse_place_answer

gguf = pytest.importorskip("gguf")
llama_cpp = pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """A model that is nothing but a vocabulary of bytes, loaded by llama.cpp."""
    path = tmp_path_factory.mktemp("vocabulary") / "bytes.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    for add, value in (
        (writer.add_context_length, 64),
        (writer.add_embedding_length, 32),
        (writer.add_block_count, 1),
        (writer.add_feed_forward_length, 32),
        (writer.add_head_count, 1),
        (writer.add_layer_norm_rms_eps, 1e-5),
    ):
        add(value)
    kind = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    yield llama_cpp.llama_model_get_vocab(model.model)
    model.close()


def accepts(vocabulary, text: str) -> bool:
    """Whether a sampler under the grammar may write a text to its end."""
    sampler = llama_cpp.llama_sampler_init_grammar(vocabulary, GRAMMAR.encode(), b"root")
    assert sampler, "llama.cpp cannot parse the grammar"
    try:
        for token in [*(3 + byte for byte in text.encode()), 2]:
            one = (llama_cpp.llama_token_data * 1)((token, 0.0, 0.0))
            data = llama_cpp.llama_token_data_array(one, 1, -1, False)
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(data))
            if one[0].logit == -math.inf:
                return False
            if token != 2:
                llama_cpp.llama_sampler_accept(sampler, token)
        return True
    finally:
        llama_cpp.llama_sampler_free(sampler)


def written(**changes) -> str:
    content = {
        "country": "Germany",
        "region": "",
        "city": "München",
        "latitude": 48.14,
        "longitude": -11.575,
        "confidence": 0.75,
    }
    return json.dumps({**content, **changes}, ensure_ascii=False)


@pytest.mark.parametrize(
    "changes",
    [{}, {"latitude": None, "longitude": None}, {"confidence": 1.0}, {"city": "São Paulo / 的"}],
)
def test_good_answers_can_be_written_and_read(vocabulary, changes) -> None:
    text = written(**changes)
    assert accepts(vocabulary, text)
    parse_place_answer(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "It is Munich.",
        written()[:-1],
        written() + "\n",
        written(city="a" * 61),
        written(city='Mun"ich'),
        written(city="Munich\u001b"),
        written(confidence=2.0),
        written(confidence=-0.5),
        written(latitude=math.nan),
        written(latitude=1234.0),
        written(extra=1),
    ],
)
def test_nonsense_cannot_be_written(vocabulary, text) -> None:
    assert not accepts(vocabulary, text)
