# SPDX-License-Identifier: Apache-2.0
"""Runs a study, one episode after another, as a state machine without ROS.

Whoever owns it tells it what arrives (answers, chunks, success, ...) and calls ``tick`` regularly;
``tick`` returns what to send. Methods only store, ``tick`` alone decides. Two times go in: ``now``
is the node clock, on which episodes are timed; ``steady`` never stops, and bounds waiting for
others, also for the node clock itself.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
import json
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.commands import (
    Command,
    LoadCheckpoint,
    Patience,
    PrepareScene,
    ResetScene,
    SendInstruction,
)
from vla_drop_ros.trials.episode import Arm, Episode, Latency, Outcome, remaining, Slot, Study


class Phase(Enum):
    """What the session is waiting for."""

    CONNECTING = 'policy node and robot'
    LOADING = 'checkpoint'
    PREPARING = 'scene parameters'
    RESETTING = 'reset'
    RUNNING = 'outcome'
    SETTLING = 'last words'
    FINISHED = 'nothing'


@dataclass(slots=True)
class _Attempt:
    """What is known of the running attempt so far."""

    slot: Slot
    number: int
    arm: Arm
    task: str = ''
    instruction: str = ''
    target: str | None = None
    frames: str = ''
    started: float = float('nan')
    ended: float = float('nan')
    outcome: Outcome | None = None
    reason: str = ''
    detail: str = ''
    moved_object: str | None = None
    latencies: list[float] = field(default_factory=list)
    captures: list[float] = field(default_factory=list)


class Session:
    """Runs what is left of a study and records each episode.

    Attributes:
        phase: what it is waiting for.
        error: why the study stopped before its end; None while all is well.

    """

    def __init__(self, study: Study, done: Sequence[Episode], record: Callable[[Episode], None],
                 patience: Patience | None = None, record_pairs: int = 0,
                 budget: float = float('inf')) -> None:
        """Prepare to run the slots without a valid episode in ``done``.

        Args:
            study: what to run.
            done: episodes already in the log.
            record: called once an episode; it returns when the record is safe.
            patience: how long to wait for others.
            record_pairs: camera frames are wanted of the first so many pairs.
            budget: steady time after which no further pair is begun, [s]; one is always run.

        """
        self.phase = Phase.CONNECTING
        self.error: TrialError | None = None
        self._study = study
        self._record = record
        self._patience = patience or Patience()
        self._record_pairs = record_pairs
        self._budget = budget
        self._began = float('inf')
        self._left = deque(remaining(study, done))
        self._arms = {arm.name: arm for arm in study.arms}
        self._invalid: list[Episode] = []
        self._attempt: _Attempt | None = None
        self._active = self._configured = ''
        self._success = False
        self._armed = False
        self._estop = False
        self._complaints: dict[str, tuple[float, str]] = {}
        self._pending: Command | None = None
        self._answer: tuple[bool, str] | None = None
        self._out: list[Command] = []
        self._now = self._now_moved = self._since = self._heard = float('-inf')
        self._steady = float('-inf')

    @property
    def finished(self) -> bool:
        """Return whether nothing is left to run, or nothing can be."""
        return self.phase is Phase.FINISHED

    @property
    def current(self) -> Slot | None:
        """Return the slot being run."""
        return self._attempt.slot if self._attempt else None

    def answer(self, command: Command, agreed: bool, text: str) -> None:
        """Take the answer to a command; one that comes too late is ignored."""
        if command is self._pending:
            self._pending, self._answer = None, (agreed, text)

    def checkpoint(self, short: str) -> None:
        """Take the short hash of the checkpoint that the policy node runs now."""
        self._active = short

    def configured(self, path: str) -> None:
        """Take the checkpoint that the policy node is set to, whether or not it runs yet."""
        self._configured = path

    def success(self, value: bool, now: float) -> None:
        """Take the robot's verdict on the scene at ``now`` [s].

        True counts only after False was heard since the reset, or if nothing else was ever heard:
        a late True of the scene before is no success of this one.
        """
        self._success = value
        if not value:
            self._armed = True
        elif self._armed and self.phase is Phase.RUNNING:
            self._end('success', now)

    def scene(self, text: str) -> None:
        """Take the robot's description of the scene, JSON."""
        moved = _scene(text).get('moved_object')
        if self._attempt and self.phase in (Phase.RUNNING, Phase.SETTLING):
            self._attempt.moved_object = str(moved) if moved else None

    def chunk(self, stamp: float) -> None:
        """Take the capture time of an action chunk, [s] on the node clock."""
        if self._attempt and self.phase is Phase.RUNNING and stamp >= self._attempt.started:
            self._attempt.captures.append(round(stamp, 4))
            self._heard = self._steady

    def latency(self, seconds: float) -> None:
        """Take the time from capture to published chunk, [s]."""
        if self._attempt and self.phase is Phase.RUNNING and self._attempt.captures:
            self._attempt.latencies.append(seconds)

    def gate(self, state: str) -> None:
        """Take the state of the command gate: its first word is the state, the rest the reason."""
        self._estop = state.startswith('estopped')
        if state.startswith('dry_run'):
            self.complain('command_gate', state)

    def complain(self, source: str, text: str) -> None:
        """Take a warning of another node, which may say why an episode does not get on."""
        self._complaints[source] = (self._steady, text)

    def tick(self, now: float, steady: float, absent: Sequence[str] = ()) -> list[Command]:
        """Decide, and return what to send.

        Args:
            now: node clock, [s].
            steady: a clock that never stops, [s].
            absent: names of the services that are needed and not there.

        """
        if now != self._now:
            self._now, self._now_moved = now, steady
        self._steady, self._out = steady, []
        if self.phase is Phase.CONNECTING:
            self._connect(absent)
        else:
            {Phase.LOADING: self._load, Phase.PREPARING: self._prepare,
             Phase.RESETTING: self._reset, Phase.RUNNING: self._run,
             Phase.SETTLING: self._settle, Phase.FINISHED: lambda: None}[self.phase]()
        return self._out

    def _enter(self, phase: Phase) -> None:
        self.phase, self._since = phase, self._steady

    def _waited(self) -> float:
        return self._steady - self._since

    def _ask(self, command: Command, phase: Phase) -> None:
        self._pending, self._answer = command, None
        self._out.append(command)
        self._enter(phase)

    def _connect(self, absent: Sequence[str]) -> None:
        if self._since == float('-inf'):
            self._enter(Phase.CONNECTING)
        if not self._active:  # what runs now is latched; without it one would load it again
            absent = (*absent, 'policy_node/checkpoint (a policy that is loaded)')
        if not absent:
            self._out.append(SendInstruction(''))
            self._began = self._steady
            self._next()
        elif self._waited() > self._patience.connect:
            self._stop(f'{", ".join(absent)} did not appear within {self._patience.connect:.0f} s;'
                       ' start the robot and the policy node first, in this ROS domain')

    def _next(self) -> None:
        if not self._left or self._time_is_up(self._left[0][0]):
            self._attempt = None
            self._enter(Phase.FINISHED)
            return
        slot, number = self._left[0]
        arm = self._arms[slot.arm]
        self._attempt = _Attempt(slot, number, arm, task=self._study.task)
        if self._active == arm.short:
            self._ask_scene(slot)
        else:
            self._configured = ''
            self._ask(LoadCheckpoint(arm.path), Phase.LOADING)

    def _time_is_up(self, upcoming: Slot) -> bool:
        spent = self._steady - self._began > self._budget
        return spent and self._attempt is not None and upcoming.position == 0

    def _ask_scene(self, slot: Slot) -> None:
        self._ask(PrepareScene(slot.seed, self._study.task, self._study.variant), Phase.PREPARING)

    def _load(self) -> None:
        attempt = self._running()
        if self._answer is not None and not self._answer[0]:
            self._invalidate('policy_cannot_load', self._answer[1])
        elif self._answer is not None and self._active == attempt.arm.short:
            self._ask_scene(attempt.slot)
        elif self._answer is not None and self._configured not in ('', attempt.arm.path):
            self._invalidate('policy_cannot_load', f'{attempt.arm.path} was taken back')
        elif self._waited() > self._patience.load:
            self._invalidate('policy_cannot_load', f'{attempt.arm.path} was not active after '
                             f'{self._patience.load:.0f} s')

    def _prepare(self) -> None:
        if self._answer is None:
            self._await_robot()
        elif self._answer[0]:
            self._ask(ResetScene(), Phase.RESETTING)
        else:
            self._invalidate('reset_failed', self._answer[1])

    def _reset(self) -> None:
        if self._answer is None:
            return self._await_robot()
        agreed, text = self._answer
        if not agreed:
            return self._invalidate('reset_failed', text)
        scene, attempt = _scene(text), self._running()
        attempt.task = str(scene.get('task') or self._study.task)
        attempt.target = scene.get('target')
        attempt.instruction = str(scene.get('instruction') or '')
        if not attempt.instruction.strip():
            return self._invalidate('no_instruction', f'the robot answered {text[:200]!r}')
        if attempt.slot.pair < self._record_pairs:
            attempt.frames = (f'pair{attempt.slot.pair:03d}-{attempt.arm.name}'
                              f'-{attempt.number}.npz')
        attempt.started = self._now
        self._armed = not self._success
        self._out.append(SendInstruction(attempt.instruction, attempt.frames))
        self._enter(Phase.RUNNING)
        self._heard = self._now_moved = self._steady

    def _await_robot(self) -> None:
        if self._waited() > self._patience.answer:
            self._invalidate('robot_silent', f'no answer within {self._patience.answer:.0f} s '
                             f'while waiting for {self.phase.value}')

    def _run(self) -> None:
        attempt, patience = self._running(), self._patience
        silent = self._steady - self._heard
        stalled = self._steady - self._now_moved
        if self._estop:
            self._invalidate('emergency_stop', 'the command gate is stopped')
        elif attempt.captures and self._now - attempt.started >= self._study.timeout:
            self._end('timeout', self._now)
        elif stalled > patience.stall:
            self._invalidate('clock_stopped', f'the node clock stood still for {stalled:.0f} s')
        elif not attempt.captures and silent > patience.first_chunk:
            self._invalidate('no_action_chunk', f'none within {silent:.0f} s')
        elif attempt.captures and silent > patience.silence:
            self._invalidate('policy_silent', f'no action chunk for {silent:.0f} s')

    def _end(self, outcome: Outcome, now: float) -> None:
        attempt = self._running()
        attempt.outcome, attempt.ended = outcome, now
        self._enter(Phase.SETTLING)

    def _invalidate(self, reason: str, detail: str) -> None:
        attempt = self._running()
        attempt.reason, attempt.detail = reason, detail
        self._end('invalid', self._now)

    def _recent_complaints(self) -> str:
        return ''.join(f'; {source}: {text}' for source, (when, text) in self._complaints.items()
                       if self._steady - when < self._patience.first_chunk)

    def _settle(self) -> None:
        attempt, invalid = self._running(), self._running().outcome == 'invalid'
        if self._waited() < (self._patience.complaint if invalid else self._patience.settle):
            return
        if invalid:
            attempt.detail += self._recent_complaints()
        moved, target = attempt.moved_object, attempt.target
        if attempt.outcome == 'timeout' and moved and target and moved != target:
            attempt.outcome, attempt.reason = 'failure', f'moved {moved} instead of {target}'
        episode = self._episode(attempt)
        self._out.append(SendInstruction(''))
        try:
            self._record(episode)
        except TrialError as error:
            self._stop(str(error))
            return
        self._invalid = [] if episode.valid else [*self._invalid, episode]
        if episode.valid:
            self._left.popleft()
        else:
            self._left[0] = (attempt.slot, attempt.number + 1)
        if len(self._invalid) >= self._patience.invalid_in_a_row:
            reasons = '; '.join(f'{e.slot.arm}: {e.reason} ({e.detail})' for e in self._invalid)
            self._stop(f'{len(self._invalid)} invalid episodes in a row, so nothing can be '
                       f'compared: {reasons}. Mend that and resume')
        else:
            self._next()

    def _stop(self, message: str) -> None:
        self.error = TrialError(message)
        self._enter(Phase.FINISHED)

    def _running(self) -> _Attempt:
        if self._attempt is None:
            raise ValueError(f'no attempt in phase {self.phase}')
        return self._attempt

    def _episode(self, attempt: _Attempt) -> Episode:
        started = 0.0 if attempt.started != attempt.started else attempt.started
        duration = attempt.ended - started if attempt.captures or attempt.instruction else 0.0
        return Episode(
            slot=attempt.slot, attempt=attempt.number, task=attempt.task,
            instruction=attempt.instruction, variant=self._study.variant,
            checkpoint=attempt.arm.path, checkpoint_hash=attempt.arm.hash,
            outcome=attempt.outcome or 'invalid', reason=attempt.reason, detail=attempt.detail,
            started=round(started, 4), duration=round(duration, 4),
            moved_object=attempt.moved_object, latency=Latency.of(attempt.latencies),
            captures=tuple(attempt.captures), frames=attempt.frames,
            tool_version=self._study.tool_version)


def _scene(text: str) -> dict[str, Any]:
    """Return the scene in a JSON text, empty where it is none."""
    try:
        scene = json.loads(text)
    except ValueError:
        return {}
    return scene if isinstance(scene, dict) else {}
