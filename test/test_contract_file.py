# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong in a contract is named by its key, all of it at once, and nothing crashes."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
import math
from pathlib import Path
import random
from typing import Any

import pytest
import yaml

from vla_drop_ros.contract_file import load_contract, parse_contract
from vla_drop_ros.contracts.keys import find_key
from vla_drop_ros.contracts.rules import advice
from vla_drop_ros.errors import ContractError

ROBOTS = Path(__file__).parents[1] / 'config' / 'robots'
SHIPPED = sorted(ROBOTS.glob('*.yaml'))
NAMES = [path.stem for path in SHIPPED]
Place = tuple[str, ...]


@cache
def parsed(name: str) -> dict[str, Any]:
    """Return the plain types of a shipped contract; not to be changed."""
    data = yaml.safe_load((ROBOTS / f'{name}.yaml').read_text(encoding='utf-8'))
    assert isinstance(data, dict)
    return data


def shipped(name: str) -> dict[str, Any]:
    """Return a shipped contract as plain types."""
    return deepcopy(parsed(name))


def leaves(data: dict[str, Any], place: Place = ()) -> Iterator[Place]:
    """Yield the path of every value."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, (*place, name))
        else:
            yield (*place, name)


def section(data: dict[str, Any], path: Place) -> dict[str, Any]:
    """Return the mapping that holds the last name of a path."""
    for name in path[:-1]:
        data = data[name]
    return data


LEAVES = [(name, path) for name in NAMES for path in leaves(shipped(name))]


def needed(path: Place) -> bool:
    """Say whether a key may not be left out."""
    key = find_key(path)
    assert key is not None, path
    return key.need != 'optional'


def refusal(data: Any) -> str:
    """Return what the reader says of data that it refuses."""
    with pytest.raises(ContractError) as caught:
        parse_contract(data)
    return str(caught.value)


@pytest.mark.parametrize('path', SHIPPED, ids=NAMES)
def test_shipped_contracts_are_whole(path: Path) -> None:
    """Every shipped contract loads; those for hardware are in dry run, locked, without remarks."""
    contract = load_contract(path)
    if contract.robot != 'simulated_arm':
        assert contract.dry_run and contract.interlock == 'enable'
        assert not advice(contract)


@pytest.mark.parametrize(('name', 'path'), [one for one in LEAVES if needed(one[1])])
def test_a_deleted_key_is_named(name: str, path: Place) -> None:
    """No key that is not marked optional may be left out of any shipped contract."""
    data = shipped(name)
    del section(data, path)[path[-1]]
    assert f'{".".join(path)}: missing' in refusal(data)


@pytest.mark.parametrize(('name', 'path'), LEAVES)
def test_an_absurd_value_is_named(name: str, path: Place) -> None:
    """Nothing, the wrong type, TODO, NaN, infinite and absurd numbers are refused everywhere."""
    for value in (None, {}, {'a': 1}, object(), [], 'TODO', '', math.nan, math.inf, -1e9, 1e9,
                  10**400):
        data = shipped(name)
        section(data, path)[path[-1]] = value
        assert '.'.join(path) in refusal(data)


@pytest.mark.parametrize(('name', 'path'), LEAVES)
def test_a_misspelt_key_is_named_with_the_right_one(name: str, path: Place) -> None:
    """A letter that is missing leaves no key unread: the message has the wrong and the right."""
    data = shipped(name)
    place = section(data, path)
    wrong = path[-1][:-1] + '_'
    place[wrong] = place.pop(path[-1])
    said = refusal(data)
    assert f'{".".join((*path[:-1], wrong))}: unknown key' in said
    assert '.'.join(path) in said


@pytest.mark.parametrize(('name', 'changes', 'said'), [
    ('franka_cartesian', {'limits.linear_velocity': 250}, 'at most 5 m/s; is this in mm?'),
    ('franka_cartesian', {'limits.angular_velocity': 45}, 'at most 15 rad/s; is this in deg'),
    ('franka_cartesian', {'limits.workspace.x': [300, 650]}, 'is this in mm?'),
    ('franka_cartesian', {'limits.workspace.y': [0.3, -0.3]}, 'are they swapped?'),
    ('franka_cartesian', {'limits.step': '1e-2'}, 'YAML takes this for text'),
    ('franka_cartesian', {'limits.step': True}, 'must be a number'),
    ('franka_cartesian', {'dead_man': 500}, 'is this in ms?'),
    ('franka_cartesian', {'max_chunk_age': 0.03}, 'shorter than two control periods'),
    ('franka_cartesian', {'max_chunk_age': 0}, 'max_chunk_age: 0 must be'),
    ('franka_cartesian', {'control_rate': 0.03}, 'is this a period?'),
    ('franka_cartesian', {'ramp_in': -1}, 'ramp_in: -1 must be at least 0 s'),
    ('franka_cartesian', {'dry_run': 'yes'}, 'must be true or false'),
    ('franka_cartesian', {'command.topic': '1target'}, 'is no ROS name'),
    ('franka_cartesian', {'command.topic': 'target pose'}, 'is no ROS name'),
    ('franka_cartesian', {'command.topic': '~/target'}, 'is no ROS name'),
    ('franka_cartesian', {'state.pose.topic': 'target_pose'}, 'is the topic of state.pose'),
    ('franka_cartesian', {'cameras.front.topic': 'wrist_camera/color/image_raw'},
     'is the topic of cameras.front.topic already'),
    ('franka_cartesian', {'cameras.front.latency': 0.2}, 'must be less than max_age'),
    ('franka_cartesian', {'state.pose.max_age': 1.0}, 'is longer than dead_man'),
    ('franka_cartesian', {'state.pose.max_age': 0.01}, 'shorter than one control period'),
    ('franka_cartesian', {'frames.end_effector': 'base'}, 'must not be frames.base'),
    ('franka_cartesian', {'frames.base': '/base', 'action.frame': '/base'}, 'no leading /'),
    ('franka_cartesian', {'state.gripper.scale': 0}, 'scale: must not be 0'),
    ('franka_cartesian', {'command.adapter': 'pos'}, 'did you mean pose?'),
    ('franka_cartesian', {'command.lead': 0.1}, 'command.lead: has no effect here, only when'),
    ('franka_cartesian', {'command.servo': {'pause': 'a'}}, 'only with command.adapter twist'),
    ('franka_cartesian', {'limits.joints': {'a': {}}}, 'limits.joints: has no effect here'),
    ('franka_cartesian', {'limits': 5}, 'limits: 5 must be a mapping with'),
    ('so101_joints', {'limits.joints.elbow_flex.position': [-90, 90]}, 'is this in degrees?'),
    ('so101_joints', {'limits.joints.elbow': {'step': 1.0}},
     'limits.joints.elbow: has no effect here: action.names do not have joint.elbow'),
    ('so101_joints', {'action.names': ['joint.shoulder_pan', 'joint.tail', 'gripper']},
     'limits.joints.tail.position: missing'),
    ('so101_joints', {'state.gripper.joint': 'elbow_flex'}, 'the gripper is its own joint'),
    ('so101_joints', {'action.names': ['joint.shoulder_pan', 'x']}, 'mix joints and poses'),
    ('so101_joints', {'cameras': {}}, 'cameras: {} must be a mapping with at least one entry'),
    ('so101_joints', {'cameras.wrist.transport': 'theora'}, "one of ['raw', 'compressed']"),
    ('ur_servo', {'fault_action': 'hold'}, "needs 'stop'"),
    ('ur_servo', {'command.servo.linear_scale': 0.4}, 'command.servo.angular_scale: missing'),
])
def test_a_likely_mistake_is_explained(name: str, changes: dict[str, Any], said: str) -> None:
    """Units, swapped ends, copied lines and contradictions come with what was probably meant."""
    data = shipped(name)
    for key, value in changes.items():
        path = tuple(key.split('.'))
        section(data, path)[path[-1]] = value
    if said == 'mix joints and poses':
        for joint in ('shoulder_lift', 'elbow_flex', 'wrist_flex', 'wrist_roll'):
            del data['limits']['joints'][joint]
        for joint in ('state', 'limits'):
            data[joint].pop('gripper', None)
        del data['command']['gripper'], data['limits']['gripper_width']
    assert said in refusal(data)


def test_every_problem_stands_in_one_error() -> None:
    """Three mistakes are three lines, in the order of the file."""
    data = shipped('ur_servo')
    del data['dead_man']
    data['limits']['step'] = -1
    data['robto'] = 1
    assert 'refusing to start, 3 problem(s)' in refusal(data)


def write(folder: Path, text: str) -> Path:
    """Return a file with this text."""
    path = folder / 'robot.yaml'
    path.write_text(text, encoding='utf-8')
    return path


def test_messages_have_the_line(tmp_path: Path) -> None:
    """A bad value has its own line, a missing key that of its section; repeated keys are found."""
    lines = (ROBOTS / 'ur_servo.yaml').read_text(encoding='utf-8').splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith('  linear_velocity'))
    lines[at] = '  linear_velocity: -1'
    gone = next(i for i, line in enumerate(lines) if line.startswith('  step'))
    lines[gone] = '  gripper_width: [0.0, 0.08]'
    limits = lines.index('limits:')
    with pytest.raises(ContractError) as caught:
        load_contract(write(tmp_path, '\n'.join(lines)))
    assert f'line {at + 1}: limits.linear_velocity: -1' in str(caught.value)
    assert f'line {limits + 1}: limits.step: missing' in str(caught.value)
    assert 'limits.gripper_width: stands 2 times' in str(caught.value)


GARBAGE: list[Any] = [None, True, 0, -1, 1e308, math.nan, '', 'x', 'TODO', [], [1, 2], [[]], {},
                      {1: 2}, {'': 1}, {True: None}, {('a', 'b'): 1}, 10**5000, b'x',
                      'a' * 10_000, [None, 'x', 'x']]


def garbage(rng: random.Random, depth: int = 0) -> Any:
    """Return something that a YAML file could hold."""
    if depth < 3 and rng.random() < 0.4:
        names = ['limits', 'x', 'state', 1, None, 'topic', 'joints', 'names', 'gripper']
        return {rng.choice(names): garbage(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(GARBAGE)


@pytest.mark.parametrize('seed', range(300))
def test_garbage_is_a_contract_error(seed: int) -> None:
    """Random values at random places raise nothing but ContractError, or make a valid contract."""
    rng = random.Random(seed)
    data = shipped(rng.choice(NAMES)) if seed % 3 else garbage(rng)
    if isinstance(data, dict):
        paths = [path for path in leaves(data) if path]
        for path in rng.sample(paths, k=min(len(paths), rng.randrange(1, 4))):
            cut = path[:rng.randrange(1, len(path) + 1)]
            try:
                section(data, cut)[cut[-1]] = deepcopy(garbage(rng))
            except (KeyError, TypeError):
                continue
    try:
        parse_contract(data)
    except ContractError as error:
        assert len(str(error)) < 100_000


@pytest.mark.parametrize('text', [
    'limits: &a {b: *a}', '&a {cameras: *a, limits: *a}', 'a: 2024-99-99', 'a: !!python/name:os.x',
    '{' * 3000, '[' * 100_000, 'a: 0x' + 'f' * 9000, '? [1, 2]\n: 3', 'cameras: &c {front: *c}',
    '\x00', 'a: "\\', '- 1', '', '--- 1\n--- 2', 'state: {1: 2, ~: 3, 1.5: 4, [a]: 5}',
    'a: &a [x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\ncameras: [*c,*c,*c,*c]'])
def test_hostile_yaml_is_a_contract_error(tmp_path: Path, text: str) -> None:
    """Cycles, nesting, tags, huge numbers and no mapping end in ContractError, and soon."""
    with pytest.raises(ContractError, match=r'robot\.yaml'):
        load_contract(write(tmp_path, text))


def test_bytes_that_are_no_text_are_a_contract_error(tmp_path: Path) -> None:
    """A binary file is refused by name."""
    path = tmp_path / 'robot.yaml'
    path.write_bytes(b'\xff\xfe\x00\xd8')
    with pytest.raises(ContractError, match='is no text'):
        load_contract(path)


def test_names_with_dots_are_names(tmp_path: Path) -> None:
    """A camera key such as wrist.right, which checkpoints have, is one name."""
    data = shipped('franka_cartesian')
    data['cameras']['wrist.right'] = data['cameras'].pop('wrist')
    assert 'wrist.right' in parse_contract(data).cameras
    del data['cameras']['wrist.right']['topic']
    assert 'cameras.wrist.right.topic: missing' in refusal(data)
