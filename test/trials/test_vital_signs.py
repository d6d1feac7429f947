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
