# SPDX-License-Identifier: Apache-2.0
"""Every reason why a checkpoint does not fit is told, and the doubtful is asked about."""

from collections.abc import Mapping
from typing import Any

import pytest

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.contracts.finding import faults, Finding
from vla_drop_ros.contracts.policy_fit import Demands, policy_findings
from vla_drop_ros.types import ActionSpec, CameraSpec

SO101 = load_contract(find_contract('so101_joints'))
CAMERAS = {'wrist': CameraSpec(64, 64), 'overhead': CameraSpec(64, 64)}


def found(names: tuple[str, ...] = SO101.action.names, cameras: Mapping[str, Any] = CAMERAS,
          state: tuple[str, ...] = ('joint.elbow_flex',),
          mean: list[Any] | None = None, **changes: Any) -> list[Finding]:
    """Return what is found for a checkpoint with these demands."""
    spec = ActionSpec(**{'names': names, 'frame': 'base_link', 'reference': 'absolute',
                         'period': 0.05, 'chunk_length': 8, 'executed_steps': 4, **changes})
    statistics = {} if mean is None else {'action': {'mean': mean}}
    return policy_findings(SO101, Demands(spec, cameras, state, statistics))


def test_a_fitting_checkpoint_is_one_line() -> None:
    """Nothing to say but that it fits; averages within the limits are not told."""
    assert [one.level for one in found(mean=[0.0] * 5 + [0.03])] == ['ok']


def test_every_reason_is_told_at_once() -> None:
    """Action, both cameras and both state values that are not there are five faults."""
    wrong = faults(found(frame='tool', cameras={'a': CameraSpec(1, 1), 'b': CameraSpec(1, 1)},
                         state=('ee.x', 'ee.w')))
    assert len(wrong) == 5
    assert {one.name for one in wrong} == {'action', 'cameras.a', 'cameras.b', 'state ee.x',
                                           'state ee.w'}


def test_degrees_show_in_the_averages() -> None:
    """A joint whose data lie at -90 was trained in degrees."""
    wrong, = faults(found(mean=[0.0, -90.0, 0.0, 0.0, 0.0, 0.03]))
    assert wrong.name == 'action joint.shoulder_lift' and 'rad, not degrees' in wrong.fix


@pytest.mark.parametrize('mean', [[0.0], ['a'] * 6, 'abcdef', None, [None] * 6])
def test_statistics_of_another_form_say_nothing(mean: Any) -> None:
    """Families keep their statistics in other ways; that is no fault."""
    assert not faults(found(mean=mean))


@pytest.mark.parametrize(('options', 'said'), [
    ({'names': SO101.action.names[:4]}, 'does not move joint.wrist_roll gripper'),
    ({'names': SO101.action.names[::-1]}, 'matched by name'),
    ({'period': 0.1, 'executed_steps': 8}, None),
    ({'period': 0.1, 'chunk_length': 10, 'executed_steps': 10}, 'too old before the next'),
    ({'cameras': {'wrist': CameraSpec(1, 1)}}, 'overhead of the contract are not used')])
def test_the_doubtful_is_a_remark(options: dict[str, Any], said: str | None) -> None:
    """Fewer or reordered names, unused cameras, chunks that get too old are asked about."""
    findings = found(**options)
    assert not faults(findings)
    remarks = [one.said for one in findings if one.level == 'remark']
    assert any(said in one for one in remarks) if said else not remarks
