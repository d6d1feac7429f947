# SPDX-License-Identifier: Apache-2.0
"""The session runs every slot once, counts only what it saw, and gives up in words."""

import dataclasses
import json

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import (
    Command,
    LoadCheckpoint,
    PrepareScene,
    ResetScene,
    SendInstruction,
)
from vla_drop_ros.trials.episode import Arm, Episode, remaining, schedule, Study
from vla_drop_ros.trials.session import Phase, Session

STUDY = Study(arms=(Arm('baseline', '/a', 'a' * 64), Arm('pruned', '/b', 'b' * 64)), episodes=3,
              seed=5, task='', variant='hard', timeout=12.0, tool_version='0.1.0')
TICK = 0.05


class Bench:
    """A robot and policy node that answer at the next tick; ``solves`` says after how long."""

    def __init__(self, session: Session, solves: dict[str, float] | None = None) -> None:
        self.session, self.solves = session, solves or {}
        self.now = self.steady = 100.0
        self.sent: list[Command] = []
        self.clock_runs = self.chunks = self.answers = True
        self.refusals: dict[type, str] = {}
        self.scene = {'instruction': 'put the red cube in the left bin', 'task': 'left_bin',
                      'target': 'red cube'}
        self.started: float | None = None
        session.checkpoint('a' * 12)

    def reply(self, command: Command) -> None:
        self.sent.append(command)
        agreed, text = type(command) not in self.refusals, json.dumps(self.scene)
        if isinstance(command, SendInstruction):
            self.started = self.now if command.text else None
        elif isinstance(command, LoadCheckpoint) and agreed:
            self.session.checkpoint({'/a': 'a', '/b': 'b'}[command.path] * 12)
        elif isinstance(command, ResetScene):
            self.session.success(False, self.now)
        if self.answers and not isinstance(command, SendInstruction):
            self.session.answer(command, agreed, self.refusals.get(type(command), text))

    def step(self) -> None:
        self.steady += TICK
        self.now += TICK if self.clock_runs else 0.0
        if self.started is not None and self.chunks:
            self.session.chunk(self.now - 0.02)
            self.session.latency(0.08)
        slot = self.session.current
        if self.started is not None and slot is not None and slot.arm in self.solves and (
                self.now - self.started >= self.solves[slot.arm]):
            self.session.scene('{"moved_object": "red cube"}')
            self.session.success(True, self.now)
        for command in self.session.tick(self.now, self.steady):
            self.reply(command)

    def run(self, seconds: float = 600.0) -> None:
        end = self.steady + seconds
        while not self.session.finished and self.steady < end:
            self.step()


def bench(solves: dict[str, float] | None = None) -> tuple[Bench, list[Episode]]:
    """Return a bench around a new session, and the list it records into."""
    episodes: list[Episode] = []
    return Bench(Session(STUDY, (), episodes.append, record_pairs=1), solves), episodes


def test_runs_the_schedule_in_order() -> None:
    """Every slot is run once, with its own seed, and recorded."""
    robot, episodes = bench({'baseline': 4.0, 'pruned': 5.0})
    robot.run()
    assert robot.session.error is None
    assert [e.slot for e in episodes] == list(schedule(STUDY))
    seeds = [c.seed for c in robot.sent if isinstance(c, PrepareScene)]
    assert seeds == [slot.seed for slot in schedule(STUDY)]
    assert {e.outcome for e in episodes} == {'success'}


def test_records_what_was_seen() -> None:
    """Duration is instruction to verdict on the node clock; chunks and latency are kept."""
    robot, episodes = bench({'baseline': 4.0, 'pruned': 4.0})
    robot.run()
    first = episodes[0]
    assert first.duration == pytest.approx(4.0, abs=2 * TICK)
    assert first.moved_object == 'red cube'
    assert first.instruction == 'put the red cube in the left bin'
    assert first.task == 'left_bin'
    assert first.latency.median == pytest.approx(0.08)
    assert len(first.captures) == first.latency.count > 50
    assert all(first.started <= stamp <= first.started + 4.1 for stamp in first.captures)
    assert (first.checkpoint, first.checkpoint_hash[0]) == (
        ('/a', 'a') if first.slot.arm == 'baseline' else ('/b', 'b'))


def test_loads_only_when_the_arm_changes() -> None:
    """No checkpoint is loaded that is already active."""
    robot, _ = bench({'baseline': 1.0, 'pruned': 1.0})
    robot.run()
    arms = [slot.arm for slot in schedule(STUDY)]
    changes = (arms[0] != 'baseline') + sum(a != b for a, b in zip(arms, arms[1:], strict=False))
    assert sum(isinstance(c, LoadCheckpoint) for c in robot.sent) == changes


def test_the_policy_is_stopped_after_every_episode() -> None:
    """The empty instruction follows every instruction, also the last."""
    robot, _ = bench({'baseline': 1.0})
    robot.run()
    texts = [c.text for c in robot.sent if isinstance(c, SendInstruction)]
    assert texts[0] == ''
    assert texts[1::2] == ['put the red cube in the left bin'] * 6
    assert texts[2::2] == [''] * 6


def test_time_is_up() -> None:
    """An arm that never succeeds gets timeouts of exactly the study's length."""
    robot, episodes = bench({'baseline': 2.0})
    robot.run()
    pruned = [e for e in episodes if e.slot.arm == 'pruned']
    assert {e.outcome for e in pruned} == {'timeout'}
    assert all(e.duration == pytest.approx(12.0, abs=2 * TICK) for e in pruned)


def test_the_wrong_object_is_a_failure() -> None:
    """Moving another object than the one named is told from not getting there."""
    robot, episodes = bench()
    while not episodes:
        if robot.session.phase is Phase.RUNNING:
            robot.session.scene('{"moved_object": "blue cube"}')
        robot.step()
    assert episodes[0].outcome == 'failure'
    assert episodes[0].reason == 'moved blue cube instead of red cube'


def test_success_of_the_scene_before_does_not_count() -> None:
    """A late True, from before the reset, is not a success of the new scene."""
    robot, episodes = bench()
    while robot.session.phase is not Phase.RUNNING:
        robot.step()
    robot.session.success(True, robot.now)
    while len(episodes) < 1 or robot.session.phase is not Phase.RUNNING:
        robot.step()
    assert episodes[0].outcome == 'success'
    robot.session._armed, robot.session._success = False, True
    robot.session.success(True, robot.now)
    assert robot.session.phase is Phase.RUNNING
    robot.session.success(False, robot.now)
    robot.session.success(True, robot.now)
    assert str(robot.session.phase) == str(Phase.SETTLING)


def test_only_frames_of_the_first_pairs_are_wanted() -> None:
    """Frames are asked for in the first pair only, one file an episode."""
    robot, episodes = bench({'baseline': 1.0, 'pruned': 1.0})
    robot.run()
    frames = [e.frames for e in episodes]
    assert sorted(frames[:2]) == ['pair000-baseline-0.npz', 'pair000-pruned-0.npz']
    assert frames[2:] == [''] * 4


def spoil(robot: Bench, how: str) -> None:
    """Break one thing about the robot."""
    if how == 'estop':
        robot.session.gate('estopped button pressed')
    elif how == 'clock':
        robot.clock_runs = False
    else:
        setattr(robot, how, False)


@pytest.mark.parametrize(('how', 'reason'), [
    ('estop', 'emergency_stop'), ('clock', 'clock_stopped'), ('chunks', 'policy_silent')])
def test_what_breaks_during_an_episode_makes_it_invalid(how: str, reason: str) -> None:
    """An e-stop, a clock that stands still and a policy that falls silent do not count."""
    robot, episodes = bench()
    while robot.session.phase is not Phase.RUNNING:
        robot.step()
    for _ in range(20):
        robot.step()
    spoil(robot, how)
    while not episodes:
        robot.step()
    assert (episodes[0].outcome, episodes[0].reason) == ('invalid', reason)


@pytest.mark.parametrize(('refused', 'reason'), [
    (LoadCheckpoint, 'policy_cannot_load'), (PrepareScene, 'reset_failed'),
    (ResetScene, 'reset_failed')])
def test_refusals_stop_the_study_with_the_reason(refused: type, reason: str) -> None:
    """After three invalid episodes in a row the study stops and quotes the refusal."""
    robot, episodes = bench()
    robot.refusals[refused] = 'the manifest is missing'
    robot.run()
    assert [e.reason for e in episodes] == [reason] * 3
    assert [e.attempt for e in episodes] == [0, 1, 2]
    assert 'the manifest is missing' in str(robot.session.error)


def test_a_silent_robot_stops_the_study() -> None:
    """Services that do not answer are waited for, not for ever."""
    robot, episodes = bench()
    robot.answers = False
    robot.run(2000.0)
    assert robot.session.finished
    assert {e.reason for e in episodes} <= {'robot_silent', 'policy_cannot_load'}
    assert '3 invalid episodes in a row' in str(robot.session.error)


def test_no_chunk_quotes_the_complaint() -> None:
    """Without a chunk the record holds what the policy node complained of."""
    robot, episodes = bench()
    robot.chunks = False
    while not episodes:
        robot.session.complain('policy_node', 'no image from camera wrist')
        robot.step()
    assert episodes[0].reason == 'no_action_chunk'
    assert 'camera wrist' in episodes[0].detail


def test_a_scene_without_instruction_is_invalid() -> None:
    """Nothing is sent to the policy when the robot names no instruction."""
    robot, episodes = bench()
    robot.scene = {'task': 'left_bin'}
    robot.run(10.0)
    assert episodes[0].reason == 'no_instruction'
    assert not any(isinstance(c, SendInstruction) and c.text for c in robot.sent)


def test_an_invalid_episode_is_run_again() -> None:
    """The slot is repeated, and both attempts are recorded."""
    robot, episodes = bench({'baseline': 1.0, 'pruned': 1.0})
    robot.refusals[ResetScene] = 'busy'
    while not episodes:
        robot.step()
    robot.refusals.clear()
    robot.run()
    assert robot.session.error is None
    assert len(episodes) == 7
    assert episodes[0].slot == episodes[1].slot
    assert [episodes[0].attempt, episodes[1].attempt] == [0, 1]
    assert remaining(STUDY, episodes) == ()


def test_resuming_runs_only_what_is_left() -> None:
    """Episodes in the log are not run again."""
    robot, episodes = bench({'baseline': 1.0, 'pruned': 1.0})
    robot.run()
    again: list[Episode] = []
    second = Bench(Session(STUDY, episodes[:4], again.append), robot.solves)
    second.run()
    assert [e.slot for e in again] == list(schedule(STUDY))[4:]
    finished = Bench(Session(STUDY, episodes, again.append))
    finished.run(1.0)
    assert finished.session.finished and finished.session.error is None


def test_absent_services_are_named() -> None:
    """When nobody is there the error says who is missing, after some minutes."""
    session = Session(STUDY, (), lambda episode: None)
    for second in range(200):
        session.tick(0.0, float(second), absent=('simulated_robot/reset',))
    assert 'simulated_robot/reset' in str(session.error)
    assert 'policy_node/checkpoint' in str(session.error)


def test_a_late_answer_is_ignored() -> None:
    """The answer to a request given up on does not answer the next one."""
    robot, episodes = bench()
    robot.answers = False
    while len(episodes) < 1:
        robot.step()
    late = [c for c in robot.sent if not isinstance(c, SendInstruction)][0]
    phase = robot.session.phase
    robot.session.answer(late, True, '{}')
    robot.step()
    assert robot.session.phase is phase


def test_a_record_that_cannot_be_kept_stops_the_study() -> None:
    """A full disk ends the study at once; no episode is run that could not be recorded."""
    def full(episode: Episode) -> None:
        raise TrialError('cannot append: no space left')
    robot = Bench(Session(dataclasses.replace(STUDY), (), full), {'baseline': 1.0, 'pruned': 1.0})
    robot.run()
    assert 'no space left' in str(robot.session.error)
    assert sum(isinstance(c, ResetScene) for c in robot.sent) == 1


def test_no_scene_is_begun_after_the_budget() -> None:
    """When the time is up the pair is completed, and the study ends without an error."""
    episodes: list[Episode] = []
    robot = Bench(Session(STUDY, (), episodes.append, budget=3.0),
                  {'baseline': 1.0, 'pruned': 1.0})
    robot.run()
    assert robot.session.finished and robot.session.error is None
    assert len(episodes) == 4
    hurried = Bench(Session(STUDY, (), episodes.append, budget=0.0), robot.solves)
    hurried.run()
    assert len(episodes) == 6
