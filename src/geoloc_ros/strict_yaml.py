# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""YAML as configuration files are read: nothing is guessed, mistakes are one line."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import BaseConstructor, ConstructorError

from geoloc_ros.errors import ConfigError, first_line, shown


class _Loader(yaml.SafeLoader):
    """YAML where a key given twice is an error, 1e3 is a number, and merge keys are unknown."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; past SafeLoader, whose merge keys can grow without bounds."""
        mapping = BaseConstructor.construct_mapping(self, node, deep=deep)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    words = f"{shown(key.value)} is given twice"
                    raise ConstructorError(None, None, words, key.start_mark)
                seen.add(key.value)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse(text: str) -> Any:  # noqa: ANN401
    """What a YAML text holds.

    Raises:
        ConfigError: it is no YAML; one line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        words = ": ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}{words[:200]}") from error
    except Exception as error:  # PyYAML lets through what int() and datetime() refuse
        raise ConfigError(f"a value cannot be read: {first_line(error)}") from error
