# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Requirements on results, such as `position_error_m.median<=2`: read, judged, shown.

A requirement names a figure of a result by its path through nested mappings (`recall.1` is
`result["recall"]["1"]`), an operator, and a limit in the figure's own unit. A figure that is not
known is null in the result, and never meets a requirement.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoloc_ros.errors import ConfigError, shown

Figure = float | int | str | bool | None

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
OPERATORS = tuple(_COMPARISONS)

_FORM = re.compile(r"\s*([^<>=!\s]+)\s*(<=|>=|==|<|>)\s*([^<>=\s](?:.*\S)?)\s*", re.DOTALL)
_NEAR = 4


@dataclass(frozen=True, slots=True)
class Gate:
    """One requirement.

    Attributes:
        key: path of the figure, with dots between the keys.
        comparison: one of `OPERATORS`.
        limit: a finite number, or, with `==` only, a text.
    """

    key: str
    comparison: str
    limit: float | str

    def __str__(self) -> str:
        """As a person writes it."""
        limit = f"{self.limit:.12g}" if isinstance(self.limit, float) else self.limit
        return f"{self.key}{self.comparison}{limit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a requirement.

    Attributes:
        gate: the requirement.
        value: the figure.
        reason: why it is not met; empty if it is.
    """

    gate: Gate
    value: Figure
    reason: str

    @property
    def met(self) -> bool:
        """Whether the requirement is met."""
        return not self.reason


def parse_gate(text: str) -> Gate:
    """Read a requirement such as `availability>=0.95` or `encoder==perspective`.

    Raises:
        ConfigError: it has another form, or a limit that its operator cannot compare with.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"the requirement {shown(text)} is not of the form KEY OPERATOR LIMIT; write it like "
            f"'position_error_m.median<=2', with one of {' '.join(OPERATORS)}"
        )
    key, comparison, limit = found.groups()
    try:
        number = float(limit)
    except ValueError:
        if comparison == "==":
            return Gate(key, comparison, limit)
        raise ConfigError(
            f"the limit {shown(limit)} of the requirement on {key} is no number; only == compares "
            "texts"
        ) from None
    if not math.isfinite(number):
        raise ConfigError(f"the limit {limit} of the requirement on {key} is not finite")
    return Gate(key, comparison, number)


def judge(
    gates: Sequence[Gate], result: Mapping[str, Any], unknown: str = "it is not known"
) -> list[Verdict]:
    """Compare every requirement with a result.

    Args:
        gates: the requirements.
        result: nested mappings with figures at their ends, as in `result.json`.
        unknown: why a figure of this result may be null, for those that are.

    Returns:
        One verdict for each requirement, in their order.

    Raises:
        ConfigError: a key that the result does not have, or that names no single figure.
    """
    figures = dict(_flat(result))
    missing = next((gate.key for gate in gates if gate.key not in figures), None)
    if missing is not None:
        raise ConfigError(_no_such_figure(missing, figures))
    return [_verdict(gate, figures[gate.key], unknown) for gate in gates]


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One aligned line for each requirement: whether it is met, and the figure."""
    width = max((len(str(verdict.gate)) for verdict in verdicts), default=0)
    return [
        f"{'met   ' if verdict.met else 'FAILED'}  {verdict.gate!s:<{width}}  "
        f"{verdict.reason or f'it is {_text(verdict.value)}'}"
        for verdict in verdicts
    ]


def _verdict(gate: Gate, value: Figure, unknown: str) -> Verdict:
    if value is None:
        return Verdict(gate, value, f"it is null: {unknown}")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number != isinstance(gate.limit, float):
        kind = "a number" if number else "no number"
        return Verdict(gate, value, f"it is {_text(value)}, {kind}")
    if number and not math.isfinite(float(value)):
        return Verdict(gate, value, f"it is {value}, which is not finite")
    met = _COMPARISONS[gate.comparison](value, gate.limit)
    return Verdict(gate, value, "" if met else f"it is {_text(value)}")


def _text(value: Figure) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shown(value)


def _flat(result: Mapping[str, Any], before: str = "") -> list[tuple[str, Figure]]:
    """(path, figure) of every end of nested mappings."""
    rows: list[tuple[str, Figure]] = []
    for key, value in result.items():
        path = f"{before}{key}"
        rows += _flat(value, f"{path}.") if isinstance(value, Mapping) else [(path, value)]
    return rows


def _no_such_figure(key: str, figures: Mapping[str, Figure]) -> str:
    inside = [name for name in figures if name.startswith(f"{key}.")]
    if inside:
        return f"{key} holds several figures; require one of {', '.join(inside)}"
    near = difflib.get_close_matches(key, figures, _NEAR, 0.5)
    last = key.rsplit(".", 1)[-1]
    near += [name for name in figures if name.rsplit(".", 1)[-1] == last and name not in near]
    if near:
        return f"there is no figure {shown(key)}; near: {', '.join(near[: 2 * _NEAR])}"
    return f"there is no figure {shown(key)}; there are: {', '.join(figures)}"
