# SPDX-License-Identifier: Apache-2.0
"""Simulated studies that the tests of the report share, see ``simulated_study.py``."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.study_record import read_record, unblind


@pytest.fixture(scope='session', name='studies')
def _studies() -> ModuleType:
    """Return the module that simulates studies."""
    spec = spec_from_file_location('simulated_study', Path(__file__).with_name(
        'simulated_study.py'))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session', name='folder')
def _folder(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished study with everything in it: invalid trials, undos, a detector ..."""
    world = studies.World(
        {'whole9': 0.9, 'lean9': 0.8}, invalid={'whole9': 0.05, 'lean9': 0.1}, undo=0.05,
        detector=0.1, latency={'whole9': 0.21, 'lean9': 0.13},
        guesses=0.3, seed=3,
        incidents={'whole9': 0.1, 'lean9': 0.2}, unsure=0.1, notes=True, rated=0.3,
        host={'whole9': 120.0, 'lean9': 95.0}, motion=True, pictures=True)
    found: Path = studies.simulate(tmp_path_factory.mktemp('whole') / 'study', world,
                                   studies.design_data(('whole9', 'lean9'), horizon=36))
    return found


@pytest.fixture(scope='session', name='opened')
def _opened(folder: Path) -> Results:
    """Return the results of that study, arms named."""
    return results_of(unblind(read_record(folder), 'P1'))


@pytest.fixture(scope='session', name='blinded')
def _blinded(folder: Path) -> Results:
    """Return what may be said of it before that."""
    return results_of(read_record(folder))


@pytest.fixture(name='study')
def _study(studies: ModuleType, tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of studies: name, world, design and more of ``simulate`` -> folder."""
    def make(name: str = 'study', **more: Any) -> Path:
        found: Path = studies.simulate(tmp_path / name, **more)
        return found

    return make
