# SPDX-License-Identifier: Apache-2.0
"""The simulated arm behind the topics of a real robot; physics, cameras and time in one thread."""

from dataclasses import dataclass
import json
import os
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import (
    diagnostics_message,
    header,
    pose_message,
    time_message,
)
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.nodes.simulated_controllers import BASE_FRAME, create_controller
from vla_drop_ros.simulation.arm import SERVO_PERIOD
from vla_drop_ros.simulation.environment import PickPlaceEnvironment, POLICY_CAMERAS
from vla_drop_ros.simulation.opengl import choose_backend
from vla_drop_ros.simulation.pacing import Cadence, Pacer

VIEWER_CAMERA = 'studio'
VIEWER_SIZE = (240, 320)
SUCCESS_RATE = 10.0     # [Hz] at which success is judged
SLOW = 0.9              # of the wanted speed; below it the diagnostics warn


@dataclass(frozen=True)
class SimulationParameters:
    """Parameters of ``simulated_robot``."""

    publish_clock: bool = parameter(
        True, 'Stamp in simulated time and publish /clock; false: the clock of the node')
    speed: float = parameter(
        1.0, 'Simulated seconds a second; 0 = as fast as possible', minimum=0.0, maximum=100.0,
        read_only=False)
    state_rate: float = parameter(
        50.0, 'Rate of joint_states and ee_pose, in simulated time', unit='Hz', minimum=1.0,
        maximum=1.0 / SERVO_PERIOD)
    camera_rate: float = parameter(
        10.0, 'Rate of the cameras of the policy, in simulated time', unit='Hz', minimum=0.0,
        maximum=1.0 / SERVO_PERIOD)
    viewer_rate: float = parameter(
        0.0, 'Rate of studio_camera/image_raw, for people; 0 = none', unit='Hz', minimum=0.0,
        maximum=1.0 / SERVO_PERIOD)
    render_size: int = parameter(
        80, 'Height and width of the images of the policy', unit='px', minimum=16, maximum=1024)
    controller: str = parameter(
        'pose', 'What the arm obeys: pose (target_pose), twist (twist_command) or '
        'joint_trajectory (joint_trajectory)')
    seed: int = parameter(0, 'Seed of the next scene', minimum=0, read_only=False)
    task: str = parameter('', "Task of the next scene; '' draws one from the seed",
                          read_only=False)
    variant: str = parameter('nominal', 'Difficulty of the next scene', read_only=False)


class SimulatedRobotNode(Node):
    """Each step of a timer advances physics by one servo period and publishes what is due."""

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Create the interfaces; the scene is set up by ``start``."""
        super().__init__('simulated_robot', context=context, parameter_overrides=overrides)
        self.parameters = declare(self, SimulationParameters)
        self._controller = create_controller(self, self.parameters.controller)
        viewers = (VIEWER_CAMERA,) if self.parameters.viewer_rate > 0.0 else ()
        self._cameras = {
            name: self.create_publisher(Image, f'{name}_camera/image_raw', IMAGE)
            for name in (*POLICY_CAMERAS, *viewers)}
        self._joints = self.create_publisher(JointState, 'joint_states', STATE)
        self._pose = self.create_publisher(PoseStamped, 'ee_pose', STATE)
        self._success = self.create_publisher(Bool, '~/success', LATCHED)
        self._scene = self.create_publisher(String, '~/scene', LATCHED)
        self._clock_publisher = self.create_publisher(ClockMessage, '/clock', IMAGE)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', STATUS)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._published_scene: tuple[bool, str | None] | None = None
        self._environment = PickPlaceEnvironment(self.parameters.render_size)

    def start(self) -> bool:
        """Set up the first scene and let time run.

        Raises:
            TaskError: task or variant is not one of the valid ones.
            SimulationError: nothing here can render.

        """
        wanted = self.parameters
        self._state_due = Cadence(wanted.state_rate)
        self._cameras_due = Cadence(wanted.camera_rate)
        self._viewer_due = Cadence(wanted.viewer_rate)
        self._success_due = Cadence(SUCCESS_RATE)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._reset_scene()
        self._pacer = Pacer(wanted.speed, self._environment.time, time.monotonic())
        self._speed = wanted.speed
        self._timer = self.create_timer(0.0, self._step, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        return True

    def close(self) -> None:
        """Free the frame buffers."""
        self._environment.close()

    def _step(self) -> None:
        """Advance by one servo period, publish what is due, and rest until the next is."""
        environment = self._environment
        self._controller.drive(environment, SERVO_PERIOD)
        environment.advance(SERVO_PERIOD)
        if self.parameters.publish_clock:
            self._clock_publisher.publish(ClockMessage(clock=time_message(environment.time)))
        if self._state_due.due(environment.time):
            self._publish_state()
        if self._cameras_due.due(environment.time):
            self._publish_images(POLICY_CAMERAS, None)
        if self._viewer_due.due(environment.time) and (
                self._cameras[VIEWER_CAMERA].get_subscription_count()):  # 20 ms of a core each
            self._publish_images((VIEWER_CAMERA,), VIEWER_SIZE)
        if self._success_due.due(environment.time):
            self._publish_scene()
        self._rest()

    def _rest(self) -> None:
        """Set the timer to when the next step is due on the wall clock."""
        now, simulated = time.monotonic(), self._environment.time
        speed = self.get_parameter('speed').value
        if speed != self._speed:
            self._speed = speed
            self._pacer.change_speed(speed, simulated, now)
        delay = self._pacer.delay(simulated, now)
        self._timer.timer_period_ns = round(delay * 1e9)
        self._timer.reset()

    def _stamp(self) -> float:
        """Return the stamp of a measurement made now, [s]."""
        if self.parameters.publish_clock:
            return self._environment.time
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _publish_state(self) -> None:
        environment, stamp = self._environment, self._stamp()
        self._joints.publish(JointState(
            header=header(stamp, BASE_FRAME), name=list(environment.joint_names),
            position=environment.joint_positions.tolist(),
            velocity=environment.joint_velocities.tolist()))
        self._pose.publish(pose_message(
            stamp, BASE_FRAME, environment.ee_position, environment.ee_quaternion))

    def _publish_images(self, cameras: tuple[str, ...], size: tuple[int, int] | None) -> None:
        stamp = self._stamp()
        for name in cameras:
            self._cameras[name].publish(image_message(
                self._environment.render(name, size), stamp, f'{name}_camera_optical_frame'))

    def _publish_scene(self) -> None:
        """Publish success and scene when they have changed."""
        environment = self._environment
        now = (environment.success, environment.moved_object)
        if now != self._published_scene:
            self._published_scene = now
            self._success.publish(Bool(data=now[0]))
            self._scene.publish(String(data=self._describe_scene()))

    def _describe_scene(self) -> str:
        environment = self._environment
        positions = environment.object_positions.round(4).tolist()
        return json.dumps({
            **self._drawn, 'task': environment.task.goal, 'instruction': environment.instruction,
            'objects': [{'name': thing.name, 'position': position}
                        for thing, position in zip(environment.objects, positions, strict=True)],
            'target': environment.objects[environment.task.target].name,
            'success': environment.success, 'moved_object': environment.moved_object})

    def _reset_scene(self) -> None:
        """Set up the scene of the parameters; commands meant for the last one are void."""
        seed, task, variant = (
            self.get_parameter(name).value for name in ('seed', 'task', 'variant'))
        self._environment.reset(seed, task or None, variant)
        self._drawn = {'seed': seed, 'variant': variant}
        self._controller.forget()
        self._published_scene = None
        self._publish_scene()
        self.get_logger().info(f'scene {seed} ({variant}): {self._environment.instruction}')

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self._reset_scene()
            response.success, response.message = True, self._describe_scene()
        except VlaDropError as error:
            response.success, response.message = False, str(error)
        return response

    def _publish_diagnostics(self) -> None:
        factor, speed = self._pacer.factor, self._speed
        rejected = self._controller.rejected
        slow = 0.0 < factor < SLOW * speed
        self._diagnostics.publish(diagnostics_message(
            self._stamp(), self.get_fully_qualified_name().lstrip('/'),
            DiagnosticStatus.WARN if slow else DiagnosticStatus.OK,
            f'{factor:.2f} x real time' + (f' instead of {speed:.2f}' if slow else ''),
            {'real-time factor': f'{factor:.3f}', 'speed': speed,
             'simulated time [s]': f'{self._environment.time:.2f}',
             'commands rejected': rejected.total(), **rejected}))


def main(args: list[str] | None = None) -> int:
    """Run the simulated robot in this process; return the exit code."""
    if 'MUJOCO_GL' not in os.environ:  # MuJoCo chooses when it is imported: begin again
        os.environ['MUJOCO_GL'] = choose_backend()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return run_node(SimulatedRobotNode, args)


if __name__ == '__main__':
    sys.exit(main())
