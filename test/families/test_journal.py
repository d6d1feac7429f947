# SPDX-License-Identifier: Apache-2.0
"""Changes are taken back in the opposite order, attributes that were not there vanish."""

from types import SimpleNamespace

from vla_drop_ros.families.journal import Journal


def test_changes_are_taken_back() -> None:
    """The value before the first change returns, however often it was changed."""
    owner, journal, order = SimpleNamespace(depth=8), Journal(), []
    journal.set(owner, 'depth', 7)
    journal.on_undo(lambda: order.append(owner.depth))
    journal.set(owner, 'depth', 6)
    journal.set(owner, 'mark', True)
    journal.on_undo(lambda: order.append(owner.depth))
    assert (owner.depth, owner.mark) == (6, True)
    journal.undo()
    assert owner == SimpleNamespace(depth=8) and order == [6, 7]
    journal.undo()
    assert owner.depth == 8, 'undone twice'
