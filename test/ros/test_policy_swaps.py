# SPDX-License-Identifier: Apache-2.0
"""Swapping checkpoints over the real parameter service, by the hundred, good ones and broken."""

from collections.abc import Callable
import json
from pathlib import Path
import random
import shutil
from typing import Any

import numpy as np
import pytest
from rclpy.parameter import Parameter

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.manifest import file_sha256
from vla_drop_ros.nodes.policy_settings import check_checkpoint
from vla_drop_ros.policies.policy import Policy
from vla_drop_ros.runtime.memory import process_memory

pytestmark = pytest.mark.ros

MODELS = Path(__file__).parents[2] / 'models'
MEGABYTE = 1e6


@pytest.mark.parametrize('mood', ['raises', 'nan'])
def test_a_bad_first_chunk_brings_the_old_one_back(make: Callable[..., Any], mood: str) -> None:
    """The old one answers the same request, the parameter says so, diagnostics say why."""
    bench = make(instruction='go', replan_period=0.1)
    operator = bench.operator()
    bench.until(lambda: bench.moves)
    bench.policies['b'].mood = mood
    assert operator.ask('b').successful
    bench.until(lambda: bench.policies['b'].closed)
    bench.until(lambda: "'b' was not loaded: its first inference failed" in bench.diagnosis)
    bench.until(lambda: operator.checkpoint == 'a')
    assert "still running 'a'" in bench.diagnosis
    assert [message.data for message in bench.seen['policy_node/checkpoint'][-3:]] == [
        'a', 'b', 'a']
    failed = bench.policies['b'].observations[0].stamp
    assert failed in [observation.stamp for observation in bench.policies['a'].observations]
    assert np.isfinite([point.positions for chunk in bench.moves for point in chunk.points]).all()


def test_setting_it_before_configure_is_what_configure_loads(make: Callable[..., Any]) -> None:
    """Nothing is loaded before; a wrong one is refused even then."""
    bench = make(start=False)
    operator = bench.operator()
    assert not operator.ask('foreign').successful
    assert operator.ask('b').successful and bench.loads == 0
    assert bench.policy.start()
    bench.until(lambda: bench.seen['policy_node/checkpoint'][-1:] and (
        bench.seen['policy_node/checkpoint'][-1].data == 'b'))


def test_hundreds_of_swaps(make: Callable[..., Any], policy_bench: Any) -> None:
    """Every chunk is of a policy that was good then, the old one answers on, no memory is lost."""
    bench, rng = make(instruction='go', replan_period=0.02), random.Random(0)
    operator, load = bench.operator(), bench.load
    made: list[Any] = []

    def fresh(path: str) -> Any:
        if path not in ('a', 'b', 'raises', 'nan'):
            return load(path)  # absent: not there any more when it is loaded
        policy = policy_bench.FakePolicy(path)
        policy.mood = path if len(path) > 1 else ''
        policy.weights = np.ones(250_000)  # 2 MB: a policy that is kept would show
        infer = policy.infer

        def checked(observation: Any) -> Any:
            assert not policy.closed
            return infer(observation)

        policy.infer = checked
        made.append(policy)
        return policy

    bench.policy._worker._load = fresh
    bench.until(lambda: len(bench.moves) > 3)
    memory: list[float] = []
    for count in range(300):
        path = rng.choice(['a', 'b', 'absent', 'foreign', 'raises', 'nan'])
        assert operator.ask(path).successful == (path != 'foreign')
        if rng.random() < 0.5:
            before = len(bench.moves)
            bench.until(lambda before=before: bench.policy._worker.is_settled and (
                len(bench.moves) > before + rng.randrange(3)))
        del bench.seen['policy_node/heartbeat'][:]
        for policy in made:
            if policy.closed:
                policy.weights = None
                del policy.observations[:]
        if count % 20 == 19:
            memory.append((process_memory() or 0) / MEGABYTE)
    bench.until(lambda: bench.policy._worker.is_settled and operator.checkpoint in ('a', 'b'))
    assert all(policy.closed <= 1 for policy in made), 'none is closed twice'
    assert sum(not policy.closed for policy in made) <= 2
    assert len(made) > 75, 'one that is overtaken by the next request is not loaded'
    answered = {message.data for message in bench.seen['policy_node/checkpoint']}
    assert answered == {'a', 'b', 'raises', 'nan'}
    assert np.isfinite([point.positions for chunk in bench.moves for point in chunk.points]).all()
    gaps = np.diff([chunk.header.stamp.sec + 1e-9 * chunk.header.stamp.nanosec
                    for chunk in bench.moves])
    assert len(gaps) > 100 and gaps.max() < 1.0, 'somebody always answered'
    assert 'inferences failed' not in bench.values, 'none was asked after it was closed'
    settled = memory[len(memory) // 3:]
    slope = np.polyfit(np.arange(len(settled)), settled, 1)[0] / 20
    assert slope < 0.2, f'{slope:.3f} MB a swap'


def broken(folder: Path) -> dict[str, Path]:
    """Return checkpoints that must not answer, by what is wrong with them."""
    paths = {name: folder / name for name in ('cut', 'flipped', 'foreign', 'cameras')}
    for path in paths.values():
        shutil.copytree(MODELS / 'reference-half', path)
    weights = (paths['cut'] / 'model.safetensors').read_bytes()
    (paths['cut'] / 'model.safetensors').write_bytes(weights[:-1000])
    flipped = bytearray(weights)
    flipped[-1000] ^= 0xff
    (paths['flipped'] / 'model.safetensors').write_bytes(flipped)
    for name, change in (
            ('foreign', {'action_spec': {'reference': 'absolute'}}),
            ('cameras', {'cameras': {'overhead': {'height': 80, 'width': 80}}})):
        path = paths[name] / 'manifest.json'
        data = json.loads(path.read_text())
        for key, values in change.items():
            data[key] |= values
        path.write_text(json.dumps(data))
    return {**paths, 'missing': folder / 'none'}


def restate(folder: Path) -> None:
    """Make a whole checkpoint of it whose actions are normalised otherwise."""
    path, manifest = folder / 'normalization.json', folder / 'manifest.json'
    found = json.loads(path.read_text())
    found['action']['std'] = [10 * value for value in found['action']['std']]
    path.write_text(json.dumps(found))
    data = json.loads(manifest.read_text())
    data['normalization_sha256'] = data['files'][path.name] = file_sha256(path)
    manifest.write_text(json.dumps(data))


REASONS = {'cut': 'not a whole safetensors file', 'foreign': 'action.reference',
           'cameras': "unknown camera 'overhead'", 'missing': 'does not exist'}


def test_what_cannot_be_loaded_is_refused_at_once(
        make: Callable[..., Any], tmp_path: Path) -> None:
    """By the service call itself, with the reason; no weights are read for it."""
    bench = make()
    bench.policy._supply.admits = check_checkpoint
    operator = bench.operator()
    paths = broken(tmp_path)
    for name, reason in REASONS.items():
        result = operator.ask(paths[name])
        assert not result.successful and reason in result.reason, name
    assert operator.checkpoint == 'a' and bench.loads == 1


@pytest.mark.slow
def test_real_checkpoints_swap_under_load(make: Callable[..., Any], tmp_path: Path) -> None:
    """The shipped ones in turns, broken ones between; chunks never stop and memory stays."""
    pytest.importorskip('torch')
    from vla_drop_ros.policies.registry import load_policy
    bench = make(instruction='put the red cube in the left bin', replan_period=0.1)
    operator, paths = bench.operator(), broken(tmp_path)
    loaded: list[Policy] = []

    def load(path: str) -> Policy:
        if path == str(tmp_path / 'gone'):
            shutil.rmtree(path)  # deleted between the check and the load
        loaded.append(load_policy(path, 'cpu', 1))
        return loaded[-1]

    bench.policy._supply.admits, bench.policy._worker._load = check_checkpoint, load
    memory: list[float] = []
    for count in range(12):
        path = MODELS / ('reference', 'reference-half')[count % 2]
        assert operator.ask(path).successful
        bench.until(lambda path=path: bench.policy._active_path == str(path), limit=120.0)
        before, expected = len(bench.moves), loaded[-1].checkpoint
        bench.until(lambda expected=expected: (
            bench.seen['policy_node/checkpoint'][-1].data == expected))
        bench.until(lambda before=before: len(bench.moves) >= before + 3)
        if count in (3, 6):
            shutil.copytree(MODELS / 'reference', tmp_path / 'gone', dirs_exist_ok=True)
            for bad in (paths['flipped'], tmp_path / 'gone'):
                assert operator.ask(bad).successful, 'that shows only when it is loaded'
                bench.until(lambda bad=bad: f'{str(bad)!r} was not loaded' in bench.diagnosis)
                assert bench.policy._active_path == str(path)
        memory.append((process_memory() or 0) / MEGABYTE)
    slope = np.polyfit(np.arange(8), memory[4:], 1)[0]
    assert slope < 5.0, f'{slope:.1f} MB a swap: {memory}'
    assert np.isfinite([point.positions for chunk in bench.moves for point in chunk.points]).all()


def set_others(bench: Any, value: bool) -> None:
    """Set the parameter that lets a swap change the statistics."""
    results = bench.policy.set_parameters([Parameter('other_normalization', value=value)])
    assert results[0].successful


def test_another_normalisation_is_refused_unless_allowed(
        make: Callable[..., Any], sealed_bench: Any, tmp_path: Path,
        write_tiny: Callable[..., Any]) -> None:
    """By the call itself, in both directions; what runs is judged as it was loaded."""
    paths = {name: tmp_path / name for name in ('a', 'same', 'other')}
    for name, path in paths.items():
        write_tiny(path, name=name)
    restate(paths['other'])
    bench = sealed_bench.with_real_ones(make(
        start=False, checkpoint=str(paths['a']), device='cpu', threads=1))
    operator = bench.operator()
    assert operator.ask(paths['other']).successful, 'nothing runs yet'
    assert operator.ask(paths['a']).successful and bench.policy.start()
    assert operator.ask(paths['same']).successful
    bench.until(lambda: bench.policy._active_path == str(paths['same']))
    shutil.rmtree(paths['same'])  # what runs needs its folder no more
    refused = operator.ask(paths['other'])
    assert not refused.successful
    assert 'the std of action x is 0.1, in the running one 0.01' in refused.reason
    assert operator.checkpoint == str(paths['same']) and bench.policy._worker.is_settled
    set_others(bench, True)
    assert operator.ask(paths['other']).successful
    bench.until(lambda: bench.policy._active_path == str(paths['other']))
    set_others(bench, False)
    assert 'the std of action x is 0.01' in operator.ask(paths['a']).reason
    bench.policy.trigger_deactivate()
    bench.policy.trigger_cleanup()
    assert operator.ask(paths['a']).successful, 'nothing runs any more'


def test_both_parameters_can_be_set_at_once(make: Callable[..., Any]) -> None:
    """The permission of the same call counts, in whichever order the two stand."""
    bench, heard = make(), []
    bench.policy._supply.check = lambda path, running: heard.append((path, running is None))
    allowed = Parameter('other_normalization', value=True)
    for order in ((Parameter('checkpoint', value='b'), allowed),
                  (allowed, Parameter('checkpoint', value='b'))):
        assert bench.policy.set_parameters_atomically(list(order)).successful
        set_others(bench, False)
    assert bench.policy.set_parameters([Parameter('checkpoint', value='b')])[0].successful
    assert heard == [('b', True), ('b', True), ('b', False)]


def test_a_checkpoint_larger_than_memory_is_refused(tiny_checkpoint: Path) -> None:
    """The estimate is made from the manifest alone, before anything is loaded."""
    from vla_drop_ros.nodes.policy_settings import admit, PolicyParameters, resident_policies
    resident = resident_policies(PolicyParameters())
    admit(str(tiny_checkpoint), None, 'cpu', resident)
    path = tiny_checkpoint / 'manifest.json'
    data = json.loads(path.read_text())
    data['parameters']['language'] = 10**13
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match='does not fit beside the one that runs'):
        admit(str(tiny_checkpoint), None, 'cpu', resident)
