# SPDX-License-Identifier: Apache-2.0
"""What tests of nodes share: ``policy_bench.py``, ``sealed_bench.py``, ``trial_cell.py``."""

from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope='module', autouse=True)
def _own_domain() -> Iterator[None]:
    """Let no other run of these tests on this machine be heard, nor hear this one."""
    pytest.importorskip('rclpy')
    from vla_drop_ros.preflight import private_domain
    with private_domain():
        yield


@pytest.fixture(scope='session')
def policy_bench() -> ModuleType:
    """Return the module with the robot of topics, the fake policies and the policy node."""
    return _load('policy_bench')


@pytest.fixture(scope='session')
def sealed_bench() -> ModuleType:
    """Return the module with a locked study and what runs it on a bench."""
    return _load('sealed_bench')


@pytest.fixture(scope='session')
def leak_check() -> ModuleType:
    """Return the module that hears a graph and says what in it tells the arm."""
    return _load('leak_check')


@pytest.fixture(scope='session')
def trial_cell() -> ModuleType:
    """Return the module with a study, its trial node and machines that obey."""
    return _load('trial_cell')


@pytest.fixture
def make(policy_bench: ModuleType) -> Iterator[Callable[..., Any]]:
    """Return a maker of benches with the policy node: settings -> bench."""
    benches: list[Any] = []

    def make_one(**settings: Any) -> Any:
        benches.append(policy_bench.Bench(**settings))
        return benches[-1]

    yield make_one
    for bench in benches:
        bench.close()


def _load(name: str) -> ModuleType:
    """Return a module that lies beside this one."""
    pytest.importorskip('rclpy')
    spec = spec_from_file_location(name, Path(__file__).with_name(f'{name}.py'))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module
