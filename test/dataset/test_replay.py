# SPDX-License-Identifier: Apache-2.0
"""A recording is seen as a policy would have seen it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.dataset.replay import Replay, Seen
from vla_drop_ros.dataset.robot_topics import find_topics
from vla_drop_ros.robot_contract import RobotContract

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
KEYS = ('front', 'wrist')
NAMES = ('ee.x', 'gripper.width')
Record = Callable[..., Any]


def play(path: Path, contract: RobotContract = CONTRACT, task: str | None = 'go',
         ) -> tuple[Replay, list[Seen]]:
    """Return a replay that has been played, and what was seen."""
    with Bag(path) as bag:
        cameras = tuple(contract.cameras)
        topics = find_topics(bag, contract, cameras, namespace='', joints=True,
                             instruction=task is None, command=False, gripper=False)
        replay = Replay(contract, topics, cameras, NAMES, task)
        return replay, list(replay.play(bag.read(topics.inputs)))


def test_every_instant_is_seen_once_with_its_own_state(record: Record) -> None:
    """Images that arrive before the state of their time wait for it: nothing is extrapolated."""
    recording = record()
    recording.drive(5.0, 1.0)
    replay, seen = play(recording.close())
    assert [one.stamp for one in seen] == pytest.approx(np.arange(5.0, 6.05, 0.1))
    for one in seen:
        found = replay.inputs.observation(one.snapshot, NAMES, one.instruction)
        assert found.state == pytest.approx([0.1 * one.stamp, 0.04])
        assert (found.images['front'] == round(one.stamp * 100) % 256).all()
    assert not [fault for one in seen[1:] for fault in one.faults]


def test_the_state_that_is_waited_for_counts(record: Record) -> None:
    """The joint state of an image's own time comes last, and is the one that is taken."""
    recording = record()
    for number in range(11):
        stamp, width = 5.0 + 0.1 * number, 0.04 - 0.001 * number
        recording.joints(stamp - 0.02, width + 0.0005)
        for camera in KEYS:
            recording.image(camera, stamp)
        recording.pose(stamp, 0.1)
        recording.joints(stamp, width)
    replay, seen = play(recording.close())
    found = [replay.inputs.observation(one.snapshot, NAMES, one.instruction).state[1]
             for one in seen]
    assert found == pytest.approx([0.04 - 0.001 * number for number in range(11)])


def test_latency_moves_the_state(record: Record) -> None:
    """The state is that of the true capture time, the contract's latency taken off."""
    cameras = {key: replace(stream, latency=0.05) for key, stream in CONTRACT.cameras.items()}
    recording = record()
    recording.drive(5.0, 1.0)
    _, seen = play(recording.close(), replace(CONTRACT, cameras=cameras))
    assert seen[3].stamp == pytest.approx(5.25)
    pose = seen[3].snapshot.pose
    assert pose is not None and pose.position[0] == pytest.approx(0.525)


def test_latency_of_the_state_moves_the_state(record: Record) -> None:
    """A late pose and joint state count from their measurement, and are waited for as long.

    With one camera: the first image of two at a later time would look at the state once more.
    """
    assert CONTRACT.pose is not None and CONTRACT.joints is not None
    camera, stream = next(iter(CONTRACT.cameras.items()))
    late = replace(CONTRACT, cameras={camera: stream}, pose=replace(CONTRACT.pose, latency=0.06),
                   joints=replace(CONTRACT.joints, latency=0.03))
    recording = record()
    for tick in range(101):
        stamp = 5.0 + tick / 100
        if tick % 10 == 0:
            recording.image(camera, stamp)
        recording.pose(stamp, 0.1 * stamp)
        recording.joints(stamp, 0.01 * (stamp - 5.0))
    _, seen = play(recording.close(), late)
    one = seen[[round(found.stamp, 3) for found in seen].index(5.5)].snapshot
    assert one.pose is not None and one.pose.position[0] == pytest.approx(0.1 * 5.56)
    assert one.joints['finger_joint1'] == pytest.approx(0.005 * 0.53)


def test_a_lost_camera_is_noted_with_its_time(record: Record) -> None:
    """Why nothing was seen stands at the next thing that was, or is left at the end."""
    recording = record()
    recording.drive(5.0, 3.0, cameras=lambda stamp: KEYS if stamp < 6.0 else ('front',))
    replay, seen = play(recording.close())
    assert seen[-1].stamp == pytest.approx(5.9)
    assert {why for _, why in replay.faults} == {"camera 'wrist' too old"}
    assert min(at for at, _ in replay.faults) == pytest.approx(5.9 + 0.6)  # max_age is 0.5 s


def test_instructions_are_those_of_the_bag(record: Record) -> None:
    """Before the first nothing is seen, an empty one pauses, the next one goes on.

    As live, an instruction is about the newest images there are when it is heard.
    """
    recording = record()
    for begin, text in ((5.0, None), (5.5, 'one'), (6.0, ''), (6.5, 'two ')):
        if text is not None:
            recording.say(text)
        recording.drive(begin, 0.4)
    _, seen = play(recording.close(), task=None)
    assert [one.instruction for one in seen] == ['one'] * 6 + ['two'] * 6
    assert {why for _, why in seen[0].faults} == {'no instruction yet'}
    assert {why for _, why in seen[6].faults} == {'paused by an empty instruction'}
