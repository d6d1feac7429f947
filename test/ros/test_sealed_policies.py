# SPDX-License-Identifier: Apache-2.0
"""The leak check: nothing that a graph says during a study tells which arm runs.

Everything is heard that the graph offers: every topic, every parameter of every node. Left out
is what the robot does, which no policy can hide: chunks, heartbeats and commands, and their age,
which the log needs. The same check finds the arm in a node without a study, and one single leak.
"""

from collections.abc import Callable
import random
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.nodes.command_gate_node import CommandGateNode
from vla_drop_ros.runtime.latency import LatencyWindow

pytestmark = pytest.mark.ros

Begin = Callable[..., Any]


@pytest.fixture(name='begin')
def _begin(make: Callable[..., Any], policy_bench: Any, sealed_bench: Any,
           leak_check: Any) -> Any:
    """Return what makes trials on a started graph: a study or arms, settings -> Trials."""
    gates: list[CommandGateNode] = []

    def begin(arms: dict[str, str], blinded: bool = True, fakes: bool = True,
              instruction: str = 'go', **settings: Any) -> Any:
        bench = make(start=False, replan_period=0.1, **settings)
        if fakes:
            sealed_bench.with_fakes(bench, policy_bench, arms)
        else:
            sealed_bench.with_real_ones(bench)
        gate = CommandGateNode(bench.context, sealed_bench.override(
            robot=str(policy_bench.ROBOT), blinded=blinded))
        gates.append(gate)
        bench.executor.add_node(gate)
        assert gate.start() and bench.policy.start(), bench.policy.failure
        return leak_check.Trials(bench, gate, instruction)

    yield begin
    for gate in gates:
        gate.close()
        gate.destroy_node()


@pytest.fixture(name='study')
def _study(sealed_bench: Any, tmp_path: Any) -> Any:
    return sealed_bench.Study(tmp_path / 'study', sealed_bench.manifests(tmp_path / 'models'))


def test_the_statistic_is_a_test(leak_check: Any) -> None:
    """It finds what differs, and has few false alarms where nothing does."""
    rng = np.random.default_rng(0)
    arms = [bool(index % 2) for index in range(leak_check.TRIALS)]
    told = [{'told': float(arm), 'noise': float(rng.normal())} for arm in arms]
    assert set(leak_check.leaks(told, arms)) == {'told', 'change of told'}
    alarms = sum(bool(leak_check.leaks([{f'noise {n}': float(rng.normal()) for n in range(10)}
                             for _ in arms], arms, seed)) for seed in range(50))
    assert alarms <= 4


@pytest.mark.slow
def test_nothing_tells_the_arm(leak_check: Any, begin: Begin, study: Any) -> None:
    """One arm thinks six times as long as the other; nothing that is said shows it."""
    trials = begin(study.arms, study=str(study.folder), checkpoint='')
    leak_check.assert_sealed(trials, study)
    heard = trials.ear.topics
    assert {'/rosout', '/parameter_events', '/diagnostics', '/policy_node/checkpoint',
            '/command_gate/state'} <= heard and '/policy_node/latency' not in heard
    assert len(trials.rows[0]) > 30


@pytest.mark.slow
def test_the_check_finds_one_leak(leak_check: Any, begin: Begin, study: Any) -> None:
    """The same graph whose policy node shows its last times: no word tells, the numbers do."""
    trials = begin(study.arms, study=str(study.folder), checkpoint='')
    report = trials.bench.policy._report  # noqa: SLF001
    report._blinded = False  # noqa: SLF001
    report._stages['inference'] = LatencyWindow(3)  # noqa: SLF001
    found, _ = leak_check.conduct(trials, study)
    assert 'policy_node inference p50 [ms]' in found, found
    assert trials.words(study.words()) == []


@pytest.mark.slow
def test_the_check_finds_a_node_without_a_study(leak_check: Any, begin: Begin, study: Any) -> None:
    """Plain swaps between resident checkpoints: words and numbers tell."""
    rng = random.Random(0)
    order = [name for name in study.arms for _ in range(leak_check.TRIALS // 2)]
    rng.shuffle(order)
    trials = begin(study.arms, blinded=False, resident=2, checkpoint=study.arms['zebra'])
    for name in order:
        where = study.arms[name]
        trials.run(where, trials.bench.policies[where].checkpoint)
    assert set(study.arms) <= set(trials.words(study.words()))
    found = leak_check.leaks(trials.rows, [name == 'zebra' for name in order])
    assert 'last /policy_node/latency' in found, found


@pytest.mark.slow
def test_the_shipped_checkpoints_are_sealed(
        begin: Begin, sealed_bench: Any, leak_check: Any, tmp_path: Any,
        capfd: Any) -> None:
    """The reference and its half, loaded as in use; neither graph nor process output tells."""
    pytest.importorskip('torch')
    study = sealed_bench.Study(tmp_path / 'study', sealed_bench.NAMES)
    trials = begin(study.arms, fakes=False, study=str(study.folder), checkpoint='', device='cpu',
                   instruction='put the red cube in the left bin')
    assert trials.bench.policy._supply.usage[0] == 2  # noqa: SLF001
    capfd.readouterr()
    leak_check.assert_sealed(trials, study)
    output = ''.join(capfd.readouterr())
    assert not [word for word in study.words() if word in output]
