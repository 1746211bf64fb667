# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Who describes scenes, and what is asked. No rclpy here."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc_ros.vlm.answerer import asked_of, check_answerer


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who describes scenes, and what is asked.

    Attributes:
        vlm: name and version of the model, for people.
        vlm_sha256: identity of all that decides its answers.
        questions_version: of the list of questions, for people; 0 for questions of its own.
        questions_sha256: identity of the list of questions; empty for questions of its own.
    """

    vlm: str
    vlm_sha256: str
    questions_version: int = 0
    questions_sha256: str = ""


def author_of(answerer: str) -> Author:
    """The author that an answerer of a name will be.

    Raises:
        ConfigError: there is none, or what it needs is not installed.
        ModelError: its files are missing or altered.
    """
    vlm, vlm_sha256 = check_answerer(answerer)
    questions = asked_of(answerer)
    if questions is None:
        return Author(vlm=vlm, vlm_sha256=vlm_sha256)
    return Author(
        vlm=vlm,
        vlm_sha256=vlm_sha256,
        questions_version=questions.version,
        questions_sha256=questions.sha256,
    )
