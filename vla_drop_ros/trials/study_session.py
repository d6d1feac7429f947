# SPDX-License-Identifier: Apache-2.0
"""Between people, robot and policy while a blinded study runs: what to send, and when to end.

The conductor knows the protocol; this knows the machines. It asks the policy node for the token
of the next trial and the robot for a reset, refuses a start until all are ready, and ends a trial
when the gate is stopped, the policy falls silent or time is up. Each trial ends with the empty
instruction, before anything else: the robot holds even if the log cannot be written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
import json
import math
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import (
    Command,
    PrepareScene,
    ResetScene,
    SendInstruction,
    UseToken,
)
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.trial_measures import TrialMeasures

SEALED = 'sealed:'
SIMULATOR = 'simulator'  # the detector that says all the time how things are
JITTER = 0.5  # [s] by which a clock may be set back in a trial
OPERATION = ('rehearse', 'reset')  # verbs that are about the machines, not about a trial


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait for others, [s].

    Attributes:
        answer: for a service to answer.
        reset: for a robot to arrange its scene.
        again: before asking again after a refusal.
        takeover: for a policy that agreed to take over; asked again, it would begin anew.
        first_chunk: for the first chunk after the start, steady.
        silence: between chunks, steady.
        stall: for the node clock to move on, steady.

    """

    answer: float = 20.0
    reset: float = 120.0
    again: float = 2.0
    takeover: float = 5.0
    first_chunk: float = 15.0
    silence: float = 5.0
    stall: float = 10.0


class StudySession:
    """One person's session of a study; no method raises for what machines or people do.

    Attributes:
        waiting: what is missing before a trial can start, '' when it can.
        problem: what people must mend, '' while all is well.
        scene: what the robot said of the scene, empty for a real one.
        rehearsing: whether the trials are practice, which is not logged.
        measures: of the trial that runs or ran last.

    """

    def __init__(self, design: Design, conductor: Conductor, rehearsal: Callable[[], Conductor],
                 resets: bool, scenes: bool = False, waits: Waits | None = None) -> None:
        """Take a conductor that has begun or resumed.

        Args:
            design: of the study.
            conductor: of the study.
            rehearsal: returns a conductor that logs nothing.
            resets: the robot arranges the scene itself when asked; else people do.
            scenes: the robot is simulated, and is told which scene to arrange.
            waits: how long to wait.

        """
        self.problem = self.waiting = ''
        self.scene: Mapping[str, Any] = {}
        self.rehearsing = False
        self.measures = TrialMeasures()
        self._design = design
        self._real, self._rehearsal = conductor, rehearsal
        self._conductor = conductor
        self._resets, self._scenes = resets, scenes
        self._waits = waits or Waits()
        self._out: list[Command] = [SendInstruction('')]  # who was here before may have crashed
        self._pending: dict[str, tuple[Command, float]] = {}
        self._ready: dict[str, str] = {}  # what is ready, and for which attempt
        self._not_before: dict[str, float] = {}
        self._policy = self._gate = ''
        self._now = self._moved = self._heard = self._steady = float('-inf')
        self._absent: Sequence[str] = ('the rest of the graph',)  # until the first look
        self._ended: tuple[str, float] | None = None
        # What a session before this one has run is not measured again.
        self._measured = {f'False {one.code} {one.started}' for one in conductor.attempts}
        self._said: dict[str, bool] = {}
        self._ready['silent'] = self._key()

    @property
    def conductor(self) -> Conductor:
        """Return who conducts now: the study's, or the rehearsal's."""
        return self._conductor

    @property
    def estopped(self) -> bool:
        """Say whether the gate is stopped for good."""
        return 'estopped' in self._gate

    @property
    def gate_state(self) -> str:
        """Return what the gate said last."""
        return self._gate

    @property
    def policy_ready(self) -> bool:
        """Say whether the policy of the current trial answers."""
        return self._policy == SEALED + self._conductor.token()

    @property
    def scene_ready(self) -> bool:
        """Say whether the robot has arranged the scene of the current trial; people say so."""
        return not self._resets or self._ready.get('scene') == self._key()

    def policy(self, checkpoint: str) -> None:
        """Take what the policy node says answers now."""
        self._policy = checkpoint

    def gate(self, state: str) -> None:
        """Take the state of the command gate."""
        self._gate = state

    def chunk(self, stamp: float) -> None:
        """Take the capture time of an action chunk, [s] on the node clock."""
        if self._conductor.phase is Phase.RUNNING and stamp >= self._conductor.current.started:
            if not self.measures.chunks:
                self.measures.first_chunk = self._now - self._conductor.current.started
            self.measures.chunks += 1
            self._heard = self._steady

    def age(self, seconds: float) -> None:
        """Take the age of the images behind a command, [s]."""
        running = self._conductor.phase is Phase.RUNNING and self.measures.chunks
        if running and abs(seconds) < 1e6:  # neither NaN nor what adds up to it
            self.measures.ages.append(seconds)

    def answer(self, command: Command, agreed: bool, text: str) -> None:
        """Take the answer to a command; one that nobody waits for any more is ignored."""
        name = _KINDS.get(type(command), '')
        pending = self._pending.get(name)
        if pending is None or pending[0] is not command:
            return
        del self._pending[name]
        if not agreed:
            self.problem = f'{_WHO[name]} refused: {text[:300]}'
            self._not_before[name] = self._steady + self._waits.again
        elif isinstance(command, PrepareScene):
            self._ask(ResetScene(), 'reset')
        else:
            self.problem = ''
            if isinstance(command, ResetScene):
                self.scene, self._ready['scene'] = _parsed(text), self._key()
            else:
                self._not_before[name] = self._steady + self._waits.takeover

    def press(self, verb: Verb) -> Reply:
        """Do what somebody wants, or say why not."""
        if verb.name in OPERATION:
            return self._operate(verb)
        if verb.name == 'start' and self._conductor.phase is Phase.ARRANGE:
            self.waiting = self._missing(self._absent)  # what was said since the last tick counts
            if self.waiting:
                return Reply(False, f'not yet: {self.waiting}')
        if verb.name == 'stop':
            self._out.append(SendInstruction(''))  # first: the robot, then the log
            verb = replace(verb, code='')  # a robot that was stopped runs no trial
        before = self._conductor.phase
        if before is Phase.JUDGE:
            self._write_measures()
        try:
            reply = self._conductor.take(verb, self._now)
        except TrialError as error:
            self.problem = str(error)
            if verb.name == 'stop' and before is Phase.RUNNING:
                self._ended = self._ended or ('stopped', self._now)
            return Reply(False, str(error))
        if reply.done and verb.name == 'start':
            self._begin()
        if reply.done and verb.name in ('undo', 'success', 'failure', 'partial', 'invalid'):
            self._ready.clear()
            self._pending.clear()  # a reset that goes on is not the next trial's
            self._not_before.clear()
        return reply

    def detect(self, source: str, code: str, success: bool, ends: bool) -> None:
        """Take what a detector or the simulator says of a trial.

        Args:
            source: who says it.
            code: trial that is meant; '' for the current one.
            success: what it says.
            ends: whether a success ends the trial.

        """
        phase, current = self._conductor.phase, self._conductor.current.code
        if code and code != current:
            self._note_detection(source, code, success)  # of a trial that is over
            return
        self._said[source] = success
        late = phase is Phase.JUDGE and source != SIMULATOR  # its scene may be reset by now
        if late or (success and phase in (Phase.RUNNING, Phase.JUDGE)):
            self._note_detection(source, current, success)
        if success and ends:
            self._end('detector')

    def tick(self, now: float, steady: float, absent: Sequence[str] = ()) -> list[Command]:
        """Decide, and return what to send.

        Args:
            now: node clock, [s].
            steady: a clock that never stops, [s].
            absent: names of the services that are needed and not there.

        """
        if now != self._now:
            self._now, self._moved = now, steady
        if steady - self._steady > self._waits.again:
            self._heard = steady  # it was this process that stood still, not the policy
        self._steady, self._absent = steady, absent
        if self._conductor.phase is Phase.ARRANGE:
            self._arrange(absent)
        elif self._conductor.phase is Phase.RUNNING:
            self._watch()
        elif self._conductor.phase is Phase.JUDGE:
            self._write_measures()
        out, self._out = self._out, []
        return out

    def measure(self, code: str, values: Mapping[str, Any]) -> None:
        """Log what others measured of a trial: its bag, its picture."""
        if any(one.code == code and math.isfinite(one.started) for one in self._real.attempts):
            self._guarded(lambda: self._real.measure(code, values))

    def close(self) -> None:
        """End a trial that runs, since nobody watches any more."""
        if self._conductor.phase is Phase.RUNNING:
            self._end('crash')

    def _trial(self) -> str:
        current = self._conductor.current
        return f'{self.rehearsing} {current.code} {current.started}'

    def _key(self) -> str:
        current = self._conductor.current
        return f'{self.rehearsing} {current.index}.{current.attempt} {len(current.undone)}'

    def _arrange(self, absent: Sequence[str]) -> None:
        if self._ready.get('silent') != self._key():
            self._ready['silent'] = self._key()
            self._out.append(SendInstruction(''))
        if absent:
            self._pending.clear()  # who has gone does not answer,
            self._policy = ''  # and knows no token when it comes back
        else:
            token = SEALED + self._conductor.token()
            if not self.policy_ready:
                self._ask(UseToken(token), 'policy')
            if not self.scene_ready and not self._awaited('reset'):
                wanted = self._preparation()
                self._ask(wanted, _KINDS[type(wanted)])
        self.waiting = self._missing(absent)

    def _missing(self, absent: Sequence[str]) -> str:
        if absent:
            return f'{", ".join(absent)} did not appear yet'
        if not self.policy_ready:
            return 'the policy is being prepared'
        if not self.scene_ready:
            return 'the robot is being reset'
        if self.estopped:
            return 'the robot is stopped: release the emergency stop, then reset it at the gate'
        if not self._gate:
            return 'the command gate says nothing'
        return 'the command gate is not active' if 'inactive' in self._gate else ''

    def _preparation(self) -> Command:
        conductor, design = self._conductor, self._design
        if not self._scenes:
            return ResetScene()
        first = int(design.simulation.get('seed', design.seed % 2**30))
        return PrepareScene(first + conductor.current.index // len(design.arms),
                            conductor.condition.task,
                            str(design.simulation.get('variant', 'nominal')))

    def _ask(self, command: Command, name: str) -> None:
        """Send a command, unless the last of its kind is not answered yet."""
        if self._awaited(name) or self._steady < self._not_before.get(name, float('-inf')):
            return
        if name in self._pending:
            self.problem = f'{_WHO[name]} did not answer in time'
        self._pending[name] = command, self._steady
        self._out.append(command)

    def _awaited(self, name: str) -> bool:
        wait = self._waits.reset if name == 'reset' else self._waits.answer
        return name in self._pending and self._steady - self._pending[name][1] < wait

    def _begin(self) -> None:
        text = str(self.scene.get('instruction') or self._conductor.condition.instruction)
        self.measures = TrialMeasures(instruction=text)
        self._ended = None
        self._said = {SIMULATOR: False} if self._said.get(SIMULATOR) is False else {}
        self._heard = self._moved = self._steady
        self._out.append(SendInstruction(text))

    def _watch(self) -> None:
        waits, measures = self._waits, self.measures
        silent = self._moved - self._heard  # while time stands still no policy can speak
        if self._ended is not None:
            self._end(*self._ended)  # the log could not be written before
        elif self.estopped:
            self._end('safety_stop')
        elif self._now < self._conductor.current.started - JITTER:
            self._end('robot_fault', self._conductor.current.started)  # its clock began anew
        elif self._steady - self._moved > waits.stall or 'inactive' in self._gate:
            self._end('robot_fault')
        elif not self.policy_ready:
            self._end('policy_fault')  # it was started anew, or somebody set another token
        elif silent > (waits.silence if measures.chunks else waits.first_chunk):
            self._end('policy_fault')
        elif self._now - self._conductor.current.started >= self._design.timeout:
            self._end('timeout')

    def _end(self, reason: str, stamp: float | None = None) -> None:
        """Stop the robot, then write that the trial has ended; if it cannot be, try again."""
        if self._conductor.phase is not Phase.RUNNING:
            return
        first = self._ended is None
        self._ended = reason, self._now if stamp is None else stamp
        if first:
            self._out.append(SendInstruction(''))
        if first or self._steady >= self._not_before.get('log', float('-inf')):
            self._guarded(lambda: self._conductor.end(*(self._ended or (reason, self._now))))

    def _write_measures(self) -> None:
        """Log what was measured and detected, once a trial."""
        code, key = self._conductor.current.code, self._trial()
        if key not in self._measured and self._guarded(
                lambda: self._conductor.measure(code, self.measures.to_dict())):
            self._measured.add(key)
            for source, said in self._said.items():
                self._note_detection(source, code, said)

    def _note_detection(self, source: str, code: str, said: bool) -> None:
        meant = [one for one in self._conductor.attempts
                 if one.code == code and one.started == one.started]
        if meant and meant[0].detected.get(source) != said:
            self._guarded(lambda: self._conductor.take(
                Verb('detect', source, code=code, value=said), self._now))

    def _guarded(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except TrialError as error:
            self.problem = str(error)
            self._not_before['log'] = self._steady + self._waits.again
            return False
        return True

    def _operate(self, verb: Verb) -> Reply:
        if self._conductor.phase not in (Phase.ARRANGE, Phase.FINISHED):
            return Reply(False, f'{verb.name} is possible between trials only')
        self._ready.clear()
        self._pending.clear()
        self._not_before.clear()
        if verb.name == 'reset':
            return Reply(True, 'policy and scene are prepared again')
        # A page says which of the two it wants: two that press at once mean the same.
        self.rehearsing = verb.value if verb.source == 'web' else not self.rehearsing
        self._conductor = self._rehearsal() if self.rehearsing else self._real
        return Reply(True, 'rehearsal: nothing is logged' if self.rehearsing else
                     'the study goes on: every trial counts')


def _parsed(text: str) -> dict[str, Any]:
    try:
        scene = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return scene if isinstance(scene, dict) else {}


_KINDS = {UseToken: 'policy', PrepareScene: 'prepare', ResetScene: 'reset'}
_WHO = {'policy': 'the policy node', 'prepare': 'the robot', 'reset': 'the robot'}
