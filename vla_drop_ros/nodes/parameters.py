# SPDX-License-Identifier: Apache-2.0
"""ROS parameters declared from frozen dataclasses, so that code, YAML and docs cannot drift."""

from dataclasses import dataclass, field, fields, MISSING
import math
from typing import Any, get_type_hints, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Parameters = TypeVar('Parameters')
SUPPORTED: tuple[Any, ...] = (bool, int, float, str, tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a parameter means to its user."""

    description: str
    unit: str
    minimum: float | None
    maximum: float | None
    read_only: bool


def parameter(default: bool | int | float | str | tuple[str, ...], description: str, *,
              unit: str = '', minimum: float | None = None, maximum: float | None = None,
              read_only: bool = True) -> Any:
    """Return a dataclass field that ``declare`` turns into a ROS parameter.

    Args:
        default: value when nothing sets it; its type is the parameter's type, a list of strings
            for a tuple, which holds at least one, since an empty list has no type.
        description: consequence of setting it, one sentence.
        unit: for instance ``s``; appended to the description.
        minimum: smallest allowed number.
        maximum: largest allowed number.
        read_only: whether it is fixed once the node has started.

    """
    return field(default=default, metadata={
        'meaning': Meaning(description, unit, minimum, maximum, read_only)})


def declare(node: Node, kind: type[Parameters]) -> Parameters:
    """Declare every field of a dataclass on the node and return the values now in force.

    Raises:
        rclpy.exceptions.InvalidParameterValueException: a value is out of its range.
        TypeError: a field has no plain type or no default.

    """
    hints = get_type_hints(kind)
    values = {}
    for item in fields(kind):  # type: ignore[arg-type]
        if hints[item.name] not in SUPPORTED or item.default is MISSING:
            raise TypeError(f'{kind.__name__}.{item.name}: needs a default and a type from '
                            f'{[allowed.__name__ for allowed in SUPPORTED]}')
        descriptor = _describe(hints[item.name], item.metadata['meaning'])
        value = node.declare_parameter(item.name, item.default, descriptor).value
        values[item.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _describe(kind: type, meaning: Meaning) -> ParameterDescriptor:
    unit = f' [{meaning.unit}]' if meaning.unit else ''
    descriptor = ParameterDescriptor(description=meaning.description + unit,
                                     read_only=meaning.read_only)
    if meaning.minimum is None and meaning.maximum is None:
        return descriptor
    low = -math.inf if meaning.minimum is None else meaning.minimum
    high = math.inf if meaning.maximum is None else meaning.maximum
    if kind is float:
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    else:
        descriptor.integer_range = [IntegerRange(
            from_value=int(max(low, -2**63)), to_value=int(min(high, 2**63 - 1)))]
    return descriptor
