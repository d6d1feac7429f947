# SPDX-License-Identifier: Apache-2.0
"""Which arm runs when: drawn from a secret that is committed to before the first trial.

The secret is 32 random bytes in a file of its own; the study publishes its sha256 at the lock and
the secret itself with the report, so that anyone can draw the schedule again and see that it was
not made up afterwards. Until then only code reads the file: people see 'trial 17', and the policy
node a token that is new in every trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
import hmac
import os
from pathlib import Path
import secrets

import numpy as np

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.design import Design

SECRET_BYTES = 32
TOKEN_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the schedule.

    Attributes:
        index: 0, 1, 2 ... in running order.
        round: every condition once, with every arm.
        pair: block of the same condition, run back to back by all arms.
        position: place within the pair, 0 first.
        condition: id of the condition.
        arm: name of the arm.

    """

    index: int
    round: int
    pair: int
    position: int
    condition: str
    arm: str


class SealedSchedule:
    """Draws rounds on demand: the same secret and design give the same schedule, for ever."""

    def __init__(self, design: Design, secret: bytes) -> None:
        """Take a locked design and the secret of its study."""
        if len(secret) != SECRET_BYTES:
            raise TrialError(f'a secret of {len(secret)} bytes; it has {SECRET_BYTES}')
        self._design = design
        self._secret = secret

    @property
    def commitment(self) -> str:
        """Return what may be published before the first trial: sha256 of the secret."""
        return sha256(self._secret).hexdigest()

    def round(self, number: int) -> tuple[Slot, ...]:
        """Return the slots of a round.

        Conditions come in random order, and the order of the arms of a pair is an independent
        draw each time: alternation would tell an attentive operator what comes second.
        """
        rng = np.random.default_rng(int.from_bytes(self._derive(f'round {number}'), 'big'))
        conditions, arms = self._design.conditions, self._design.arms
        slots: list[Slot] = []
        per_round = len(conditions) * len(arms)
        for place, chosen in enumerate(rng.permutation(len(conditions))):
            for position, arm in enumerate(rng.permutation(len(arms))):
                slots.append(Slot(
                    number * per_round + len(slots), number, number * len(conditions) + place,
                    position, conditions[chosen].id, arms[arm].name))
        return tuple(slots)

    def slot(self, index: int) -> Slot:
        """Return a slot by its place in running order."""
        per_round = len(self._design.conditions) * len(self._design.arms)
        return self.round(index // per_round)[index % per_round]

    def token(self, index: int, attempt: int) -> str:
        """Return the word that stands for a slot's arm in one attempt, and says nothing of it."""
        tag = self._derive(f'token {index} {attempt}').hex()[:TOKEN_DIGITS]
        return f'{index}.{attempt}.{tag}'

    def arm_of(self, token: str) -> str:
        """Return the arm that a token stands for.

        Raises:
            TrialError: it is no token of this study.

        """
        index, _, rest = token.partition('.')
        attempt = rest.partition('.')[0]
        numbers = index.isdecimal() and attempt.isdecimal() and len(index + attempt) < 18
        if numbers and hmac.compare_digest(
                self.token(int(index), int(attempt)).encode(), token.encode()):
            return self.slot(int(index)).arm
        raise TrialError(f'{token!r} is no token of this study')

    def _derive(self, purpose: str) -> bytes:
        return hmac.new(self._secret, f'{self._design.digest} {purpose}'.encode(),
                        sha256).digest()


def new_secret(path: Path) -> bytes:
    """Write a new secret to a file that only its owner can read, and return it.

    Raises:
        TrialError: the file exists, or cannot be written.

    """
    secret = secrets.token_bytes(SECRET_BYTES)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise TrialError(f'{path} exists: the study is locked already') from error
    except OSError as error:
        raise TrialError(f'cannot write {path}: {error.strerror}') from error
    try:
        os.write(file, secret.hex().encode())
        os.fsync(file)
    finally:
        os.close(file)
    return secret


def read_secret(path: Path) -> bytes:
    """Return the secret in a file.

    Raises:
        TrialError: it cannot be read, or holds no secret.

    """
    try:
        return bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise TrialError(f'cannot read the secret {path}: {error}') from error


def complete_rounds(finished: Sequence[Slot], design: Design) -> int:
    """Return how many rounds are complete from the first on, given the slots with a verdict."""
    done = {slot.index for slot in finished}
    per_round, rounds = len(design.conditions) * len(design.arms), 0
    while all(rounds * per_round + place in done for place in range(per_round)):
        rounds += 1
    return rounds
