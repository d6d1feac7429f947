# SPDX-License-Identifier: Apache-2.0
"""Code, YAML and declared parameters say the same."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
import yaml

from vla_drop_ros.nodes.command_gate_node import GateParameters
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.policy_settings import PolicyParameters
from vla_drop_ros.nodes.trial_node import TrialParameters

pytestmark = pytest.mark.ros

CONFIG = Path(__file__).parents[2] / 'config'


@dataclass(frozen=True)
class Example:
    """Parameters of a test node."""

    rate: float = parameter(2.0, 'How often', unit='Hz', minimum=1.0, maximum=5.0)
    count: int = parameter(3, 'How many', minimum=0, read_only=False)
    name: str = parameter('a', 'How it is called')


@pytest.fixture(name='context')
def _context() -> Iterator[Context]:
    context = Context()
    context.init()
    yield context
    context.shutdown()


@pytest.mark.parametrize(('file', 'kind'), [
    ('policy.yaml', PolicyParameters), ('gate.yaml', GateParameters),
    ('trial.yaml', TrialParameters)])
def test_shipped_yaml_is_the_defaults(file: str, kind: Any) -> None:
    """A YAML under config names every parameter with its default, and nothing else."""
    (_, section), = yaml.safe_load((CONFIG / file).read_text()).items()
    defaults = {name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(kind()).items()}
    assert section['ros__parameters'] == defaults


@pytest.mark.parametrize(('file', 'name'), [
    ('policy.yaml', 'policy_node'), ('gate.yaml', 'command_gate')])
def test_shipped_yaml_reaches_a_node_in_a_namespace(file: str, name: str) -> None:
    """The file's node name matches in every namespace."""
    context = Context()
    context.init(args=['--ros-args', '--params-file', str(CONFIG / file)])
    node = Node(name, namespace='left_arm', context=context,
                automatically_declare_parameters_from_overrides=True)
    assert node.get_parameter('autostart').value is False
    node.destroy_node()
    context.shutdown()


def test_declares_what_the_dataclass_says(context: Context) -> None:
    """Default, description with unit, range and read-only arrive in the descriptor."""
    node = Node('example', context=context)
    assert declare(node, Example) == Example()
    descriptor = node.describe_parameter('rate')
    assert descriptor.description == 'How often [Hz]' and descriptor.read_only
    assert descriptor.floating_point_range[0].to_value == 5.0
    assert node.describe_parameter('count').integer_range[0].from_value == 0
    node.destroy_node()


def test_overrides_win_and_ranges_hold(context: Context) -> None:
    """A given value reaches the dataclass; one out of range stops the start."""
    node = Node('example', context=context,
                parameter_overrides=[Parameter('name', value='b')])
    assert declare(node, Example).name == 'b'
    assert not node.set_parameters([Parameter('count', value=-1)])[0].successful
    node.destroy_node()
    node = Node('example', context=context, parameter_overrides=[Parameter('rate', value=9.0)])
    with pytest.raises(InvalidParameterValueException):
        declare(node, Example)
    node.destroy_node()
