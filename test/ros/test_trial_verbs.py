# SPDX-License-Identifier: Apache-2.0
"""What people say to the trial node that is no verdict, or no verb at all."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from std_msgs.msg import String

from vla_drop_ros.console.hostility import BURST
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.trials.log import read_log

pytestmark = pytest.mark.ros


@pytest.fixture(name='make')
def _make(trial_cell: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    yield from trial_cell.cells(trial_cell.lock_study(tmp_path / 'study'))


def test_what_is_no_verb_is_logged_and_changes_nothing(make: Callable[..., Any]) -> None:
    """As requests that the console turns away: a flood is a few lines, with its number."""
    cell = make()
    cell.until(cell.ready)
    before = cell.states[-1]
    detect = cell.person.create_publisher(String, 'trial_node/detection', STATUS)
    cell.until(lambda: detect.get_subscription_count() and cell.verbs.get_subscription_count())
    refused: list[str] = []
    refuse = cell.trials._hostility.report

    def report(what: str, where: str) -> Any:
        refused.append(what)
        return refuse(what, where)

    cell.trials._hostility.report = report
    for number in range(12):
        for text in ('{"verb": 7}', '{"verb": "success", "arm": "x"}', '{'):
            cell.verbs.publish(String(data=text))
        detect.publish(String(data='{"source": 1}'))
        cell.until(lambda number=number: len(refused) == 4 * number + 4)
    cell.trials._tick()
    found = [event.data for event in read_log(cell.folder / 'log.jsonl').events
             if event.kind == 'hostile']
    assert BURST <= len(found) < 30 and {one['address'] for one in found} == {'ROS graph'}
    assert 'is no verb' in found[0]['what'] and any('detection' in one['what'] for one in found)
    after = cell.states[-1]
    assert {**after, 'stamp': 0, 'problem': ''} == {**before, 'stamp': 0, 'problem': ''}
    assert not cell.course().attempts[0].judged


def test_a_guess_by_service(make: Callable[..., Any]) -> None:
    """Of the trial that the console asks about, once people leave."""
    cell = make()
    cell.machines.solves = lambda: False
    cell.until(cell.ready)
    for verb in ('start', 'stop', 'success'):
        assert cell.ask(verb).success
    cell.until(cell.ready)
    assert not cell.ask('guess/pruned').success and cell.ask('leave').success
    assert cell.ask('guess/pruned').success
    assert cell.course().attempts[0].guess == 'pruned'
    assert not cell.ask('arranged').success, 'this robot arranges the scene itself'
