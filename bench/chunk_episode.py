# SPDX-License-Identifier: Apache-2.0
"""One episode in the simulator with a given inference latency, through the real command gate.

What runs on a robot runs here, without ROS and in simulated time: the execution mode of the policy
node, the gate with its limits, a policy that thinks about one observation at a time. Only the
latency is not real: a chunk is computed at once and handed over later.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from vla_drop_ros.policies.policy import Policy
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.execution import Execution, TimedActions
from vla_drop_ros.runtime.gate import CommandGate, Decision, IncomingChunk, Mode
from vla_drop_ros.runtime.observation_sync import Snapshot
from vla_drop_ros.runtime.pose import Pose
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.types import ActionChunk, ActionSpec, FloatArray

CONTROL_RATE = 25.0  # [Hz]; a tick is two servo periods of the simulated arm
TIME_LIMIT = 15.0  # [s]
TAKEOVER = 3  # ticks from a takeover on in which a jump counts as its own
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Way:
    """A way of executing chunks.

    Attributes:
        execution: mode of the policy node.
        blend: time over which a new chunk fades in, [s].
        ensemble: time constant of temporal ensembling, [s]; 0: none.
        replan: capture time between two chunks, [s]; 0: after the executed steps.

    """

    execution: str
    blend: float = 0.0
    ensemble: float = 0.0
    replan: float = 0.0


@dataclass(frozen=True, slots=True)
class Motion:
    """What an episode came to.

    Attributes:
        success: judged from physics.
        seconds: simulated time until success, or the limit.
        chunks: that the gate took.
        refused: that it did not take.
        commanded: jerk of the commanded tool centre point at each tick, [m/s^3].
        measured: jerk of the measured one, [m/s^3].
        jumps: largest change of commanded velocity between two ticks at each takeover, [m/s].
        ticks: with a chunk in force.
        altered: of them, those whose motion a limit changed; a width beyond the fingers' range,
            which the gate counts too, is none.

    """

    success: bool
    seconds: float
    chunks: int
    refused: int
    commanded: FloatArray
    measured: FloatArray
    jumps: FloatArray
    ticks: int
    altered: int


def jerk(path: FloatArray, period: float) -> FloatArray:
    """Return the length of the third difference of positions over the cube of the period.

    Args:
        path: positions [m] at every ``period`` [s], shape (n, 3).
        period: between two of them, [s].

    Returns:
        [m/s^3], shape (n - 3,), empty for less than four positions.

    """
    if len(path) < 4:
        return np.zeros(0)
    found: FloatArray = np.linalg.norm(np.diff(path, 3, axis=0), axis=1) / period ** 3
    return found


def takeover_jumps(path: FloatArray, takeovers: list[int], period: float) -> FloatArray:
    """Return the largest change of velocity soon after each takeover, [m/s], shape (N,).

    Args:
        path: commanded positions [m] at every tick, shape (n, 3).
        takeovers: ticks with the first command of a chunk; those too near an end are left out.
        period: of a tick, [s].

    """
    changes = np.linalg.norm(np.diff(path, 2, axis=0), axis=1) / period
    return np.array([changes[tick - 2:tick - 2 + TAKEOVER].max() for tick in takeovers
                     if 2 <= tick < len(path) - TAKEOVER])


@dataclass(slots=True)
class _Thinking:
    """The policy node's side: at most one chunk is being made."""

    execution: Execution
    period: float
    latency: float
    last: float = -np.inf
    not_before: float = -np.inf
    pending: tuple[ActionChunk, Snapshot[None]] | None = None

    def ask(self, policy: Policy, cell: PickPlaceEnvironment, now: float) -> None:
        """Look and begin to think, if it is time."""
        due = max(self.last + self.period, self.not_before)
        if self.pending is None and now > due - _ROUNDING:
            self.last, snapshot = now, _snapshot(cell, now)
            seen = replace(cell.observation(), stamp=now)
            self.pending = policy.infer(
                self.execution.prepared(seen, policy.spec, snapshot)), snapshot

    def answer(self, now: float) -> TimedActions | None:
        """Return the chunk that is ready at ``now`` [s]."""
        if self.pending is None or now < self.last + self.latency - _ROUNDING:
            return None
        chunk, snapshot = self.pending
        self.pending, timed = None, self.execution.timed(chunk, snapshot, now)
        self.execution.sent(chunk)
        if self.execution.mode == 'synchronous':
            self.not_before = timed.end
        return timed


@dataclass(slots=True)
class _Record:
    """What the ticks leave behind, from the first with a chunk in force on."""

    commanded: list[FloatArray] = field(default_factory=list)
    measured: list[FloatArray] = field(default_factory=list)
    takeovers: list[int] = field(default_factory=list)
    altered: int = 0

    def add(self, decision: Decision, measured: FloatArray) -> None:
        if decision.command is None or not (
                self.commanded or decision.mode is Mode.EXECUTING):
            return
        if decision.chunk_age is not None:
            self.takeovers.append(len(self.commanded))
        if decision.mode is Mode.EXECUTING:
            causes = set(filter(None, decision.reason.split(', ')))
            self.altered += bool(causes - {'limited by gripper_width'})
        self.commanded.append(decision.command.pose.position)
        self.measured.append(measured)


def run_episode(cell: PickPlaceEnvironment, policy: Policy, contract: RobotContract, way: Way,
                latency: float, seed: int) -> Motion:
    """Run the scene of a seed; the policy's noise begins anew.

    Args:
        cell: the simulated arm.
        policy: what decides.
        contract: of the arm; its control rate is replaced by ``CONTROL_RATE``, and chunks are
            executed to their ends: the injected latencies would stop the arm in between.
        way: of executing chunks.
        latency: from capture to the arrival of the chunk at the gate, [s].
        seed: of the scene.

    """
    contract = replace(contract, control_rate=CONTROL_RATE, max_chunk_age=0.0)
    gate = CommandGate(contract, way.blend, way.ensemble)
    gate.activate(0.0)
    thinking = _Thinking(Execution(way.execution, contract), _period(way, policy.spec), latency)
    thinking.execution.begin(0, policy.checkpoint)
    cell.reset(seed)
    policy.reset()
    record, refused, period = _Record(), 0, 1.0 / CONTROL_RATE
    now = 1.0  # not the cell's, which goes on from episode to episode and rounds otherwise
    while now - 1.0 < TIME_LIMIT and not cell.success:
        gate.add_pose(now, cell.ee_position.tolist(), cell.ee_quaternion.tolist(),
                      contract.base_frame)
        gate.add_heartbeat(now)
        timed = thinking.answer(now)
        if timed is not None:
            refused += gate.offer(_incoming(timed), now) is not None
        thinking.ask(policy, cell, now)
        decision = gate.tick(now)
        if decision.chunk_age is not None:
            thinking.execution.add_delay(decision.chunk_age)
        record.add(decision, cell.ee_position)
        if decision.command is not None:
            width = decision.command.gripper
            cell.set_target(decision.command.pose.position,
                            cell.gripper_width if width is None else width)
        cell.advance(period)
        now += period
    commanded = np.array(record.commanded).reshape(-1, 3)
    return Motion(
        cell.success, now - 1.0, gate.counters['chunks accepted'], refused,
        jerk(commanded, period), jerk(np.array(record.measured).reshape(-1, 3), period),
        takeover_jumps(commanded, record.takeovers, period),
        gate.counters['ticks executing'], record.altered)


def _period(way: Way, spec: ActionSpec) -> float:
    return way.replan or spec.executed_steps * spec.period


def _snapshot(cell: PickPlaceEnvironment, now: float) -> Snapshot[None]:
    return Snapshot(now, {}, Pose(cell.ee_position, cell.ee_quaternion),
                    dict(zip(cell.joint_names, cell.joint_positions.tolist(), strict=True)))


def _incoming(timed: TimedActions) -> IncomingChunk:
    return IncomingChunk(timed.spec.names, timed.spec.frame, timed.stamp, timed.times.tolist(),
                         timed.actions.tolist())
