# SPDX-License-Identifier: Apache-2.0
"""The page and the real trial node, over real topics and services: what one says the other knows.

All other tests of the page have a desk that conducts as the node does; this one finds out where
that is no longer so.
"""

from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import threading
from typing import Any

import pytest

from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import lock

pytestmark = pytest.mark.ros
sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')


@pytest.fixture(name='cell')
def _cell(tmp_path: Path, design_data: dict[str, Any]) -> Iterator[Any]:
    """Return a study without a horizon, its node, a robot and a policy; they run in a thread."""
    pytest.importorskip('rclpy')
    from vla_drop_ros.preflight import private_domain
    path = Path(__file__).parents[1] / 'ros' / 'trial_cell.py'
    spec = spec_from_file_location('trial_cell', path)
    assert spec is not None and spec.loader is not None
    bench = module_from_spec(spec)
    spec.loader.exec_module(bench)
    lock(parse_design(design_data), tmp_path / 'study', lambda name: f'{len(name):064}', '1.0')
    with private_domain():
        cell = bench.Cell(tmp_path / 'study', port=0)
        cell.machines.solves = lambda: False
        ended = threading.Event()

        def spin() -> None:
            while not ended.is_set():
                cell.executor.spin_once(timeout_sec=0.05)

        spinning = threading.Thread(target=spin)
        spinning.start()
        yield cell
        ended.set()
        spinning.join()
        cell.close()


@pytest.fixture(name='design_data')
def _design_data() -> dict[str, Any]:
    return {
        'title': 'no horizon', 'question': 'Is half as good?',
        'arms': [{'name': 'baseline', 'checkpoint': 'whole'},
                 {'name': 'pruned', 'checkpoint': 'half'}],
        'conditions': [{'id': 'red', 'instruction': 'move red', 'setup': 'red in the middle'}],
        'margin': 0.2, 'alpha': 0.05, 'stopping': {'rule': 'anytime'}, 'minimum_baseline': 0.1,
        'timeout': 60.0, 'rest': 0.0, 'rubric': [{'id': 'grasped', 'text': 'lifted?'}],
        'failure_reasons': ['dropped'], 'invalid_reasons': ['camera_lost'], 'seed': 5}


def test_a_day_at_the_real_node(cell: Any, open_page: Callable[..., Any]) -> None:
    """Run, judge, undo, judge again, rehearse, leave, guess, finish; the log has all of it."""
    page = open_page(cell.trials._desk._console.url)
    expect, title = sync_api.expect, page.locator('h1')
    expect(page.locator('#setup')).to_have_text('red in the middle')
    page.wait_for_selector('#start:enabled')
    assert not page.is_visible('#finish')  # no trial counts that an undo could take back
    page.click('#start')
    page.click('#near_miss')
    page.click('#stop')
    page.click('#no')
    page.click('#success')
    expect(title).to_have_text('Trial 2')
    page.click('#undo')
    page.click('#failure')
    page.click('#chips button >> text=dropped')
    expect(title).to_have_text('Trial 2')
    for text in ('Rehearsal 1', 'Trial 2'):
        page.click('#who')
        page.click('#rehearse')
        expect(title).to_have_text(text)
    page.click('#who')
    page.click('#leave')
    page.get_by_role('button', name='Trial 1: pruned').click()
    expect(page.locator('#guesses')).to_be_hidden()
    page.click('#finish')
    page.click('#chips button >> text=Finish')
    expect(title).to_have_text('Finished')
    page.reload()
    expect(title).to_have_text('Finished')
    course = cell.course()
    first = course.attempts[0]
    assert (first.verdict, first.reason, first.undone, first.guess, first.who) == (
        'failure', 'dropped', ['success'], 'pruned', 'ann')
    assert [one.kind for one in first.incidents] == ['near_miss'] and course.finished


def test_the_desk_of_the_other_tests_says_no_more_than_the_node(
        cell: Any, desk: Any, open_page: Callable[..., Any]) -> None:
    """Every key of its state is one of the node's, down to what lies within."""
    page = open_page(cell.trials._desk._console.url)
    page.wait_for_selector('#start:enabled')
    real = cell.trials._desk.state()
    pretended = desk.state()
    assert set(pretended) <= set(real)
    for key in ('condition', 'ready'):
        assert set(pretended[key]) <= set(real[key])
