# SPDX-License-Identifier: Apache-2.0
"""Who gave signs of life and gives none any more is silent; nobody else is."""

from vla_drop_ros.trials.vital_signs import GATE, POLICY, SILENT, VitalSigns


def test_silence_needs_a_sign_before() -> None:
    """Who was never heard is not judged by it; who was, is, until it is heard again."""
    signs = VitalSigns()
    for signs.steady in (5.0, 100.0):
        assert not signs.silent(GATE)
    signs.hear(GATE)
    signs.steady += SILENT
    assert not signs.silent(GATE)
    signs.steady += 0.1
    assert signs.silent(GATE) and not signs.silent(POLICY)
    signs.hear(GATE)
    assert not signs.silent(GATE)


def test_who_could_not_be_heard_is_forgiven() -> None:
    """All, or those that are named; it is no sign of those that never gave any."""
    signs = VitalSigns()
    signs.steady = 1.0
    signs.hear(GATE)
    signs.hear(POLICY)
    signs.steady += 2 * SILENT
    signs.forgive(POLICY)
    assert signs.silent(GATE) and not signs.silent(POLICY)
    signs.forgive('bag_recorder')
    signs.forgive()
    signs.steady += 1.0
    assert not signs.silent(GATE)
    signs.steady += 2 * SILENT
    assert not signs.silent('bag_recorder') and signs.silent(POLICY)


def test_who_is_called_is_awaited_until_heard() -> None:
    """Forgiveness is no sign; who never gave one, or is not needed, is not called."""
    signs = VitalSigns()
    signs.hear('bag_recorder')
    signs.call_roll()
    assert not signs.awaited
    signs.hear(GATE)
    signs.beat(blind=False)
    signs.call_roll()
    signs.forgive()
    assert signs.awaited == {GATE, POLICY}
    signs.beat(blind=False)
    assert signs.awaited == {GATE}
    signs.hear(GATE)
    assert not signs.awaited


def test_a_policy_is_blind_by_more_than_a_late_frame() -> None:
    """Of its beats since the last chunk more than half say so."""
    signs = VitalSigns()
    said = [signs.blind]
    for beat in range(21):
        signs.beat(blind=beat < 10 or beat == 20)
        said.append(signs.blind)
    signs.answered()
    said.append(signs.blind)
    assert (said[0], *said[20:]) == (False, False, True, False)
