# SPDX-License-Identifier: Apache-2.0
"""Words, JSON and buttons become verbs, and what is none is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import Joy

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.study_verbs import Gamepad, offer_services, verb_of
from vla_drop_ros.trials.conductor import Reply, Verb
from vla_drop_ros.trials.design import load_design, Stage

DESIGN = Path(__file__).parents[2] / 'config' / 'trials' / 'pick_place.yaml'
pytestmark = pytest.mark.ros


@pytest.mark.parametrize(('text', 'expected'), [
    ('success', Verb('success', 'topic')), (' stop\n', Verb('stop', 'topic')),
    ('partial grasped', Verb('partial', 'topic', stage='grasped')),
    ('invalid camera_lost', Verb('invalid', 'topic', reason='camera_lost')),
    ('{"verb": "failure", "code": "17", "reason": "dropped", "who": "ann", "source": "web"}',
     Verb('failure', 'topic', code='17', reason='dropped', who='ann')),
    ('{"verb": "partial", "stage": "grasped", "confidence": "unsure", '
     '"answers": {"grasped": true}}', Verb('partial', 'topic', stage='grasped',
                                           confidence='unsure', answers={'grasped': True})),
    ('near_miss', Verb('near_miss', 'topic')), ('arranged', Verb('arranged', 'topic')),
    ('guess pruned', Verb('guess', 'topic', reason='pruned')),
    ('guess unsure', Verb('guess', 'topic', reason='unsure')),
    ('failure dropped unsure', Verb('failure', 'topic', reason='dropped', confidence='unsure')),
    ('partial grasped unsure', Verb('partial', 'topic', stage='grasped', confidence='unsure')),
    ('success unsure', Verb('success', 'topic', confidence='unsure')),
    ('', Verb('', 'topic'))])
def test_words_and_json(text: str, expected: Verb) -> None:
    """What follows a word is its stage or reason; a message cannot claim another source."""
    assert verb_of(text, 'topic') == expected


@pytest.mark.parametrize('text', ['{"verb": 7}', '{"arm": "x"}', '{', '{"verb": "start"} x',
                                  '{"verb": "success", "answers": [1]}',
                                  '{"verb": "success", "answers": {"reached": 1}}',
                                  '{"verb": "success", "answers": {"\\ud800": true}}',
                                  '{"verb": ' + '[' * 9_000, '{"verb": "\\ud800"}',
                                  '{"verb": "success", "note": "\\udc01"}',
                                  '{"verb": "success", "who": "' + 'a' * 41 + '"}',
                                  '{"verb": "success", "who": "a\\u0000"}',
                                  '{"verb": "success", "reason": "' + 'a' * 61 + '"}'])
def test_nonsense_is_refused(text: str) -> None:
    """With the text and the valid fields, not with a traceback."""
    with pytest.raises(TrialError, match='verb'):
        verb_of(text, 'topic')


def test_a_button_acts_when_it_goes_down() -> None:
    """Once a press, not while it is held, and not if it was down from the start."""
    pressed: list[Any] = []
    pad = Gamepad(['start=0', 'invalid camera_lost=2', ''], pressed.append)
    for buttons in ([0, 0, 1], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0], []):
        pad.hear(Joy(buttons=buttons))
    assert pressed == [Verb('start', 'joy'), Verb('invalid', 'joy', reason='camera_lost')]


@pytest.mark.parametrize('entry', ['start', 'start=x', '=3', 'start=-1'])
def test_a_wrong_mapping_is_named(entry: str) -> None:
    """The entry and an example of a right one."""
    with pytest.raises(TrialError, match='verb=index'):
        Gamepad([entry], print)
    with pytest.raises(TrialError, match='once'):
        Gamepad(['start=1', 'stop=1'], print)


def test_every_name_that_ros_allows_is_a_service() -> None:
    """Reasons and stages with other names are said on the topic; they do not end the node."""
    context = Context()
    context.init()
    node = Node('trials', context=context)
    try:
        offer_services(node, replace(
            load_design(DESIGN), failure_reasons=('3d', 'a--b', 'too-fast'),
            invalid_reasons=('_', '9'), rubric=(
                Stage('Half way', '?'), Stage('was-lifted', '?'), Stage('Über', '?'))),
            lambda verb: Reply(True, ''))
        names = {service.service_name for service in node.services}
        assert {'/trials/failure/too_fast', '/trials/partial/was_lifted'} <= names
        assert {f'/trials/guess/{guess}' for guess in ('baseline', 'pruned', 'unsure')} <= names
        assert {f'/trials/{verb}' for verb in (
            'start', 'stop', 'success', 'failure', 'undo', 'arranged', 'reset', 'rehearse',
            'leave', 'finish')} <= names
        assert {'/trials/intervention', '/trials/near_miss', '/trials/collision',
                '/trials/forget'} <= names
        assert not any(name.endswith(('3d', '9', 'way', 'ber')) for name in names)
    finally:
        node.destroy_node()
        context.shutdown()
