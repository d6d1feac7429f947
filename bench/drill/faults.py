# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, what has to follow, within which time, and why so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

import numpy as np

from bench.drill import actions
from bench.drill.actions import CAMERA_PERIOD
from bench.drill.cell import Cell
from bench.drill.robots import ROBOTS
from vla_drop_ros.runtime.stream_health import FROZEN_TRAVEL

ALLOWANCE = 0.1
"""Added to every bound, [s]. A fault shows to the drill when the relay, the signal or the policy
tells, and to the graph one or two message hops later (about 10 ms each where processors are free,
the clock of the simulated robot has steps of 20 ms); on a shared machine a process waits for its
turn. It is not tuned to a measurement."""


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a contract and a checkpoint that bounds are made of, [s].

    Attributes:
        tick: control period of gate and policy node.
        camera: oldest image that is used.
        pose: oldest measured pose that is used.
        joints: oldest joint states that are used.
        dead_man: time without a sign of life.
        chunk_age: oldest chunk that is executed, from its capture.

    """

    tick: float
    camera: float
    pose: float
    joints: float
    dead_man: float
    chunk_age: float

    @classmethod
    def of(cls, contract: Mapping[str, Any]) -> 'Times':
        """Read them from the contract's YAML."""
        state = contract['state']
        return cls(1.0 / contract['control_rate'],
                   max(camera['max_age'] for camera in contract['cameras'].values()),
                   state['pose']['max_age'], state['joints']['max_age'], contract['dead_man'],
                   contract['max_chunk_age'])


class Expected(Enum):
    """What has to follow a fault."""

    STOPS = 'stops, recovers'
    LATCHES = 'stops, stays until released'
    LIMITS = 'keeps every limit'  # it may go on: nothing tells the fault from a healthy stream


Measure = Literal['stop_node', 'stop_wall', 'held_wall', 'last_wall']
Action = Callable[[Cell, np.random.Generator], float]
Undo = Callable[[Cell], None]
Bound = tuple[Callable[[Times], float], str]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a cell can fail.

    Attributes:
        name: short name.
        group: which part fails.
        expected: what has to follow.
        inject: makes it happen; returns when it did (monotonic, [s]). Raises NotShownError where
            the scene is such that nothing can tell; then another one is drawn.
        clear: takes it away.
        bound: time to stop without the allowance, [s], and the reason for it.
        measure: ``stop_node``: the last command that differs from the one before, in node time;
            ``stop_wall``: in wall time, where no clock has a say or it fails itself;
            ``held_wall``: the first command that holds, where the fault is over in an instant;
            ``last_wall``: the last command of all, where the commander is killed.
        during: what has to hold while the fault lasts; returns what does not.
        release: lets go of a latch.
        recovery: wall time that the return to motion may take, [s].
        latest: time after the first motion at which it comes, [s].
        orderly: whether the gate is told before it ends, so that it has the last word.

    """

    name: str
    group: str
    expected: Expected
    inject: Action
    clear: Undo
    bound: Bound
    measure: Measure = 'stop_node'
    during: Callable[[Cell], list[str]] = lambda cell: []
    release: Undo = lambda cell: None
    recovery: float = 5.0
    latest: float = 1.2
    orderly: bool = False

    @property
    def ends_safely(self) -> bool:
        """Say whether the safety action must be the last command while the fault lasts."""
        return (self.orderly or self.expected == Expected.LATCHES
                or (self.expected == Expected.STOPS and self.measure == 'stop_node'))


STOPS, LATCHES, LIMITS = Expected.STOPS, Expected.LATCHES, Expected.LIMITS

ONE_TICK: Bound = (lambda t: t.tick, 'seen at the next tick of the gate')
CAMERA: Bound = (lambda t: t.camera + 2 * t.tick,
                 'max_age of the camera, a tick of the policy, a tick of the gate')
FROZEN: Bound = (lambda t: CAMERA_PERIOD + t.camera + 2 * t.tick,
                 'the next image is the one that stays, max_age of the camera, a tick of the '
                 'policy, a tick of the gate')
SAME_PIXELS: Bound = (lambda t: 2 * CAMERA_PERIOD + t.camera + 2 * t.tick,
                      'the next image is the one that stays, the first one that is more than '
                      'max_age of the camera newer tells (scenes in which the arm is not '
                      f'{FROZEN_TRAVEL:.2f} m away by then do not count), a tick of the policy, a '
                      'tick of the gate')
CHANGED: Bound = (lambda t: CAMERA_PERIOD + 2 * t.tick,
                  'the next image shows it, a tick of the policy, a tick of the gate')
JOINTS: Bound = (lambda t: t.joints + 2 * t.tick,
                 'max_age of the joints, a tick of the policy, a tick of the gate')
POSE: Bound = (lambda t: t.pose + t.tick, 'max_age of the pose, a tick of the gate')
DEAD: Bound = (lambda t: t.dead_man + t.tick, 'dead_man, a tick of the gate')
NO_CHUNK: Bound = (lambda t: t.chunk_age + t.tick,
                   'no chunk is made, or each is refused; the last good one was captured before '
                   'the fault: max_chunk_age, a tick of the gate')
BAD_ANSWER: Bound = (lambda t: t.dead_man + 2 * t.tick,
                     'from the start of the inference that fails dead_man runs')
NOT_ASKED: Bound = (lambda t: 2 * t.tick, 'the policy pauses, a tick of the gate')
WATCHED: Bound = (lambda t: 1.0, 'watched for 1 s; nothing has to stop')


def _stream(name: str, mode: str, expected: Expected, bound: Bound, kind: str) -> Fault:
    return Fault(name, 'streams', expected, actions.distort(kind, mode), actions.undistort, bound)


def _instruction(name: str, expected: Expected, text: str, bound: Bound) -> Fault:
    return Fault(f'instruction {name}', 'instruction', expected, actions.instruct(text),
                 actions.instruct_again, bound)


def _inference(name: str, expected: Expected, bound: Bound) -> Fault:
    return Fault(f'inference: {name}', 'inference', expected, actions.infer(name),
                 actions.infer_well, bound, recovery=15.0)


FAULTS: tuple[Fault, ...] = (
    _stream('camera stops', 'stop', STOPS, CAMERA, 'camera'),
    _stream('camera freezes, stamp too', 'freeze', STOPS, FROZEN, 'camera'),
    Fault('camera freezes, fresh stamps', 'streams', STOPS, actions.freeze_while_it_moves,
          actions.undistort, SAME_PIXELS, latest=0.3),  # with way enough ahead of the arm
    _stream('camera lags 1 s', 'lag', STOPS, CAMERA, 'camera'),
    _stream('camera doubles its size', 'resize', STOPS, CHANGED, 'camera'),
    _stream('camera sends half images', 'truncate', STOPS, NO_CHUNK, 'camera'),
    _stream('camera, unknown encoding', 'encoding', STOPS, CHANGED, 'camera'),
    _stream('camera stamp zero', 'stamp_zero', STOPS, CHANGED, 'camera'),
    _stream('camera stamp 10 s ahead', 'stamp_future', STOPS, CHANGED, 'camera'),
    _stream('joint states stop', 'stop', STOPS, JOINTS, 'joints'),
    _stream('joint states not finite', 'nan', STOPS, NO_CHUNK, 'joints'),
    _stream('joint states without names', 'nameless', STOPS, NO_CHUNK, 'joints'),
    _stream('pose stops', 'stop', STOPS, POSE, 'pose'),
    _stream('pose freezes, stamp too', 'freeze', STOPS, POSE, 'pose'),
    _stream('pose lags 1 s', 'lag', STOPS, POSE, 'pose'),
    _stream('pose not finite', 'nan', STOPS, POSE, 'pose'),
    _stream('pose in another frame', 'frame', STOPS, POSE, 'pose'),
    _stream('pose stamp zero', 'stamp_zero', STOPS, POSE, 'pose'),
    _stream('pose stamp 10 s ahead', 'stamp_future', STOPS, POSE, 'pose'),
    Fault('robot leaves DDS, comes back', 'streams', STOPS, actions.leave, actions.come_back,
          POSE),
    _instruction('empty', STOPS, '', NOT_ASKED),
    _instruction('of 100 kB', STOPS, 'put it ' * 14629, NOT_ASKED),
    _instruction('with a control character', STOPS, 'put the red cube\x01 in the left bin',
                 NOT_ASKED),
    _instruction('not ASCII', LIMITS, 'put the red W\u00fcrfel \u7ea2\u8272 \U0001f916 in the '
                 'left bin \u2b05\u202e', WATCHED),
    Fault('malformed chunks on the wire', 'streams', LIMITS, actions.malformed_chunks,
          actions.nothing, WATCHED),
    Fault('policy killed', 'processes', STOPS, actions.kill('policy_node'),
          actions.restart_policy, DEAD, recovery=60.0),
    Fault('policy halted, goes on', 'processes', STOPS, actions.halt('policy_node'),
          actions.go_on('policy_node'), DEAD),
    Fault('gate killed, restarted', 'processes', STOPS, actions.kill('command_gate'),
          actions.restart_gate, (lambda t: t.tick, 'a command that was on its way'),
          measure='last_wall', recovery=30.0),
    Fault('gate told to end, restarted', 'processes', STOPS, actions.end('command_gate'),
          actions.restart_gate, (lambda t: 2 * t.tick, 'a tick of the gate, and its end'),
          measure='stop_wall', recovery=30.0, orderly=True),
    Fault('gate halted, goes on', 'processes', STOPS, actions.halt('command_gate'),
          actions.go_on('command_gate'), (lambda t: t.tick, 'a command that was on its way'),
          measure='last_wall'),
    Fault('checkpoint deleted in a swap', 'processes', LIMITS, actions.swap_and_delete,
          actions.swap_back, WATCHED, recovery=30.0),
    Fault('clock stands still', 'clock', STOPS, actions.clock('stop'), actions.clock_goes,
          (lambda t: t.tick, 'without time there is no tick'), measure='stop_wall'),
    Fault('clock jumps 20 s ahead', 'clock', STOPS, actions.clock(20.0), actions.nothing,
          (lambda t: 2 * t.tick, 'the chunk is over at the next tick'), measure='held_wall'),
    Fault('clock jumps 20 s back', 'clock', STOPS, actions.clock(-20.0), actions.nothing,
          (lambda t: 2 * t.tick, 'nothing known belongs to the new time'), measure='held_wall'),
    Fault('e-stop', 'operator', LATCHES, actions.press, actions.unpress, ONE_TICK,
          measure='stop_wall', during=actions.reset_is_refused, release=actions.reset),
    Fault('e-stop, clock stands still', 'operator', LATCHES, actions.press_without_clock,
          actions.unpress_with_clock, ONE_TICK, measure='stop_wall',
          during=actions.reset_is_refused, release=actions.reset),
    Fault('permission taken back', 'operator', LATCHES, actions.disable, actions.nothing,
          ONE_TICK, measure='stop_wall', release=actions.enable),
    Fault('robot killed, restarted', 'processes', STOPS, actions.kill('simulated_robot'),
          actions.restart_robot, (lambda t: t.tick, 'its clock ends with it'),
          measure='stop_wall', recovery=60.0),
    _inference('exception', STOPS, BAD_ANSWER),
    _inference('memory', STOPS, BAD_ANSWER),
    _inference('device_memory', STOPS, BAD_ANSWER),
    _inference('stall', STOPS, BAD_ANSWER),
    _inference('nan', STOPS, BAD_ANSWER),
    _inference('short', STOPS, NO_CHUNK),
    _inference('huge', LIMITS, WATCHED),
    _inference('huge_one_way', LIMITS, WATCHED),
)

OF_POSES = ('pose ', 'camera freezes, fresh stamps')
"""Faults of what a robot in joints does not need, or that show by the way of the hand."""
MEASURED_JOINTS: Bound = (lambda t: t.joints + t.tick, 'max_age of the joints, a tick of the gate')


def faults_of(robot: str) -> tuple[Fault, ...]:
    """Return the faults of a robot, one of ``ROBOTS``; a gate of joints measures joints."""
    if ROBOTS[robot].measured == 'pose':
        return FAULTS
    return tuple(replace(fault, bound=MEASURED_JOINTS) if fault.name.startswith('joint states')
                 else fault for fault in FAULTS if not fault.name.startswith(OF_POSES))
