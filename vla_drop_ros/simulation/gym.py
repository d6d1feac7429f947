# SPDX-License-Identifier: Apache-2.0
"""The pick-and-place cell for those who know Gymnasium.

>>> import gymnasium
>>> import vla_drop_ros.simulation.gym
>>> env = gymnasium.make('vla_drop_ros/PickPlace-v0')
>>> observation, info = env.reset(seed=0, options={'task': 'left_bin', 'variant': 'hard'})

Set MUJOCO_GL=egl before MuJoCo is imported on a machine without a display; where nothing has
imported it yet, making the environment finds out by itself.
"""

from string import ascii_lowercase
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from vla_drop_ros.errors import MissingDependencyError, SimulationError, TaskError, unknown
from vla_drop_ros.simulation.opengl import prepare_rendering
from vla_drop_ros.simulation.scene import MAX_WIDTH
from vla_drop_ros.types import FloatArray, ImageArray, Observation

try:
    import gymnasium
    from gymnasium import spaces
except ModuleNotFoundError as error:
    raise MissingDependencyError(
        f'the Gymnasium interface needs the package {error.name!r}: '
        'pip install gymnasium') from error

ID = 'vla_drop_ros/PickPlace-v0'
LARGEST_MOVE = 0.05  # displacement of one step along each axis, [m]
OPTIONS = ('task', 'variant')


class PickPlaceGym(gymnasium.Env):
    """One object goes where the instruction says; a step is 0.1 s of physics.

    Observation: ``front`` and ``wrist`` (RGB uint8, shape (80, 80, 3)), ``state`` (tool centre
    point x, y, z in base_link and opening of the gripper, all [m], shape (4,)), ``instruction``.
    Action, shape (4,): displacement of the tool centre point from where it is now [m] in
    base_link, within 5 cm an axis, and the opening of the gripper [m], 0 to 0.08. Reward: 1 in
    the step that succeeds, which ends the episode, else 0.
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': 10}

    def __init__(self, render_mode: str | None = None, image_size: int = 80,
                 max_steps: int = 90) -> None:
        """Compile the scene.

        Args:
            render_mode: ``rgb_array`` lets ``render`` return the view of the studio camera.
            image_size: height and width of the observed pictures, pixels.
            max_steps: steps after which an episode is truncated.

        """
        if render_mode not in (None, 'rgb_array'):
            raise SimulationError(unknown('render mode', render_mode, ['rgb_array']))
        if 'mujoco' not in sys.modules:
            prepare_rendering()
        from vla_drop_ros.simulation import environment
        self.render_mode, self.max_steps = render_mode, max_steps
        self._period = environment.CONTROL_PERIOD
        self._cell = environment.PickPlaceEnvironment(image_size)
        self._steps = -1
        picture = spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = spaces.Dict({
            **dict.fromkeys(environment.POLICY_CAMERAS, picture),
            'state': spaces.Box(-np.inf, np.inf, (4,), np.float32),
            'instruction': spaces.Text(max_length=80, charset=ascii_lowercase + ' ')})
        self.action_space = spaces.Box(
            np.array([-LARGEST_MOVE] * 3 + [0.0], np.float32),
            np.array([LARGEST_MOVE] * 3 + [MAX_WIDTH], np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None,
              ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Set up the scene of ``seed``, or without one the next of a random sequence.

        Args:
            seed: the same one gives the same scene as everywhere in this package.
            options: ``task`` (a goal, for instance ``left_bin``) and ``variant``.

        Raises:
            TaskError: unknown option, task or variant; the message lists the valid ones.

        """
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name not in OPTIONS:
                raise TaskError(unknown('option', name, OPTIONS))
        scene = int(self.np_random.integers(2**31)) if seed is None else seed
        observation = self._cell.reset(
            scene, options.get('task'), options.get('variant', 'nominal'))
        self._steps = 0
        return self._seen(observation), {'scene': scene, **self._outcome()}

    def step(self, action: npt.NDArray[np.floating[Any]],
             ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move for 0.1 s; an action outside its space is brought to its edge.

        Raises:
            SimulationError: no reset yet, or an action that is not finite or not of shape (4,).

        """
        if self._steps < 0:
            raise SimulationError('no scene yet: call reset before step')
        command: FloatArray = np.asarray(action, dtype=float)
        if command.shape != (4,) or not np.isfinite(command).all():
            raise SimulationError(f'action {action}: must be four finite numbers')
        command = np.clip(command, self.action_space.low, self.action_space.high)
        self._cell.set_target(self._cell.ee_position + command[:3], float(command[3]))
        self._cell.advance(self._period)
        self._steps += 1
        success = self._cell.success
        return (self._seen(self._cell.observation()), float(success), success,
                self._steps >= self.max_steps, self._outcome())

    def render(self) -> ImageArray | None:
        """Return the view of the studio camera, RGB uint8, or None without a render mode."""
        return None if self.render_mode is None else self._cell.render('studio')

    def close(self) -> None:
        """Free the frame buffers."""
        self._cell.close()

    def _outcome(self) -> dict[str, Any]:
        return {'success': self._cell.success, 'moved_object': self._cell.moved_object,
                'task': self._cell.task.goal}

    @staticmethod
    def _seen(observation: Observation) -> dict[str, Any]:
        return {**observation.images, 'state': observation.state.astype(np.float32),
                'instruction': observation.instruction}


gymnasium.register(id=ID, entry_point='vla_drop_ros.simulation.gym:PickPlaceGym')
