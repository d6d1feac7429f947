# SPDX-License-Identifier: Apache-2.0
"""A small design that the tests of a study share."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.trials.design import Design, parse_design


@pytest.fixture(name='design_data')
def _design_data() -> dict[str, Any]:
    return {
        'title': 'Half of the language blocks', 'question': 'Is half as good as the whole?',
        'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
                 {'name': 'half', 'checkpoint': 'reference-half'}],
        'conditions': [
            {'id': 'red-left', 'instruction': 'put the red block into the left bin'},
            {'id': 'blue-right', 'instruction': 'put the blue block into the right bin'},
            {'id': 'green-top', 'instruction': 'stack the green block', 'task': 'on_top'}],
        'margin': 0.15, 'alpha': 0.05, 'stopping': {'rule': 'exact_paired', 'horizon': 60},
        'minimum_baseline': 0.5, 'timeout': 30.0, 'rest': 20.0,
        'rubric': [{'id': 'reached', 'text': 'was the hand above the named object?'}],
        'failure_reasons': ['missed_grasp', 'dropped', 'wrong_object'],
        'invalid_reasons': ['reset_failed', 'emergency_stop', 'camera_lost'], 'seed': 7}


@pytest.fixture(name='design')
def _design(design_data: dict[str, Any]) -> Design:
    return parse_design(design_data)


@pytest.fixture(name='machine', scope='session')
def _machine() -> ModuleType:
    """Return ``machine.py``: the files of /proc and /sys, and programs, as a machine has them."""
    return _load('machine')


@pytest.fixture(name='make_cell', scope='session')
def _make_cell() -> Any:
    """Return the ``Cell`` of ``study_cell.py``: a session with machines that obey."""
    return _load('study_cell').Cell


@pytest.fixture(name='cell')
def _cell(make_cell: Any, design: Design) -> Any:
    return make_cell(design)


def _load(name: str) -> ModuleType:
    """Return a module that lies beside this one."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f'{name}.py'))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
