# SPDX-License-Identifier: Apache-2.0
"""The table of faults: bounds that follow from the contract, and a name for each."""

from pathlib import Path

import yaml

from bench.drill.cell import drill_contract
from bench.drill.faults import Expected, FAULTS, Times
from bench.faults import chosen
from bench.soak import survivable
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.types import ActionSpec

SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 8, 4)


def times() -> Times:
    """Return the times of the shipped robot."""
    return Times.of(drill_contract('simulated_arm')[0], SPEC)


def test_bounds_are_made_of_the_contract() -> None:
    """A killed policy is noticed after dead_man and a tick, an e-stop at the next tick."""
    bounds = {fault.name: fault.bound[0](times()) for fault in FAULTS}
    assert abs(bounds['policy killed'] - (0.6 + 0.05)) < 1e-9
    assert abs(bounds['e-stop'] - 0.05) < 1e-9
    assert abs(bounds['pose stops'] - (0.3 + 0.05)) < 1e-9
    assert abs(bounds['camera stops'] - (0.5 + 0.05 + 0.05)) < 1e-9


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


def test_a_soak_kills_nobody() -> None:
    """Memory can only be followed in processes that live on."""
    names = [fault.name for fault in survivable()]
    assert 'camera stops' in names and 'e-stop' in names
    assert not [name for name in names if 'killed' in name or name.startswith('inference')]


def test_the_contract_of_the_drill_is_valid(tmp_path: Path) -> None:
    """The numbers are the shipped ones; the streams go through the relay; the interlock is on."""
    contract, streams = drill_contract('simulated_arm')
    path = tmp_path / 'robot.yaml'
    path.write_text(yaml.safe_dump(contract), encoding='utf-8')
    read = load_contract(path)
    assert read.interlock == 'enable'
    assert read.end_effector_pose.topic == 'drill/ee_pose'
    assert streams['front'] == ('image', 'front_camera/image_raw', 'drill')
