# SPDX-License-Identifier: Apache-2.0
"""The table of faults: bounds that follow from the contract, and a name for each."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import yaml

from bench.drill.actions import CAMERA_PERIOD
from bench.drill.cell import Cell
from bench.drill.faults import Expected, FAULTS, faults_of, Times
from bench.drill.robots import drill_contract, ROBOTS
from bench.faults import chosen, MARKS
from bench.soak import survivable
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.runtime.instruction import instruction_fault
from vla_drop_ros.runtime.observation_sync import ObservationSync


def times() -> Times:
    """Return the times of the shipped robot."""
    return Times.of(drill_contract('pose')[0])


def test_bounds_are_made_of_the_contract() -> None:
    """A killed policy is noticed after dead_man and a tick, an e-stop at the next tick."""
    bounds = {fault.name: fault.bound[0](times()) for fault in FAULTS}
    assert abs(bounds['policy killed'] - (0.6 + 0.05)) < 1e-9
    assert abs(bounds['e-stop'] - 0.05) < 1e-9
    assert abs(bounds['pose stops'] - (0.3 + 0.05)) < 1e-9
    assert abs(bounds['camera stops'] - (0.5 + 0.05 + 0.05)) < 1e-9


def test_an_instruction_has_to_stop_exactly_where_it_is_refused() -> None:
    """Too long and with a control character it pauses; in any script it is an instruction."""
    sent: list[str] = []
    person = SimpleNamespace(instruct=sent.append)
    for fault in FAULTS:
        if fault.group != 'instruction':
            continue
        fault.inject(cast(Cell, SimpleNamespace(person=person)), np.random.default_rng(0))
        refused = not sent[-1] or bool(instruction_fault(sent[-1]))
        assert (fault.expected == Expected.STOPS) == refused, fault.name
    assert any(not text.isascii() and not instruction_fault(text) for text in sent)
    assert len(sent) == 4


@pytest.mark.parametrize('start', [0.0, 0.03, 0.07])
@pytest.mark.parametrize('first', [0.0, 0.05, CAMERA_PERIOD])
def test_a_picture_that_stays_is_found_by_its_bound(
        tmp_path: Path, first: float, start: float) -> None:
    """With the drill's contract, wherever the first image that stays lies after the fault."""
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(drill_contract('pose')[0]), encoding='utf-8')
    sync: ObservationSync[str] = ObservationSync(load_contract(path))
    fault = next(fault for fault in FAULTS if fault.name == 'camera freezes, fresh stamps')
    assert fault.expected == Expected.STOPS
    last = start + fault.bound[0](times()) - 2 * times().tick  # what is left for the two ticks
    for number in range(11):
        stamp = start + first + number * CAMERA_PERIOD
        if stamp > last + 1e-9:
            break
        sync.add_pose(stamp, (0.2 * stamp, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), 'base_link')
        sync.add_image('front', stamp, 'picture', '80x80 rgb8', unchanged=number > 0)
        snapshot, problems = sync.join(stamp, ('front',), False)
    assert snapshot is None and 'frozen' in problems[0]


def test_names_and_reasons_are_given() -> None:
    """Every fault has a name of its own, and every bound a reason."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.bound[1] for fault in FAULTS)
    assert [fault.name for fault in FAULTS if fault.expected == Expected.LATCHES] == [
        'e-stop', 'e-stop, clock stands still', 'permission taken back']


def test_faults_are_chosen_by_a_part_of_the_name() -> None:
    """A name that fits nothing is an error, not an empty drill."""
    assert [fault.name for fault in chosen(['policy k'])] == ['policy killed']
    assert chosen([]) == list(FAULTS)
    try:
        chosen(['polizy'])
    except VlaDropError as error:
        assert 'policy killed' in str(error)
    else:
        raise AssertionError('an unknown fault was accepted')


def test_each_robot_meets_the_faults_that_it_can_have() -> None:
    """What every kind of command must survive is in each table; poses are not for joints."""
    for robot in ROBOTS:
        names = [fault.name for fault in faults_of(robot)]
        assert {'policy killed', 'policy halted, goes on', 'camera stops', 'inference: nan',
                'inference: huge', 'gate killed, restarted', 'gate told to end, restarted',
                'e-stop', 'joint states stop'} <= set(names)
        assert ('pose stops' in names) == (robot != 'joints')
        assert chosen(['policy killed'], robot)
    assert MARKS['joints'] == 'make faults ROBOT=joints' and set(MARKS) == set(ROBOTS)


def test_the_last_word_is_asked_for_where_the_gate_can_speak() -> None:
    """Not of one that was killed or whose time stands still; of one that was told to end it is."""
    silent = {fault.name for fault in FAULTS
              if fault.expected != Expected.LIMITS and not fault.ends_safely}
    assert silent == {'gate killed, restarted', 'gate halted, goes on', 'clock stands still',
                      'clock jumps 20 s ahead', 'clock jumps 20 s back', 'robot killed, restarted'}


def test_a_soak_kills_nobody() -> None:
    """Memory can only be followed in processes that live on."""
    names = [fault.name for fault in survivable()]
    assert 'camera stops' in names and 'e-stop' in names
    assert not [name for name in names if 'killed' in name or 'told to end' in name
                or name.startswith('inference')]


@pytest.mark.parametrize('robot', ROBOTS)
def test_the_contract_of_the_drill_is_valid(tmp_path: Path, robot: str) -> None:
    """The numbers are the shipped ones; the streams go through the relay; the interlock is on."""
    contract, streams = drill_contract(robot)
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(contract), encoding='utf-8')
    read = load_contract(path)
    assert read.interlock == 'enable'
    assert read.command.adapter == ROBOTS[robot].adapter
    assert read.end_effector_pose.topic == 'drill/ee_pose'
    assert streams['front'] == ('image', 'front_camera/image_raw', 'drill')
