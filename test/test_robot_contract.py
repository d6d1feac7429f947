# SPDX-License-Identifier: Apache-2.0
"""A contract is whole and true, or the robot does not start."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_drop_ros.contract_file import load_contract, parse_contract
from vla_drop_ros.errors import ActionSpecMismatchError, ContractError
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.observation_sync import Snapshot, state_vector
from vla_drop_ros.types import ActionSpec, CameraSpec

SHIPPED = Path(__file__).parents[1] / 'config' / 'robots' / 'simulated_arm.yaml'
CAMERAS = {'front': CameraSpec(64, 64)}


def shipped_data() -> dict[str, Any]:
    """Return the shipped contract as plain types."""
    data = yaml.safe_load(SHIPPED.read_text())
    assert isinstance(data, dict)
    return data


def spec(**changes: Any) -> ActionSpec:
    """Return an action spec that fits the shipped robot, with changes."""
    values = {'names': ('x', 'y', 'z', 'gripper'), 'frame': 'base_link', 'reference': 'delta',
              'period': 0.1, 'chunk_length': 8, 'executed_steps': 4}
    return ActionSpec(**{**values, **changes})


@pytest.fixture(name='contract')
def _contract() -> RobotContract:
    return load_contract(SHIPPED)


def test_shipped_contract_loads(contract: RobotContract) -> None:
    """The shipped YAML is valid and its numbers arrive in the dataclass."""
    assert contract.cameras['wrist'].topic == 'wrist_camera/image_raw'
    assert contract.limits.gripper_width == (0.0, 0.08)
    assert contract.gripper is not None and contract.gripper.scale == 2.0


def test_every_missing_limit_is_named_at_once() -> None:
    """All missing limits stand in one error, so a robot is described in one round."""
    data = shipped_data()
    data['limits'] = {'workspace': {'x': [0, 1]}}
    with pytest.raises(ContractError) as caught:
        parse_contract(data)
    for key in ('workspace.y', 'workspace.z', 'linear_velocity', 'angular_velocity', 'step',
                'gripper_width'):
        assert f'limits.{key}' in str(caught.value)


@pytest.mark.parametrize('key', ['dead_man', 'fault_action', 'control_rate', 'max_skew',
                                 'dry_run', 'command', 'state', 'cameras', 'frames'])
def test_nothing_has_a_default(key: str) -> None:
    """Leaving out any section refuses to start and names it."""
    data = shipped_data()
    del data[key]
    with pytest.raises(ContractError, match=key):
        parse_contract(data)


@pytest.mark.parametrize(('section', 'key', 'value', 'said'), [
    ('limits', 'linear_velocity', float('nan'), 'limits.linear_velocity: nan'),
    ('limits', 'step', -0.1, 'limits.step: -0.1'),
    ('limits', 'step', True, 'limits.step: True'),
    ('limits', 'gripper_width', [0.1, 0.0], 'limits.gripper_width'),
    ('limits', 'velocity', 1.0, 'limits.velocity: unknown key'),
    ('command', 'adapter', 'joint', 'must be one of'),
    ('frames', 'base', 'world', 'must be frames.base'),
])
def test_bad_values_are_named(section: str, key: str, value: object, said: str) -> None:
    """A value that is out of range, of the wrong type or misspelt is named with its key."""
    data = shipped_data()
    data[section][key] = value
    with pytest.raises(ContractError, match=said.replace('[', r'\[')):
        parse_contract(data)


def test_fault_action_must_fit_the_adapter() -> None:
    """A velocity controller cannot hold a pose, so hold with twist refuses to start."""
    data = shipped_data()
    data['command']['adapter'] = 'twist'
    with pytest.raises(ContractError, match="needs 'stop'"):
        parse_contract(data)


@pytest.mark.parametrize('text', ['a: [', '- 1', None])
def test_unreadable_file_is_a_contract_error(tmp_path: Path, text: str | None) -> None:
    """Missing, malformed and list-valued files say what is wrong instead of a traceback."""
    path = tmp_path / 'robot.yaml'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ContractError, match='robot.yaml'):
        load_contract(path)


def test_a_gripper_that_closes_with_growing_position_is_described() -> None:
    """Offset and a negative scale make widths of a knuckle's angle, and the angle of a width."""
    gripper = load_contract(SHIPPED.with_name('ur_servo.yaml')).gripper
    assert gripper is not None
    assert gripper.width(0.0) == pytest.approx(0.085)
    assert gripper.width(0.8) == pytest.approx(0.0)
    for width in (0.0, 0.02, 0.085):
        assert gripper.width(gripper.position(width)) == pytest.approx(width)


def test_a_state_with_such_a_gripper_has_its_width() -> None:
    """What the policy sees is the width, not the angle."""
    contract = load_contract(SHIPPED.with_name('ur_servo.yaml'))
    snapshot: Snapshot[Any] = Snapshot(0.0, {}, None, {'robotiq_85_left_knuckle_joint': 0.4})
    assert state_vector(snapshot, ('gripper.width',), contract) == pytest.approx([0.0425])


def test_fitting_policy_is_accepted(contract: RobotContract) -> None:
    """A checkpoint with fewer names, known cameras and known states fits."""
    contract.check_policy(spec(names=('x', 'z')), CAMERAS, ('ee.x', 'gripper.width', 'joint.j1'))


@pytest.mark.parametrize(('changes', 'field'), [
    ({'names': ('x', 'rz')}, 'action.names'),
    ({'frame': 'tool0'}, 'action.frame'),
    ({'reference': 'absolute'}, 'action.reference'),
    ({'period': 0.01}, 'control_rate'),
])
def test_foreign_action_language_is_refused(
        contract: RobotContract, changes: dict[str, Any], field: str) -> None:
    """A checkpoint that speaks another action language is refused, naming the field."""
    with pytest.raises(ActionSpecMismatchError, match=field):
        contract.check_policy(spec(**changes), CAMERAS, ())


def test_unknown_camera_and_state_are_refused(contract: RobotContract) -> None:
    """A camera or state value that the robot lacks is refused with the valid ones."""
    with pytest.raises(ContractError, match="'frond'.*front"):
        contract.check_policy(spec(), {'frond': CameraSpec(1, 1)}, ())
    with pytest.raises(ContractError, match='ee.w'):
        contract.check_policy(spec(), CAMERAS, ('ee.w',))
