# SPDX-License-Identifier: Apache-2.0
"""The Foxglove layout is complete, and shows only what the graph of a pick and place has."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

import pytest

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.resources import share_path

NODES = Path(__file__).resolve().parent.parent / 'vla_drop_ros/nodes'
COMMON = {'/diagnostics', '/instruction', '/estop'}
TITLES = {'foxglovePanelTitle', 'lichtblickPanelTitle'}  # each program reads its own
KEYS = {  # of the settings of Lichtblick 1.28.1, packages/suite-base/src/panels
    'Image': {'cameraState', 'followMode', 'scene', 'transforms', 'topics', 'layers', 'publish',
              'imageMode'},
    '3D': {'cameraState', 'followMode', 'followTf', 'scene', 'transforms', 'topics', 'layers',
           'publish', 'imageMode'},
    'Indicator': {'path', 'style', 'fallbackColor', 'fallbackLabel', 'rules'},
    'StateTransitions': {'isSynced', 'paths', 'xAxisMaxValue', 'xAxisMinValue', 'xAxisRange',
                         'xAxisLabel', 'showPoints'},
    'Plot': {'paths', 'minXValue', 'maxXValue', 'minYValue', 'maxYValue', 'showLegend',
             'legendDisplay', 'showPlotValuesInLegend', 'showXAxisLabels', 'showYAxisLabels',
             'isSynced', 'xAxisVal', 'xAxisPath', 'xAxisLabel', 'yAxisLabel',
             'followingViewWidth', 'sidebarDimension'},
    'DiagnosticSummary': {'minLevel', 'pinnedIds', 'topicToRender', 'hardwareIdFilter',
                          'sortByLevel', 'secondsUntilStale'},
    'DiagnosticStatusPanel': {'selectedHardwareId', 'selectedName', 'splitFraction',
                              'topicToRender', 'numericPrecision', 'secondsUntilStale'},
    'Publish': {'topicName', 'datatype', 'buttonText', 'buttonTooltip', 'buttonColor',
                'advancedView', 'value'},
    'CallService': {'serviceName', 'requestPayload', 'layout', 'buttonText', 'buttonTooltip',
                    'buttonColor'}}
PATH_KEYS = {'value', 'enabled', 'color', 'label', 'timestampMethod', 'showLine', 'lineSize'}
POSE_KEYS = {'axis': {'visible', 'type', 'axisScale'},
             'arrow': {'visible', 'type', 'arrowScale', 'color'}}  # an axis has colours of its own


def read(name: str) -> dict[str, Any]:
    """Return a shipped layout."""
    path = share_path('config', 'foxglove', name)
    data: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return data


@pytest.fixture(scope='module')
def layout() -> dict[str, Any]:
    """Return the layout."""
    return read('vla_drop_ros.json')


def leaves(tree: Any) -> Iterator[str]:
    """Yield the panels of a tree of splits, whose shape is checked on the way."""
    if isinstance(tree, str):
        yield tree
        return
    assert set(tree) == {'direction', 'first', 'second', 'splitPercentage'}
    assert tree['direction'] in ('row', 'column')
    assert 5 <= tree['splitPercentage'] <= 95
    yield from leaves(tree['first'])
    yield from leaves(tree['second'])


def names(value: Any) -> Iterator[str]:
    """Yield every topic and service in a panel: texts and keys that begin with a slash."""
    if isinstance(value, str) and value.startswith('/'):
        yield re.split(r'[.\[]', value)[0]
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from names(key)
            yield from names(one)
    elif isinstance(value, list):
        for one in value:
            yield from names(one)


def private(file: str, node: str) -> set[str]:
    """Return the private topics and services that a node's source creates."""
    source = (NODES / file).read_text(encoding='utf-8')
    return {f'/{node}/{name}' for name in re.findall(r"'~/(\w+)'", source)}


def test_every_panel_has_its_place(layout: dict[str, Any]) -> None:
    """The tree holds each configured panel once, and no other; every kind is one of Foxglove's."""
    placed = list(leaves(layout['layout']))
    assert sorted(placed) == sorted(layout['configById'])
    assert {panel.split('!')[0] for panel in placed} == set(KEYS)
    assert set(layout) == {'configById', 'globalVariables', 'userNodes', 'playbackConfig',
                           'layout'}


@pytest.mark.parametrize('name', ['vla_drop_ros.json', 'study.json'])
def test_every_setting_is_one_that_its_panel_reads(name: str) -> None:
    """A key that a panel does not know does nothing, and nobody is told."""
    for panel, config in read(name)['configById'].items():
        assert set(config) - TITLES <= KEYS[panel.split('!')[0]], panel
        assert len({config.get(title) for title in TITLES}) == 1, panel
        for path in config.get('paths', []):
            assert set(path) <= PATH_KEYS
            assert path['timestampMethod'] in ('receiveTime', 'headerStamp')
        for topic in config.get('topics', {}).values():
            assert set(topic) == POSE_KEYS[topic['type']]
        for rule in config.get('rules', []):
            assert set(rule) == {'operator', 'rawValue', 'color', 'label'}
            assert rule['operator'] in ('=', '<', '<=', '>', '>=')


def test_the_layout_of_a_study_shows_nothing_that_tells_the_arm(layout: dict[str, Any]) -> None:
    """Of the whole layout only pictures, gate, e-stop and diagnostics, which a study blinds."""
    study = read('study.json')
    assert sorted(leaves(study['layout'])) == sorted(study['configById'])
    for panel, config in study['configById'].items():
        if panel != 'StateTransitions!gate':
            assert config == layout['configById'][panel]
    cameras = load_contract(find_contract('simulated_arm')).cameras.values()
    assert set(names(study['configById'])) == {f'/{one.topic}' for one in cameras} | {
        '/command_gate/state', '/command_gate/enable', '/command_gate/reset_estop', '/estop',
        '/diagnostics'}


def test_what_is_shown_exists(layout: dict[str, Any]) -> None:
    """Each topic and service is one of the contract, of the nodes' sources, or common to all."""
    contract = load_contract(find_contract('simulated_arm'))
    streams = [*contract.cameras.values(), contract.end_effector_pose]
    topics = {stream.topic for stream in streams} | {contract.command.topic}
    assert contract.gripper_width_topic is not None
    there = {f'/{topic}' for topic in {*topics, contract.gripper_width_topic}} | COMMON
    there |= private('command_gate_node.py', 'command_gate')
    there |= private('policy_node.py', 'policy_node')
    shown = set(names(layout['configById']))
    assert shown <= there, shown - there
    assert {f'/{topic}' for topic in topics} <= shown


def test_plots_read_fields_that_messages_have(layout: dict[str, Any]) -> None:
    """Every path names a field; the headline is plotted from capture to command."""
    paths = [path['value'] for panel, config in layout['configById'].items()
             if panel.startswith(('Plot', 'StateTransitions')) for path in config['paths']]
    assert '/command_gate/capture_to_command.data' in paths
    fields = r'\.data(\[0\])?|\.pose\.position\.[xyz]'
    assert all(re.fullmatch(rf'/[\w/]+({fields})', path) for path in paths)


def test_buttons_send_what_the_nodes_take(layout: dict[str, Any]) -> None:
    """Values are JSON of the message; the e-stop is on one button, its reset on another."""
    panels = layout['configById']
    sends = {(one['topicName'], one['datatype']): json.loads(one['value'])
             for key, one in panels.items() if key.startswith('Publish!')}
    assert set(sends) == {('/estop', 'std_msgs/msg/Bool'), ('/instruction', 'std_msgs/msg/String')}
    assert json.loads(panels['Publish!estop']['value']) == {'data': True}
    calls = {one['serviceName']: json.loads(one['requestPayload'])
             for key, one in panels.items() if key.startswith('CallService!')}
    assert calls['/command_gate/reset_estop'] == {}
    assert json.loads(panels['CallService!enable']['requestPayload']) == {'data': True}


def test_the_documented_command_moves_it_to_a_namespace(layout: dict[str, Any]) -> None:
    """A layout for a namespaced robot differs in names only; /diagnostics belongs to all."""
    text = share_path('config', 'foxglove', 'vla_drop_ros.json').read_text(encoding='utf-8')
    moved = json.loads(re.sub(r'"/(?!diagnostics")', '"/left/', text))
    found = set(names(moved['configById']))
    assert found - {'/diagnostics'} == {
        f'/left{name}' for name in set(names(layout['configById'])) - {'/diagnostics'}}
