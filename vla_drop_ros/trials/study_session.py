# SPDX-License-Identifier: Apache-2.0
"""Between people, robot and policy while a blinded study runs: what to send, and when to end.

The conductor knows the protocol; this knows the machines. It asks the policy node for the token
of the next trial and the robot for a reset, refuses a start until all are ready, and ends a trial
when the gate is stopped, the policy falls silent or time is up. Each trial ends with the empty
instruction, before anything else: the robot holds even if the log cannot be written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
import math
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt, VERDICTS
from vla_drop_ros.trials.backlog import Backlog
from vla_drop_ros.trials.commands import Command, SendInstruction
from vla_drop_ros.trials.conductor import Conductor, Reply, Verb
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.detections import Detection, Detections
from vla_drop_ros.trials.guesses import guesses_wanted
from vla_drop_ros.trials.intermission import Intermission
from vla_drop_ros.trials.preparation import Preparation, Waits, Wanted
from vla_drop_ros.trials.trial_measures import Load, TrialMeasures
from vla_drop_ros.trials.trial_watch import TrialWatch

OPERATION = ('rehearse', 'reset', 'leave')  # verbs that are about no trial


class StudySession:
    """One person's session of a study; no method raises for what machines or people do.

    Attributes:
        waiting: what is missing before a trial can start, '' when it can.
        problem: what people must mend, '' while all is well.
        rehearsing: whether the trials are practice, which is not logged.
        leaving: whether people go home, and are asked which arm they think it was.
        ran_before: attempts that were judged before this session.
        measures: of the trial that runs or ran last.
        signs: of the life of policy node and gate.
        unrecorded: why trials are not recorded, '' while they are, or nobody records.

    """

    def __init__(self, design: Design, conductor: Conductor, rehearsal: Callable[[], Conductor],
                 resets: bool, scenes: bool = False, waits: Waits | None = None,
                 load: Load | None = None) -> None:
        """Take a conductor that has begun or resumed.

        Args:
            design: of the study.
            conductor: of the study.
            rehearsal: returns a conductor that logs nothing.
            resets: the robot arranges the scene itself when asked; else people do.
            scenes: the robot is simulated, and is told which scene to arrange.
            waits: how long to wait.
            load: of the machine while a trial runs; None: nobody watches it.

        """
        self.problem = self.waiting = self.unrecorded = ''
        self.rehearsing = self.leaving = False
        self.ran_before = sum(one.judged for one in conductor.attempts)
        self.measures = TrialMeasures()
        self._design = design
        self._real, self._rehearsal = conductor, rehearsal
        self._conductor = conductor
        self._waits, self._load = waits or Waits(), load
        self._machines = Preparation(design, self._wanted, self._tell, resets, scenes,
                                     self._waits)
        self._out: list[Command] = [SendInstruction('')]  # who was here before may have crashed
        self._watch = TrialWatch(self._machines, self._waits, design.timeout)
        self.signs = self._watch.signs
        self._log = Backlog(self._waits.again, self._tell)
        self._absent: Sequence[str] = ('the rest of the graph',)  # until the first look
        self._ended: tuple[str, float] | None = None
        self._intermission = Intermission()
        # What a session before this one has run is not measured again.
        self._measured = {f'False {one.code} {one.started}' for one in conductor.attempts}
        self._detections = Detections(lambda: self._conductor, lambda: self._watch.now,
                                      self._log.keep)

    @property
    def conductor(self) -> Conductor:
        """Return who conducts now: the study's, or the rehearsal's."""
        return self._conductor

    @property
    def scene(self) -> Mapping[str, Any]:
        """Return what the robot said of the scene, empty for a real one."""
        return self._machines.scene

    @property
    def attempts(self) -> Sequence[Attempt]:
        """Return the attempts of the study, also while people rehearse."""
        return self._real.attempts

    @property
    def estopped(self) -> bool:
        """Say whether the gate is stopped for good."""
        return self._machines.estopped

    @property
    def gate_state(self) -> str:
        """Return what the gate said last."""
        return self._machines.gate_state

    @property
    def robot_ready(self) -> bool:
        """Say whether commands of the policy would move the robot."""
        return bool(self.gate_state) and not (self.estopped or self._machines.idle)

    @property
    def policy_ready(self) -> bool:
        """Say whether the policy of the current trial answers."""
        return self._machines.policy_ready

    @property
    def scene_ready(self) -> bool:
        """Say whether the scene is arranged, as far as the robot does it."""
        return self._machines.scene_ready

    @property
    def arranged(self) -> bool | None:
        """Say whether people have said that the scene is arranged; None: the robot does it."""
        return None if self._machines.resets else self._conductor.current.arranged

    @property
    def guesses_wanted(self) -> list[str]:
        """Return the trials about which people are asked now which arm it was."""
        ends = self._conductor.phase is Phase.FINISHED or self.leaving
        return guesses_wanted(self.attempts[self.ran_before:] or self.attempts) \
            if ends and not self.rehearsing else []

    def policy(self, checkpoint: str) -> None:
        """Take what the policy node says answers now."""
        self._machines.policy(checkpoint)

    def gate(self, state: str) -> None:
        """Take the state of the command gate."""
        self._machines.gate(state)

    def chunk(self, stamp: float) -> None:
        """Take the capture time of an action chunk, [s] on the node clock."""
        current = self._conductor.current
        runs = self._conductor.phase is Phase.RUNNING and self._ended is None
        if runs and stamp >= current.started:
            if not self.measures.chunks:
                self.measures.first_chunk = self._watch.now - current.started
            self.measures.chunks += 1
            self._watch.answered()

    def age(self, seconds: float) -> None:
        """Take the age of the images behind a command, [s]."""
        running = self._conductor.phase is Phase.RUNNING and self.measures.chunks
        if running and abs(seconds) < 1e6:  # neither NaN nor what adds up to it
            self.measures.ages.append(seconds)

    def pose(self, stamp: float, position: Sequence[float]) -> None:
        """Take a measured position of the end effector: node clock [s], x y z [m]."""
        if self._measuring(stamp):
            self.measures.motion.add(stamp, position)

    def commanded(self, stamp: float) -> None:
        """Take that the gate sent a command, by its stamp, [s] on the node clock."""
        if self._measuring(stamp):
            self.measures.control.add(stamp)

    def answer(self, command: Command, agreed: bool, text: str) -> None:
        """Take the answer to a command; one that nobody waits for any more is ignored."""
        self._out += self._machines.answer(command, agreed, text)

    def press(self, verb: Verb) -> Reply:
        """Do what somebody wants, or say why not."""
        if verb.name in OPERATION:
            return self._operate(verb)
        refusal = self._not_yet(verb)
        if refusal:
            return Reply(False, refusal)
        if verb.name == 'guess' and not verb.code:  # only a page says of which trial
            verb = replace(verb, code=next(iter(self.guesses_wanted), ''))
        if verb.name == 'stop':
            self._out.append(SendInstruction(''))  # first: the robot, then the log
            verb = replace(verb, code='')  # a robot that was stopped runs no trial
            if self._ended is not None and self._conductor.phase is Phase.RUNNING:
                return self._stop_again()
        before, code = self._conductor.phase, self._conductor.current.code
        if before is Phase.JUDGE:
            self._write_measures()
        reply = self._take(verb)
        if reply.done:
            self._follow(verb, before, code)
        return reply

    def detect(self, source: str, code: str, success: bool, ends: bool,
               details: Mapping[str, Any] | None = None) -> None:
        """Take what a detector or the simulator says of a trial.

        Args:
            source: who says it.
            code: trial that is meant; '' for the current one.
            success: what it says.
            ends: whether a success ends the trial.
            details: score, threshold and model, as far as it says them.

        """
        said = Detection(source, success, details or {})
        if self._detections.hear(said, code) and ends and self._ended is None:
            self._end('detector')

    def tick(self, now: float, steady: float, absent: Sequence[str] = ()) -> list[Command]:
        """Decide, and return what to send.

        Args:
            now: node clock, [s].
            steady: a clock that never stops, [s].
            absent: names of the services that are needed and not there.

        """
        self._watch.read(now, steady)
        self._machines.steady = self._log.steady = steady
        if self._log.due and self._conductor.phase is not Phase.RUNNING:
            self._log.work()  # one a tick: a slow disk holds no trial up
        self._absent = absent
        if self._conductor.phase is Phase.ARRANGE:
            self._out += self._machines.arrange(absent)
            self.waiting = self._machines.missing(absent)
        elif self._conductor.phase is Phase.RUNNING:
            self._look()
        elif self._conductor.phase is Phase.JUDGE and not self._out:  # the robot stops first
            self._write_measures()
        out, self._out = self._out, []
        return out

    def measure(self, code: str, values: Callable[[], Mapping[str, Any]]) -> None:
        """Log what others measured of a trial: what ``values`` returns when it can be written."""
        def write() -> None:
            found = values()
            if found:
                self._real.measure(code, found)

        if any(one.code == code and math.isfinite(one.started) for one in self._real.attempts):
            self._log.keep(write)

    def close(self) -> None:
        """End a trial that runs, since nobody watches any more."""
        if self._conductor.phase is Phase.RUNNING:
            if self._ended is not None and not self._settle():
                self._ended = 'crash', self._ended[1]  # nobody knows who had died before it
            self._end('crash')
            self._write_end()  # no tick follows
        self.write_held_up()

    def write_held_up(self) -> None:
        """Write what a full disk has held up, as far as there is room."""
        while self._log.work():
            pass

    def _trial(self) -> str:
        current = self._conductor.current
        return f'{self.rehearsing} {current.code} {current.started}'

    def _wanted(self) -> Wanted:
        conductor, current = self._conductor, self._conductor.current
        key = f'{self.rehearsing} {current.index}.{current.attempt} {len(current.undone)}'
        return Wanted(key, conductor.token(), current.index, conductor.condition.task)

    def _tell(self, problem: str) -> None:
        self.problem = problem

    def _measuring(self, stamp: float) -> bool:
        """Say whether it is of the current trial, which may have ended while it was on its way."""
        current = self._conductor.current
        end = current.ended if math.isfinite(current.ended) else math.inf
        if self._ended is not None:
            end = min(end, self._ended[1])
        return current.started <= stamp <= end and self._trial() not in self._measured

    def _begin(self) -> None:
        text = str(self.scene.get('instruction') or self._conductor.condition.instruction)
        self.measures = TrialMeasures(
            instruction=text, started=self._conductor.current.started,
            prepare=self._machines.took | self._intermission.took(self._watch.steady))
        self._ended, self._intermission = None, Intermission()
        self.leaving = False
        self._watch.begin()
        if self._load is not None:
            self._load.begin()
        self._detections.begin()
        self._out.append(SendInstruction(text))

    def _look(self) -> None:
        """End the trial that runs when it has to; write it when it is known why it ended."""
        if self._ended is None:
            ended = self._watch.end(self._conductor.current.started, self.measures.chunks)
            if ended is not None:
                self._end(*ended)
        elif not self._out and self._settle():  # the robot hears of it first
            self._end(*self._ended)

    def _settle(self) -> bool:
        """Say whether it is known why the trial has ended."""
        if self._ended is not None:
            reason = self._watch.settled(self._ended[0])
            if not reason:
                return False
            self._ended = reason, self._ended[1]
        return True

    def _not_yet(self, verb: Verb) -> str:
        if verb.name == 'arranged' and self._machines.resets:
            return 'the robot arranges the scene itself'
        if verb.name != 'start' or self._conductor.phase is not Phase.ARRANGE:
            return ''
        self.waiting = self._machines.missing(self._absent)  # said since the last tick counts
        return f'not yet: {self.waiting}' if self.waiting else ''

    def _follow(self, verb: Verb, before: Phase, code: str) -> None:
        """Do what follows from a verb that was done."""
        if verb.name == 'start':
            self._begin()
        elif verb.name == 'arranged':
            self._intermission.arranged = self._watch.steady
        elif verb.name in ('undo', *VERDICTS):
            self._intermission.arranged = None
            self._machines.forget()
            self._note_verdict(verb, before, code)

    def _stop_again(self) -> Reply:
        """Stop a trial whose end is not written yet: it keeps its reason and its time."""
        if not self._settle():
            return Reply(True, 'time was up already: gate and policy are asked if they live')
        self._write_end()
        if self._conductor.phase is Phase.RUNNING:
            return Reply(False, self.problem)
        return Reply(True, f'the trial had ended already: {self._conductor.current.end_reason}')

    def _take(self, verb: Verb) -> Reply:
        running = self._conductor.phase is Phase.RUNNING
        try:
            return self._conductor.take(verb, self._watch.now)
        except TrialError as error:
            self.problem = str(error)
            if verb.name == 'stop' and running:
                self._ended = self._ended or ('stopped', self._watch.now)
            return Reply(False, str(error))

    def _end(self, reason: str, stamp: float | None = None) -> None:
        """Stop the robot; write with the next tick that the trial has ended, again if it fails."""
        if self._conductor.phase is not Phase.RUNNING:
            return
        if self._ended is None:
            self._ended = reason, self._watch.now if stamp is None else stamp
            self._out.append(SendInstruction(''))
        elif self._log.due:
            self._write_end()

    def _write_end(self) -> None:
        if self._ended is not None:
            reason, stamp = self._ended
            self._log.attempt(lambda: self._conductor.end(reason, stamp))

    def _write_measures(self) -> None:
        """Log what was measured and detected, once a trial."""
        conductor, code, key = self._conductor, self._conductor.current.code, self._trial()
        if key in self._measured:
            return
        self._measured.add(key)
        if self._intermission.over is None:
            self._intermission.over = self._watch.steady
            self.measures.host = self._load.end() if self._load is not None else {}
        self._detections.note_all(code)
        found = self.measures.to_dict()
        self._log.keep(lambda: conductor.measure(code, found))

    def _note_verdict(self, verb: Verb, before: Phase, code: str) -> None:
        """Log how long after its end, if this session saw it, a trial was judged, also again."""
        seconds = self._intermission.since(self._watch.steady)
        if before is Phase.JUDGE and verb.name != 'undo' and seconds is not None:
            conductor, values = self._conductor, {'verdict_after': round(seconds, 3)}
            self._log.keep(lambda: conductor.measure(code, values))

    def _operate(self, verb: Verb) -> Reply:
        if self._conductor.phase not in (Phase.ARRANGE, Phase.FINISHED):
            return Reply(False, f'{verb.name} is possible between trials only')
        if verb.name == 'leave':
            self.leaving = verb.value if verb.source == 'web' else not self.leaving
            return Reply(True, 'which one was it? Guess, then go' if self.leaving else 'welcome')
        self._machines.forget()
        if verb.name == 'reset':
            return Reply(True, 'policy and scene are prepared again')
        # A page says which of the two it wants: two that press at once mean the same.
        self.rehearsing = verb.value if verb.source == 'web' else not self.rehearsing
        self._machines.rehearsing = self.rehearsing
        self._conductor = self._rehearsal() if self.rehearsing else self._real
        return Reply(True, 'rehearsal: nothing is logged' if self.rehearsing else
                     'the study goes on: every trial counts')
