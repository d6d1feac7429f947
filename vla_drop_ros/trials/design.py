# SPDX-License-Identifier: Apache-2.0
"""The design of a blinded A/B study: written by people in YAML, locked before the first trial.

What is not in the design cannot be decided afterwards: margin, error rate, when to stop, what
counts as a success, and the only reasons for which a trial may be left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
import json
import math
from pathlib import Path
from typing import Any, get_args, Literal

import yaml

from vla_drop_ros.errors import TrialError, unknown

Rule = Literal['exact_paired', 'anytime', 'fixed']
Spending = Literal['linear', 'quadratic']
Calibration = Literal['iid', 'adversarial']
Several = Literal['fixed_sequence', 'holm']
STATED_OR_NOT = ('success_criterion', 'abort_rules')  # since 0.6; older digests lack them
NAME = 'abcdefghijklmnopqrstuvwxyz0123456789_-'


@dataclass(frozen=True, slots=True)
class StudyArm:
    """One checkpoint of a study.

    Attributes:
        name: what the report calls it; people at the robot never see it.
        checkpoint: folder, or the name of one in models.
        hash: identity of the checkpoint, 64 hex digits; '' until the design is locked.

    """

    name: str
    checkpoint: str
    hash: str = ''


@dataclass(frozen=True, slots=True)
class Condition:
    """One way in which the scene is set up; each arm runs it once a round.

    Attributes:
        id: short name.
        instruction: sent to the policy, word for word; a simulated scene has its own.
        setup: what the person at the robot arranges, in words.
        task: stratum of the report, for instance ``left_bin``.
        reference_image: picture of the arranged scene, relative to the design file; '' for none.
        picture: sha256 of it as the study keeps it; filled in when the design is locked.

    """

    id: str
    instruction: str
    setup: str = ''
    task: str = ''
    reference_image: str = ''
    picture: str = ''


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the rubric: a yes/no question; the last yes says how far a failure came."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """When to stop.

    Attributes:
        rule: ``exact_paired``: at any complete round up to the horizon, by an exact boundary;
            ``anytime``: no horizon, a betting e-process; ``fixed``: one look, at the horizon.
        horizon: most pairs; a multiple of the conditions; 0: none, by ``anytime`` only.
        spending: how fast ``exact_paired`` spends its error.
        calibration: ``adversarial`` holds even if pairs are not alike over time, at some power.

    """

    rule: Rule = 'exact_paired'
    horizon: int = 0
    spending: Spending = 'linear'
    calibration: Calibration = 'iid'


@dataclass(frozen=True, slots=True)
class Design:
    """All that is fixed before the first trial.

    Attributes:
        title: of the report.
        question: what the study answers, one sentence.
        arms: the baseline first, then the pruned checkpoints by increasing sparsity.
        conditions: each once a round.
        margin: success may be lower by no more than this, as a proportion.
        alpha: one-sided error of each direction.
        stopping: when to stop.
        minimum_baseline: success below which the baseline is too weak for any verdict.
        timeout: longest trial, [s].
        rest: time that people need between two trials, [s]; for the plan only.
        rubric: stages, in order; empty: success or failure only.
        failure_reasons: what a failure may be called.
        invalid_reasons: the only reasons for which a trial may be left out.
        several: how more than one pruned checkpoint is judged.
        seed: of the schedule.
        simulation: scenes of the simulated robot instead of people, variant and first seed.
        success_criterion: what counts as a success, for who judges; '' is not stated.
        abort_rules: when people stop a trial; empty is not stated.

    """

    title: str
    question: str
    arms: tuple[StudyArm, ...]
    conditions: tuple[Condition, ...]
    margin: float
    alpha: float
    stopping: Stopping
    minimum_baseline: float
    timeout: float
    rest: float
    rubric: tuple[Stage, ...]
    failure_reasons: tuple[str, ...]
    invalid_reasons: tuple[str, ...]
    several: Several
    seed: int
    simulation: Mapping[str, Any]
    success_criterion: str = ''
    abort_rules: tuple[str, ...] = ()

    @property
    def rounds(self) -> int:
        """Return how many complete rounds the horizon holds; 0 without one."""
        return self.stopping.horizon // len(self.conditions)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what was not stated is left out, as in older studies."""
        found = {**asdict(self), 'simulation': dict(self.simulation)}
        for condition in found['conditions']:
            if not condition['picture']:
                del condition['picture']
        for name in STATED_OR_NOT:
            if not found[name]:
                del found[name]
        return found

    @property
    def digest(self) -> str:
        """Return sha256 of the design in a canonical form, 64 hex digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(',', ':'))
        return sha256(text.encode()).hexdigest()


def load_design(path: str | Path) -> Design:
    """Read and validate a design.

    Raises:
        TrialError: the file cannot be read, or anything in it is missing, unknown or impossible;
            all problems are named at once.

    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except OSError as error:
        raise TrialError(f'design {path}: {error.strerror}; see config/trials for an '
                         'example') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrialError(f'design {path} is not valid YAML: {error}') from error
    return parse_design(data, str(path))


def parse_design(data: object, source: str = 'design') -> Design:
    """Build a design from plain types; ``source`` names it in the error."""
    if not isinstance(data, Mapping):
        raise TrialError(f'{source}: expected a mapping, got {type(data).__name__}')
    reader = _Reader(data)
    arms = tuple(reader.items('arms', StudyArm, ('name', 'checkpoint'), ('hash',)))
    design = Design(
        title=reader.text('title'),
        question=reader.text('question'),
        arms=arms,
        conditions=tuple(reader.items('conditions', Condition, ('id', 'instruction'),
                                      ('setup', 'task', 'reference_image', 'picture'))),
        margin=reader.number('margin', 0.0, 1.0),
        alpha=reader.number('alpha', 0.0, 0.5),
        stopping=reader.stopping(),
        minimum_baseline=reader.number('minimum_baseline', 0.0, 1.0, edges=True),
        timeout=reader.number('timeout', 0.0, 3600.0),
        rest=reader.number('rest', 0.0, 3600.0, edges=True),
        rubric=tuple(reader.items('rubric', Stage, ('id', 'text'), (), needed=False)),
        failure_reasons=reader.names('failure_reasons'),
        invalid_reasons=reader.names('invalid_reasons'),
        several=reader.choice('several', get_args(Several)) if len(arms) > 2 else
        reader.choice('several', get_args(Several), 'fixed_sequence'),
        seed=int(reader.number('seed', 0, 2**63, edges=True)),
        simulation=reader.simulation(),
        success_criterion=reader.text('success_criterion') if 'success_criterion' in data else '',
        abort_rules=reader.sentences('abort_rules') if 'abort_rules' in data else ())
    reader.problems += [f'{key}: unknown key' for key in data if key not in reader.read]
    if not reader.problems:
        reader.problems += _contradictions(design)
    if reader.problems:
        lines = '\n  '.join(reader.problems)
        raise TrialError(f'{source}: {len(reader.problems)} problem(s):\n  {lines}')
    return design


def _contradictions(design: Design) -> list[str]:
    problems = []
    for key, values in (('arms', [arm.name for arm in design.arms]),
                        ('conditions', [condition.id for condition in design.conditions]),
                        ('rubric', [stage.id for stage in design.rubric])):
        if len(set(values)) != len(values):
            problems.append(f'{key}: {values} must have distinct names')
    odd = [one.id for one in design.conditions if not one.id.isprintable() or '/' in one.id]
    if odd:
        problems.append(f'conditions: the ids {odd} cannot name the files of their pictures; '
                        'leave / and control characters out')
    if len(design.arms) < 2:
        problems.append('arms: at least two are needed, the baseline first')
    stopping, conditions = design.stopping, len(design.conditions)
    endless = stopping.rule == 'anytime' and not stopping.horizon
    if not endless and (stopping.horizon < 1 or stopping.horizon % conditions):
        nearest = max(1, round(stopping.horizon / conditions)) * conditions
        problems.append(f'stopping.horizon: {stopping.horizon} pairs are no whole number of '
                        f'rounds of {conditions} conditions; for instance {nearest}')
    return problems


class _Reader:
    """Reads keys and collects every problem instead of stopping at the first."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.read: set[str] = set()
        self.problems: list[str] = []

    def _take(self, key: str, check: Callable[[Any], bool], expected: str, otherwise: Any) -> Any:
        self.read.add(key)
        if key not in self._data:
            self.problems.append(f'{key}: missing, expected {expected}')
            return otherwise
        value = self._data[key]
        if not check(value):
            self.problems.append(f'{key}: {value!r} must be {expected}')
            return otherwise
        return value

    def text(self, key: str) -> str:
        return str(self._take(key, _is_text, 'text', ''))

    def number(self, key: str, low: float, high: float, edges: bool = False) -> float:
        def fits(value: Any) -> bool:
            return _is_number(value) and (low <= value <= high if edges else low < value < high)

        span = f'a number from {low:g} to {high:g}' + ('' if edges else ', both excluded')
        return float(self._take(key, fits, span, low))

    def choice(self, key: str, valid: Sequence[str], default: str | None = None) -> Any:
        if default is not None and key not in self._data:
            return default
        return self._take(key, lambda value: value in valid, f'one of {list(valid)}', valid[0])

    def names(self, key: str) -> tuple[str, ...]:
        def fits(value: Any) -> bool:
            return (isinstance(value, list) and bool(value) and all(map(_is_name, value))
                    and len(set(value)) == len(value))

        return tuple(self._take(key, fits, 'a list of distinct names like missed_grasp', []))

    def sentences(self, key: str) -> tuple[str, ...]:
        return tuple(self._take(key, lambda value: isinstance(value, list) and bool(value)
                                and all(map(_is_text, value)), 'a list of texts', []))

    def items(self, key: str, kind: Callable[..., Any], needed_keys: Sequence[str],
              other_keys: Sequence[str], needed: bool = True) -> Iterable[Any]:
        """Yield entries of a list of mappings; every value is text."""
        if not needed and key not in self._data:
            self.read.add(key)
            return
        entries = self._take(key, lambda value: isinstance(value, list) and bool(value),
                             'a list with at least one entry', [])
        for index, entry in enumerate(entries):
            where = f'{key}[{index}]'
            if not isinstance(entry, Mapping):
                self.problems.append(f'{where}: {entry!r} must be a mapping')
                continue
            valid = (*needed_keys, *other_keys)
            self.problems += [f'{where}: {unknown("key", name, valid)}'
                              for name in entry if name not in valid]
            self.problems += [f'{where}.{name}: missing' for name in needed_keys
                              if name not in entry]
            bad = [name for name in valid if name in entry and not _is_text(entry[name])
                   and not (name in other_keys and entry[name] == '')]
            self.problems += [f'{where}.{name}: {entry[name]!r} must be text' for name in bad]
            if not bad and all(name in entry for name in needed_keys):
                yield kind(**{name: entry[name] for name in valid if name in entry})

    def stopping(self) -> Stopping:
        data = self._take('stopping', lambda value: isinstance(value, Mapping),
                          'a mapping with rule and horizon', {})
        inner = _Reader(data)
        rule = inner.choice('rule', get_args(Rule))
        horizon = 0.0 if rule == 'anytime' and 'horizon' not in data else inner.number(
            'horizon', 0 if rule == 'anytime' else 1, 100_000, edges=True)
        spending = inner.choice('spending', get_args(Spending), 'linear')
        calibration = inner.choice('calibration', get_args(Calibration), 'iid')
        found = Stopping(rule, int(horizon), spending, calibration)
        inner.read |= {'horizon', 'spending', 'calibration'}
        self.problems += [f'stopping.{problem}' for problem in inner.problems]
        self.problems += [f'stopping.{key}: unknown key' for key in data if key not in inner.read]
        return found

    def simulation(self) -> dict[str, Any]:
        self.read.add('simulation')
        data = self._data.get('simulation', {})
        fits = (isinstance(data, Mapping) and not set(data) - {'variant', 'seed'}
                and isinstance(data.get('variant', ''), str)
                and type(data.get('seed', 0)) is int and 0 <= data.get('seed', 0) < 2**31)
        if not fits:
            self.problems.append(f'simulation: {data!r} must be a mapping of variant, a text, and '
                                 'seed, a whole number from 0 to 2147483647')
            return {}
        return dict(data)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_name(value: object) -> bool:
    return _is_text(value) and all(letter in NAME for letter in str(value))


def _is_number(value: object) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and math.isfinite(value))
