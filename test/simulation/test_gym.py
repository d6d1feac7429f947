# SPDX-License-Identifier: Apache-2.0
"""The Gymnasium interface keeps Gymnasium's rules and this package's scenes."""

from collections.abc import Iterator
import subprocess
import sys
from typing import Any
import warnings

import numpy as np
import pytest

from vla_drop_ros.errors import SimulationError, TaskError
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import PickPlaceEnvironment

gymnasium = pytest.importorskip('gymnasium')
gym: Any = pytest.importorskip('vla_drop_ros.simulation.gym')


@pytest.fixture(scope='module')
def cell() -> Iterator[Any]:
    """Return one environment for all tests; each resets it."""
    made = gym.PickPlaceGym(render_mode='rgb_array')
    yield made
    made.close()


def test_gymnasium_accepts_it() -> None:
    """Gymnasium's own checker has nothing to say, not even a warning, about the registered one."""
    from gymnasium.utils.env_checker import check_env
    made = gymnasium.make(gym.ID, render_mode='rgb_array')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        warnings.filterwarnings('ignore', message='.*infinity.*')  # positions have no bounds
        check_env(made.unwrapped)
    made.close()


def test_same_scene_as_the_environment(cell: Any) -> None:
    """A seed, a task and a variant mean what they mean in the rest of the package."""
    own = PickPlaceEnvironment()
    expected = own.reset(5, 'on_top', 'hard')
    observation, info = cell.reset(seed=5, options={'task': 'on_top', 'variant': 'hard'})
    assert observation['instruction'] == expected.instruction
    assert info['task'] == 'on_top' and info['scene'] == 5
    np.testing.assert_array_equal(observation['front'], expected.images['front'])
    np.testing.assert_allclose(observation['state'], expected.state, atol=1e-6)
    own.close()


def test_without_a_seed_scenes_follow_each_other(cell: Any) -> None:
    """Resets without a seed go through a random sequence that the last seed fixes."""
    def sequence() -> list[int]:
        cell.reset(seed=3)
        return [cell.reset()[1]['scene'] for _ in range(3)]

    first = sequence()
    assert len(set(first)) == 3
    assert sequence() == first


def test_the_expert_gets_the_reward(cell: Any) -> None:
    """The reward is 0 until the object rests at its goal, then 1, and the episode ends."""
    cell.reset(seed=1, options={'task': 'left_bin'})
    rewards, ended, truncated = [], False, False
    while not (ended or truncated):
        delta, width = expert.act(cell._cell.states())
        _, reward, ended, truncated, info = cell.step(np.append(delta[0], width[0]))
        rewards.append(reward)
    assert ended and not truncated and info['success']
    assert rewards[-1] == 1.0 and sum(rewards) == 1.0


def test_an_idle_episode_is_truncated() -> None:
    """Without success the episode ends after ``max_steps``, as truncated, unrewarded."""
    made = gym.PickPlaceGym(max_steps=3, image_size=16)
    made.reset(seed=0)
    outcomes = [made.step(np.array([0.0, 0.0, 0.0, 0.08])) for _ in range(3)]
    assert [(one[1], one[2], one[3]) for one in outcomes] == [
        (0.0, False, False), (0.0, False, False), (0.0, False, True)]
    made.close()


def test_a_large_action_is_brought_to_the_edge(cell: Any) -> None:
    """An action of metres moves the hand as far as the largest allowed one, bit for bit."""
    states = []
    for rise in (2.0, gym.LARGEST_MOVE):
        cell.reset(seed=2)
        states.append(cell.step(np.array([0.0, 0.0, rise, 0.08], np.float32))[0]['state'])
    np.testing.assert_array_equal(*states)


@pytest.mark.parametrize(('options', 'named'), [
    ({'task': 'juggle'}, 'left_bin'), ({'variant': 'dark'}, 'lighting'),
    ({'goal': 'left_bin'}, 'variant')])
def test_unknown_options_name_the_valid_ones(
        cell: Any, options: dict[str, str], named: str) -> None:
    """An unknown task, variant or option is refused with the list of valid ones."""
    with pytest.raises(TaskError, match=named):
        cell.reset(seed=0, options=options)


def test_bad_use_is_refused(cell: Any) -> None:
    """A step before the first reset, NaN, a wrong shape and an unknown render mode all raise."""
    fresh = gym.PickPlaceGym(image_size=16)
    with pytest.raises(SimulationError, match='call reset'):
        fresh.step(np.zeros(4))
    cell.reset(seed=0)
    for action in (np.full(4, np.nan), np.zeros(3)):
        with pytest.raises(SimulationError, match='four finite numbers'):
            cell.step(action)
    with pytest.raises(SimulationError, match='rgb_array'):
        gym.PickPlaceGym(render_mode='human')


def test_without_gymnasium_the_fix_is_named() -> None:
    """Where Gymnasium is not installed, importing the module says how to install it."""
    code = ('import sys; sys.modules["gymnasium"] = None\n'
            'from vla_drop_ros.errors import VlaDropError\n'
            'try:\n    import vla_drop_ros.simulation.gym\n'
            'except VlaDropError as error:\n    print(type(error).__name__, error)')
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                            timeout=60, check=True)
    assert result.stdout.startswith('MissingDependencyError')
    assert 'pip install gymnasium' in result.stdout
