# SPDX-License-Identifier: Apache-2.0
"""The policies of a blinded study: all in memory, each known by the token of a trial only.

Who asks for a token gets a policy that calls itself by that token, in what it says and in how it
fails, and gets it after the same time whichever one it is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
import re
import time
import traceback
from typing import TypeVar

from vla_drop_ros.errors import TrialError, VlaDropError
from vla_drop_ros.runtime.policy_worker import Infers
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

SEALED = 'sealed:'
NONE = 'sealed:none'
"""What answers before the first token: nothing."""
SWITCH_TIME = 0.5
"""Time from a request to the takeover, [s]; hides how long the policy before still thinks."""
TOKEN = re.compile(r'sealed:\d{1,9}\.\d{1,9}\.[0-9a-f]{8,64}')

Answer = TypeVar('Answer')


class SealedPolicies:
    """Hands out policies by token; they stay in memory until the end. Thread-safe."""

    def __init__(self, arms: Mapping[str, Infers], arm_of: Callable[[str], str],
                 hidden: Iterable[str] = (), keep_fault: Callable[[str], str] = lambda text: '',
                 switch_time: float = SWITCH_TIME) -> None:
        """Take loaded policies.

        Args:
            arms: arm -> policy; closed by ``close``.
            arm_of: returns the arm of a token, or raises TrialError.
            hidden: words by which people could tell an arm: names, folders, hashes.
            keep_fault: writes what a policy said when it failed where nobody at the robot reads,
                and returns where that is; '' if it could not.
            switch_time: least time from a request to its policy, [s].

        Raises:
            TrialError: the policies differ in what people can see.

        """
        self._arms = dict(arms)
        self._arm_of = arm_of
        self._hidden = _pattern(hidden)
        self._keep_fault = keep_fault
        self._switch_time = switch_time
        for what, values in (
                ('action languages', [policy.spec for policy in self._arms.values()]),
                ('cameras', [dict(policy.cameras) for policy in self._arms.values()]),
                ('state values', [policy.state_names for policy in self._arms.values()])):
            if any(value != values[0] for value in values):
                raise TrialError(f'the checkpoints of the study use different {what}, which shows '
                                 'at the robot; compare checkpoints that differ in weights only')

    def check(self, value: str) -> None:
        """Refuse what is no token of this study, without repeating what may name an arm.

        Raises:
            TrialError: the sentence for whoever asked.

        """
        check_form(value)
        self._arm_of(value.removeprefix(SEALED))

    def load(self, value: str) -> Infers:
        """Return the policy of ``sealed:<token>`` after the switch time, the same for all.

        Raises:
            TrialError: it is no token of this study.

        """
        ready = time.monotonic() + self._switch_time
        self.check(value)
        policy = self._arms[self._arm_of(value.removeprefix(SEALED))]
        time.sleep(max(0.0, ready - time.monotonic()))
        return _Sealed(policy, value, self)

    def close(self) -> None:
        """Give all policies back."""
        arms, self._arms = self._arms, {}
        for policy in arms.values():
            policy.close()

    def guarded(self, value: str, act: Callable[[], Answer]) -> Answer:
        """Return what ``act`` returns; if it fails, say so in words that tell no arm.

        Raises:
            VlaDropError: it failed.

        """
        try:
            return act()
        except VlaDropError as error:
            said = self._hidden.sub(value, str(error)) if self._hidden else str(error)
            raise VlaDropError(said) from None
        except Exception as error:  # noqa: BLE001 - its text may tell depths, sizes, folders
            place = self._keep_fault(f'{value}\n{"".join(traceback.format_exception(error))}\n')
            where = f'what it said is sealed in {place}' if place else 'what it said is sealed'
            raise VlaDropError(
                f'the policy of {value} failed ({type(error).__name__}); {where}') from None


class _Sealed:
    """One policy for one trial, under the trial's token."""

    def __init__(self, policy: Infers, value: str, owner: SealedPolicies) -> None:
        """Stand in for ``policy``."""
        self.spec: ActionSpec = policy.spec
        self.cameras: Mapping[str, CameraSpec] = policy.cameras
        self.state_names: tuple[str, ...] = policy.state_names
        self.checkpoint = value
        self._policy = policy
        self._owner = owner
        self._fresh = False

    def infer(self, observation: Observation) -> ActionChunk:
        """Return the chunk for one observation; the first begins without a past."""
        if not self._fresh:  # here, since the trial before may still think in another thread
            self.reset()
        chunk = self._owner.guarded(self.checkpoint, lambda: self._policy.infer(observation))
        return replace(chunk, checkpoint=self.checkpoint)

    def reset(self) -> None:
        """Forget the past, noise included."""
        self._owner.guarded(self.checkpoint, self._policy.reset)
        self._fresh = True

    def close(self) -> None:
        """Do nothing: all policies stay in memory for the whole study."""


def check_form(value: str) -> None:
    """Refuse what has not the form of a token.

    Raises:
        TrialError: the sentence for whoever asked; it does not repeat what may name an arm.

    """
    if not TOKEN.fullmatch(value):
        raise TrialError('a study is set, so the parameter checkpoint takes sealed:<token> of '
                         'that study and nothing else; leave it empty at the start')


def _pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    """Return what finds any of the words as a whole word, longer ones first."""
    ordered = sorted({word for word in words if word}, key=len, reverse=True)
    if not ordered:
        return None
    return re.compile(r'(?<!\w)(?:' + '|'.join(map(re.escape, ordered)) + r')(?!\w)')
