# SPDX-License-Identifier: Apache-2.0
"""Reads a press of a button from the body of a request; what is not exactly one is refused."""

from collections.abc import Sequence
import json
from typing import Any
import unicodedata

from vla_drop_ros.errors import unknown
from vla_drop_ros.trials.conductor import Verb
from vla_drop_ros.trials.incidents import INCIDENTS
from vla_drop_ros.trials.ratings import CONFIDENCES

BODY_LIMIT = 4096  # [bytes]
PRESSES = ('start', 'stop', 'success', 'failure', 'partial', 'invalid', 'undo', 'finish', 'guess',
           'rehearse', 'reset', 'leave', 'arranged', *INCIDENTS, 'forget')
FIELDS = ('verb', 'value', 'confidence', 'answers')  # beside the texts
MOST_ANSWERS = 30
# Field -> most characters.
TEXTS = {'code': 20, 'who': 40, 'stage': 60, 'reason': 60, 'note': 1000}
WITHOUT_CODE = ('rehearse', 'reset', 'leave')  # others say which trial was on the screen


class BadPressError(ValueError):
    """A body that no console sends; the message says what is wrong with it."""


def parse_press(body: bytes) -> Verb:
    """Return the verb of a body like ``{"verb": "start", "code": "17", "who": "ada"}``.

    Raises:
        BadPressError: not JSON, unknown or repeated fields, wrong types, texts that are too long
            or that hold control characters.

    """
    if len(body) > BODY_LIMIT:
        raise BadPressError(f'{len(body)} bytes; at most {BODY_LIMIT}')
    try:
        data = json.loads(body, object_pairs_hook=_distinct, parse_constant=_no_number)
    except BadPressError:
        raise
    except (ValueError, RecursionError) as error:
        raise BadPressError(f'no JSON: {type(error).__name__}') from error
    if not isinstance(data, dict):
        raise BadPressError(f'expected an object, got {type(data).__name__}')
    for key in data:
        if key not in (*FIELDS, *TEXTS):
            raise BadPressError(unknown('field', _printable(key), (*FIELDS, *TEXTS)))
    name = data.get('verb')
    if name not in PRESSES:
        raise BadPressError(unknown('verb', _printable(str(name)), PRESSES))
    value = data.get('value', False)
    if not isinstance(value, bool):
        raise BadPressError('value: must be true or false')
    texts: dict[str, Any] = {
        key: text_of(key, data.get(key, ''), limit) for key, limit in TEXTS.items()}
    if not texts['code'] and name not in WITHOUT_CODE:
        raise BadPressError(f'{name}: the code of the trial is missing')
    return Verb(name, 'web', value=value, confidence=_confidence(data.get('confidence', '')),
                answers=_answers(data.get('answers', {})), **texts)


def _confidence(value: object) -> str:
    if not isinstance(value, str) or value not in ('', *CONFIDENCES):
        raise BadPressError(unknown('confidence', _printable(str(value)), CONFIDENCES))
    return value


def _answers(value: object) -> dict[str, bool]:
    if not isinstance(value, dict) or len(value) > MOST_ANSWERS:
        raise BadPressError(f'answers: must be an object of at most {MOST_ANSWERS} stages')
    if not all(isinstance(said, bool) for said in value.values()):
        raise BadPressError('answers: every stage must be true or false')
    return {text_of('answers', stage, TEXTS['stage']): said for stage, said in value.items()}


def text_of(key: str, value: object, limit: int) -> str:
    """Return a text that fits into the log.

    Raises:
        BadPressError: it is none, longer than ``limit``, or holds control characters.

    """
    if not isinstance(value, str):
        raise BadPressError(f'{key}: must be text')
    if len(value) > limit:
        raise BadPressError(f'{key}: {len(value)} characters, at most {limit}')
    allowed = '\n\t' if key == 'note' else ''
    # A lone surrogate (Cs) is valid JSON that no file can hold.
    if any(unicodedata.category(one) in ('Cc', 'Cs') and one not in allowed for one in value):
        raise BadPressError(f'{key}: holds control characters')
    return value


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadPressError('a field is given twice')
    return found


def _no_number(name: str) -> Any:
    raise BadPressError(f'{name} is no JSON')


def _printable(text: str) -> str:
    return text[:40].encode('ascii', 'backslashreplace').decode()
