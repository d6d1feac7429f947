# SPDX-License-Identifier: Apache-2.0
"""Whether a checkpoint and a robot fit: every reason why not; the nodes stop at the first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.errors import ContractError
from vla_drop_ros.robot_contract import Range, RobotContract
from vla_drop_ros.types import (
    ActionSpec,
    CameraSpec,
    GRIPPER_NAME,
    JOINT_PREFIX,
    TRANSLATION_NAMES,
)

GROUP = 'checkpoint'


@dataclass(frozen=True, slots=True)
class Demands:
    """What a checkpoint asks of a robot.

    Attributes:
        spec: its action language.
        cameras: camera key -> size of the image it was trained on.
        state_names: its state vector.
        statistics: ``normalization.json``: ``action`` -> ``mean`` and ``std`` by name of the spec.

    """

    spec: ActionSpec
    cameras: Mapping[str, CameraSpec]
    state_names: tuple[str, ...]
    statistics: Mapping[str, Any] = field(default_factory=dict)


def policy_findings(contract: RobotContract, demands: Demands) -> list[Finding]:
    """Return every reason why a checkpoint does not fit, and what is worth a second look."""
    fitting = replace(demands.spec, names=contract.action.names, frame=contract.action.frame,
                      reference=contract.action.reference, period=1.0)
    found = [*_refusal('action', contract, demands.spec, {}, ())]
    for key, camera in demands.cameras.items():
        found += _refusal(f'cameras.{key}', contract, fitting, {key: camera}, ())
    for name in demands.state_names:
        found += _refusal(f'state {name}', contract, fitting, {}, (name,))
    found += _remarks(contract, demands)
    if not found:
        spec = demands.spec
        found.append(Finding(
            GROUP, 'fits', 'ok', f'{" ".join(spec.names)}, {spec.reference} in {spec.frame}, '
            f'{spec.period:g} s a step; cameras {", ".join(demands.cameras) or "none"}'))
    return found


def _refusal(name: str, contract: RobotContract, spec: ActionSpec,
             cameras: Mapping[str, CameraSpec], state_names: Sequence[str]) -> Iterator[Finding]:
    try:
        contract.check_policy(spec, cameras, state_names)
    except ContractError as error:
        yield Finding(GROUP, name, 'fault', str(error).removeprefix(f'{contract.robot}: '))


def _remarks(contract: RobotContract, demands: Demands) -> Iterator[Finding]:
    spec = demands.spec
    idle = [name for name in contract.action.names if name not in spec.names]
    if idle:
        yield Finding(GROUP, 'action.names', 'remark',
                      f'the checkpoint does not move {" ".join(idle)}; the robot keeps them')
    shared = [name for name in spec.names if name in contract.action.names]
    order = [contract.action.names.index(name) for name in shared]
    if any(one > other for one, other in pairwise(order)):
        yield Finding(GROUP, 'action.names', 'remark', 'the checkpoint has another order of names '
                      'than the contract; they are matched by name')
    unused = [key for key in contract.cameras if key not in demands.cameras]
    if unused:
        yield Finding(GROUP, 'cameras', 'remark', f'{", ".join(unused)} of the contract are not '
                      'used by the checkpoint')
    executed = spec.executed_steps * spec.period
    if 0.0 < contract.max_chunk_age <= executed:
        yield Finding(GROUP, 'max_chunk_age', 'remark', f'{contract.max_chunk_age:g} s: a chunk '
                      f'is too old before the next is asked for, after {executed:g} s; the robot '
                      'stops in between', 'raise it, or ask more often with replan_period')
    yield from _units(contract, demands)


def _units(contract: RobotContract, demands: Demands) -> Iterator[Finding]:
    """Compare the actions of the training data with the limits: other units show at once."""
    spec = demands.spec
    action = demands.statistics.get('action')
    mean = action.get('mean') if isinstance(action, Mapping) else None
    if not isinstance(mean, Sequence) or len(mean) != len(spec.names):
        return
    for name, value in zip(spec.names, mean, strict=True):
        bounds = _bounds(contract, name)
        is_absolute = spec.reference == 'absolute' or name == GRIPPER_NAME
        if bounds is None or not is_absolute or not isinstance(value, int | float):
            continue
        if not bounds[0] <= value <= bounds[1]:
            unit = {GRIPPER_NAME: 'the width in m, not 0 to 1'}.get(
                name, 'rad, not degrees' if name.startswith(JOINT_PREFIX) else 'm, not mm')
            yield Finding(
                GROUP, f'action {name}', 'fault',
                f'the training data have {value:g} on average, the limits are '
                f'[{bounds[0]:g}, {bounds[1]:g}]', f'it must be {unit}, from the same zero')


def _bounds(contract: RobotContract, name: str) -> Range | None:
    limits = contract.limits
    if name == GRIPPER_NAME:
        return limits.gripper_width
    if name.startswith(JOINT_PREFIX):
        joint = limits.joints.get(name.removeprefix(JOINT_PREFIX))
        return joint.position if joint else None
    if name in TRANSLATION_NAMES and limits.cartesian is not None:
        return limits.cartesian.workspace[TRANSLATION_NAMES.index(name)]
    return None
