# SPDX-License-Identifier: Apache-2.0
"""Where ``policy_node`` gets its policies from: folders, or the sealed arms of a study."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
import os

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import CheckpointError, TrialError
from vla_drop_ros.nodes.policy_settings import (
    admit,
    Check,
    PolicyParameters,
    resident_policies,
)
from vla_drop_ros.policies.registry import check_normalization, read_statistics
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.policy_worker import Infers
from vla_drop_ros.runtime.sealed_policies import check_form, SealedPolicies

Load = Callable[[str], Infers]


class PolicySupply:
    """Checks and loads by the value of the parameter ``checkpoint``."""

    def __init__(self, wanted: PolicyParameters, load: Load | None = None,
                 admits: Check | None = None) -> None:
        """Load nothing yet.

        Args:
            wanted: parameters of the node.
            load: returns a verified, warmed-up policy for a value, or raises; None takes folders
                and the names of what is in models.
            admits: refuses a folder that does not fit the robot or the memory.

        """
        self._study = wanted.study
        self._resident = resident_policies(wanted)
        self._folder = str if load else _folder
        self._load = load or self._resident.load
        self.admits = admits or partial(admit, device=wanted.device, resident=self._resident)
        self._contract: RobotContract | None = None
        self._sealed: SealedPolicies | None = None
        self._statistics: dict[str, dict[str, float]] = {}  # by the hash that a policy states

    @property
    def blinded(self) -> bool:
        """Say whether nothing may tell which checkpoint answers."""
        return bool(self._study)

    @property
    def usage(self) -> tuple[int, int]:
        """Return how many policies are in memory, and what their weights take, [byte]."""
        return self._resident.usage

    def open(self, contract: RobotContract, first: str, tell: Callable[[str], object]) -> None:
        """Get ready for a robot; with a study all its checkpoints are loaded now.

        Args:
            contract: of the robot.
            first: value of the parameter at the start; with a study '' or a token.
            tell: takes progress for people.

        Raises:
            VlaDropError: the study or one of its checkpoints is not what was locked, or ``first``
                cannot be the first.

        """
        self._contract = contract
        if self._study:
            # Here, since trials bring scipy, which a policy without a study need not wait for.
            from vla_drop_ros.nodes.sealed_arms import open_arms
            if first:
                check_form(first)
            self._sealed = open_arms(self._study, contract, self._load, self.admits, tell)
        if first or not self._study:
            self.check(first)

    def check(self, value: str, running: Infers | None = None) -> None:
        """Refuse a value of the parameter ``checkpoint``.

        Args:
            value: of the parameter.
            running: policy whose normalisation statistics it must have; None: any. A study does
                not look at it, its arms were chosen before.

        Raises:
            VlaDropError: the sentence for whoever set it.

        """
        if self._sealed is not None:
            self._sealed.check(value)
        elif self._study:
            raise TrialError('a study is set: configure the node before the first token')
        else:
            value = self._folder(value)
            self.admits(value, self._contract)
            # As they were loaded: the folder may have been written anew since.
            known = self._statistics.get(running.checkpoint) if running is not None else None
            if known is not None:
                check_normalization(value, known)

    def load(self, value: str) -> Infers:
        """Return the policy for a value that was checked; close it to give it back."""
        if self._sealed is not None:
            return self._sealed.load(value)
        value = self._folder(value)
        policy = self._load(value)
        with suppress(CheckpointError):  # what was not loaded from a folder has none
            self._statistics[policy.checkpoint] = read_statistics(value)
        return policy

    def close(self) -> None:
        """Free the memory of all policies that are not in use."""
        sealed, self._sealed = self._sealed, None
        if sealed is not None:
            sealed.close()
        self._resident.close()
        self._statistics.clear()


def _folder(value: str) -> str:
    """Return the folder that a value means: paths as they are, else a name in models."""
    return str(find_checkpoint(value)) if value and os.sep not in value else value
