# SPDX-License-Identifier: Apache-2.0
"""A node shows as what it is now, not as what it said last."""

import json

import pytest

from vla_drop_ros.dashboard.board import Board, GATE, Health, POLICY, Report, STALE, Status


def status(received: float = 0.0, level: Health = Health.OK, message: str = 'fine',
           **values: str) -> Status:
    """Return what a node said."""
    return Status(int(level), message, values, received)


def board(*spaces: str) -> Board:
    """Return a board on which every robot is well at time 0."""
    made = Board()
    for space in spaces:
        for part in (POLICY, GATE):
            made.add(f'{space}/{part}', status(mode='executing'))
    return made


def health(report: Report, space: str = '') -> dict[str, Health]:
    """Return how the nodes of a robot are."""
    return {node.name: node.health for robot in report.robots if robot.namespace == space
            for node in robot.nodes}


def test_robots_are_told_apart_by_namespace() -> None:
    """Each namespace is a robot, the root too, with the gate first; leading slashes are equal."""
    report = board('', '/left', 'arms/right').report(0.5)
    assert [robot.namespace for robot in report.robots] == ['', 'arms/right', 'left']
    assert all([node.name for node in robot.nodes] == [GATE, POLICY] for robot in report.robots)
    assert report.is_healthy


def test_silence_is_death() -> None:
    """Three seconds after its last OK a node is dead, with what it said; it may come back."""
    made = board('')
    made.add(POLICY, status(received=2.0))
    report = made.report(STALE + 0.1)
    assert health(report) == {GATE: Health.DEAD, POLICY: Health.OK}
    assert not report.is_healthy
    [gate] = [node for node in report.robots[0].nodes if node.name == GATE]
    assert 'last said: fine' in gate.summary
    assert not gate.is_fresh
    made.add(GATE, status(received=3.5))
    assert made.report(3.6).is_healthy


def test_a_robot_without_its_gate_is_not_healthy() -> None:
    """A part that was never heard is missing; on the graph but silent, it says what to look at."""
    made = Board()
    made.add('left/policy_node', status())
    [robot] = made.report(0.1).robots
    assert (robot.nodes[0].name, robot.nodes[0].health) == (GATE, Health.MISSING)
    assert not made.report(0.1).is_complete
    assert board('left').report(STALE + 1.0).is_complete  # dead is not missing
    made.see(frozenset({'/left/command_gate', '/left/policy_node', '/camera'}))
    report = made.report(0.2)
    assert 'ros2 lifecycle get /left/command_gate' in report.robots[0].nodes[0].summary
    assert not report.is_healthy


def test_nothing_heard_is_not_healthy() -> None:
    """A script that watches an empty domain must not be told that all is well."""
    assert not Board().report(0.0).is_healthy


@pytest.mark.parametrize(('level', 'healthy'), [
    (Health.OK, True), (Health.WARN, True), (Health.ERROR, False), (Health.STALE, False)])
def test_warnings_are_healthy_and_errors_are_not(level: Health, healthy: bool) -> None:
    """A gate that waits for an instruction warns; an engaged e-stop is an error."""
    made = board('')
    made.add(GATE, status(0.1, level))
    assert made.report(0.2).is_healthy is healthy


@pytest.mark.parametrize(('mode', 'stopped'), [
    ('estopped', True), ('holding', False), ('inactive', None)])
def test_the_emergency_stop_is_what_the_gate_says(mode: str, stopped: bool | None) -> None:
    """Latched, released, or unknown: an inactive or a dead gate knows nothing."""
    made = Board()
    made.add(GATE, status(mode=mode))
    assert made.report(0.1).robots[0].is_emergency_stopped is stopped
    assert made.report(STALE + 1.0).robots[0].is_emergency_stopped is None


def test_an_alarm_is_kept_once() -> None:
    """A warning with a running number is one alarm; after an OK the same one is a new alarm."""
    made = board('')
    for second in range(3):
        made.add(GATE, status(second, Health.WARN, f'holding: chunk ran out {second} s ago'))
    made.add(GATE, status(3.0))
    made.add(GATE, status(4.0, Health.WARN, 'holding: chunk ran out 9 s ago'))
    made.add(POLICY, status(4.5))
    alarms = [(alarm.received, alarm.node) for alarm in made.report(5.0).alarms]
    assert alarms == [(4.0, GATE), (0.0, GATE)]


def test_death_is_an_alarm() -> None:
    """It is kept with the moment at which it was noticed, once."""
    made = board('')
    made.add(POLICY, status(20.0))
    for now in (10.0, 20.0):
        alarms = [alarm for alarm in made.report(now).alarms if alarm.node == GATE]
    assert [(alarm.health, alarm.received) for alarm in alarms] == [(Health.DEAD, STALE)]


def test_other_diagnostics_are_shown_but_do_not_decide() -> None:
    """A driver's error is listed apart: whether the robot may run, policy and gate say."""
    made = board('')
    made.add('camera_driver: front', status(level=Health.ERROR))
    report = made.report(0.1)
    assert [node.name for node in report.others] == ['camera_driver: front']
    assert report.is_healthy


def test_the_report_is_plain_data() -> None:
    """Scripts get namespaces, health by name, ages and the values as they came."""
    made = board('left')
    made.add('left/command_gate', Status(2, 'e-stop', {'mode': 'estopped'}, 0.25))
    data = json.loads(json.dumps(made.report(1.0).as_data()))
    assert data['healthy'] is False
    assert data['robots']['left']['emergency_stopped'] is True
    assert data['robots']['left']['nodes'][GATE] == {
        'health': 'ERROR', 'summary': 'e-stop', 'age': 0.75, 'values': {'mode': 'estopped'}}
    assert data['alarms'] == [{'age': 0.75, 'node': 'left/command_gate', 'health': 'ERROR',
                               'summary': 'e-stop'}]
