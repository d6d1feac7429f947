# SPDX-License-Identifier: Apache-2.0
"""Whole studies without a robot: a real conductor and log, and a world that draws the outcomes.

A world knows which arm runs, as a policy node does, and decides by a seeded draw what becomes of
it; an operator without mercy judges. The folder it leaves is what a real study leaves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design, parse_design
from vla_drop_ros.trials.incidents import INCIDENTS
from vla_drop_ros.trials.locked_study import lock, LockedStudy, open_schedule
from vla_drop_ros.trials.log import TrialLog
from vla_drop_ros.trials.reference_pictures import ReferencePictures
from vla_drop_ros.trials.sealed_schedule import SealedSchedule, Slot
from vla_drop_ros.trials.study_log import begin_session, LOG_FILE, open_log
from vla_drop_ros.trials.unblinding import stopping_rule

Rates = Mapping[str, float]
FAILURES = ('missed_grasp', 'dropped', 'wrong_object')
NOTES = ('closed beside the block', 'let it fall on the way, near the bin',
         'went to the other block and stayed there for a while before the time was over')
INVALID = ('reset_failed', 'emergency_stop', 'camera_lost')


def design_data(arms: Sequence[str] = ('baseline', 'half'), horizon: int = 24,
                **changes: Any) -> dict[str, Any]:
    """Return a design of three conditions in two tasks as people write it; changes win."""
    return {
        'title': 'Half of the language blocks', 'question': 'Is half as good as the whole?',
        'arms': [{'name': name, 'checkpoint': f'checkpoint-{name}'} for name in arms],
        'conditions': [
            {'id': 'red-left', 'task': 'bins', 'instruction': 'put the red block into the bin',
             'setup': 'red block in the middle', 'reference_image': 'red-left.jpg'},
            {'id': 'blue-right', 'task': 'bins',
             'instruction': 'put the blue block into the bin'},
            {'id': 'green-top', 'task': 'stacking', 'instruction': 'stack the green block'}],
        'margin': 0.15, 'alpha': 0.05,
        'stopping': {'rule': 'exact_paired', 'horizon': horizon},
        'minimum_baseline': 0.5, 'several': 'fixed_sequence', 'timeout': 30.0, 'rest': 20.0,
        'rubric': [{'id': 'reached', 'text': 'Was the hand above the named object?'},
                   {'id': 'grasped', 'text': 'Was it lifted?'}],
        'failure_reasons': list(FAILURES), 'invalid_reasons': list(INVALID), 'seed': 7, **changes}


@dataclass(frozen=True)
class World:
    """What is true of robot, arms and operator; rates are probabilities by arm.

    Attributes:
        success: of a trial; 0.9 where an arm has none.
        alike: share of pairs in which all arms have the same luck.
        invalid: of an attempt to be left out.
        undo: of a verdict to be taken back and given again.
        partial: of a failure to have reached a stage.
        detector: error of the detector; None: there is none.
        latency: median age at the command, [s]; empty: not measured.
        incidents: rate a trial of each kind, by arm.
        unsure: share of verdicts of which the operator is not sure.
        notes: whether failures come with a note.
        rated: share of valid trials that a second person rates, with an error of 10 %.
        host: watts of the GPU, by arm; empty: nothing of the computer is measured.
        motion: whether smoothness and preparation are measured.
        pictures: whether a picture is taken at the start.
        guesses: share of trials after which people guess the arm, by luck.
        knowing: of a guess to be right whatever the luck.
        seed: of all draws.

    """

    success: Rates = field(default_factory=lambda: {'baseline': 0.9, 'half': 0.85})
    alike: float = 0.5
    invalid: Rates = field(default_factory=dict)
    undo: float = 0.0
    partial: float = 0.5
    detector: float | None = None
    latency: Rates = field(default_factory=dict)
    incidents: Rates = field(default_factory=dict)
    unsure: float = 0.0
    notes: bool = False
    rated: float = 0.0
    host: Rates = field(default_factory=dict)
    motion: bool = False
    pictures: bool = False
    guesses: float = 0.0
    knowing: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Fate:
    """What the world has decided about one attempt."""

    verdict: str
    stage: str
    reason: str
    seconds: float
    values: Mapping[str, Any]
    detected: bool | None
    undone: bool
    guess: str
    incidents: tuple[str, ...]
    sure: bool
    note: str
    rated: bool | None


def fate(world: World, design: Design, slot: Slot, attempt: int) -> Fate:
    """Decide one attempt, by scene and arm alone: the secret order of a study changes nothing."""
    arms, arm, timeout = [one.name for one in design.arms], slot.arm, design.timeout
    scene = [slot.round, [one.id for one in design.conditions].index(slot.condition)]
    mine = np.random.default_rng([world.seed, 1, *scene, arms.index(arm), attempt])
    shared = np.random.default_rng([world.seed, 2, *scene])
    together, luck = shared.random() < world.alike, shared.random()
    won = (luck if together else mine.random()) < world.success.get(arm, 0.9)
    invalid = mine.random() < world.invalid.get(arm, 0.0)
    stage = str(mine.choice(['reached', 'grasped']))
    verdict = ('invalid' if invalid else 'success' if won else
               'partial' if mine.random() < world.partial else 'failure')
    reason = {'invalid': str(mine.choice(INVALID)),
              'failure': str(mine.choice(FAILURES))}.get(verdict, '')
    seconds = float(mine.uniform(6.0, 20.0)) if won else timeout
    values: dict[str, Any] = {
        'chunks': int(seconds * 4), 'clipped': int(mine.integers(0, 5)),
        'picture': {'uri': '', 'sha256': '', 'match': round(float(mine.uniform(0.8, 1.0)), 3)},
        'motion': {'path': round(float(mine.uniform(0.5, 1.5)), 3), 'duration': seconds}}
    if arm in world.latency:
        typical = world.latency[arm] * float(mine.uniform(0.95, 1.05))
        values['latency'] = {'count': 40, 'mean': typical, 'median': typical,
                             'p95': 1.3 * typical, 'worst': 2.0 * typical}
    if world.motion:
        values['motion'] |= {'mean_speed': 0.08, 'max_speed': 0.3, 'samples': 99,
                             'sparc': -2.5 - float(mine.uniform(0, 1)) - arms.index(arm),
                             'jerk': 9.0 + float(mine.normal()), 'moved_after': 0.4}
    values |= more_values(world, arm, mine)
    kind = 'baseline' if arm == arms[0] else 'pruned'
    other = 'pruned' if arm == arms[0] else 'baseline'
    guess = ''
    if mine.random() < world.guesses:
        guess = kind if mine.random() < world.knowing else str(
            mine.choice([kind, other, 'unsure']))
    detected = None if world.detector is None else bool(won ^ (mine.random() < world.detector))
    return Fate(verdict, stage if verdict == 'partial' else '', reason, seconds, values, detected,
                mine.random() < world.undo, guess, _incidents(world, arm, mine),
                mine.random() >= world.unsure,
                str(mine.choice(NOTES)) if world.notes and not won else '',
                bool(won ^ (mine.random() < 0.1)) if mine.random() < world.rated else None)


def _incidents(world: World, arm: str, mine: np.random.Generator) -> tuple[str, ...]:
    return tuple(kind for kind in INCIDENTS
                 for _ in range(mine.poisson(world.incidents.get(arm, 0.0))))


def more_values(world: World, arm: str, mine: np.random.Generator) -> dict[str, Any]:
    """Return what only newer logs hold."""
    found: dict[str, Any] = {}
    if world.motion:
        found = {'prepare': {'policy': 0.2, 'arrange': float(mine.uniform(12, 30))},
                 'verdict_after': float(mine.uniform(1, 6))}
    if arm in world.host:
        found['control'] = {'commands': 400, 'rate': 20.0 + float(mine.normal(0, 0.05)),
                            'longest_gap': float(mine.uniform(0.05, 0.09))}
        watts = world.host[arm] * float(mine.uniform(0.97, 1.03))
        found['host'] = {'cpu': 0.3, 'memory': 6e9, 'gpu_memory': 9e9, 'gpu_power': watts,
                         'gpu_energy': 12.0 * watts, 'gpu_busy': 0.7, 'temperature': 61.0,
                         'throttled': bool(mine.random() < 0.05)}
    return found


class Operator:
    """Presses the buttons of one conductor as the world decides."""

    def __init__(self, study: LockedStudy, schedule: SealedSchedule, world: World, log: TrialLog,
                 rounds: tuple[int, int] = (0, 0)) -> None:
        """Take the study and an open log; ``rounds`` as in ``open_log``."""
        self.now, self.world, self.log = 1000.0, world, log
        self.folder = log.path.parent
        self.ratings: list[dict[str, str]] = []
        self.design, self.schedule = study.design, schedule
        self.conductor = Conductor(
            study.design, schedule, log.append,
            stopping_rule(schedule, study.design, study.boundaries), *rounds)

    def press(self, name: str, source: str = 'web', **more: Any) -> None:
        """Press a button that must work."""
        reply = self.conductor.take(Verb(name, source, 'ada', **more), self.now)
        assert reply.done, reply.text

    def trial(self) -> None:
        """Run and judge one attempt."""
        current = self.conductor.current
        slot = self.schedule.slot(current.index)
        what = fate(self.world, self.design, slot, current.attempt)
        code = current.code
        self.now += 15.0
        self.press('start', code=code)
        for kind in what.incidents:
            self.press(kind, code=code, note='beside the bin' if kind == 'collision' else '')
        if what.seconds >= self.design.timeout:
            self.now += self.design.timeout + 0.01
            self.conductor.end('timeout', self.now)
        else:
            self.now += what.seconds
            self.press('stop', code=code)
        picture = what.values['picture']
        if self.world.pictures:
            uri, digest = ReferencePictures(self.folder).save(code, scene(
                self.conductor.current.condition, picture['match']))
            picture = {**picture, 'uri': uri, 'sha256': digest}
        self.conductor.measure(code, {**what.values, 'picture': picture, 'bag': {
            'uri': f'bags/{code}', 'sha256': sha256(code.encode()).hexdigest(), 'messages': 900,
            'lost': 0, 'topics': 8}})
        if what.detected is not None:
            self.press('detect', 'detector', code=code, value=what.detected)
        more = {'stage': what.stage, 'reason': what.reason, 'code': code, 'note': what.note,
                'confidence': 'sure' if what.sure else 'unsure'}
        self.press(what.verdict, **more)
        if what.undone:
            self.press('undo', code=code)
            self.press(what.verdict, **more)
        if what.guess:
            self.press('guess', code=code, reason=what.guess)
        if what.rated is not None and what.verdict != 'invalid':
            self.ratings.append({'code': code, 'rater': 'bob', 'stage': '', 'note': '',
                                 'verdict': 'success' if what.rated else 'failure'})


def scene(condition: str, match: float) -> bytes:
    """Return a picture of a scene as JPEG; the worse the match, the more it is moved."""
    picture = np.full((480, 640, 3), 225, np.uint8)
    picture[300:, :] = 150
    left = 80 + 60 * (sum(map(ord, condition)) % 6) + round(400 * (1 - match))
    picture[260:340, left:left + 80] = (40, 60, 200)
    found: bytes = cv2.imencode('.jpg', picture)[1].tobytes()
    return found


def locked(folder: Path, data: Mapping[str, Any]) -> LockedStudy:
    """Lock a design into a folder; checkpoints are known by their names."""
    return lock(parse_design(data), folder, lambda name: sha256(name.encode()).hexdigest(),
                'test')


def simulate(folder: Path, world: World | None = None, data: Mapping[str, Any] | None = None,
             trials: int | None = None, stop_when_allowed: bool = False,
             most: int = 2000) -> Path:
    """Run a study and return its folder: study.json, secret and log.jsonl.

    Args:
        folder: that is made.
        world: what is true.
        data: design as people write it.
        trials: attempts before everybody goes home; None: until the study has ended.
        stop_when_allowed: press finish as soon as the rule allows it.
        most: attempts after which to go home whatever was asked for.

    """
    study = locked(folder, design_data() if data is None else data)
    run(folder, study, world or World(), trials if trials is not None else most,
        stop_when_allowed)
    return folder


def run(folder: Path, study: LockedStudy, world: World, trials: int, stop_when_allowed: bool,
        name: str = LOG_FILE, robot: str = 'arm-1', rounds: tuple[int, int] = (0, 0)) -> None:
    """Run so many attempts of a locked study into one log, going on where it ended."""
    log, events = open_log(folder / name, study, robot, rounds, 'test')
    with log:
        number = begin_session(log, events, 'ada', robot, {'timeout': study.design.timeout})
        operator = Operator(study, open_schedule(folder, study), world, log, rounds)
        operator.conductor.resume([(event.kind, event.data) for event in events])
        for _ in range(trials):
            if operator.conductor.phase is Phase.FINISHED:
                break
            operator.trial()
            if stop_when_allowed and operator.conductor.course.may_stop and (
                    operator.conductor.phase is Phase.ARRANGE):
                operator.press('finish')
        log.append('session_end', {'session': number})
        for rating in operator.ratings:
            log.append('rated', rating)
