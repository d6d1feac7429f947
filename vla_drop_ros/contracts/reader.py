# SPDX-License-Identifier: Apache-2.0
"""Reads the keys of the table from plain data, and collects every problem instead of the first."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
import math
import re
import reprlib
from typing import Any, cast, NamedTuple, TypeVar

from vla_drop_ros.contracts.document import Document
from vla_drop_ros.contracts.keys import children, find_key, Key, KEYS, NEEDS, Path
from vla_drop_ros.robot_contract import Range
from vla_drop_ros.types import (
    GRIPPER_NAME,
    is_action_name,
    JOINT_PREFIX,
    ROTATION_NAMES,
    TRANSLATION_NAMES,
)

Choice = TypeVar('Choice', bound=str)

ACTION_NAMES = (*TRANSLATION_NAMES, *ROTATION_NAMES, f'{JOINT_PREFIX}<joint>', GRIPPER_NAME)
TODO = 'TODO'
"""What stands in a contract where only its owner knows the value; always refused."""
TOPIC = re.compile(r'/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*')
FRAME = re.compile(r'[^\s/][^\s]*')
SCIENTIFIC = re.compile(r'[-+]?\d+[eE][-+]?\d+')
KINDS = {'text': 'text', 'frame': 'the name of a frame', 'topic': 'a ROS name',
         'number': 'a number', 'range': '[low, high]', 'boolean': 'true or false',
         'names': f'a list from {list(ACTION_NAMES)}'}


class Problem(NamedTuple):
    """What is wrong at a key; ``said`` names the value, the valid ones and the fix."""

    path: Path
    line: int
    said: str

    def __str__(self) -> str:
        """Return the line for the user; line 0 is unknown."""
        place = f'line {self.line}: ' if self.line else ''
        return f'{place}{".".join(self.path)}: {self.said}'


class Reader:
    """Typed access by the parts of a dotted key; a bad value reads as a harmless one."""

    def __init__(self, document: Document) -> None:
        """Read of a document whose data is a mapping."""
        self._document = document
        self._read: set[Path] = set()
        self.problems: list[Problem] = []
        for path, lines in document.repeated.items():
            self.refuse(path, f'stands {len(lines)} times, in the lines {lines}; keep one')

    def refuse(self, path: Path, said: str) -> None:
        """Note a problem; a missing key has the line of the section that lacks it."""
        lines = self._document.lines
        line = next((lines[path[:size]] for size in range(len(path), 0, -1)
                     if path[:size] in lines), 0)
        self.problems.append(Problem(path, line, said))

    def has(self, *path: str) -> bool:
        """Say whether a key is there, whatever its value."""
        section = self._find(path[:-1])
        return isinstance(section, Mapping) and path[-1] in section

    def names_of(self, *path: str) -> list[str]:
        """Return the names below a key that the user chose, such as cameras."""
        value = self._find(path)
        if not isinstance(value, Mapping) or not value:
            self._read.add(path)
            self.refuse(path, 'missing, expected a mapping with at least one entry'
                        if value is None else
                        f'{shown(value)} must be a mapping with at least one entry')
            return []
        names = [name for name in value if isinstance(name, str) and name]
        for name in value:
            if name not in names:
                self.refuse((*path, str(name)), f'the name {shown(name)} must be text')
                self._read.add((*path, str(name)))
        return names

    def text(self, *path: str) -> str:
        """Return a text, a topic or a frame; '' when it is none."""
        key, value = self._take(path, str)
        if value is None:
            return ''
        if not value.strip():
            self.refuse(path, 'must not be empty')
        elif key.kind == 'topic' and not TOPIC.fullmatch(value):
            self.refuse(path, f'{shown(value)} is no ROS name: letters, digits, _ and /, no '
                              'token may begin with a digit; without a leading / it follows the '
                              'namespace')
        elif key.kind == 'frame' and not FRAME.fullmatch(value):
            self.refuse(path, f'{shown(value)} is no name of a frame: no spaces, no leading /')
        return str(value)

    def choice(self, valid: tuple[Choice, ...], *path: str) -> Choice:
        """Return one of the valid texts."""
        _, value = self._take(path, str)
        if value is not None and value not in valid:
            close = get_close_matches(value, valid, n=1)
            hint = f'; did you mean {close[0]}?' if close else ''
            self.refuse(path, f'{shown(value)} must be one of {list(valid)}{hint}')
        return cast(Choice, value or '')

    def boolean(self, *path: str) -> bool:
        """Return true or false."""
        return bool(self._take(path, bool)[1])

    def number(self, *path: str) -> float:
        """Return a number within its bounds; NaN when it is none."""
        key, value = self._take(path, (int, float))
        if value is None:
            return math.nan
        problem = _number_problem(key, value)
        if problem:
            self.refuse(path, problem)
            return math.nan
        return float(value)

    def optional(self, *path: str) -> float:
        """Return a number, or 0 where the key is not there."""
        return self.number(*path) if self.has(*path) else 0.0

    def range(self, *path: str) -> Range:
        """Return (low, high)."""
        key, value = self._take(path, list)
        bad = (math.nan, math.nan)
        if value is None:
            return bad
        if len(value) != 2 or not all(_is_number(one) for one in value):
            self.refuse(path, f'{shown(value)} must be two finite numbers, low < high')
            return bad
        problem = next(filter(None, (_number_problem(key, one) for one in value)), '')
        if not value[0] < value[1]:
            problem = f'{shown(value)} must be low < high; are they swapped?'
        if problem:
            self.refuse(path, problem)
            return bad
        return (float(value[0]), float(value[1]))

    def action_names(self, *path: str) -> tuple[str, ...]:
        """Return distinct action names; () when they are none."""
        _, value = self._take(path, list)
        if value is None:
            return ()
        bad = [name for name in value if not is_action_name(name)]
        if not value or bad or len(set(value)) != len(value):
            self.refuse(path, f'{shown(value)} must be distinct and from {list(ACTION_NAMES)}')
            return ()
        return tuple(value)

    def refuse_unread(self) -> None:
        """Name every key that nothing reads: a misspelt one, or one without effect here."""
        decided = not {('command', 'adapter'), ('action', 'names')} & {
            problem.path for problem in self.problems}
        for path, value in self._unread(self._document.data, ()):
            key, place = find_key(path), '.'.join(path[:-1])
            if key is None and children(path) and not isinstance(value, Mapping):
                self.refuse(path, f'{shown(value)} must be a mapping with '
                                  f'{", ".join(sorted(children(path)))}')
                continue
            if key is not None or children(path):
                if decided:
                    self.refuse(path, f'has no effect here{_when(path)}; remove it')
                continue
            valid = children(path[:-1])
            close = get_close_matches(path[-1], valid, n=1)
            dotted = f'{place}.' if place else ''
            self.refuse(path, f'unknown key; did you mean {dotted}{close[0]}?' if close else
                        f'unknown key; valid in {place or "the file"}: {", ".join(sorted(valid))}')

    def _unread(self, data: Any, place: Path) -> Iterator[tuple[Path, Any]]:
        for name, value in data.items():
            path = (*place, str(name))
            if path in self._read:
                continue
            below = any(read[:len(path)] == path for read in self._read)
            if below and isinstance(value, Mapping):
                yield from self._unread(value, path)
            else:
                yield path, value

    def _find(self, path: Path) -> Any:
        value: Any = self._document.data
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _take(self, path: Path, kind: Any) -> tuple[Key, Any]:
        key = find_key(path)
        if key is None:
            raise ValueError(f'{".".join(path)} is not in the table of keys')
        value = self._find(path)
        self._read.add(path)
        expected = _expected(key)
        if value is None:
            state = 'has no value' if self.has(*path) else 'missing'
            self.refuse(path, f'{state}, expected {expected}: {key.meaning}')
        elif isinstance(value, str) and value.startswith(TODO):
            self.refuse(path, f'still {TODO}, expected {expected}: {key.meaning}')
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(path, f'{shown(value)} must be {expected}{_type_hint(key, value)}')
        else:
            return key, value
        return key, None


_REPR = reprlib.Repr()
_REPR.maxlist, _REPR.maxstring, _REPR.maxother = 16, 120, 120


def shown(value: object) -> str:
    """Return a value for a message, cut where it is long: an alias can be huge."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return 'a number of thousands of digits'


def _expected(key: Key) -> str:
    words = f'one of {list(key.choices)}' if key.kind == 'choice' else KINDS[key.kind]
    return f'{words} in {key.unit}' if key.unit else words


def _type_hint(key: Key, value: object) -> str:
    if key.kind == 'number' and isinstance(value, str):
        if SCIENTIFIC.fullmatch(value):
            return ' (YAML takes this for text; write it with a dot, such as 1.0e-3)'
        return ' (without quotes or unit)'
    if isinstance(value, bool):
        return ' (YAML takes yes, no, on and off for true and false; use quotes)'
    return ''


def _is_number(value: object) -> bool:
    try:
        return (isinstance(value, int | float) and not isinstance(value, bool)
                and math.isfinite(value))
    except OverflowError:  # an integer beyond every float
        return False


def _number_problem(key: Key, value: Any) -> str:
    """Return what is wrong with a number, '' when nothing is."""
    unit = f' {key.unit}' if key.unit else ''
    hint = f'; {key.beyond}' if key.beyond else ''
    if not _is_number(value):
        return f'{shown(value)} must be a finite number'
    if key.positive and value <= 0:
        return f'{shown(value)} must be a finite number > 0{unit}'
    if value < key.low:
        return f'{shown(value)} must be at least {key.low:g}{unit}{hint if key.low else ""}'
    if value > key.high:
        return f'{shown(value)} must be at most {key.high:g}{unit}{hint}'
    return ''


def _when(path: Path) -> str:
    """Return when a key that is known has an effect."""
    if path[:2] == ('limits', 'joints') and len(path) == 3:
        return f': action.names do not have {JOINT_PREFIX}{path[2]}'
    if path[:2] == ('command', 'servo'):
        return ', only with command.adapter twist'
    needs = {key.need for key in KEYS if key.path[:len(path)] == path}
    if find_key(path):
        needs = {key.need for key in KEYS if key is find_key(path)}
    need = needs.pop() if len(needs) == 1 else None
    return f', only {NEEDS[need]}' if need and need not in ('always', 'optional') else ''
