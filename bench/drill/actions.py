# SPDX-License-Identifier: Apache-2.0
"""How each fault is made and undone in a running cell."""

from collections.abc import Callable
import shutil
import signal
import time

import numpy as np

from bench.drill.cell import Cell
from bench.drill.person import wait_until
from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.runtime.stream_health import FROZEN_TRAVEL

Action = Callable[[Cell, np.random.Generator], float]
Undo = Callable[[Cell], None]

SWAP = 'reference-half'
APPEARS = 30.0    # [s] until an inference fault must have shown
READY = 30.0      # [s] that a restarted node may take
CAMERA_PERIOD = 0.1
"""Time between two images of the simulated robot, [s]."""


class NotShownError(VlaDropError):
    """A fault that nothing in the graph could tell from a healthy stream, in this scene."""


def distort(kind: str, mode: str) -> Action:
    """Distort one stream of a kind: a camera drawn at random, the pose, the joints."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        names = [kind] if kind in cell.streams else sorted(cell.contract['cameras'])
        return cell.distort(mode, names[int(rng.integers(len(names)))])
    return act


def undistort(cell: Cell) -> None:
    """Let every stream pass again."""
    cell.distort('pass', *cell.streams)


def freeze_while_it_moves(cell: Cell, rng: np.random.Generator) -> float:
    """Freeze the picture of a camera, drawn at random, under fresh stamps.

    Raises:
        NotShownError: the arm did not get as far meanwhile as a picture has to notice.

    """
    wall = distort('camera', 'freeze_fresh')(cell, rng)
    contract, begin = cell.contract, cell.listener(reaction=wall, until=wall)['node']
    tick = 1.0 / contract['control_rate']
    old = max(camera['max_age'] for camera in contract['cameras'].values()) + CAMERA_PERIOD
    ends = begin + old + CAMERA_PERIOD
    wait_until(lambda: cell.status()['node'] > ends + tick, APPEARS, 'the clock did not go on')
    # The first image that stays is of the first span, the one that is too many of the second.
    distance = cell.listener(apart=[[begin - tick, begin + CAMERA_PERIOD + tick],
                                    [begin + old, ends]])['distance']
    if distance <= FROZEN_TRAVEL:
        raise NotShownError(f'the arm moved {distance:.3f} m, needed is {FROZEN_TRAVEL:.2f} m')
    return wall


def leave(cell: Cell, rng: np.random.Generator) -> float:
    """Let every stream of the robot leave the ROS graph."""
    return cell.participant(False)


def come_back(cell: Cell) -> None:
    """Let the streams come back from a new participant."""
    cell.participant(True)


def instruct(text: str) -> Action:
    """Send an instruction."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        wall = time.monotonic()
        cell.person.instruct(text)
        return wall
    return act


def instruct_again(cell: Cell) -> None:
    """Send the instruction of the scene."""
    cell.person.instruct(cell.instruction)


def kill(name: str) -> Action:
    """Kill a node without a chance to say anything."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        return cell.signal(name, signal.SIGKILL)
    return act


def end(name: str) -> Action:
    """Ask a node to end, as Ctrl-C does."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        return cell.signal(name, signal.SIGINT)
    return act


def halt(name: str) -> Action:
    """Take the processor away from a node."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        return cell.signal(name, signal.SIGSTOP)
    return act


def go_on(name: str) -> Undo:
    """Give the processor back."""
    def act(cell: Cell) -> None:
        cell.signal(name, signal.SIGCONT)
    return act


def restart_policy(cell: Cell) -> None:
    """Start the policy again, in place of what is left of it."""
    cell.stop('policy_node')
    cell.start('policy_node')


def restart_gate(cell: Cell) -> None:
    """Start the gate again; until it is enabled it must not command anything."""
    cell.listener(silence='of a gate that was killed or not yet enabled', restarted=1)
    cell.stop('command_gate')
    mark = time.monotonic()
    cell.start('command_gate')
    wait_until(lambda: cell.listener(reaction=mark, until=time.monotonic())['states'], READY,
               'the restarted gate did not say its state')
    time.sleep(0.5)  # in which an eager gate would command
    enable(cell)


def restart_robot(cell: Cell) -> None:
    """Start the simulated robot again: its time begins at zero, its arm at the start.

    Meanwhile nothing is asked of the robot, so that the gate must find it where it stands now.
    """
    cell.person.instruct('')
    cell.listener(carry=True)
    cell.stop('simulated_robot')
    cell.listener(restarted=1)  # what the gate says first has to be where the new arm stands
    cell.start('simulated_robot')


def swap_and_delete(cell: Cell, rng: np.random.Generator) -> float:
    """Ask for another checkpoint and delete its folder while it is being loaded."""
    folder = cell.folder / 'swapped'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(find_checkpoint(SWAP), folder)
    wall = time.monotonic()
    cell.person.set('policy_node', checkpoint=str(folder))
    time.sleep(float(rng.uniform(0.0, 1.0)))  # anywhere in the load
    shutil.rmtree(folder)
    return wall


def swap_back(cell: Cell) -> None:
    """Go back to the checkpoint of the cell; a policy that never left it has nothing to do."""
    cell.person.set('policy_node', checkpoint=str(find_checkpoint(cell.checkpoint)))


def clock(wish: str | float) -> Action:
    """Halt the clock, or let it and all stamps jump [s]."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        return cell.clock(wish)
    return act


def clock_goes(cell: Cell) -> None:
    """Release the clock."""
    cell.clock('go')


def nothing(cell: Cell) -> None:
    """Leave it as it is."""


def press(cell: Cell, rng: np.random.Generator) -> float:
    """Press the e-stop."""
    wall = time.monotonic()
    cell.person.press(True)
    return wall


def unpress(cell: Cell) -> None:
    """Release the e-stop button; the latch stays."""
    cell.person.press(False)


def press_without_clock(cell: Cell, rng: np.random.Generator) -> float:
    """Halt the clock, then press the e-stop."""
    cell.clock('stop')
    return press(cell, rng)


def unpress_with_clock(cell: Cell) -> None:
    """Release button and clock."""
    cell.clock('go')
    cell.person.press(False)


def reset_is_refused(cell: Cell) -> list[str]:
    """Return what is wrong: a reset has to be refused while the button is pressed."""
    done, said = cell.person.reset_estop()
    return [f'reset_estop succeeded while the button is pressed ({said})'] if done else []


def reset(cell: Cell) -> None:
    """Release the latch."""
    cell.person.reset_estop()


def disable(cell: Cell, rng: np.random.Generator) -> float:
    """Take the permission to command back."""
    wall = time.monotonic()
    cell.person.enable(False)
    return wall


def enable(cell: Cell) -> None:
    """Give the permission to command."""
    cell.listener(silence='')
    wait_until(lambda: cell.person.enable(True)[0], READY, 'the gate did not accept enable')


def infer(name: str) -> Action:
    """Let the inference of the faulty policy fail; the fault begins with its first inference."""
    def act(cell: Cell, rng: np.random.Generator) -> float:
        cell.said.pop(name, None)
        cell.wish.write_text(name, encoding='utf-8')
        return float(wait_until(lambda: cell.said.get(name), APPEARS,
                                f'no inference showed the fault {name!r}'))
    return act


def infer_well(cell: Cell) -> None:
    """Let the inference work again."""
    cell.wish.write_text('', encoding='utf-8')


def malformed_chunks(cell: Cell, rng: np.random.Generator) -> float:
    """Speak in the place of the policy for a second, with what no gate may execute."""
    names, frame = list(cell.spec.names), cell.spec.frame
    good = [[0.05] * len(names)] * 8
    wall, node = time.monotonic(), float(cell.status()['node'])
    for turn in range(20):
        now = node + time.monotonic() - wall
        wishes: list[tuple[float, str, list[str], list[list[float]]]] = [
            (now, frame, names, [[float('nan')] * len(names)] * 8),
            (now, frame, names, [[float('inf')] * len(names)] * 8),
            (now, frame, names, [row[:-1] for row in good]),
            (now, frame, [*names[:-1], 'elbow'], good), (now, frame, [names[0]] * 4, good),
            (now, 'another_frame', names, good), (now + 10.0, frame, names, good),
            (max(now - 10.0, 0.0), frame, names, good), (now, frame, names, good * 1000)]
        cell.person.chunk(*wishes[(turn + int(rng.integers(9))) % len(wishes)])
        time.sleep(0.05)
    return wall
