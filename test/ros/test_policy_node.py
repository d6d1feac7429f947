# SPDX-License-Identifier: Apache-2.0
"""The policy node publishes chunks for what it is asked, and says what it waits for."""

from collections.abc import Callable
import os
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_drop_ros.nodes.policy_streams import BLIND
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.runtime.robot_inputs import seconds

pytestmark = pytest.mark.ros

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'


def test_instruction_makes_chunks(make: Callable[..., Any]) -> None:
    """A chunk carries the names, frame, times and capture stamp that the gate expects."""
    bench = make()
    bench.instruct('put the red cube in the left bin')
    policy = bench.policies['a']
    bench.until(lambda: len(bench.moves) >= 3)
    chunk = bench.moves[-1]
    assert (tuple(chunk.joint_names), chunk.header.frame_id) == (
        policy.spec.names, 'base_link')
    assert [seconds(point.time_from_start) for point in chunk.points] == (
        pytest.approx([0.1, 0.2, 0.3, 0.4]))
    assert chunk.points[0].positions[0] == pytest.approx(0.2)
    seen = policy.observations[-1]
    assert seen.state == pytest.approx([0.5, 0.1, 0.3, 0.04])
    assert seen.instruction == 'put the red cube in the left bin'
    assert 0.0 < bench.seen['policy_node/latency'][-1].data < 5.0
    assert bench.seen['policy_node/checkpoint'][-1].data == 'a'


def test_an_instruction_counts_once_whatever_its_durability(make: Callable[..., Any]) -> None:
    """Volatile publishers are heard too, and a latched one begins one episode, not two."""
    bench = make()
    volatile = bench.node.create_publisher(String, 'instruction', STATUS)
    bench.until(lambda: volatile.get_subscription_count())
    episode = bench.policy._replanner.episode  # noqa: SLF001 - what must not count twice
    volatile.publish(String(data='left'))
    bench.until(lambda: bench.moves)
    assert bench.policies['a'].observations[-1].instruction == 'left'
    bench.instruct('right')
    bench.until(lambda: bench.policies['a'].observations[-1].instruction == 'right')
    assert bench.policy._replanner.episode == episode + 2  # noqa: SLF001


def test_nothing_is_published_without_an_instruction(make: Callable[..., Any]) -> None:
    """The node waits for an instruction and says so."""
    bench = make()
    bench.until(lambda: 'no instruction yet' in bench.diagnosis)
    assert not bench.chunks and not bench.policies['a'].observations


def test_missing_camera_is_named_and_stops_the_chunks(make: Callable[..., Any]) -> None:
    """When a camera dies the gate is told to hold, and the operator which and on what topic."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.moves)
    bench.cameras.remove('wrist')
    bench.until(lambda: "camera 'wrist' too old" in bench.diagnosis
                and 'wrist_camera/image_raw' in bench.diagnosis)
    assert not bench.chunks[-1].points
    count = len(bench.chunks)
    bench.until(lambda: bench.silence > 0.5)
    assert len(bench.chunks) == count, 'one pause, and nothing after it'
    assert bench.seen['policy_node/heartbeat'][-1].frame_id == BLIND
    bench.cameras.append('wrist')
    bench.until(lambda: bench.chunks[-1].points and bench.silence < 0.2)
    bench.until(lambda: not bench.seen['policy_node/heartbeat'][-1].frame_id)
    assert bench.values['pauses: streams broken'] in ('1', '2')  # one may be of the start


def test_empty_instruction_pauses_and_voids_the_running_inference(
        make: Callable[..., Any]) -> None:
    """The empty chunk is the last word, although an inference was under way."""
    bench = make()
    policy = bench.policies['a']
    policy.gate.clear()
    bench.instruct('go')
    bench.until(lambda: policy.observations)
    bench.instruct('')
    bench.until(lambda: bench.chunks)
    policy.gate.set()
    bench.until(lambda: 'paused' in bench.diagnosis)
    assert not bench.moves


def test_callbacks_go_on_during_an_inference(make: Callable[..., Any]) -> None:
    """A slow model does not keep the executor from answering."""
    bench = make()
    bench.policies['a'].gate.clear()
    bench.instruct('go')
    bench.until(lambda: bench.policies['a'].observations)
    count = len(bench.seen['/diagnostics'])
    bench.until(lambda: len(bench.seen['/diagnostics']) > count)


def test_checkpoint_swaps_while_running(make: Callable[..., Any]) -> None:
    """Setting the parameter swaps the policy and announces its hash."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.moves)
    assert bench.policy.set_parameters([Parameter('checkpoint', value='b')])[0].successful
    bench.until(lambda: bench.seen['policy_node/checkpoint'][-1].data == 'b')
    bench.until(lambda: bench.policies['b'].observations)


def test_foreign_checkpoint_is_refused_at_once(make: Callable[..., Any]) -> None:
    """One that does not fit the robot never becomes the parameter's value."""
    bench = make()
    result = bench.policy.set_parameters([Parameter('checkpoint', value='foreign')])[0]
    assert not result.successful and 'does not fit' in result.reason
    assert bench.policy.get_parameter('checkpoint').value == 'a'


def test_failed_load_keeps_the_old_checkpoint(make: Callable[..., Any]) -> None:
    """The old policy goes on, the diagnostics say why, the parameter tells the truth again."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.moves)
    assert bench.policy.set_parameters([Parameter('checkpoint', value='absent')])[0].successful
    bench.until(lambda: "'absent' was not loaded: damaged; still running 'a'" in bench.diagnosis)
    bench.until(lambda: bench.policy.get_parameter('checkpoint').value == 'a')
    count = len(bench.moves)
    bench.until(lambda: len(bench.moves) > count)


@pytest.mark.parametrize('checkpoint', ['absent', 'foreign'])
def test_bad_first_checkpoint_fails_configure(make: Callable[..., Any],
                                              checkpoint: str) -> None:
    """Without a usable checkpoint the node does not start, and the reason is kept."""
    bench = make(start=False, checkpoint=checkpoint)
    assert not bench.policy.start()
    assert bench.policy.failure


def test_deactivation_ends_with_the_empty_chunk(make: Callable[..., Any]) -> None:
    """The gate is told to hold, and no chunk follows."""
    bench = make(instruction='go')
    bench.until(lambda: bench.moves)
    bench.policy.trigger_deactivate()
    bench.until(lambda: not bench.chunks[-1].points)
    bench.until(lambda: 'inactive' in bench.diagnosis)
    assert not bench.chunks[-1].points


def test_heartbeat_says_when_all_was_well(make: Callable[..., Any]) -> None:
    """It comes though nothing is asked, complains of nothing, and needs an active node."""
    bench = make()
    bench.until(lambda: len(bench.seen['policy_node/heartbeat']) >= 20)
    assert bench.silence < 0.3
    assert {beat.frame_id for beat in bench.seen['policy_node/heartbeat'][10:]} == {''}
    bench.policy.trigger_deactivate()
    bench.until(lambda: 'inactive' in bench.diagnosis)
    count = len(bench.seen['policy_node/heartbeat'])
    bench.until(lambda: len(bench.seen['/diagnostics']) > 3)
    assert len(bench.seen['policy_node/heartbeat']) == count


@pytest.mark.parametrize('trouble', ['hangs', 'raises', 'nan'])
def test_heartbeat_ages_when_no_chunk_can_come(make: Callable[..., Any], trouble: str) -> None:
    """A hang, an exception in every inference and a chunk of NaN look the same to the gate."""
    bench = make(instruction='go', replan_period=0.1)
    policy = bench.policies['a']
    bench.until(lambda: len(bench.moves) >= 2 and bench.silence < 0.2)
    policy.mood = '' if trouble == 'hangs' else trouble
    if trouble == 'hangs':
        policy.gate.clear()
    bench.until(lambda: bench.silence > 0.7)
    if trouble != 'hangs':
        bench.until(lambda: 'inference failed' in bench.diagnosis)
    count, policy.mood = len(bench.moves), ''
    policy.gate.set()
    bench.until(lambda: len(bench.moves) > count and bench.silence < 0.2)


def test_a_delay_of_the_process_is_no_broken_stream(make: Callable[..., Any]) -> None:
    """After half a second in which no callback ran the newest messages are taken first."""
    bench = make(instruction='go')
    bench.until(lambda: bench.moves)
    pauses, beats = len(bench.chunks) - len(bench.moves), len(bench.seen['policy_node/heartbeat'])
    time.sleep(0.7)  # the delay itself, longer than the oldest message that is still used
    bench.until(lambda: len(bench.seen['policy_node/heartbeat']) > beats + 10)
    assert len(bench.chunks) - len(bench.moves) == pauses


def test_what_is_no_instruction_pauses(make: Callable[..., Any]) -> None:
    """The robot does not go on with what nobody wants now, and the operator reads why."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.moves)
    bench.instruct('go\x07')
    bench.until(lambda: not bench.chunks[-1].points)
    bench.until(lambda: 'control character' in bench.diagnosis)
    bench.instruct('むこうへ')
    bench.until(lambda: bench.chunks[-1].points)
    assert bench.policies['a'].observations[-1].instruction == 'むこうへ'


def test_synchronous_execution_waits_for_the_steps(make: Callable[..., Any]) -> None:
    """A row that stands still comes first, then the executed steps; the next look is after."""
    bench = make(instruction='go', execution='synchronous')
    bench.until(lambda: len(bench.moves) >= 3)
    for before, after in zip(bench.moves, bench.moves[1:], strict=False):
        first, second = before.points
        assert list(first.positions)[:3] == [0.0] * 3
        lead, end = (seconds(point.time_from_start) for point in (first, second))
        assert 0.0 < lead < 0.6 and end - lead == pytest.approx(0.1)
        assert seconds(after.header.stamp) > seconds(before.header.stamp) + end
        assert after.points[0].positions[3] == second.positions[3], 'the gripper holds on'
    assert bench.moves[0].points[0].positions[3] == pytest.approx(0.04), 'as measured'


def test_unknown_execution_does_not_start(make: Callable[..., Any]) -> None:
    """The valid ones are named."""
    bench = make(start=False, execution='synchron')
    assert not bench.policy.start()
    assert "Did you mean 'synchronous'" in bench.policy.failure


def test_real_time_chunking_continues_the_chunk_in_force(make: Callable[..., Any]) -> None:
    """From the second chunk on the policy is told what the robot will do anyway."""
    bench = make(instruction='go', execution='real_time_chunking', replan_period=0.1)
    seen = bench.policies['a'].observations
    bench.until(lambda: any(observation.prefix for observation in seen))
    prefix = next(observation.prefix for observation in seen if observation.prefix)
    assert seen[0].prefix is None
    # the arm of the test stands still: what it was to have moved until now is still ahead of it
    assert prefix.actions[1] == pytest.approx([0.2] * 4)


def test_diagnostics_tell_times_and_memory(make: Callable[..., Any]) -> None:
    """Stages, rates, memory and every stream are among the values."""
    bench = make(instruction='go', replan_period=0.1)
    bench.until(lambda: len(bench.moves) >= 5)
    bench.until(lambda: bench.values.get('chunks [1/s]', 'nan') != 'nan')
    values = bench.values
    for name in ('capture to publish p95 [ms]', 'observe p50 [ms]', 'inference p50 [ms]',
                 'queue max [ms]', 'publish p95 [ms]', 'process memory [MB]'):
        assert float(values[name]) >= 0.0
    assert float(values['chunks wanted [1/s]']) == pytest.approx(10.0, abs=0.01)
    assert any('front' in name for name in values) and any('joints' in name for name in values)


def test_cadence_is_told_once_at_the_end(
        make: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """Cleaning up logs the report of the run; a second end has nothing to tell."""
    bench = make(instruction='go', replan_period=0.1)
    bench.until(lambda: len(bench.moves) >= 3)
    bench.policy.trigger_deactivate()
    bench.policy.trigger_cleanup()
    bench.policy.trigger_shutdown()
    assert capfd.readouterr().err.count('cadence: ') == 1


def test_compressed_cameras_and_a_robot_without_pose(
        policy_bench: Any, make: Callable[..., Any], tmp_path: Path) -> None:
    """JPEG streams are subscribed to as such, and a robot commanded in joints needs no pose."""
    text = ROBOT.read_text().replace('max_age: 0.5,', 'max_age: 0.5, transport: compressed,')
    (tmp_path / 'robot.yaml').write_text(text)
    bench = make(instruction='go', robot=str(tmp_path / 'robot.yaml'), compressed=True)
    bench.until(lambda: bench.moves)
    assert bench.moves[0].points[0].positions[0] == pytest.approx(0.2, abs=0.02)


WITHOUT_TORCH = """
import sys
sys.modules['torch'] = None
from vla_drop_ros.nodes.policy_node import main
sys.exit(main())
"""


def end_without_torch(checkpoint: Path) -> str:
    """Return what the process says, which cannot start."""
    ended = subprocess.run(
        [sys.executable, '-c', WITHOUT_TORCH, '--ros-args', '-p', 'autostart:=true', '-p',
         f'robot:={ROBOT}', '-p', f'checkpoint:={checkpoint}'],
        capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and 'Traceback' not in ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.e2e
def test_absent_checkpoint_is_named_without_torch(tmp_path: Path) -> None:
    """The process checks the manifest, and says what is wrong, before torch is needed."""
    assert 'does not exist' in end_without_torch(tmp_path / 'none')


ENVIRONMENT = """
import os, sys
from vla_drop_ros.nodes.policy_node import main
main()
print(os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)
"""


@pytest.mark.e2e
@pytest.mark.parametrize(('given', 'expected'), [
    ({}, '1 PASSIVE False'), ({'OMP_NUM_THREADS': '3'}, '3 PASSIVE False')])
def test_threads_are_set_before_torch_is_there(given: dict[str, str], expected: str) -> None:
    """Afterwards it would be too late; who sets them decides."""
    environment = {name: value for name, value in os.environ.items() if 'OMP_' not in name}
    ended = subprocess.run(
        [sys.executable, '-c', ENVIRONMENT, '--ros-args', '-p', 'autostart:=true'],
        env={**environment, **given}, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.strip().endswith(expected), ended.stderr


@pytest.mark.e2e
def test_missing_torch_is_named(tiny_checkpoint: Path) -> None:
    """A machine without torch is told what to install."""
    assert 'pip install torch' in end_without_torch(tiny_checkpoint)
