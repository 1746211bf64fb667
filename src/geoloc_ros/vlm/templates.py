# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What stands around picture and question: nothing for our own models, a chat for others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from geoloc_ros.errors import ModelError, first_line

_SENTINEL = "@@QUESTION@@"
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_PRINTED_PART = re.compile(r"""['"]type['"]: *['"]text['"]""")
CHAT_HINT = "\nAnswer with the letter of one option only."


@dataclass(frozen=True, slots=True)
class Frame:
    """The parts of a prompt.

    Attributes:
        prefix: up to and with the picture's marker; the same for every question.
        before: between picture and question.
        after: between question and answer.
    """

    prefix: str
    before: str
    after: str


def plain(marker: str) -> Frame:
    """Picture, newline, question."""
    return Frame(marker, "\n", "")


def chat(template: str, marker: str, bos: str, eos: str) -> Frame:
    """The frame of a chat template in Jinja, as GGUF files carry it.

    Args:
        template: its source; comes from a file that may be anybody's, so it runs in a sandbox.
        marker: text that stands for the picture.
        bos: text of the token that begins a text; not repeated where the template writes it.
        eos: text of the token that ends one.

    Raises:
        ModelError: the template cannot be used for one picture and one question.
    """
    parts = [{"type": "text", "text": marker}, {"type": "text", "text": _SENTINEL}]
    complaints = []
    for content in (parts, marker + "\n" + _SENTINEL):
        try:
            text = _render(template, content, bos, eos)
        except Exception as error:  # noqa: BLE001 - whatever a foreign template raises
            complaints.append(first_line(error))
            continue
        before, found, rest = text.partition(marker)
        between, asked, after = rest.partition(_SENTINEL)
        as_it_is = _PRINTED_PART.search(text)  # a list of parts printed into the text
        if found and asked and marker not in rest and not as_it_is:
            return Frame(before.removeprefix(bos) + marker, between, after)
        complaints.append("picture or question got lost")
    raise ModelError(f"the model's chat template cannot be used: {'; '.join(complaints)}")


def _render(template: str, content: object, bos: str, eos: str) -> str:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: ""
    values: dict[str, Any] = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
    messages = [{"role": "user", "content": content}]
    source = _GENERATION.sub("", template)
    return environment.from_string(source).render(messages=messages, **values)


def _refuse(message: str) -> str:
    raise ValueError(message)
