# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from the configuration dataclasses: declared, described, checked together."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from geoloc_ros.config import flatten, from_mapping
from geoloc_ros.errors import ConfigError, first_line

#: parameters that every node has without our doing
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides", "bond_")

Tree = TypeVar("Tree")


class Parameters(Generic[Tree]):
    """One configuration tree as parameters of a node.

    Args:
        node: that declares them.
        kind: dataclass of the tree.
        fixed: beginnings of the names that are read once, when the node is configured.
        read_only: names that are read once, when the node starts.
        leave_out: beginnings of the names that play no part in the node.

    Attributes:
        names: of the parameters.
        faults: what is wrong with values given at start, by name; the defaults stand there.
    """

    def __init__(
        self,
        node: Node,
        kind: type[Tree],
        fixed: tuple[str, ...],
        read_only: tuple[str, ...],
        leave_out: tuple[str, ...] = (),
    ) -> None:
        self._node, self._kind, self._fixed = node, kind, fixed
        self.names: tuple[str, ...] = ()
        self.faults: dict[str, str] = {}
        for name, value, item in flatten(kind()):
            if leave_out and name.startswith(leave_out):
                continue
            descriptor = _descriptor(name, item)
            descriptor.read_only = name in read_only
            if name.startswith(fixed):
                descriptor.additional_constraints = "takes effect when the node is configured"
            self._declare(name, value, descriptor)
            self.names += (name,)

    def read(self) -> Tree:
        """The tree as it is set now.

        Raises:
            ConfigError: a value is out of bounds, or one given at start was.
        """
        if self.faults:
            raise ConfigError("; ".join(self.faults.values()))
        return self.with_changes([])

    def read_or_default(self) -> Tree:
        """The tree as it is set now, or the defaults where that makes no sense."""
        try:
            return self.read()
        except ConfigError:
            return self._kind()

    def mended(self, names: Iterable[str]) -> None:
        """Sound values have been set since the start."""
        for name in names:
            self.faults.pop(name, None)

    def with_changes(self, changes: list[Parameter]) -> Tree:
        """The tree with some parameters changed; those of other trees are passed over.

        Raises:
            ConfigError: a value is out of bounds, or values do not go together.
        """
        values = {name: self._node.get_parameter(name).value for name in self.names}
        values |= {p.name: p.value for p in changes if p.name in self.names}
        tree: dict[str, Any] = {}
        for name, value in values.items():
            *groups, leaf = name.split(".")
            branch = tree
            for group in groups:
                branch = branch.setdefault(group, {})
            branch[leaf] = value
        found: Tree = from_mapping(tree, self._kind)
        return found

    def _declare(self, name: str, value: object, descriptor: ParameterDescriptor) -> None:
        """Declare one parameter; a value given at start that it cannot take is a fault."""
        given = _overrides(self._node).get(name)
        number = isinstance(value, float) and given is not None and type(given.value) is int
        first = float(given.value) if number and given is not None else value  # 1 means 1.0
        try:
            self._node.declare_parameter(name, first, descriptor, ignore_override=number)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            self.faults[name] = f"{name}: {first_line(error)}"
            self._node.declare_parameter(name, value, descriptor, ignore_override=True)

    def fixed(self, names: Iterable[str]) -> list[str]:
        """Those of some names that only count when the node is configured the next time."""
        return [name for name in names if name in self.names and name.startswith(self._fixed)]


def _overrides(node: Node) -> dict[str, Parameter]:
    """What was given at start; rclpy has no public word for it."""
    found: dict[str, Parameter] = getattr(node, "_parameter_overrides", {})
    return found


def refuse_unless(check: Callable[[list[Parameter]], None]) -> Callable[..., SetParametersResult]:
    """A set-parameters callback that refuses whatever a check raises ConfigError for."""

    def callback(parameters: list[Parameter]) -> SetParametersResult:
        try:
            check(parameters)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    return callback


def unknown_parameters(node: Node, known: Iterable[str]) -> list[str]:
    """One line per parameter that was given at start and that the node does not have."""
    names = list(known)
    lines = []
    for name in sorted(_overrides(node)):
        if name in names or name.startswith(_OF_ROS):
            continue
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; 'ros2 param list' shows all"
        lines.append(f"unknown parameter {name}{hint}")
    return lines


def _descriptor(name: str, item: dataclasses.Field[Any]) -> ParameterDescriptor:
    meta = item.metadata
    doc = meta["doc"]
    if meta["choices"]:
        doc += f" [{', '.join(meta['choices'])}]"
    descriptor = ParameterDescriptor(name=name, description=doc)
    low, high = meta["ge"], meta["le"]
    if low is not None and item.type == "int":
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
    elif low is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
        ]
    return descriptor
