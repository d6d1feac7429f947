# SPDX-License-Identifier: Apache-2.0
"""A process that hears the command topics and judges every message; no code of the gate is in it.

What it calls the time of a message is when it was put on the wire, as the middleware of the sender
says: a listener that waits for a processor must not make the gate late.

Settings: ``contract``, the YAML file whose numbers hold; ``truth``, the topic of the robot's own
pose; ``clock``, the topic of the graph's clock. Asked ``{"status": 1}`` it tells what happens now;
``{"carry": bool}``, ``{"restarted": 1}`` and ``{"silence": why}`` tell it what to expect;
``{"reaction": wall, "until": wall}`` asks what followed a fault, and ``{"violations": wall}`` what
was found since; ``{"apart": [[begin, end], [begin, end]]}`` how far the arm was in the second span
of stamps from anywhere in the first; it answers with ``done``.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory
import yaml

from bench.child import Bench
from bench.drill.joint_watch import JointNumbers, JointWatch
from bench.drill.reaction import apart, reaction
from bench.drill.twist_watch import TwistWatch
from bench.drill.watch import CommandWatch, Numbers, Sample

DEEP = 200
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEEP,
                      reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEEP,
                         reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEEP,
                     reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)
TURN = 0.01    # [s] between two looks at what is asked
RECENT = 0.3   # [s] over which the speed of the moment is taken
KEPT = 20000   # clock values


def seconds(stamp: Any) -> float:
    """Return a stamp in [s]."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def sent(info: Mapping[str, int]) -> float:
    """Return when a message was put on the wire, by what rclpy tells of it (monotonic, [s])."""
    return time.monotonic() - (time.time() - info['source_timestamp'] * 1e-9)


class Listener:
    """A bystander on the ROS domain."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Begin to listen."""
        contract = yaml.safe_load(Path(settings['contract']).read_text(encoding='utf-8'))
        self._joints = tuple(contract['limits'].get('joints', ()))
        command = contract['command']
        self.watch = watch_of(contract, self.node_time)
        arm, hear = {'pose': (PoseStamped, self._on_command),
                     'twist': (TwistStamped, self._on_twist),
                     'joint_trajectory': (JointTrajectory, self._on_trajectory)}[
                         command['adapter']]
        measured, place = (JointState, contract['state']['joints']['topic']) if (
            self._joints) else (PoseStamped, contract['state']['pose']['topic'])
        self.states: list[tuple[float, str]] = []
        self._clock_walls: list[float] = []
        self._clock_values: list[float] = []
        self._context = Context()
        self._context.init()
        self._node = Node('drill_listener', context=self._context, enable_rosout=False,
                          start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        for kind, topic, callback, qos in (
                (arm, command['topic'], hear, RELIABLE),
                (Float64MultiArray, command['gripper']['topic'], self._on_width, RELIABLE),
                (measured, place, self._on_pose, RELIABLE),
                (measured, settings['truth'], self._on_truth, BEST_EFFORT),
                (Clock, settings['clock'], self._on_clock, RELIABLE),
                (String, 'command_gate/state', self._on_state, LATCHED)):
            self._node.create_subscription(kind, topic, callback, qos)

    def turn(self) -> None:
        """Hear what has come, and judge what is ripe."""
        self._executor.spin_once(timeout_sec=TURN)
        self.watch.settle(time.monotonic())

    def close(self) -> None:
        """End."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()

    def answer(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is asked for."""
        watch = self.watch
        if 'status' in wish:
            return self._status()
        if 'carry' in wish:
            watch.carry(wish['carry'])
        if 'restarted' in wish:
            watch.restarted()
        if 'silence' in wish:
            watch.silence = wish['silence']
        if 'reaction' in wish:
            wall, until = wish['reaction'], wish['until']
            node = self.node_time(wall)
            states = [text for when, text in self.states if wall < when <= until]
            return {'done': True, **asdict(reaction(watch, wall, node, until)), 'node': node,
                    'states': states}
        if 'apart' in wish:
            return {'done': True, 'distance': apart(watch.truth, *wish['apart'])}
        if 'violations' in wish:
            watch.settle(time.monotonic())
            return {'done': True, 'found': [asdict(one) for one in watch.violations
                                            if one.wall >= wish['violations']]}
        return {'done': True}

    def node_time(self, wall: float) -> float:
        """Return the last value of the graph's clock heard before ``wall``, [s]."""
        place = bisect_right(self._clock_walls, wall)
        return self._clock_values[place - 1] if place else 0.0

    def _status(self) -> dict[str, Any]:
        watch, wall = self.watch, time.monotonic()
        recent = [one for one in watch.commands[-20:] if wall - one.wall < RECENT]
        truth = [one for one in list(watch.truth)[-40:] if wall - one.wall < RECENT]
        lead = watch.lead() if recent and truth else np.inf
        return {'done': True, 'wall': wall, 'node': self.node_time(wall),
                'state': self.states[-1][1] if self.states else '',
                'commands': len(watch.commands),
                'last_command': watch.commands[-1].wall if watch.commands else 0.0,
                'holds_measured': bool(watch.commands) and watch.repeats_measured(
                    watch.commands[-1]),
                'lead': lead, 'commanded_speed': _speed(recent), 'speed': _speed(truth)}

    def _on_command(self, message: PoseStamped, info: Mapping[str, int]) -> None:
        place, turn = message.pose.position, message.pose.orientation
        self.watch.command(sent(info), seconds(message.header.stamp),
                           message.header.frame_id, (place.x, place.y, place.z),
                           (turn.x, turn.y, turn.z, turn.w), heard=time.monotonic())

    def _on_twist(self, message: TwistStamped, info: Mapping[str, int]) -> None:
        move, turn = message.twist.linear, message.twist.angular
        assert isinstance(self.watch, TwistWatch)
        self.watch.twist(sent(info), seconds(message.header.stamp), message.header.frame_id,
                         (move.x, move.y, move.z), (turn.x, turn.y, turn.z),
                         heard=time.monotonic())

    def _on_trajectory(self, message: JointTrajectory, info: Mapping[str, int]) -> None:
        assert isinstance(self.watch, JointWatch)
        self.watch.trajectory(
            sent(info), seconds(message.header.stamp), list(message.joint_names),
            [(seconds(one.time_from_start), list(one.positions)) for one in message.points],
            heard=time.monotonic())

    def _on_width(self, message: Float64MultiArray, info: Mapping[str, int]) -> None:
        self.watch.width(sent(info), list(message.data))

    def _on_pose(self, message: PoseStamped | JointState, info: Mapping[str, int]) -> None:
        self._keep(self.watch.poses, message, sent(info))

    def _on_truth(self, message: PoseStamped | JointState, info: Mapping[str, int]) -> None:
        self._keep(self.watch.truth, message, sent(info))

    def _keep(self, samples: deque[Sample], message: Any, wall: float) -> None:
        if not self._joints:
            sample = _sample(message, wall)
        elif set(self._joints) <= set(message.name):
            values = dict(zip(message.name, message.position, strict=False))
            sample = Sample(wall, seconds(message.header.stamp), np.array(
                [values[name] for name in self._joints]))
        else:
            return
        if np.isfinite(sample.position).all():  # else nothing that a command may repeat
            samples.append(sample)

    def _on_clock(self, message: Clock, info: Mapping[str, int]) -> None:
        self._clock_walls.append(sent(info))
        self._clock_values.append(seconds(message.clock))
        if len(self._clock_walls) > 2 * KEPT:
            del self._clock_walls[:KEPT], self._clock_values[:KEPT]

    def _on_state(self, message: String, info: Mapping[str, int]) -> None:
        self.states.append((sent(info), message.data))


def watch_of(contract: Mapping[str, Any],
             node_time: Callable[[float], float]) -> CommandWatch:
    """Return what judges the commands of a contract's adapter."""
    adapter = contract['command']['adapter']
    if adapter == 'joint_trajectory':
        return JointWatch(JointNumbers.read(contract), node_time=node_time)
    return (TwistWatch if adapter == 'twist' else CommandWatch)(Numbers.read(contract))


def _sample(message: PoseStamped, wall: float) -> Sample:
    place, turn = message.pose.position, message.pose.orientation
    return Sample(wall, seconds(message.header.stamp),
                  np.array([place.x, place.y, place.z]),
                  np.array([turn.x, turn.y, turn.z, turn.w]))


def _speed(samples: list[Sample]) -> float:
    """Return the path length over the time of some samples, [m/s]."""
    if len(samples) < 2 or samples[-1].wall <= samples[0].wall:
        return 0.0
    moves = np.diff(np.array([one.position for one in samples]), axis=0)
    return float(np.linalg.norm(moves, axis=1).sum() / (samples[-1].wall - samples[0].wall))


def main() -> None:
    """Listen until the drill closes the connection."""
    bench = Bench()
    listener = Listener(bench.settings)
    bench.tell(ready=True)
    while not bench.ended.is_set():
        if bench.is_asked and (wish := bench.asked()) is not None:
            bench.tell(**listener.answer(wish))
        listener.turn()
    listener.close()


if __name__ == '__main__':
    main()
