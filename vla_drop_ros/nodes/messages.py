# SPDX-License-Identifier: Apache-2.0
"""Between ROS messages and the types of the core; every time is [s], every array numpy."""

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, TwistStamped
import numpy as np
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.runtime.execution import step_ends, TimedActions
from vla_drop_ros.runtime.gate import IncomingChunk
from vla_drop_ros.runtime.latency import LatencySummary
from vla_drop_ros.runtime.robot_inputs import NANOSECONDS, seconds
from vla_drop_ros.types import ActionChunk, FloatArray


def clock_seconds(node: Node) -> float:
    """Return the time of the node's clock, [s]."""
    return float(node.get_clock().now().nanoseconds / NANOSECONDS)


def time_message(stamp: float) -> Time:
    """Return the message of a stamp [s]."""
    total = round(stamp * NANOSECONDS)
    return Time(sec=total // NANOSECONDS, nanosec=total % NANOSECONDS)


def duration_message(span: float) -> Duration:
    """Return the message of a time span [s]."""
    total = round(span * NANOSECONDS)
    return Duration(sec=total // NANOSECONDS, nanosec=total % NANOSECONDS)


def header(stamp: float, frame: str) -> Header:
    """Return a header with stamp [s] and frame."""
    return Header(stamp=time_message(stamp), frame_id=frame)


def pose_message(stamp: float, frame: str, position: FloatArray,
                 quaternion: FloatArray) -> PoseStamped:
    """Return a pose: position [m] shape (3,), quaternion x y z w shape (4,)."""
    message = PoseStamped(header=header(stamp, frame))
    point, turn = message.pose.position, message.pose.orientation
    point.x, point.y, point.z = (float(value) for value in position)
    turn.x, turn.y, turn.z, turn.w = (float(value) for value in quaternion)
    return message


def twist_message(stamp: float, frame: str, linear: FloatArray,
                  angular: FloatArray) -> TwistStamped:
    """Return a twist: linear [m/s] and angular [rad/s], both shape (3,), in ``frame``."""
    message = TwistStamped(header=header(stamp, frame))
    move, turn = message.twist.linear, message.twist.angular
    move.x, move.y, move.z = (float(value) for value in linear)
    turn.x, turn.y, turn.z = (float(value) for value in angular)
    return message


def joint_message(joints: Sequence[str], positions: FloatArray, lead: float) -> JointTrajectory:
    """Return a trajectory of one point, ``lead`` [s] from its reception; positions shape (n,)."""
    return JointTrajectory(joint_names=list(joints), points=[JointTrajectoryPoint(
        positions=[float(value) for value in positions],
        time_from_start=duration_message(lead))])


def gripper_message(width: float) -> Float64MultiArray:
    """Return a gripper command: data[0] = width [m]."""
    return Float64MultiArray(data=[float(width)])


def chunk_message(chunk: ActionChunk) -> JointTrajectory:
    """Return a chunk on the wire: point i holds action i, due (i + 1) periods after the stamp."""
    return timed_message(
        TimedActions(chunk.stamp, step_ends(chunk), chunk.actions, chunk.spec))


def timed_message(chunk: TimedActions) -> JointTrajectory:
    """Return a chunk on the wire: point i holds action i, due ``times[i]`` after the stamp."""
    message = JointTrajectory(header=header(chunk.stamp, chunk.spec.frame),
                              joint_names=list(chunk.spec.names))
    points = []
    for due, action in zip(chunk.times.tolist(), chunk.actions.tolist(), strict=True):
        point = JointTrajectoryPoint(positions=action)
        # The duration that it has: its constructor would make one even if it were given one.
        total, span = round(due * NANOSECONDS), point.time_from_start
        span.sec, span.nanosec = total // NANOSECONDS, total % NANOSECONDS
        points.append(point)
    message.points = points
    return message


def pause_message(stamp: float, frame: str) -> JointTrajectory:
    """Return the empty chunk, which makes the gate hold at once."""
    return JointTrajectory(header=header(stamp, frame))


def incoming_chunk(message: JointTrajectory) -> IncomingChunk:
    """Return a chunk from the wire, nothing checked."""
    return IncomingChunk(
        names=tuple(message.joint_names), frame=message.header.frame_id,
        stamp=seconds(message.header.stamp),
        times=[seconds(point.time_from_start) for point in message.points],
        actions=[list(point.positions) for point in message.points])


def diagnostics_message(stamp: float, name: str, level: bytes, summary: str,
                        values: Mapping[str, object]) -> DiagnosticArray:
    """Return one status with its values as text."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    status = DiagnosticStatus(level=level, name=name, message=summary, hardware_id='',
                              values=pairs)
    return DiagnosticArray(header=header(stamp, ''), status=[status])


def latency_values(name: str, summary: LatencySummary) -> dict[str, str]:
    """Return a latency summary as diagnostic values, in [ms]."""
    shown = {'p50': summary.p50, 'p95': summary.p95, 'max': summary.max}
    return {f'{name} {key} [ms]': '-' if np.isnan(value) else f'{value * 1000:.1f}'
            for key, value in shown.items()}
