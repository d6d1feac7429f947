# SPDX-License-Identifier: Apache-2.0
"""What the sessions say of robot and computer is told, what they do not say is named."""

from dataclasses import replace

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.rig import host_facts, in_words, NOT_STATED, rig_facts
from vla_drop_ros.trials.rig import FIELDS


def test_what_is_absent_is_named(opened: Results) -> None:
    """A study without a rig file: every field is there, not stated; the computer is known."""
    facts = dict(rig_facts(opened.protocol.sessions))
    assert len(facts) == len(FIELDS) and set(facts.values()) == {NOT_STATED}
    host = dict(host_facts(opened.protocol.sessions))
    assert host['processors'] != NOT_STATED
    assert dict(host_facts(()))['gpu'] == NOT_STATED


def test_sessions_that_differ_are_named(opened: Results) -> None:
    """One value for all is told once, different ones with their sessions."""
    one = replace(opened.protocol.sessions[0], rig={'lux': 400.0, 'gripper': 'two fingers'})
    other = replace(one, number=2, rig={'lux': 250.0, 'gripper': 'two fingers'})
    facts = dict(rig_facts([one, other, replace(one, number=3)]))
    assert facts['gripper'] == 'two fingers'
    assert facts['lux [lx]'] == '400 (session arm-1 1, arm-1 3); 250 (session arm-1 2)'


def test_values_are_readable() -> None:
    """Lists, maps and yes or no are words."""
    assert in_words([{'name': 'front', 'white_balance': 'fixed', 'serial': ''}, 'x']) == (
        'name front, white balance fixed; x')
    assert in_words({'dirty': True, 'sha': 'ab'}) == 'dirty yes, sha ab'
