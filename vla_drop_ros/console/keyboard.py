# SPDX-License-Identifier: Apache-2.0
"""The console's buttons on a keyboard: keys become presses over HTTP, from any terminal."""

from collections.abc import Mapping
import http.cookiejar
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import build_opener, HTTPCookieProcessor, ProxyHandler, Request

from vla_drop_ros.errors import TrialError

TIMEOUT = 8.0  # [s]
KEYS = {' ': 'start or stop', 's': 'success', 'f': 'failure', 'p': 'partial', 'i': 'invalid',
        'u': 'undo', 'v': 'intervention', 'm': 'near_miss', 'c': 'collision', 'x': 'forget',
        'd': 'unsure (doubt)', 'y': 'yes', 'n': 'no'}
VERDICTS = ('success', 'failure', 'partial', 'invalid')


class Keyboard:
    """Presses on one console; ``help`` says what the keys do now."""

    def __init__(self, url: str, who: str = '') -> None:
        """Take the address that the trial node printed, with its token; ``who`` is a pseudonym.

        Raises:
            TrialError: it is no address, or nobody answers there.

        """
        parts = urlsplit(url if '//' in url else f'http://{url}')
        if parts.scheme != 'http' or not parts.netloc:
            raise TrialError(f'{url!r} is no address of a console; expected http://HOST:PORT/, '
                             'as the trial node prints it')
        self._base = urlunsplit(('http', parts.netloc, '', '', ''))
        self._who = who
        self._choices: Mapping[str, Mapping[str, str]] = {}
        self._judged = ''  # trial of which doubt and answers are
        self._unsure = False
        self._answers: dict[str, bool] = {}
        self._open = build_opener(ProxyHandler({}), HTTPCookieProcessor(
            http.cookiejar.CookieJar())).open
        self._ask(f'{self._base}/?{parts.query}')  # the token becomes a cookie
        self.state: Mapping[str, Any] = {}
        self.look()

    def look(self) -> Mapping[str, Any]:
        """Fetch and return the state of the study.

        Raises:
            TrialError: nobody answers.

        """
        self.state = json.loads(self._ask(f'{self._base}/state'))['state']
        return self.state

    def key(self, key: str) -> str:
        """Do what a key means, and return what became of it.

        ``p`` and ``i`` are followed by the digit of a stage or of a reason. ``d``, ``y`` and
        ``n`` press nothing yet: they go with the verdict.
        """
        if self._choices:
            chosen, self._choices = self._choices.get(key), {}
            if chosen:
                return self._press(chosen)
            if key != ' ' or self.look()['phase'] != 'running':  # STOP is never in the way
                return 'nothing pressed'
        state = self.look()
        if key == ' ':
            return self._press({'verb': 'stop' if state['phase'] == 'running' else 'start'})
        if key in ('d', 'y', 'n'):
            return self._remember(key)
        if key == 'u':
            return self._press({'verb': 'undo', 'code': state['undo']})
        if key == 'p':
            return self._offer('partial', 'stage', [one['id'] for one in state['rubric']])
        if key == 'i':
            return self._offer('invalid', 'reason', state['invalid_reasons'])
        return self._press({'verb': KEYS[key]}) if key in KEYS else self.help()

    def help(self) -> str:
        """Return what the keys do."""
        return ', '.join(f'{"space" if key == " " else key}: {what}' for key, what in KEYS.items())

    def _remember(self, key: str) -> str:
        self._renew()
        if self.state['phase'] != 'judge':
            return 'that belongs to a verdict: stop the trial first'
        if key == 'd':
            self._unsure = not self._unsure
            return 'the verdict will be unsure' if self._unsure else 'the verdict will be sure'
        asked = [one for one in self.state['rubric'] if one['id'] not in self._answers]
        if not asked:
            return 'every stage is answered'
        self._answers[asked[0]['id']] = key == 'y'
        following = asked[1]['text'] if asked[1:] else 'now the verdict'
        return f'{asked[0]["text"]} {KEYS[key]}; {following}'

    def _renew(self) -> None:
        """Forget doubt and answers of another trial."""
        if self._judged != self.state['code']:
            self._judged, self._unsure, self._answers = self.state['code'], False, {}

    def _offer(self, verb: str, field: str, names: list[str]) -> str:
        self._choices = {str(place): {'verb': verb, field: name}
                         for place, name in enumerate(names[:9], start=1)}
        return f'{verb}: ' + ', '.join(f'{place} {choice[field]}'
                                       for place, choice in self._choices.items())

    def _press(self, press: Mapping[str, str]) -> str:
        body: dict[str, Any] = {'code': str(self.state['code']), 'who': self._who, **press}
        if press['verb'] in VERDICTS:
            self._renew()
            body |= {'confidence': 'unsure' if self._unsure else 'sure',
                     'answers': self._answers}
        reply = json.loads(self._ask(f'{self._base}/press', json.dumps(body).encode()))
        if reply['done'] and press['verb'] in VERDICTS:
            self._judged = ''
        return str(reply['text'])

    def _ask(self, url: str, body: bytes | None = None) -> bytes:
        request = Request(url, body, {'Content-Type': 'application/json', 'Origin': self._base})
        try:
            with self._open(request, timeout=TIMEOUT) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            if error.code in (400, 409, 503) and body is not None:
                return error.read()
            raise TrialError(f'the console answers {error.code}: {error.read()[:200].decode()}; '
                             'give its address with the token, as it was printed') from error
        except (URLError, OSError) as error:
            raise TrialError(f'no console at {self._base}: {error}') from error
