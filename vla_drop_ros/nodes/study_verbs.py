# SPDX-License-Identifier: Apache-2.0
"""How people and detectors reach the trial node over ROS: services, topics and a gamepad."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import json
import re
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vla_drop_ros.console.press import BadPressError, MOST_ANSWERS, text_of, TEXTS
from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.trials.conductor import GUESSES, Reply, Verb
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.detections import details_of
from vla_drop_ros.trials.incidents import INCIDENTS

PLAIN = ('start', 'stop', 'success', 'failure', 'undo', 'finish', 'rehearse', 'reset', 'leave',
         'arranged', *INCIDENTS, 'forget')
JUDGEMENTS = ('success', 'partial', 'failure')
LIMITS = {**TEXTS, 'verb': 40, 'source': 40, 'confidence': 40}  # characters of a field
FIELDS = {*LIMITS, 'answers'}
ROS_NAME = re.compile(r'(?!.*__)[a-z]+(_[a-z]+)?(/[A-Za-z_][A-Za-z0-9_]*)?')
Press = Callable[[Verb], Reply]
Detect = Callable[[str, str, bool, Mapping[str, Any]], None]


def offer_services(node: Node, design: Design, press: Press) -> None:
    """Offer every verb as a std_srvs/Trigger, one a reason and stage where it needs one.

    Args:
        node: of the trials; the services are ``~/start``, ``~/invalid/camera_lost`` and so on.
        design: of the study.
        press: does what is wanted.

    """
    verbs = {name: Verb(name, 'service') for name in PLAIN}
    verbs |= {f'failure/{reason}': Verb('failure', 'service', reason=reason)
              for reason in design.failure_reasons}
    verbs |= {f'invalid/{reason}': Verb('invalid', 'service', reason=reason)
              for reason in design.invalid_reasons}
    verbs |= {f'partial/{stage.id}': Verb('partial', 'service', stage=stage.id)
              for stage in design.rubric}
    verbs |= {f'guess/{guess}': Verb('guess', 'service', reason=guess) for guess in GUESSES}

    def answer(verb: Verb, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        reply = press(verb)
        response.success, response.message = reply.done, reply.text
        return response

    for name, verb in verbs.items():
        name = name.replace('-', '_')
        if ROS_NAME.fullmatch(name):  # the others can be said on the topic
            node.create_service(Trigger, f'~/{name}', partial(answer, verb))


def verb_of(text: str, source: str) -> Verb:
    """Return the verb in a text: a word and what belongs to it, or JSON with ``FIELDS``.

    ``success``, ``partial grasped``, ``invalid camera_lost``, ``failure dropped unsure``,
    ``{"verb": "failure", "code": "17", "reason": "dropped", "who": "ann",
    "confidence": "unsure", "answers": {"grasped": true}}``.

    Raises:
        TrialError: it is neither.

    """
    text = text.strip()
    if not text.startswith('{'):
        name, *rest = text[:200].split() or ['']
        unsure = name in JUDGEMENTS and rest[-1:] == ['unsure']
        what = ' '.join(rest[:-1] if unsure else rest)
        return Verb(name, source, stage=what if name == 'partial' else '',
                    reason=what if name != 'partial' else '',
                    confidence='unsure' if unsure else '')
    try:
        data = json.loads(text[:10_000])
    except (ValueError, RecursionError) as error:
        raise TrialError(f'{text[:60]!r} is no verb: {error}') from error
    strange = sorted(set(data) - FIELDS) if isinstance(data, dict) else ['no object']
    if strange:
        raise TrialError(f'{text[:60]!r}: {strange[:5]} unknown in a verb; valid fields: '
                         f'{sorted(FIELDS)}')
    answers = data.pop('answers', {})
    try:
        words: dict[str, Any] = {
            key: text_of(key, value, LIMITS[key]) for key, value in data.items()}
        if not isinstance(answers, dict) or len(answers) > MOST_ANSWERS or not all(
                text_of('answers', stage, LIMITS['stage']) and isinstance(said, bool)
                for stage, said in answers.items()):
            raise BadPressError('answers: must be stages with true or false, like '
                                '{"grasped": true}')
    except BadPressError as error:
        raise TrialError(f'{text[:60]!r} is no verb: {error}') from error
    words['source'] = source
    return Verb(words.pop('verb', ''), **words, answers=answers)


def hear_verbs(node: Node, press: Press, refuse: Callable[[str], None]) -> None:
    """Take verbs on ``~/verb``, std_msgs/String.

    Args:
        node: of the trials.
        press: does what is wanted.
        refuse: told why a message is none.

    """
    def hear(message: String) -> None:
        try:
            verb = verb_of(message.data, 'topic')
        except TrialError as error:
            refuse(str(error))
            return
        reply = press(verb)
        if not reply.done:
            node.get_logger().warning(f'{verb.name[:20]}: {reply.text}',
                                      throttle_duration_sec=1.0)

    node.create_subscription(String, '~/verb', hear, STATUS)


def hear_detectors(node: Node, success_topic: str, detect: Detect,
                   refuse: Callable[[str], None]) -> None:
    """Take what detectors say: JSON on ``~/detection``, and a Bool of the simulator.

    Args:
        node: of the trials.
        success_topic: std_msgs/Bool, latched, for instance of a simulator; '' for none.
        detect: takes source, code ('' for the current trial), success, and what else it says.
        refuse: told why a message is none.

    """
    def hear(message: String) -> None:
        try:
            data = json.loads(message.data[:10_000])
            source, success, code = data['source'], data['success'], data.get('code', '')
            if not (isinstance(source, str) and source and isinstance(success, bool)
                    and isinstance(code, str)):
                raise ValueError('source and code are text, success is true or false')
            details = details_of(data)
            (source + details.get('model', '')).encode()  # half a surrogate is JSON, and no text
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            refuse(f'{message.data[:60]!r} is no detection: {error}')
            return
        detect(source[:40], code, success, details)

    node.create_subscription(String, '~/detection', hear, STATUS)
    if success_topic:
        node.create_subscription(
            Bool, success_topic, lambda message: detect('simulator', '', message.data, {}),
            LATCHED)


class Gamepad:
    """Buttons of a sensor_msgs/Joy; each acts when it goes down."""

    def __init__(self, buttons: Sequence[str], press: Callable[[Verb], Any]) -> None:
        """Take entries like ``start=0`` or ``invalid camera_lost=6``.

        Raises:
            TrialError: an entry is not of that form.

        """
        self._press = press
        self._down: dict[int, bool] = {}
        self._verbs: dict[int, Verb] = {}
        for entry in filter(None, buttons):
            words, _, index = entry.rpartition('=')
            if not words or not index.isdecimal() or int(index) in self._verbs:
                raise TrialError(f'joy button {entry!r}; expected verb=index with each index '
                                 "once, for instance 'start=0' or 'invalid camera_lost=6'")
            self._verbs[int(index)] = verb_of(words, 'joy')

    def hear(self, message: Joy) -> None:
        """Take the state of all buttons; what is down in the first message presses nothing."""
        for index, verb in self._verbs.items():
            down = index < len(message.buttons) and bool(message.buttons[index])
            if down and not self._down.get(index, True):
                self._press(verb)
            self._down[index] = down
