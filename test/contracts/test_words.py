# SPDX-License-Identifier: Apache-2.0
"""A contract told in words has its units, and what is dangerous in capitals."""

from dataclasses import replace

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.contracts.words import in_words


def test_numbers_have_units() -> None:
    """Period, speeds, distances and forces are told as one would beside the robot."""
    said = in_words(load_contract(find_contract('ur_servo')))
    for expected in ('50 Hz (every 20 ms)', '0.25 m/s (that is 5 mm a command)', '0.8 rad/s',
                     'x -0.3 .. 0.3 m', '30 mm', '40 N', '30 ms older', 'calls servo_node/pause',
                     'width [m] = 0.085 + -0.10625 * position', 'for 0.5 s: stop',
                     'nothing of a chunk 1 s after its images'):
        assert expected in said
    joints = in_words(load_contract(find_contract('so101_joints')))
    assert 'elbow_flex -1.59 .. 1.59 rad, 1 rad/s' in joints and 'due 100 ms later' in joints


def test_danger_is_loud() -> None:
    """A contract that moves at once says so in capitals; a locked one in dry run does not."""
    contract = load_contract(find_contract('franka_cartesian'))
    assert 'NO' not in in_words(contract)
    said = in_words(replace(contract, dry_run=False, interlock='none'))
    assert 'NONE: moves as soon as' in said and 'NO: commands are sent' in said
