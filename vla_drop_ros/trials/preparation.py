# SPDX-License-Identifier: Apache-2.0
"""Before a trial: policy and robot are asked to be ready, and people are told what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
import json
from typing import Any

from vla_drop_ros.trials.commands import (
    Command,
    PrepareScene,
    ResetScene,
    SendInstruction,
    UseToken,
)
from vla_drop_ros.trials.design import Design

SEALED = 'sealed:'


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What policy and robot are to be ready for.

    Attributes:
        key: tells one preparation from every other.
        token: of the arm.
        index: slot of the schedule.
        task: of the condition.

    """

    key: str
    token: str
    index: int
    task: str


class Preparation:
    """Asks for token and scene of the next trial, again where nobody answers.

    Attributes:
        scene: what the robot said of the scene, empty for a real one.
        took: how long policy and reset took since the last ``forget``, [s], of those that were
            waited for; as exact as the ticks are frequent.
        steady: a clock that never stops, at the last tick, [s].
        rehearsing: whether it does not matter that no command moves the robot.
        resets: whether the robot arranges the scene itself.

    """

    def __init__(self, design: Design, wanted: Callable[[], Wanted], tell: Callable[[str], None],
                 resets: bool, scenes: bool, waits: Waits) -> None:
        """Ask nobody before the first ``arrange``.

        Args:
            design: of the study.
            wanted: returns what the current trial needs.
            tell: takes what people must mend, '' when all is well again.
            resets: the robot arranges the scene itself when asked; else people do.
            scenes: the robot is simulated, and is told which scene to arrange.
            waits: how long to wait.

        """
        self.scene: Mapping[str, Any] = {}
        self.took: dict[str, float] = {}
        self._design, self._wanted, self._tell = design, wanted, tell
        self.resets, self._scenes, self._waits = resets, scenes, waits
        self._pending: dict[str, tuple[Command, float]] = {}
        self._not_before: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self.steady = float('-inf')
        self.rehearsing = False
        self._policy = self._gate = ''
        self._ready = {'silent': wanted().key}  # what is ready, and for which attempt

    @property
    def estopped(self) -> bool:
        """Say whether the gate is stopped for good."""
        return 'estopped' in self._gate

    @property
    def gate_state(self) -> str:
        """Return what the gate said last."""
        return self._gate

    @property
    def idle(self) -> str:
        """Return why no command of the policy moves the robot, ''.

        Such a trial would be lost for the arm that ran, and nobody would see why.
        """
        if 'inactive' in self._gate:
            return 'the command gate is not active'
        if self.rehearsing:
            return ''
        if 'not enabled' in self._gate:
            return "the robot is not enabled: call the gate's service enable"
        return ('the gate is in a dry run and moves nothing: set dry_run: false in the robot '
                'contract') if self._gate.startswith('dry_run') else ''

    @property
    def policy_ready(self) -> bool:
        """Say whether the policy of the current trial answers."""
        return self._policy == SEALED + self._wanted().token

    @property
    def scene_ready(self) -> bool:
        """Say whether the robot has arranged the scene of the current trial; people say so."""
        return not self.resets or self._ready.get('scene') == self._wanted().key

    def policy(self, checkpoint: str) -> None:
        """Take what the policy node says answers now."""
        self._policy = checkpoint
        if self.policy_ready:
            self._done('policy')

    def gate(self, state: str) -> None:
        """Take the state of the command gate."""
        self._gate = state

    def answer(self, command: Command, agreed: bool, text: str) -> list[Command]:
        """Take the answer to a command; return what to send next.

        One that nobody waits for any more is ignored.
        """
        name = _KINDS.get(type(command), '')
        pending = self._pending.get(name)
        if pending is None or pending[0] is not command:
            return []
        del self._pending[name]
        if not agreed:
            self._tell(f'{_WHO[name]} refused: {text[:300]}')
            self._not_before[name] = self.steady + self._waits.again
        elif isinstance(command, PrepareScene):
            return self._ask(ResetScene(), 'reset')
        else:
            self._tell('')
            if isinstance(command, ResetScene):
                # A real robot says whatever it likes; its instruction is the design's.
                self.scene = _parsed(text) if self._scenes else {}
                self._ready['scene'] = self._wanted().key
                self._done('reset')
            else:
                self._not_before[name] = self.steady + self._waits.takeover
        return []

    def arrange(self, absent: Sequence[str]) -> list[Command]:
        """Return what to send so that the trial can begin; ``absent`` services are needed."""
        wanted, out = self._wanted(), list[Command]()
        if self._ready.get('silent') != wanted.key:
            self._ready['silent'] = wanted.key
            out.append(SendInstruction(''))
        if absent:
            self._pending.clear()  # who has gone does not answer,
            self._policy = ''  # and knows no token when it comes back
            return out
        if not self.policy_ready:
            out += self._ask(UseToken(SEALED + wanted.token), 'policy')
        if not self.scene_ready and not self._awaited('reset') and not self.estopped:
            command = self._preparation(wanted)
            out += self._ask(command, _KINDS[type(command)])
        return out

    def missing(self, absent: Sequence[str]) -> str:
        """Return what a start has to wait for, '' for nothing."""
        if absent:
            return f'{", ".join(absent)} did not appear yet'
        if self.estopped:
            return 'the robot is stopped: release the emergency stop, then reset it at the gate'
        if not self.policy_ready:
            return 'the policy is being prepared'
        if not self.scene_ready:
            return 'the robot is being reset'
        return self.idle if self._gate else 'the command gate says nothing'

    def forget(self) -> None:
        """Prepare all anew: what goes on is not the next trial's."""
        self._ready.clear()
        self._pending.clear()
        self._not_before.clear()
        self._asked.clear()
        self.took.clear()

    def _preparation(self, wanted: Wanted) -> Command:
        if not self._scenes:
            return ResetScene()
        simulation = self._design.simulation
        first = int(simulation.get('seed', self._design.seed % 2**30))
        return PrepareScene(first + wanted.index // len(self._design.arms), wanted.task,
                            str(simulation.get('variant', 'nominal')))

    def _ask(self, command: Command, name: str) -> list[Command]:
        """Return a command to send, unless the last of its kind is not answered yet."""
        if self._awaited(name) or self.steady < self._not_before.get(name, float('-inf')):
            return []
        if name in self._pending:
            self._tell(f'{_WHO[name]} did not answer in time')
        self._pending[name] = command, self.steady
        self._asked.setdefault('reset' if name == 'prepare' else name, self.steady)
        return [command]

    def _awaited(self, name: str) -> bool:
        wait = self._waits.reset if name == 'reset' else self._waits.answer
        return name in self._pending and self.steady - self._pending[name][1] < wait

    def _done(self, name: str) -> None:
        asked = self._asked.pop(name, None)
        if asked is not None:
            self.took[name] = self.steady - asked


def _parsed(text: str) -> dict[str, Any]:
    try:
        scene = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return scene if isinstance(scene, dict) else {}


_KINDS = {UseToken: 'policy', PrepareScene: 'prepare', ResetScene: 'reset'}
_WHO = {'policy': 'the policy node', 'prepare': 'the robot', 'reset': 'the robot'}
