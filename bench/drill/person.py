# SPDX-License-Identifier: Apache-2.0
"""The person at the controls of a cell, as a ROS node: instructions, e-stop, switches, scenes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import json
import time
from typing import Any

from builtin_interfaces.msg import Duration, Time
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.errors import VlaDropError

LATCHED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1,
                     reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)
ANSWER = 30.0  # [s] that a service may take, one that is being restarted too
TRY = 2.0      # [s] after which a request is repeated
PAUSE = 0.02   # [s] between two looks at a condition


class Person:
    """Publishes and calls; every call waits for its answer."""

    def __init__(self) -> None:
        """Join the graph."""
        self._context = Context()
        self._context.init()
        self._node = Node('drill_person', context=self._context, enable_rosout=False,
                          start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._instructions = self._node.create_publisher(String, 'instruction', LATCHED)
        self._estop = self._node.create_publisher(Bool, 'estop', LATCHED)
        self._chunks = self._node.create_publisher(JointTrajectory, 'policy_node/action_chunk', 1)
        self._clients: dict[str, Any] = {}

    def close(self) -> None:
        """Leave."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.shutdown()

    def instruct(self, text: str) -> None:
        """Ask for something; '' asks to stop."""
        self._instructions.publish(String(data=text))

    def chunk(self, node_time: float, frame: str, names: list[str],
              rows: list[list[float]]) -> None:
        """Speak in the place of the policy: steps of 0.1 s from ``node_time`` [s] on."""
        message = JointTrajectory(joint_names=names)
        message.header.stamp = Time(sec=int(node_time), nanosec=int(node_time % 1.0 * 1e9))
        message.header.frame_id = frame
        message.points = [JointTrajectoryPoint(
            positions=row, time_from_start=Duration(sec=(i + 1) // 10,
                                                    nanosec=(i + 1) % 10 * 10**8))
            for i, row in enumerate(rows)]
        self._chunks.publish(message)

    def press(self, pressed: bool) -> None:
        """Press or release the e-stop; releasing alone does not let the robot move."""
        self._estop.publish(Bool(data=pressed))

    def reset_estop(self) -> tuple[bool, str]:
        """Ask the gate to release the latch; return its answer."""
        answer = self._call(Trigger, 'command_gate/reset_estop', Trigger.Request())
        return bool(answer.success), str(answer.message)

    def enable(self, wanted: bool) -> tuple[bool, str]:
        """Give or take back the permission to command; return the gate's answer."""
        answer = self._call(SetBool, 'command_gate/enable', SetBool.Request(data=wanted))
        return bool(answer.success), str(answer.message)

    def new_scene(self, seed: int) -> str:
        """Set up another scene; return its instruction.

        Raises:
            VlaDropError: the simulated robot refused.

        """
        self.set('simulated_robot', seed=seed)
        answer = self._call(Trigger, 'simulated_robot/reset', Trigger.Request())
        if not answer.success:
            raise VlaDropError(f'no scene {seed}: {answer.message}')
        return str(json.loads(answer.message)['instruction'])

    def set(self, node: str, **values: Any) -> tuple[bool, str]:
        """Set parameters; return whether all were taken, and why not."""
        wishes = [Parameter(name, value=value).to_parameter_msg()
                  for name, value in values.items()]
        answer = self._call(SetParameters, f'{node}/set_parameters',
                            SetParameters.Request(parameters=wishes))
        refused = [one.reason for one in answer.results if not one.successful]
        return not refused, '; '.join(refused)

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service.

        Raises:
            VlaDropError: nobody answered in time.

        """
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client, end = self._clients[name], time.monotonic() + ANSWER
        while time.monotonic() < end:  # a request to a server that was killed is lost
            if client.wait_for_service(timeout_sec=TRY):
                future = client.call_async(request)
                self._executor.spin_until_future_complete(future, timeout_sec=TRY)
                if future.done():
                    return future.result()
                client.remove_pending_request(future)
        raise VlaDropError(f'the service {name} did not answer within {ANSWER:.0f} s')


def wait_until(condition: Callable[[], Any], limit: float, what: str) -> Any:
    """Return the first true value of a condition.

    Raises:
        VlaDropError: it was not true within ``limit`` [s]; ``what`` says what did not happen.

    """
    end = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > end:
            raise VlaDropError(f'{what} within {limit:.0f} s')
        time.sleep(PAUSE)
    return value


@contextmanager
def person() -> Iterator[Person]:
    """Return a person who leaves at the end."""
    one = Person()
    try:
        yield one
    finally:
        one.close()
