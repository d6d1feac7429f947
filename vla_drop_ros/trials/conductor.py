# SPDX-License-Identifier: Apache-2.0
"""Conducts a blinded study: which scene comes next, and what people may say when.

A trial goes ARRANGE -> (start) -> RUNNING -> (stop, timeout, safety stop) -> JUDGE -> (verdict),
and the next one is issued; ``undo`` takes the last verdict back until the next start. Whatever
happens is an event that is on disk before anybody is told, and the state is nothing but the
events told again: a crash at any point goes on at the same slot. Nobody here says which arm runs;
the policy gets a token.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Any
from uuid import uuid4

from vla_drop_ros.errors import unknown
from vla_drop_ros.trials.attempts import Attempt, END_REASONS, VERDICTS
from vla_drop_ros.trials.course import Course, Phase
from vla_drop_ros.trials.design import Condition, Design
from vla_drop_ros.trials.incidents import INCIDENTS, MOST
from vla_drop_ros.trials.ratings import CONFIDENCES
from vla_drop_ros.trials.sealed_schedule import complete_rounds, SealedSchedule

VERBS = ('start', 'stop', 'success', 'failure', 'partial', 'invalid', 'undo', 'finish', 'detect',
         'guess', 'arranged', *INCIDENTS, 'forget')
REFUSALS_KEPT = 300  # of a session in the log; more are only counted
GUESSES = ('baseline', 'pruned', 'unsure')
Append = Callable[[str, Mapping[str, Any]], object]
MayStop = Callable[[list[Attempt]], bool]
Elsewhere = Callable[[], Sequence[Attempt] | None]
CODES = 1000  # by which the codes of two robots are apart for every round between their first ones


@dataclass(frozen=True, slots=True)
class Verb:
    """What somebody wants.

    Attributes:
        name: one of ``VERBS``.
        source: web, service, topic, joy, keyboard, simulator, detector.
        who: pseudonym of the person, '' for machines.
        code: trial that is meant; '' for the current one. A press that was meant for another
            trial is refused, so that two people cannot judge twice.
        stage: how far a partial success came, id of a stage.
        reason: of a failure or of an invalid trial, from the design's lists.
        note: free text.
        value: what a detector says.
        confidence: of a verdict, one of ``CONFIDENCES``; '' is sure.
        answers: of a verdict: stage of the rubric -> whether it was reached; any of them.
        details: of a detector: score, threshold, model, as far as it says.

    """

    name: str
    source: str
    who: str = ''
    code: str = ''
    stage: str = ''
    reason: str = ''
    note: str = ''
    value: bool = False
    confidence: str = ''
    answers: Mapping[str, bool] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a verb: done or refused, and a sentence."""

    done: bool
    text: str


class Conductor:
    """Takes verbs and times; appends events; never raises for what people press.

    Attributes:
        course: the study so far.
        refusals: verbs that were refused in this session.
        elsewhere: what other robots had run at the last look, that counts; None: nobody knows.

    """

    def __init__(self, design: Design, schedule: SealedSchedule, append: Append,
                 rule: MayStop, first_round: int = 0, end_round: int = 0,
                 prefix: str = '', elsewhere: Elsewhere = lambda: None) -> None:
        """Take a locked design; ``begin`` or ``resume`` comes next.

        Args:
            design: of the study.
            schedule: who knows the arms.
            append: returns when an event is on disk; raises TrialError when it cannot be.
            rule: whether the study may stop, given the attempts of complete rounds.
            first_round: where to begin; another robot runs the rounds before.
            end_round: the round before which to end; 0: at the horizon. Another robot goes on.
            prefix: of the codes: a late press on a rehearsal's trial means none of the study.
            elsewhere: returns what other robots have run that counts; None where nobody knows.

        """
        self.course = Course()
        self.refusals = 0
        self._design = design
        self._schedule = schedule
        self._append = append
        self._rule = rule
        self._prefix = prefix
        self._per_round = len(design.conditions) * len(design.arms)
        self._first = first_round * self._per_round
        self._end = (end_round or design.rounds) * self._per_round
        # No two robots call a trial, and its bag, the same; a rehearsal has its prefix.
        self._codes = 0 if prefix else first_round * max(CODES, 10 * self._per_round)
        self._elsewhere = elsewhere
        self.elsewhere = self._read_elsewhere()
        self._conditions = {condition.id: condition for condition in design.conditions}

    @property
    def phase(self) -> Phase:
        """Return what is waited for."""
        return self.course.phase

    @property
    def attempts(self) -> list[Attempt]:
        """Return every attempt so far, the current one last."""
        return self.course.attempts

    @property
    def current(self) -> Attempt:
        """Return the attempt that is arranged, runs or is judged."""
        return self.course.current

    @property
    def condition(self) -> Condition:
        """Return how the scene of the current attempt is set up."""
        return self._conditions[self.current.condition]

    @property
    def rounds(self) -> int:
        """Return how many rounds are complete."""
        return complete_rounds([self._schedule.slot(one.index) for one in self.attempts
                                if one.counts], self._design)

    @property
    def planned_pairs(self) -> int:
        """Return the pairs of this robot; 0 without an end."""
        share = self._end - self._first
        return share // len(self._design.arms) if share > 0 else self._design.stopping.horizon

    @property
    def runs_all(self) -> bool:
        """Say whether all rounds of the study are of this robot, or a rehearsal's."""
        horizon = self._design.stopping.horizon
        return bool(self._prefix) or (
            not self._first and (self.planned_pairs == horizon or not horizon and not self._end))

    @property
    def may_finish(self) -> bool:
        """Say whether people may end the study: by ``anytime`` always, its error holds.

        Not before a trial has counted: there would be no verdict whose undo takes it back.
        """
        allowed = self.course.may_stop or self._design.stopping.rule == 'anytime'
        return allowed and any(one.counts for one in self.attempts)

    def begin(self) -> None:
        """Issue the first trial."""
        self._issue(self._first, 0)

    def resume(self, events: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Go on where a log ended; a trial that was running is to be judged, or left out."""
        for kind, data in events:
            self.course.apply(kind, data)
        if not self.attempts:
            self.begin()
        elif self.phase is Phase.RUNNING:
            self._tell('ended', {'code': self.current.code, 'reason': 'crash', 'stamp': 0.0})
        elif self.phase is Phase.ARRANGE and self.current.judged:
            self._go_on()

    def take(self, verb: Verb, now: float) -> Reply:
        """Do what somebody wants, or say why not.

        Args:
            verb: the wish.
            now: node clock, [s].

        Raises:
            TrialError: an event could not be written; what was written before it stays, and is
                gone on from with the next verb.

        """
        resumes = verb.name not in ('undo', 'detect')
        if self.phase is Phase.ARRANGE and self.current.judged and resumes:
            # The disk was full after the verdict. The policy has not got the next token yet.
            self._go_on()
            return Reply(False, 'the next trial could not be issued before; now it is, arrange it')
        refusal = self._refusal(verb)
        if refusal:
            self.refusals += 1
            if self.refusals <= REFUSALS_KEPT:  # a button that hangs fills no disk
                self._append('refused', {'verb': verb.name[:40], 'why': refusal,
                                         'source': verb.source, 'who': verb.who})
            return Reply(False, refusal)
        code = verb.code or self.current.code
        event = self._event(verb, code, now)
        if event is not None:
            self._tell(*event)
        elif verb.name == 'stop':
            self.end('stopped', now, verb.source, verb.who)
        elif verb.name == 'undo':
            return self._undo(verb)
        else:
            return self._judge(verb, code)
        return Reply(True, f'{verb.name.replace("_", " ")}: trial {code}')

    def end(self, reason: str, now: float, source: str = '', who: str = '') -> None:
        """End the running trial: people stopped it, time was up, or something broke.

        Args:
            reason: one of ``END_REASONS``.
            now: node clock, [s].
            source: of the press that stopped it, '' where nobody did.
            who: pressed it.

        """
        if reason not in END_REASONS:
            raise ValueError(unknown('end of a trial', reason, END_REASONS))
        if self.phase is Phase.RUNNING:
            by = {'source': source, 'who': who} if source else {}
            self._tell('ended', {'code': self.current.code, 'reason': reason, 'stamp': now, **by})

    def measure(self, code: str, values: Mapping[str, Any]) -> None:
        """Keep what was measured in a trial: latency, memory, bag, pictures."""
        self._tell('measured', {'code': code, 'values': dict(values)})

    def token(self) -> str:
        """Return the word for the policy of the current attempt."""
        return self._schedule.token(self.current.index, self.current.attempt)

    def _event(self, verb: Verb, code: str, now: float) -> tuple[str, dict[str, Any]] | None:
        """Return what a verb becomes that is one event whatever there was; None for others."""
        by = {'code': code, 'source': verb.source, 'who': verb.who}
        if verb.name == 'detect':
            revises = self.course.find(code).is_revision(verb.source)
            return 'detected', {**verb.details, 'code': code, 'source': verb.source,
                                'success': verb.value,
                                **({'revision': True} if revises else {})}
        if verb.name in INCIDENTS:
            return 'incident', {**by, 'kind': verb.name, 'stamp': now, 'note': verb.note[:2000]}
        events: dict[str, tuple[str, dict[str, Any]]] = {
            'start': ('started', {**by, 'stamp': now}),
            'arranged': ('arranged', {**by, 'stamp': now}),
            'guess': ('guessed', {'code': code, 'guess': verb.reason, 'who': verb.who}),
            'finish': ('finished', {'reason': 'as the rule allows' if self.course.may_stop else
                                    'people ended it, the rule has no answer yet',
                                    'source': verb.source, 'who': verb.who}),
            'forget': ('forgotten', by)}
        return events.get(verb.name)

    def _refusal(self, verb: Verb) -> str:
        """Return why a verb is refused now, or ''."""
        if verb.name not in VERBS:
            return unknown('verb', verb.name[:40], VERBS)
        allowed = _WHEN.get(verb.name, (Phase.JUDGE,))
        if verb.name == 'detect':
            return self._wrong_detection(verb)
        if verb.name == 'guess':
            return self._wrong_guess(verb)
        meant = self.course.undoable if verb.name == 'undo' else self.current
        if meant is None:
            return 'there is no verdict to take back before the next start'
        if verb.name == 'undo' and self.course.opened == meant.code:
            return ('the arms have been opened: correct it by vla_drop trials relabel, or note it '
                    'by vla_drop trials amend')
        if verb.code and verb.code != meant.code:
            return f'this was meant for trial {verb.code[:20]}, which is not the current one'
        if verb.name != 'undo' and self.phase not in allowed:
            return f'{verb.name} is not possible now: the trial is to {_WORDS[self.phase]}'
        if verb.name == 'finish' and not self.may_finish:
            return 'the stopping rule does not allow to end the study yet' if any(
                one.counts for one in self.attempts) else (
                'no trial has counted yet: close the node, and the study goes on another day')
        if verb.name in (*INCIDENTS, 'forget', 'arranged'):
            return self._wrong_remark(verb)
        return self._wrong_words(verb)

    def _wrong_remark(self, verb: Verb) -> str:
        said, code = len(self.current.incidents), self.current.code
        if verb.name == 'arranged':
            return f'trial {code} is arranged already' if self.current.arranged else ''
        if verb.name == 'forget' and not said:
            return f'nothing was noted of trial {code} that could be forgotten'
        full = verb.name != 'forget' and said >= MOST
        return f'{MOST} incidents of trial {code} are noted; forget one first' if full else ''

    def _wrong_detection(self, verb: Verb) -> str:
        if verb.code and not any(one.code == verb.code for one in self.attempts):
            return f'there is no trial {verb.code[:20]!r}'
        running = verb.code or self.phase in (Phase.RUNNING, Phase.JUDGE)  # slow ones come late
        return '' if running else 'no trial is running'

    def _wrong_guess(self, verb: Verb) -> str:
        if verb.reason not in GUESSES:
            return unknown('guess', verb.reason[:40], GUESSES)
        if not verb.code:
            return 'guesses are asked for at the end: leave first, or finish the study'
        if not any(one.code == verb.code and one.judged for one in self.attempts):
            return f'trial {verb.code[:20]!r} has no verdict; guess about one that has'
        return ''

    def _wrong_words(self, verb: Verb) -> str:
        design = self._design
        if verb.name == 'invalid' and verb.reason not in design.invalid_reasons:
            return unknown('reason', verb.reason[:40], design.invalid_reasons)
        if verb.name == 'failure' and verb.reason and verb.reason not in design.failure_reasons:
            return unknown('reason', verb.reason[:40], design.failure_reasons)
        stages = [stage.id for stage in design.rubric]
        if verb.name == 'partial' and verb.stage not in stages:
            return unknown('stage', verb.stage[:40], stages)
        if verb.confidence not in ('', *CONFIDENCES):
            return unknown('confidence', verb.confidence[:40], CONFIDENCES)
        strange = next((stage for stage in verb.answers if stage not in stages), None)
        return '' if strange is None else unknown('stage', strange[:40], stages)

    def _judge(self, verb: Verb, code: str) -> Reply:
        stages = [stage.id for stage in self._design.rubric]
        progress = {'success': 1.0, 'partial': 0.0, 'failure': 0.0, 'invalid': 0.0}[verb.name]
        reached = [stage for stage in stages if verb.answers.get(stage)]
        stage = verb.stage or (reached[-1] if reached and verb.name == 'failure' else '')
        if stage:
            progress = (stages.index(stage) + 1) / (len(stages) + 1)
        self._tell('judged', {
            'code': code, 'verdict': verb.name, 'stage': stage, 'reason': verb.reason,
            'progress': round(progress, 6), 'note': verb.note[:2000], 'source': verb.source,
            'who': verb.who, 'confidence': verb.confidence or CONFIDENCES[0],
            'answers': dict(verb.answers)})
        self._go_on()
        return Reply(True, f'trial {code}: {verb.name}'
                     + (', unsure' if verb.confidence == 'unsure' else ''))

    def _go_on(self) -> None:
        """Issue the next trial: the same slot again after an invalid one, else the next one."""
        last = self.current
        if last.verdict == 'invalid':
            self._issue(last.index, last.attempt + 1)
            return
        if (last.index + 1) % self._per_round == 0:
            counted = [one for one in self.attempts if one.counts]
            self.elsewhere = self._read_elsewhere()
            allowed = self._rule([*counted, *(self.elsewhere or ())])
            self._tell('look', {'rounds': self.rounds, 'may_stop': allowed})
            if last.index + 1 == self._end:
                self._tell('finished', {'reason': 'all rounds are run'})
                return
        self._issue(last.index + 1, 0)

    def _read_elsewhere(self) -> list[Attempt] | None:
        """Return what other robots have run in rounds that are not of this one."""
        found = self._elsewhere()
        end = self._end if self._end > self._first else math.inf
        return found if found is None else [
            one for one in found if one.counts and not self._first <= one.index < end]

    def _issue(self, index: int, attempt: int) -> None:
        slot = self._schedule.slot(index)
        self._tell('issued', {
            'code': f'{self._prefix}{self._codes + len(self.attempts) + 1}', 'index': index,
            'attempt': attempt, 'condition': slot.condition,
            'token': self._schedule.token(index, attempt), 'uuid': uuid4().hex})

    def _undo(self, verb: Verb) -> Reply:
        meant = self.course.undoable
        if meant is None:
            raise ValueError('nothing to undo')
        self._tell('undone', {'code': meant.code, 'source': verb.source, 'who': verb.who})
        return Reply(True, f'the verdict of trial {meant.code} is taken back: judge it again')

    def _tell(self, kind: str, data: Mapping[str, Any]) -> None:
        self._append(kind, data)
        self.course.apply(kind, data)


# Verdicts come while it is judged; what is not here too.
_WHEN = {'start': (Phase.ARRANGE,), 'stop': (Phase.RUNNING,), 'finish': (Phase.ARRANGE,),
         'arranged': (Phase.ARRANGE,),
         **dict.fromkeys((*INCIDENTS, 'forget'), (Phase.RUNNING, Phase.JUDGE))}
_WORDS = {Phase.ARRANGE: 'be arranged and started', Phase.RUNNING: 'run until somebody stops it',
          Phase.JUDGE: 'be judged', Phase.FINISHED: 'rest: the study is finished'}
assert set(VERDICTS) <= set(VERBS)
