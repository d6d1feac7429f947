# SPDX-License-Identifier: Apache-2.0
"""The trials about which people are asked, at the end, which arm they think it was."""

from collections.abc import Sequence

from vla_drop_ros.trials.attempts import Attempt

GUESSED = 5  # of a session


def guesses_wanted(attempts: Sequence[Attempt]) -> list[str]:
    """Return the trials about which nobody has guessed yet, spread over a session."""
    valid = [one for one in attempts if one.counts]
    step = max(1, len(valid) // GUESSED)
    return [one.code for one in valid[step - 1::step][:GUESSED] if not one.guess]
