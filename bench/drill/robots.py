# SPDX-License-Identifier: Apache-2.0
"""The robots of the drill: the simulated arm, commanded in poses, in twists or in joints."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.simulation.scene import ARM_JOINTS, JOINT_LIMITS
from vla_drop_ros.types import ActionSpec, GRIPPER_NAME, JOINT_PREFIX

PREFIX = 'drill'
INSIDE = 0.1     # [rad] from the stops of a joint to its limit
JOINT_PACE = {'velocity': 2.0, 'acceleration': 8.0, 'step': 0.2}   # rad/s, rad/s^2, rad
Streams = dict[str, tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Robot:
    """One way to command the arm.

    Attributes:
        adapter: of the contract's command, and the controller of the simulated robot.
        measured: stream that says where the arm is, ``pose`` or ``joints``.
        unit: of distances, ``m`` or ``rad``.
        moves: speed of command and arm that counts as real motion, in ``unit``/s.
        changes: what is another in the shipped contract, key by key.
        policy, faulty: modules of the policy node, the second for faults of inference.

    """

    adapter: str
    measured: str
    unit: str
    moves: float
    changes: Mapping[str, Any]
    policy: str = ''
    faulty: str = 'bench.drill.faulty_policy'


ROBOTS: Mapping[str, Robot] = MappingProxyType({
    'pose': Robot('pose', 'pose', 'm', 0.04, {}),
    'twist': Robot('twist', 'pose', 'm', 0.04, {
        'fault_action': 'stop',
        'command': {'adapter': 'twist', 'topic': 'twist_command'}}),
    'joints': Robot('joint_trajectory', 'joints', 'rad', 0.08, {
        'action': {'names': [*(f'{JOINT_PREFIX}{name}' for name in ARM_JOINTS), GRIPPER_NAME],
                   'frame': 'base_link', 'reference': 'absolute'},
        'command': {'adapter': 'joint_trajectory', 'topic': 'joint_trajectory', 'lead': 0.1},
        'limits': {'joints': {name: {'position': [low + INSIDE, high - INSIDE], **JOINT_PACE}
                              for name, (low, high) in zip(ARM_JOINTS, JOINT_LIMITS, strict=True)},
                   'gripper_width': [0.0, 0.08]}},
        policy='bench.drill.joint_policy', faulty='bench.drill.joint_policy'),
})


def drill_contract(robot: str) -> tuple[dict[str, Any], Streams]:
    """Return the contract of a robot behind the relay, and the streams to relay.

    The shipped numbers hold; the topics get a prefix and the interlock is switched on.

    Args:
        robot: one of ``ROBOTS``.

    """
    contract = yaml.safe_load(find_contract('simulated_arm').read_text(encoding='utf-8'))
    changes = ROBOTS[robot].changes
    for key, change in changes.items():
        contract[key] = {**contract[key], **change} if key == 'command' else change
    streams: Streams = {}
    kinds = {**dict.fromkeys(contract['cameras'], 'image'), 'pose': 'pose', 'joints': 'joints'}
    for name, stream in [*contract['cameras'].items(), *contract['state'].items()]:
        if name in kinds:
            streams[name] = (kinds[name], stream['topic'], PREFIX)
            stream['topic'] = f'{PREFIX}/{stream["topic"]}'
    return {**contract, 'interlock': 'enable', 'dry_run': False}, streams


def joint_spec(spec: ActionSpec) -> ActionSpec:
    """Return the action language of the joint robot for that of the shipped policy."""
    names = (*(f'{JOINT_PREFIX}{name}' for name in ARM_JOINTS), GRIPPER_NAME)
    return replace(spec, names=names, reference='absolute')


def speed_limit(contract: Mapping[str, Any]) -> float:
    """Return the largest speed of the commanded target, [m/s]; of all joints together, [rad/s]."""
    return _largest(contract, 'linear_velocity', 'velocity')


def step_limit(contract: Mapping[str, Any]) -> float:
    """Return the largest jump of a command, [m]; of all joints together, [rad]."""
    return _largest(contract, 'step', 'step')


def _largest(contract: Mapping[str, Any], cartesian: str, joint: str) -> float:
    limits = contract['limits']
    if 'joints' not in limits:
        return float(limits[cartesian])
    return float(np.linalg.norm([one[joint] for one in limits['joints'].values()]))
