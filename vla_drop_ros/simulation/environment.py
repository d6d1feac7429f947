# SPDX-License-Identifier: Apache-2.0
"""The pick-and-place cell: set a target for the hand, advance physics, look through cameras."""

import mujoco
import numpy as np

from vla_drop_ros.errors import SimulationError, unknown
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.arm import ArmServo, SERVO_PERIOD
from vla_drop_ros.simulation.layout import draw_layout, Layout, VARIANTS
from vla_drop_ros.simulation.renderer import Renderer
from vla_drop_ros.simulation.scene import (
    ARM_JOINTS,
    CAMERAS,
    COLORS,
    DISTRACTOR_COLORS,
    DISTRACTOR_KINDS,
    DISTRACTOR_SLOTS,
    FINGER_JOINTS,
    JOINT_LIMITS,
    KINDS,
    MAX_WIDTH,
    OBJECT_SLOTS,
    ObjectKind,
    scene_xml,
    TIMESTEP,
)
from vla_drop_ros.simulation.tasks import GOALS, SceneObject, Task
from vla_drop_ros.types import FloatArray, ImageArray, Observation

CONTROL_PERIOD = 0.1
POLICY_CAMERAS = ('front', 'wrist')
STUDIO_SIZE = (360, 480)
_STEPS_PER_SERVO = round(SERVO_PERIOD / TIMESTEP)


class PickPlaceEnvironment:
    """A seven-joint arm, three nameable objects, two bins. Call from one thread only.

    Positions are in base_link, [m]; the same seed gives the same scene and the same physics.
    """

    def __init__(self, render_size: int = 80) -> None:
        """Compile the scene; frame buffers open with the first picture."""
        self._model = mujoco.MjModel.from_xml_string(scene_xml())
        self._data = mujoco.MjData(self._model)
        self._servo = ArmServo()
        self._size = (render_size, render_size)
        self._renderers: dict[tuple[int, int], Renderer] = {}
        model = self._model
        self._joint_addresses = np.array(
            [model.joint(name).qposadr[0] for name in (*ARM_JOINTS, *FINGER_JOINTS)])
        self._joint_dofs = np.array(
            [model.joint(name).dofadr[0] for name in (*ARM_JOINTS, *FINGER_JOINTS)])
        self._object_bodies = [model.body(f'object{i}').id for i in range(OBJECT_SLOTS)]
        self._finger_geoms = {i for i in range(model.ngeom)
                              if model.geom_bodyid[i] in (model.body('finger1').id,
                                                          model.body('finger2').id,
                                                          model.body('hand').id)}
        self._camera_rest = (model.cam_pos.copy(), model.cam_quat.copy())
        self._target = np.zeros(3)
        self._set_points: FloatArray | None = None
        self._width = MAX_WIDTH
        self._time = 0.0
        self.layout: Layout = draw_layout(0)
        self._start_positions = self.layout.positions

    def reset(self, seed: int, task: str | None = None, variant: str = 'nominal') -> Observation:
        """Set up the scene of ``seed`` and return the first observation; time goes on.

        Raises:
            TaskError: unknown task or variant; the message lists the valid ones.

        """
        self.restore(draw_layout(seed, task, variant))
        return self.observation()

    def restore(self, layout: Layout) -> None:
        """Set up a drawn scene, hand at its start, everything at rest."""
        self.furnish(layout)
        self.place_arm(self._servo.solve(layout.start), MAX_WIDTH, layout.start)

    def furnish(self, layout: Layout) -> None:
        """Set up everything of a drawn scene but the arm; ``place_arm`` must follow."""
        self.layout = layout
        mujoco.mj_resetData(self._model, self._data)
        self._dress(layout)
        self._start_positions = layout.positions[:OBJECT_SLOTS].copy()

    def place_arm(self, joints: FloatArray, width: float, point: FloatArray) -> None:
        """Put the arm somewhere at once (for set-up and still pictures, not for motion)."""
        data = self._data
        data.qpos[self._joint_addresses] = np.concatenate([joints, [width / 2, width / 2]])
        data.qvel[:] = 0.0
        data.ctrl[:7], data.ctrl[7] = joints, width / 2
        self._servo.point = np.array(point, dtype=float)
        self._target, self._width = np.array(point, dtype=float), width
        self._set_points = None
        mujoco.mj_forward(self._model, data)

    def place_object(self, index: int, position: FloatArray, yaw: float = 0.0) -> None:
        """Put an object somewhere at once (for set-up and stills); call before place_arm."""
        address = self._model.joint(f'object{index}').qposadr[0]
        self._data.qpos[address:address + 7] = [
            *position, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]

    def set_target(self, position: FloatArray, gripper_width: float) -> None:
        """Command where the tool centre point goes, [m] in base_link, and the opening, [m]."""
        if not (np.isfinite(position).all() and np.isfinite(gripper_width)):
            raise SimulationError(f'target {position}, width {gripper_width}: must be finite')
        self._target = np.array(position, dtype=float)
        self._width = float(np.clip(gripper_width, 0.0, MAX_WIDTH))
        self._set_points = None

    @property
    def target(self) -> FloatArray:
        """Return where the tool centre point is sent, [m] in base_link."""
        return self._target.copy()

    def set_joints(self, positions: FloatArray, gripper_width: float) -> None:
        """Command the arm joints, [rad] within their ranges, past the servo, and the opening, [m].

        Speed is up to who commands; ``set_target`` gives the arm back to the servo.
        """
        if not (np.isfinite(positions).all() and np.isfinite(gripper_width)):
            raise SimulationError(f'joints {positions}, width {gripper_width}: must be finite')
        low, high = np.array(JOINT_LIMITS).T
        self._set_points = np.clip(positions, low, high)
        self._width = float(np.clip(gripper_width, 0.0, MAX_WIDTH))

    @property
    def joint_targets(self) -> FloatArray:
        """Return the set points of the arm joints, [rad], shape (7,)."""
        return np.array(self._data.ctrl[:7])

    def advance(self, duration: float) -> None:
        """Run physics for ``duration`` [s], rounded to whole servo periods of 20 ms."""
        for _ in range(round(duration / SERVO_PERIOD)):
            self._data.ctrl[:7] = (self._servo.step(self._target) if self._set_points is None
                                   else self._set_points)
            self._data.ctrl[7] = self._width / 2
            mujoco.mj_step(self._model, self._data, _STEPS_PER_SERVO)
            self._time += SERVO_PERIOD

    @property
    def time(self) -> float:
        """Return simulated seconds since construction; a reset does not turn it back."""
        return self._time

    @property
    def instruction(self) -> str:
        """Return the task of the scene in words."""
        return self.layout.instruction

    @property
    def task(self) -> Task:
        """Return the task of the scene."""
        return self.layout.task

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """Return the nameable objects."""
        return self.layout.objects

    @staticmethod
    def tasks_available() -> tuple[str, ...]:
        """Return the names that ``reset`` takes as task."""
        return GOALS

    @staticmethod
    def variants_available() -> tuple[str, ...]:
        """Return the names that ``reset`` takes as variant."""
        return tuple(VARIANTS)

    @property
    def ee_position(self) -> FloatArray:
        """Return the tool centre point, [m] in base_link."""
        return np.array(self._data.site('tcp').xpos)

    @property
    def ee_quaternion(self) -> FloatArray:
        """Return the hand's orientation in base_link as x, y, z, w."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self._data.site('tcp').xmat)
        return quaternion[[1, 2, 3, 0]]

    @property
    def gripper_width(self) -> float:
        """Return the measured opening, [m]."""
        return float(self._data.qpos[self._joint_addresses[7:]].sum())

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Return arm joints, then finger joints."""
        return (*ARM_JOINTS, *FINGER_JOINTS)

    @property
    def joint_positions(self) -> FloatArray:
        """Return joint positions, [rad] and [m]."""
        return np.array(self._data.qpos[self._joint_addresses])

    @property
    def joint_velocities(self) -> FloatArray:
        """Return joint velocities, [rad/s] and [m/s]."""
        return np.array(self._data.qvel[self._joint_dofs])

    @property
    def state(self) -> FloatArray:
        """Return ee.x, ee.y, ee.z, gripper.width, [m]."""
        return np.append(self.ee_position, self.gripper_width)

    @property
    def object_positions(self) -> FloatArray:
        """Return the centres of the nameable objects, [m], shape (N, 3)."""
        return np.array(self._data.xpos[self._object_bodies])

    def states(self, task: Task | None = None) -> expert.States:
        """Return the scene as the expert sees it, a batch of one."""
        task = task or self.task
        return expert.States(
            self.ee_position[None], np.array([self.gripper_width]), self.object_positions[None],
            np.array([GOALS.index(task.goal)]), np.array([task.target]),
            np.array([task.reference or 0]))

    @property
    def success(self) -> bool:
        """Tell from physics: the object rests at its goal, still, and the hand is off it."""
        return self.succeeded(self.task)

    def succeeded(self, task: Task) -> bool:
        """Tell whether ``task`` is fulfilled now."""
        target = self._object_bodies[task.target]
        speed = np.abs(self._data.cvel[target]).max()
        touching = any(
            (contact.geom1 in self._finger_geoms or contact.geom2 in self._finger_geoms)
            and target in (self._model.geom_bodyid[contact.geom1],
                           self._model.geom_bodyid[contact.geom2])
            for contact in self._data.contact)
        return bool(expert.at_goal(self.states(task))[0] and not touching and speed < 0.05)

    @property
    def moved_object(self) -> str | None:
        """Return the name of the object that has moved furthest, if more than 3 cm."""
        moved = np.linalg.norm(self.object_positions - self._start_positions, axis=1)
        return self.objects[int(moved.argmax())].name if moved.max() > 0.03 else None

    def render(self, camera: str, size: tuple[int, int] | None = None) -> ImageArray:
        """Return an RGB picture; size is (height, width), by default that of the policy."""
        if camera not in CAMERAS:
            raise SimulationError(unknown('camera', camera, CAMERAS))
        size = size or (STUDIO_SIZE if camera == 'studio' else self._size)
        if size not in self._renderers:
            samples = 4 if size[0] > 120 else 0
            self._renderers[size] = Renderer(self._model, *size, samples=samples)
        return self._renderers[size].render(self._data, camera)

    def project(self, camera: str, points: FloatArray) -> FloatArray:
        """Return where points [m] (P, 3) appear: column, row, 0..1 inside the picture, (P, 2)."""
        view = self._data.camera(camera)
        local = (points - view.xpos) @ view.xmat.reshape(3, 3)
        depth = np.maximum(-local[:, 2], 1e-6)
        scale = 1.0 / np.tan(np.radians(self._model.camera(camera).fovy[0]) / 2)
        return np.column_stack([0.5 + 0.5 * scale * local[:, 0] / depth,
                                0.5 - 0.5 * scale * local[:, 1] / depth])

    def solve(self, point: FloatArray) -> FloatArray:
        """Return arm joints [rad] that bring the tool centre point to ``point``."""
        return self._servo.solve(point)

    def observation(self) -> Observation:
        """Return what a policy sees now, stamped with simulated time."""
        images = {camera: self.render(camera) for camera in POLICY_CAMERAS}
        return Observation(self.time, images, self.state, self.instruction)

    def close(self) -> None:
        """Free the frame buffers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _dress(self, layout: Layout) -> None:
        model = self._model
        for slot, thing in enumerate(layout.objects):
            self._shape(slot, KINDS[thing.kind], COLORS[thing.color])
        for slot in range(DISTRACTOR_SLOTS):
            kind, color = (layout.distractors[slot] if slot < len(layout.distractors) else (0, 0))
            self._shape(OBJECT_SLOTS + slot, DISTRACTOR_KINDS[kind], DISTRACTOR_COLORS[color])
        for index, (position, yaw) in enumerate(zip(layout.positions, layout.yaws, strict=True)):
            self.place_object(index, position, yaw)
        for slot in range(len(layout.positions), OBJECT_SLOTS + DISTRACTOR_SLOTS):
            self.place_object(slot, np.array([-0.6 - 0.2 * slot, -1.0, -3.0]))
            model.body_gravcomp[model.body(f'object{slot}').id] = 1.0
        light = model.light('key').id
        model.light_diffuse[light] = layout.diffuse
        model.light_dir[light] = layout.direction / np.linalg.norm(layout.direction)
        model.vis.headlight.ambient[:] = layout.ambient
        model.geom_rgba[model.geom('table').id, :3] = layout.table
        for index, name in enumerate(POLICY_CAMERAS):
            camera = model.camera(name).id
            model.cam_pos[camera] = self._camera_rest[0][camera] + layout.camera_shift[index]
            turn, turned = np.empty(4), np.empty(4)
            angle = np.linalg.norm(layout.camera_turn[index])
            mujoco.mju_axisAngle2Quat(turn, layout.camera_turn[index] / max(angle, 1e-9), angle)
            mujoco.mju_mulQuat(turned, self._camera_rest[1][camera], turn)
            model.cam_quat[camera] = turned

    def _shape(self, slot: int, kind: ObjectKind, color: tuple[float, float, float]) -> None:
        model = self._model
        geom, body = model.geom(f'object{slot}').id, model.body(f'object{slot}').id
        model.geom_type[geom], model.geom_size[geom] = kind.geom_type, kind.size
        x, y, z = kind.size if kind.geom_type == 6 else (kind.size[0], kind.size[0], kind.size[1])
        model.geom_rbound[geom] = np.sqrt(x * x + y * y + z * z)
        model.geom_aabb[geom] = [0, 0, 0, x, y, z]
        model.geom_rgba[geom, :3] = color
        mass = model.body_mass[body]
        model.body_inertia[body] = mass / 3 * np.array(
            [y * y + z * z, x * x + z * z, x * x + y * y])
        model.body_gravcomp[body] = 0.0
