# SPDX-License-Identifier: Apache-2.0
"""The trial node runs a study over real topics and services, and its log holds what happened."""

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import time
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Float64, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.errors import CheckpointError, TrialError
from vla_drop_ros.manifest import checkpoint_hash, Manifest, write_manifest
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import header
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATUS
from vla_drop_ros.nodes.trial_node import arms_of, TrialNode
from vla_drop_ros.trials.log import read_log
from vla_drop_ros.trials.recording import load_recording
from vla_drop_ros.types import ActionSpec, CameraSpec

pytestmark = pytest.mark.ros

SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 2)


class FakePolicy(Node):
    """Answers an instruction with chunks; refuses the checkpoints in ``refused``."""

    def __init__(self, context: Context) -> None:
        super().__init__('policy_node', context=context)
        self.declare_parameter('checkpoint', '')
        self.add_on_set_parameters_callback(self._load)
        self.refused: set[str] = set()
        self.instructions: list[str] = []
        self._chunks = self.create_publisher(JointTrajectory, '~/action_chunk', COMMAND)
        self._latency = self.create_publisher(Float64, '~/latency', STATUS)
        self._checkpoint = self.create_publisher(String, '~/checkpoint', LATCHED)
        self._checkpoint.publish(String(data='another'))
        self.create_subscription(String, 'instruction',
                                 lambda message: self.instructions.append(message.data), LATCHED)
        self.create_timer(0.05, self._act)

    def _load(self, parameters: list[Parameter]) -> SetParametersResult:
        if parameters[0].value in self.refused:
            return SetParametersResult(successful=False, reason='config.json is missing')
        self._checkpoint.publish(String(data=checkpoint_hash(parameters[0].value)[:12]))
        return SetParametersResult(successful=True)

    def _act(self) -> None:
        if self.instructions and self.instructions[-1]:
            now = self.get_clock().now().nanoseconds * 1e-9
            self._chunks.publish(JointTrajectory(
                header=header(now, 'base_link'), points=[JointTrajectoryPoint()]))
            self._latency.publish(Float64(data=0.04))


class FakeRobot(Node):
    """Solves a scene a moment after its reset, if ``solves`` says so, and shows a picture."""

    def __init__(self, context: Context, solves: Callable[[int, int], bool]) -> None:
        super().__init__('simulated_robot', context=context)
        for name, value in (('seed', 0), ('task', ''), ('variant', 'nominal')):
            self.declare_parameter(name, value)
        self._solves, self._resets, self._steps = solves, 0, 0
        self.seeds: list[int] = []
        self._success = self.create_publisher(Bool, '~/success', LATCHED)
        self._camera = self.create_publisher(Image, 'studio_camera/image_raw', IMAGE)
        self.create_service(Trigger, '~/reset', self._reset)
        self.create_timer(0.05, self._step)

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.seeds.append(int(self.get_parameter('seed').value))
        self._resets, self._steps = self._resets + 1, 0
        response.success = True
        response.message = json.dumps({'task': 'left_bin', 'instruction': 'put it in the bin'})
        return response

    def _step(self) -> None:
        self._steps += 1
        solved = self._steps > 8 and bool(self.seeds) and self._solves(
            self.seeds[-1], self._resets)
        self._success.publish(Bool(data=solved))
        stamp = self.get_clock().now().nanoseconds * 1e-9
        self._camera.publish(image_message(np.full((4, 6, 3), 9, np.uint8), stamp, 'studio'))


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[str]:
    """Return two manifests, which is all of a checkpoint that a trial reads."""
    entries = []
    for name in ('baseline', 'pruned'):
        folder = tmp_path / name
        folder.mkdir()
        write_manifest(folder, Manifest(
            'pi0', 'vla', name, SPEC, {'front': CameraSpec(20, 20)}, ('ee.x',)))
        entries.append(f'{name}={folder}')
    return entries


class Bench:
    """The trial node among fakes, in a context of their own."""

    def __init__(self, solves: Callable[[int, int], bool] = lambda seed, resets: True,
                 **settings: Any) -> None:
        self.context = Context()
        self.context.init()
        self.policy = FakePolicy(self.context)
        self.robot = FakeRobot(self.context, solves)
        self.trial = TrialNode(self.context, [
            Parameter(name, value=value) for name, value in settings.items()])
        self.nodes = (self.policy, self.robot, self.trial)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in self.nodes:
            self.executor.add_node(node)
        self.trial.start()

    def run(self, limit: float = 30.0) -> None:
        """Spin until the study is over."""
        end = time.monotonic() + limit
        while not self.trial.finished:
            assert time.monotonic() < end, f'still waiting for {self.trial.session.phase}'
            self.executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self.trial.close()
        for node in self.nodes:
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path,
          checkpoints: list[str]) -> Iterator[Callable[..., Bench]]:
    """Return a maker of benches, which are closed at the end."""
    made: list[Bench] = []

    def make(*arguments: Any, **settings: Any) -> Bench:
        made.append(Bench(*arguments, **{
            'checkpoints': checkpoints, 'episodes': 2, 'seed': 50, 'timeout': 1.0,
            'log': str(tmp_path / 'trial.jsonl'), **settings}))
        return made[-1]

    yield make
    for one in made:
        if one.context.ok():
            one.close()


def test_runs_both_checkpoints_on_the_same_scenes(bench: Callable[..., Bench],
                                                  tmp_path: Path) -> None:
    """Every scene is run by both, outcomes and latencies are logged, the policy is at rest."""
    cell = bench(lambda seed, resets: seed == 50)
    cell.run()
    contents = read_log(tmp_path / 'trial.jsonl')
    episodes = contents.episodes
    assert cell.robot.seeds == [50, 50, 51, 51]
    assert [(e.slot.seed, e.outcome) for e in episodes] == [
        (50, 'success'), (50, 'success'), (51, 'timeout'), (51, 'timeout')]
    assert {e.slot.arm for e in episodes[:2]} == {'baseline', 'pruned'}
    assert all(e.latency.median == 0.04 and len(e.captures) > 3 for e in episodes)
    assert all(e.checkpoint_hash == checkpoint_hash(e.checkpoint) for e in episodes)
    assert contents.events[-1].kind == 'finished'
    while cell.policy.instructions[-1]:
        cell.executor.spin_once(timeout_sec=0.1)


def test_keeps_the_frames_of_the_first_scene(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """Frames of the first pair lie in the folder under the name in the log."""
    cell = bench(record_directory=str(tmp_path / 'frames'), record_pairs=1)
    cell.run()
    first, second, *others = read_log(tmp_path / 'trial.jsonl').episodes
    assert [e.frames for e in others] == ['', '']
    for episode in (first, second):
        recording = load_recording(tmp_path / 'frames' / episode.frames)
        assert recording.frames.shape[1:] == (4, 6, 3)
        assert len(recording.stamps) >= 2


def test_a_refused_checkpoint_ends_the_study(bench: Callable[..., Bench], checkpoints: list[str],
                                             tmp_path: Path) -> None:
    """The reason of the policy node is in the error that ends the process, and in the log."""
    cell = bench()
    cell.policy.refused |= {entry.partition('=')[2] for entry in checkpoints}
    with pytest.raises(TrialError, match='config.json is missing'):
        cell.run()
    assert read_log(tmp_path / 'trial.jsonl').events[-1].kind == 'stopped'


def test_resumes_after_an_interruption(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """A study closed in its middle goes on with what is left, without running anything twice."""
    cell = bench()
    end = time.monotonic() + 20.0
    while not read_log(tmp_path / 'trial.jsonl').episodes:
        assert time.monotonic() < end
        cell.executor.spin_once(timeout_sec=0.1)
    cell.close()
    again = bench(resume=True)
    again.run()
    contents = read_log(tmp_path / 'trial.jsonl')
    kinds = [event.kind for event in contents.events]
    assert kinds[:4] == ['study', 'episode', 'interrupted', 'resumed']
    assert len({e.slot for e in contents.episodes}) == len(contents.episodes) == 4


def test_an_existing_log_is_refused(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """Starting twice into the same log fails before anything moves."""
    (tmp_path / 'trial.jsonl').write_text('')
    with pytest.raises(TrialError, match='never overwritten'):
        bench()


def test_arms_are_named_after_their_folders(checkpoints: list[str], tmp_path: Path) -> None:
    """A bare path takes the folder's name; none at all, or a wrong one, is refused."""
    assert [arm.name for arm in arms_of([str(tmp_path / 'pruned')])] == ['pruned']
    with pytest.raises(TrialError, match='checkpoints is empty'):
        arms_of([''])
    with pytest.raises(CheckpointError, match='absent'):
        arms_of([str(tmp_path / 'absent')])
