# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Chat templates in the forms that published models use, and hostile ones."""

import pytest

from geoloc_ros.errors import ModelError
from geoloc_ros.vlm.templates import chat

MARKER = "<__media__>"
PARTS = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role | capitalize }}: "
    "{% for part in m.content %}{{ part.text }}{% endfor %}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
STRINGS = "{% for m in messages %}USER: {{ m.content | trim }}\n{% endfor %}ASSISTANT:"
STRICT = (
    "{% for m in messages %}{% if m.content is not string %}{{ raise_exception('text only') }}"
    "{% endif %}{{ m.content }}{% endfor %}{% generation %}{% endgeneration %}>"
)


def test_picture_and_question_find_their_places() -> None:
    frame = chat(PARTS, MARKER, "<s>", "</s>")
    assert frame.prefix == "<|im_start|>User: " + MARKER  # llama.cpp itself adds the <s>
    assert (frame.before, frame.after) == ("", "<end>\nAssistant:")


def test_templates_for_plain_texts_get_one() -> None:
    frame = chat(STRICT, MARKER, "", "")
    assert (frame.prefix, frame.before, frame.after) == (MARKER, "\n", ">")


@pytest.mark.parametrize(
    "template",
    [
        "no place for anything",
        "{% for %}",
        "{{ raise_exception('never') }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages[0].content }}{{ messages[0].content }}",
    ],
)
def test_templates_that_cannot_be_used_are_refused(template: str) -> None:
    with pytest.raises(ModelError, match="chat template cannot be used"):
        chat(template, MARKER, "", "")


def test_a_template_that_prints_parts_as_they_are_gets_a_text() -> None:
    frame = chat(STRINGS, MARKER, "", "")
    assert frame.prefix.endswith(MARKER)
    assert "'" not in frame.prefix + frame.before + frame.after
