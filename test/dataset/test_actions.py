# SPDX-License-Identifier: Apache-2.0
"""Actions are what was commanded, or measured, between two frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.actions import Actions, COMMANDS, MEASURED, NoActionError
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.dataset.robot_topics import RobotTopics
from vla_drop_ros.errors import DatasetError
from vla_drop_ros.robot_contract import RobotContract

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
TWIST = replace(CONTRACT, command=replace(CONTRACT.command, adapter='twist'))
TOPICS = RobotTopics({}, '/ee_pose', '/joint_states', None, '/target_pose', '/gripper_command')
NAMES = ('x', 'y', 'z', 'gripper')
Record = Callable[..., Any]


def actions(recording: Any, names: tuple[str, ...] = NAMES, source: str = COMMANDS,
            reference: Literal['delta', 'absolute'] = 'delta',
            contract: RobotContract = CONTRACT) -> Actions:
    """Return the actions of a recording."""
    found = Actions(contract, names, reference, source)
    with Bag(recording.close()) as bag:
        found.read(bag.read(TOPICS.motion), TOPICS)
    return found


def test_delta_is_the_way_between_commands(record: Record) -> None:
    """Two commands later the displacement is that of two commands, and the width the last one."""
    recording = record()
    recording.drive(5.0, 1.0)
    assert actions(recording).action(5.2, 5.3) == pytest.approx([0.01, 0.0, 0.0, 0.03])


def test_a_command_stamped_at_a_frame_belongs_to_what_follows(record: Record) -> None:
    """What is commanded in answer to a frame is the action of that frame, not of the one before.

    So it is for commands a little later than the frame, and for widths, which have no stamp.
    """
    recording = record()
    for stamp, x, width in ((1.0, 0.10, 0.08), (1.1, 0.13, 0.05), (1.2, 0.14, 0.02)):
        recording.pose(stamp, 0.0)
        recording.pose(stamp, x, 'target_pose')
        recording.width(width)
    recording.pose(1.3, 0.0)
    found = actions(recording)
    assert found.action(1.1, 1.2) == pytest.approx([0.03, 0.0, 0.0, 0.05])
    assert found.action(1.2, 1.3) == pytest.approx([0.01, 0.0, 0.0, 0.02])
    late = record('late')
    late.pose(1.3, 0.0)
    for stamp, x in ((1.0, 0.10), (1.1, 0.13), (1.2, 0.14)):
        late.pose(stamp + 0.02, x, 'target_pose')
    assert actions(late, ('x',)).action(1.1, 1.2) == pytest.approx([0.03])


def test_displacements_add_up(record: Record) -> None:
    """The sum over frames is the whole way, wherever the commands lie between them."""
    recording, rng = record(), np.random.default_rng(0)
    for stamp in np.sort(rng.uniform(0.0, 3.0, 60)):
        recording.pose(float(stamp), float(rng.normal()), 'target_pose')
    found = actions(recording, ('x',))
    frames = np.linspace(0.6, 2.6, 21)
    whole = found.action(frames[0], frames[-1])
    parts = sum(found.action(a, b) for a, b in zip(frames, frames[1:], strict=False))
    assert parts == pytest.approx(whole)


def test_rotation_is_a_vector_in_the_base_frame(record: Record) -> None:
    """Delta is the turn between commands, absolute the whole orientation."""
    recording, names = record(), ('x', 'rz')
    recording.pose(2.0, 0.0)
    recording.pose(1.05, 0.1, 'target_pose', turn=0.2)
    recording.pose(1.15, 0.3, 'target_pose', turn=0.5)
    found = actions(recording, names)
    assert found.action(1.1, 1.2) == pytest.approx([0.2, 0.3])
    found = Actions(CONTRACT, names, 'absolute', COMMANDS)
    with Bag(recording.path) as bag:
        found.read(bag.read(TOPICS.motion), TOPICS)
    assert found.action(1.1, 1.2) == pytest.approx([0.3, 0.5])


def test_velocities_are_summed_up(record: Record) -> None:
    """Each holds until the next, and no longer than the dead-man time."""
    recording = record()
    recording.twist(1.0, 0.1)
    recording.twist(1.15, 0.3)
    recording.pose(2.0, 0.0)
    found = actions(recording, ('x',), contract=TWIST)
    assert found.action(1.1, 1.2) == pytest.approx([0.05 * 0.1 + 0.05 * 0.3])
    with pytest.raises(NoActionError, match='longer than dead_man'):
        found.action(1.7, 1.8)
    absolute = Actions(TWIST, ('x',), 'absolute', COMMANDS)
    with Bag(recording.path) as bag:
        absolute.read(bag.read(TOPICS.motion), TOPICS)
    with pytest.raises(DatasetError, match=r"'twist'.*--actions measured"):
        absolute.action(1.1, 1.2)


def test_measured_actions_are_what_the_arm_did(record: Record) -> None:
    """Commands are not looked at; between measurements is interpolated, outside nothing known."""
    recording = record()
    recording.drive(5.0, 1.0)
    found = actions(recording, source=MEASURED)
    assert found.action(5.21, 5.31) == pytest.approx([0.01, 0.0, 0.0, 0.04])
    with pytest.raises(NoActionError, match='no measured pose'):
        found.action(4.95, 5.05)
    with pytest.raises(NoActionError, match='the recording ends within the frame'):
        found.action(5.95, 6.05)


def test_measured_actions_count_from_the_measurement(record: Record) -> None:
    """The contract's latency is taken off the stamps of pose and joints, as it is live."""
    assert CONTRACT.pose is not None and CONTRACT.joints is not None
    late = replace(CONTRACT, pose=replace(CONTRACT.pose, latency=0.1),
                   joints=replace(CONTRACT.joints, latency=0.05))
    recording = record()
    for tick in range(101):
        stamp = 5.0 + tick / 100
        recording.pose(stamp, 0.1 * (stamp - 5.0) ** 2)
        recording.joints(stamp, 0.01 * (stamp - 5.0))
    found = actions(recording, ('x', 'gripper'), MEASURED, contract=late)
    x, width = found.action(5.2, 5.3)
    assert x == pytest.approx(0.1 * (0.4 ** 2 - 0.3 ** 2))
    assert width == pytest.approx(0.01 * 0.34)  # the last one before the end, 5.34 - 0.05


@pytest.mark.parametrize(('begin', 'end', 'said'), [
    (4.9, 5.0, "no command yet on 'target_pose'"), (6.5, 6.7, 'longer than dead_man')])
def test_what_was_not_commanded_is_not_made_up(record: Record, begin: float, end: float,
                                               said: str) -> None:
    """Before the first command, and after the last has run out, there is no action."""
    recording = record()
    recording.drive(5.0, 1.0)
    recording.pose(7.0, 0.1)
    with pytest.raises(NoActionError, match=said):
        actions(recording).action(begin, end)


def test_a_gripper_that_was_never_commanded_is_named(record: Record) -> None:
    """A width is not invented."""
    recording = record()
    recording.pose(1.0, 0.1, 'target_pose')
    recording.pose(2.0, 0.1)
    with pytest.raises(NoActionError, match='no gripper command yet'):
        actions(recording).action(1.1, 1.2)


@pytest.mark.parametrize(('x', 'frame', 'said'), [
    (0.1, 'world', "in frame 'world'.*'base_link'"), (float('nan'), 'base_link', 'not finite')])
def test_unusable_commands_are_refused(record: Record, x: float, frame: str, said: str) -> None:
    """A foreign frame or a number that is none would become a wrong label."""
    recording = record()
    recording.pose(1.0, x, 'target_pose', frame)
    with pytest.raises(DatasetError, match=said):
        actions(recording)


def test_a_width_is_one_number(record: Record) -> None:
    """A message for another kind of gripper is named."""
    recording = record()
    recording.width(0.01, 0.02)
    with pytest.raises(DatasetError, match='expected one finite number'):
        actions(recording)
