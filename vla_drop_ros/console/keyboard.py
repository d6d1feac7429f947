# SPDX-License-Identifier: Apache-2.0
"""The console's buttons on a keyboard: keys become presses over HTTP, from any terminal."""

from collections.abc import Mapping, Sequence
import http.cookiejar
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import build_opener, HTTPCookieProcessor, ProxyHandler, Request

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import VERDICTS
from vla_drop_ros.trials.conductor import GUESSES

TIMEOUT = 8.0  # [s]
KEYS = {
    ' ': 'start or stop', 's': 'success', 'f': 'failure, then why', 'p': 'partial, then how far',
    'i': 'invalid, then why', 'y': 'yes: the next stage was reached', 'n': 'no: it was not',
    'd': 'unsure (doubt), and sure again', 'v': 'intervention', 'm': 'near miss',
    'c': 'collision', 'x': 'take the last incident back', 'u': 'undo the last verdict',
    'a': 'the scene is arranged', 'r': 'prepare policy and scene again',
    't': 'rehearse (try), and end it', 'l': 'leave for today, and stay',
    'g': 'guess which one it was', 'e': 'end the study'}
PLAIN = {'s': 'success', 'v': 'intervention', 'm': 'near_miss', 'c': 'collision', 'x': 'forget',
         'a': 'arranged', 'r': 'reset'}
PHASES = {'arrange': ' urtl', 'running': ' vmcx', 'judge': 'sfpiyndvmcx', 'finished': 'u'}
CHOICES = '123456789abcdefghijklmnopqrstuvwxyz'


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
        self._choices: Mapping[str, Mapping[str, Any]] = {}
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

        ``f``, ``p``, ``i``, ``g`` and ``e`` ask for one key more: reason, stage, reason, guess,
        yes. ``d``, ``y`` and ``n`` press nothing yet: they go with the verdict.
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
        if key in 'fpige' and key in KEYS:
            return self._ask_more(key)
        if key == 'u':
            return self._press({'verb': 'undo', 'code': state['undo']})
        if key in ('t', 'l'):
            verb, now = ('rehearse', 'rehearsal') if key == 't' else ('leave', 'leaving')
            return self._press({'verb': verb, 'value': not state.get(now)})
        return self._press({'verb': PLAIN[key]}) if key in PLAIN else self.help()

    def help(self) -> str:
        """Return what all keys do, a line each."""
        return help_of_keys()

    def hint(self) -> str:
        """Return what can be pressed now, in one line."""
        state = self.state
        keys = PHASES[state['phase']]
        keys += 'a' if state.get('arranged') is False and state['phase'] == 'arrange' else ''
        keys += 'e' if state.get('may_finish') and state['phase'] == 'arrange' else ''
        keys += 'g' if self._guessing() else ''
        shown = {key: KEYS[key] for key in keys if key != 'u' or state['undo']}
        shown |= {' ': 'stop' if state['phase'] == 'running' else 'start'} if ' ' in keys else {}
        return ', '.join(f'{_name(key)} {what}' for key, what in shown.items())

    def _guessing(self) -> list[str]:
        """Return the trials about which people are asked now."""
        asked = self.state['phase'] == 'finished' or self.state.get('leaving')
        return list(self.state['guesses_wanted']) if asked else []

    def _ask_more(self, key: str) -> str:
        state = self.state
        if key == 'f':
            return self._offer('failure', 'reason', state['failure_reasons'], {
                '0': {'verb': 'failure', 'reason': ''}}, '0 no reason')
        if key == 'p':
            return self._offer('partial', 'stage', [one['id'] for one in state['rubric']])
        if key == 'i':
            return self._offer('invalid', 'reason', state['invalid_reasons'])
        if key == 'e':
            self._choices = {'y': {'verb': 'finish'}}
            rule = 'allows it' if state['may_stop'] else 'has no answer yet'
            return f'end the study? The stopping rule {rule}. y: end it, any other key: go on'
        trial = next(iter(self._guessing()), '')
        if not trial:
            return 'nobody asks for guesses now; l leaves for today, and asks'
        self._choices = {place: {'verb': 'guess', 'code': trial, 'reason': guess}
                         for place, guess in zip(CHOICES, GUESSES, strict=False)}
        return f'trial {trial}: ' + ', '.join(
            f'{place} {"cannot tell" if choice["reason"] == "unsure" else choice["reason"]}'
            for place, choice in self._choices.items())

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
        return f'{asked[0]["text"]} {"yes" if key == "y" else "no"}; {following}'

    def _renew(self) -> None:
        """Forget doubt and answers of another trial."""
        if self._judged != self.state['code']:
            self._judged, self._unsure, self._answers = self.state['code'], False, {}

    def _offer(self, verb: str, field: str, names: Sequence[str],
               more: Mapping[str, Mapping[str, Any]] | None = None, told: str = '') -> str:
        self._choices = {place: {'verb': verb, field: name}
                         for place, name in zip(CHOICES, names, strict=False)}
        shown = [f'{place} {choice[field]}' for place, choice in self._choices.items()]
        self._choices |= more or {}
        return f'{verb}: ' + ', '.join(shown + ([told] if told else []))

    def _press(self, press: Mapping[str, Any]) -> str:
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


def help_of_keys(indent: str = '') -> str:
    """Return what every key does, a line each."""
    return '\n'.join(f'{indent}{_name(key)}: {what}' for key, what in KEYS.items())


def _name(key: str) -> str:
    return 'space' if key == ' ' else key
