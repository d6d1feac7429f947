# SPDX-License-Identifier: Apache-2.0
"""The gate between policy and robot: decides at every control tick what may be commanded.

Faults and what happens (the pose adapter holds a pose, the twist adapter sends zero velocity):

- no chunk, chunk older than ``max_chunk_age``, chunk ran out for ``dead_man`` seconds, no sign of
  life of the policy as long, empty chunk (the policy paused itself), measured state missing or
  older than its ``max_age``, e-stop: hold, and forget the chunk, so that only a fresh one starts
  motion again. After an e-stop reset it must also be captured after the reset.
- hold means: the pose measured when the fault began is commanded at every tick until motion
  resumes, also during an e-stop; with no fresh measurement the last command is held; before
  either exists nothing is commanded. An arm that something else moved further than the step limit
  is held where it is now, never pulled back; one pose far away is no such move, three that agree
  are. The gripper keeps its last width, never opens.
- the interlock ``enable``: before it is given nothing at all is commanded; taken back, hold.

"Pose" stands for joint positions on a robot that is commanded in joints.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.chunk_schedule import build_trajectory, ChunkSchedule, Target
from vla_drop_ros.runtime.elsewhere import Elsewhere
from vla_drop_ros.runtime.estop import EstopLatch
from vla_drop_ros.runtime.latency import LatencyWindow
from vla_drop_ros.runtime.pace import as_seen, Pace
from vla_drop_ros.runtime.pose import Pose, PoseHistory
from vla_drop_ros.runtime.safety_limits import Commanded, safety_limits
from vla_drop_ros.runtime.watchdog import CLOCK_TOLERANCE, DeadMan, kind, stream_fault
from vla_drop_ros.types import FloatArray, JOINT_PREFIX, ROTATION_NAMES, TRANSLATION_NAMES

MAX_CHUNK_STEPS = 1000
POSE_HISTORY = 5.0


class Mode(Enum):
    """What the gate is doing."""

    INACTIVE = 'inactive'
    EXECUTING = 'executing'
    HOLDING = 'holding'
    ESTOPPED = 'estopped'


@dataclass(frozen=True, slots=True)
class IncomingChunk:
    """A chunk as it came over the wire, nothing checked yet.

    Attributes:
        names: one per action dimension.
        frame: frame the actions are expressed in.
        stamp: capture time of the observation, [s].
        times: end of each step after the stamp, [s].
        actions: one row per step.

    """

    names: tuple[str, ...]
    frame: str
    stamp: float
    times: Sequence[float]
    actions: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Command:
    """What goes to the robot.

    Attributes:
        pose: for position controllers, base frame; or joint positions, in the contract's order.
        linear: for velocity controllers, [m/s], shape (3,); or of the joints, [rad/s].
        angular: for velocity controllers, [rad/s], shape (3,).
        gripper: width [m]; None: no command.

    """

    pose: Pose
    linear: FloatArray
    angular: FloatArray
    gripper: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one tick; without a command nothing may be published.

    Attributes:
        mode: what the gate does.
        reason: why, where it does not simply execute.
        command: what to send.
        requested: what would have been sent without limits, where they altered the command.
        chunk_age: seconds from capture to now, at the first command of each chunk; else None.

    """

    mode: Mode
    reason: str
    command: Command | None
    requested: Command | None = None
    chunk_age: float | None = None


class CommandGate:
    """Chunks, poses and the e-stop come in at any time; ``tick`` returns what to command."""

    def __init__(self, contract: RobotContract, blend: float = 0.1, ensemble: float = 0.0,
                 estop: EstopLatch | None = None) -> None:
        """Guard the robot of a validated contract.

        Args:
            contract: the robot.
            blend: time over which a new chunk fades in, [s].
            ensemble: time constant of temporal ensembling, [s]; 0: the newest chunk alone.
            estop: latch that outlives this gate; None makes one.

        """
        self.counters: Counter[str] = Counter()
        self.capture_to_command = LatencyWindow()
        self.estop = estop or EstopLatch()
        self._contract = contract
        self._latency = contract.measured.latency  # taken off the stamps of what is measured
        self._joints = contract.action.joints
        self._axes = tuple(f'{JOINT_PREFIX}{name}' for name in self._joints) or TRANSLATION_NAMES
        self._limits = safety_limits(contract.limits)
        self._schedule = ChunkSchedule(blend, ensemble)
        self._dead_man = DeadMan(contract.dead_man, contract.max_chunk_age)
        self._poses = PoseHistory(POSE_HISTORY)
        self._active = False
        self._enabled = False
        self._oldest_stamp = self._newest_tick = -np.inf
        self._heartbeat: float | None = None
        self._timed_stamp: float | None = None
        self._last: Commanded | None = None
        self._pace = Pace(1.0 / contract.control_rate)
        self._hold: Pose | None = None
        self._elsewhere = Elsewhere(contract.limits)
        self._moving_since: float | None = None
        self._gripper: float | None = None
        self._orientation: FloatArray | None = None
        self._began_anew = False  # the arm may stand anywhere: nothing old is commanded
        self._pause_reason = ''

    def activate(self, now: float) -> None:
        """Start from rest at ``now`` [s]: whatever was commanded or captured before is void."""
        self._active = True
        self._enabled = self._contract.interlock == 'none'
        self._last = self._hold = self._orientation = None
        self._pace.begin()
        self._moving_since = self._heartbeat = self._gripper = None
        self._oldest_stamp = self._newest_tick = now
        self._pause_reason, self._began_anew = '', False
        self._schedule.clear()

    def deactivate(self, now: float) -> Command | None:
        """Stop and return the safety action, which must be the last command on the wire."""
        self._active = False
        return self._holding(now) if self._enabled or self._last else None

    def enable(self, wanted: bool, now: float) -> tuple[bool, str]:
        """Give or take back the permission to command; return success and a sentence."""
        if not self._active:
            return False, 'refused: the gate is not active'
        if wanted and self.estop.latched:
            return False, 'refused: the e-stop is engaged; release and reset it first'
        self._enabled = wanted
        self._oldest_stamp = max(self._oldest_stamp, now)  # an old chunk must not start motion
        self._schedule.clear()
        return True, ('enabled: the next chunk moves the robot' if wanted else
                      'not enabled any more: holding')

    def add_pose(self, stamp: float, position: Sequence[float], quaternion: Sequence[float],
                 frame: str) -> None:
        """Store a measured end-effector pose; unusable ones are counted, and thereby age."""
        refused: str | None = 'pose in a foreign frame'
        if frame == self._contract.base_frame:
            pose = Pose(np.array(position, dtype=float),
                        rotation.normalized(np.array(quaternion, dtype=float)))
            refused = self._poses.add(stamp - self._latency, pose)
        if refused:
            self.counters[f'pose refused: {refused}'] += 1

    def add_joints(self, stamp: float, positions: Mapping[str, float]) -> None:
        """Store measured joints of a robot that is commanded in joints; others are left alone."""
        if not self._joints:
            return
        refused: str | None = 'a commanded joint is not among the joint states'
        if all(name in positions for name in self._joints):
            values = np.array([positions[name] for name in self._joints], dtype=float)
            refused = self._poses.add(stamp - self._latency, Pose(values, rotation.IDENTITY))
        if refused:
            self.counters[f'joints refused: {refused}'] += 1

    def add_heartbeat(self, stamp: float) -> None:
        """Store when the policy last made progress, [s]."""
        self._heartbeat = stamp if np.isfinite(stamp) else None

    def offer(self, chunk: IncomingChunk, now: float) -> str | None:
        """Let a chunk take over from ``now`` [s] on; return why it was rejected, or None."""
        if self._active and not chunk.actions:
            self._pause()
            return None
        reason = self._reject(chunk, now) if self._active else 'the gate is not active'
        measured = self._poses.at(chunk.stamp, self._contract.measured.max_age)
        if reason is None and measured is None:
            reason = f'no measured pose near its stamp ({chunk.stamp:.3f})'
        if reason is not None or measured is None:
            self.counters[f'chunk rejected: {kind(str(reason))}'] += 1
            return reason
        self._schedule.accept(build_trajectory(
            chunk.names, chunk.stamp, np.array(chunk.times, dtype=float),
            np.array(chunk.actions, dtype=float), self._contract.action.reference,
            self._reference(chunk.names, measured), self._axes), now)
        self._oldest_stamp = chunk.stamp
        self._pause_reason = ''
        self.counters['chunks accepted'] += 1
        return None

    def tick(self, now: float) -> Decision:
        """Decide what to command at ``now`` [s]."""
        if not self._active:
            return Decision(Mode.INACTIVE, '', None)
        now = self._notice_clock(now)
        fault = self._fault(now)
        target = self._schedule.target(now)
        measured = self._poses.newest
        if fault is None and target is not None and measured is not None:
            return self._execute(target, measured, now)
        mode = Mode.ESTOPPED if self.estop.latched else Mode.HOLDING
        self.counters[f'ticks {mode.value}'] += 1
        self._moving_since = None
        # who was never allowed to move the robot does not take hold of it either
        command = self._holding(now) if self._enabled or self._last else None
        return Decision(mode, fault or 'no action chunk', command)

    def reset_estop(self, now: float) -> tuple[bool, str]:
        """Release the latch; only chunks captured after ``now`` [s] move the robot again."""
        released, message = self.estop.reset()
        if released:
            self._schedule.clear()
            self._oldest_stamp = max(self._oldest_stamp, now)
        return released, message

    def begin_anew(self, now: float, known: float = -np.inf) -> None:
        """Forget chunk, place, and poses stamped after ``known`` [s]: the arm may be elsewhere."""
        self._schedule.clear()
        if (self._poses.newest_stamp or 0.0) + self._latency > known:
            self._poses = PoseHistory(POSE_HISTORY)
        self._oldest_stamp, self._orientation, self._began_anew = now, None, True

    def _notice_clock(self, now: float) -> float:
        """Return a time that does not go back by a little; after a larger step forget the past."""
        if now < self._newest_tick - CLOCK_TOLERANCE:
            self.counters['clock set back'] += 1
            self._newest_tick = now
            self.begin_anew(now, now + CLOCK_TOLERANCE)
        self._newest_tick = max(now, self._newest_tick)
        return self._newest_tick

    def _fault(self, now: float) -> str | None:
        if self.estop.latched:
            return 'e-stop engaged; release it, then call the reset_estop service'
        if not self._enabled:
            return 'not enabled (call the service ~/enable of the gate)'
        return (stream_fault('joint states' if self._joints else 'end-effector pose',
                             self._poses.newest_stamp, now, self._contract.measured.max_age)
                or self._pause_reason
                or self._dead_man.fault(self._schedule.stamp, self._schedule.end, now)
                or stream_fault('sign of life of the policy', self._heartbeat, now,
                                self._contract.dead_man))

    def _pause(self) -> None:
        """Take an empty chunk as the policy's wish to stop at once."""
        self._schedule.clear()
        self._pause_reason = 'the policy paused'
        self.counters['pauses'] += 1

    def _reference(self, names: Sequence[str], measured: Pose) -> Pose:
        """Return the pose a chunk starts from; an orientation nobody commands does not creep."""
        if self._orientation is None or any(name in names for name in ROTATION_NAMES):
            self._orientation = measured.quaternion
        return Pose(measured.position, self._orientation)

    def _reject(self, chunk: IncomingChunk, now: float) -> str | None:
        contract = self._contract
        unknown_names = [name for name in chunk.names if name not in contract.action.names]
        if unknown_names or not chunk.names or len(set(chunk.names)) != len(chunk.names):
            return f'names do not fit the robot ({list(chunk.names)})'
        if chunk.frame != contract.action.frame:
            return f'frame does not fit the robot ({chunk.frame!r})'
        return self._reject_numbers(chunk) or self._reject_stamp(chunk.stamp, now)

    @staticmethod
    def _reject_numbers(chunk: IncomingChunk) -> str | None:
        if len(chunk.actions) != len(chunk.times) or len(chunk.actions) > MAX_CHUNK_STEPS:
            return f'wrong length ({len(chunk.actions)} steps, {len(chunk.times)} times)'
        if any(len(row) != len(chunk.names) for row in chunk.actions):
            return f'wrong length (a step does not have {len(chunk.names)} numbers)'
        if not np.isfinite(np.array(chunk.actions, dtype=float)).all():
            return 'not finite'
        times = np.concatenate([[0.0], chunk.times])
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            return 'times do not increase from 0'
        return None

    def _reject_stamp(self, stamp: float, now: float) -> str | None:
        age = now - stamp
        if self.estop.latched:
            return 'e-stop engaged'
        if not np.isfinite(stamp) or age < -CLOCK_TOLERANCE:
            return f'stamp in the future (by {-age:.2f} s)'
        if age > self._contract.dead_man:
            return f'too old ({age:.2f} s, dead_man {self._contract.dead_man:.2f} s)'
        if stamp <= self._oldest_stamp:
            return 'not newer than the current chunk, the activation or the e-stop reset'
        return None

    def _execute(self, target: Target, measured: Pose, now: float) -> Decision:
        if self._began_anew:
            self._last, self._began_anew = None, False
        last, step = self._last or Commanded.at_rest(measured), self._pace.step(now)
        if not target.is_finite:  # a broken invariant: chunks and poses were checked on arrival
            return Decision(Mode.HOLDING, 'target is not finite', self._holding(now))
        limited = self._limits.apply(target, last, measured, step.span, self._ease(now),
                                     step.growing)
        for cause in limited.causes:
            self.counters[f'limited by {cause}'] += 1
        self.counters['ticks executing'] += 1
        if limited.causes:
            self.counters['commands altered'] += 1
        if limited.gripper is not None:
            self._gripper = limited.gripper
        age = max(0.0, now - (self._poses.newest_stamp or now))  # stamps may be a little ahead
        moved, horizon = limited.command, age + 2.0 / self._contract.control_rate
        sent = self._limits.inward(moved.linear, measured.position, horizon)
        command = Command(moved.pose, sent, moved.angular, self._gripper)
        if self._contract.command.adapter == 'twist':  # its velocity grows from what was sent
            moved = replace(moved, linear=sent)
        self._last, self._hold = as_seen(moved, step), None
        self._pace.commanded(now)
        reason = ', '.join(f'limited by {cause}' for cause in limited.causes)
        requested = self._unlimited(target, last.pose, step.span) if limited.causes else None
        return Decision(Mode.EXECUTING, reason, command, requested, self._first_age(now))

    def _ease(self, now: float) -> float:
        """Return the share of the speed limit that is allowed now: it rises from each start."""
        period, ramp_in = 1.0 / self._contract.control_rate, self._contract.ramp_in
        if self._moving_since is None:
            self._moving_since = now
        moving = max(0.0, now - self._moving_since)  # a clock may be set back by a little
        return min(1.0, (moving + period) / ramp_in) if ramp_in > 0 else 1.0

    @staticmethod
    def _unlimited(target: Target, last: Pose, dt: float) -> Command:
        rate = 1.0 / dt if dt > 0 else 0.0
        return Command(target.pose, (target.pose.position - last.position) * rate,
                       rotation.between(last.quaternion, target.pose.quaternion) * rate,
                       target.gripper)

    def _holding(self, now: float) -> Command | None:
        """Return the command that holds, and forget the chunk."""
        self._schedule.clear()
        stamp, measured = self._poses.newest_stamp, self._poses.newest
        lost = stream_fault('pose', stamp, now, self._contract.measured.max_age)
        if self._began_anew and not lost:
            self._hold, self._last, self._began_anew = None, None, False
        elif self._began_anew and self._contract.command.adapter != 'twist':
            return None  # an old place may be far from a robot that has started again
        pose = self._hold
        if lost:
            pose = pose or (self._last.pose if self._last else None)
        elif measured is not None and stamp is not None:
            near = self._last is None or not self._elsewhere.is_far(self._last.pose, measured)
            if near and (pose is None or self._contract.command.adapter == 'twist'):  # it coasts
                pose, self._orientation = measured, None
            pose = pose or (self._last.pose if self._last else measured)
            if self._elsewhere.confirms(pose, measured, stamp):
                pose, self._orientation = measured, None
        self._hold = pose
        self._last = Commanded.at_rest(pose) if pose else None
        self._pace.commanded(now)
        if pose is None:
            return None
        return Command(pose, np.zeros(len(pose.position)), np.zeros(3), self._gripper)

    def _first_age(self, now: float) -> float | None:
        """Return the age of the chunk in force at its first command, else None."""
        stamp = self._schedule.stamp
        if stamp is None or stamp == self._timed_stamp:
            return None
        self._timed_stamp = stamp
        self.capture_to_command.add(now - stamp)
        return now - stamp
