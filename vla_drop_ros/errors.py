# SPDX-License-Identifier: Apache-2.0
"""One base class for what a user can mend, and a child per cause.

The message names the bad value, the valid ones and the fix; broken internal invariants stay
plain ``ValueError``.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class VlaDropError(Exception):
    """Something a user can mend; the message says how."""


class CheckpointError(VlaDropError):
    """A checkpoint folder is missing, damaged, or not what its manifest says."""


class ContractError(VlaDropError):
    """A robot contract is incomplete or contradicts itself or the checkpoint."""


class ActionSpecMismatchError(ContractError):
    """A checkpoint speaks another action language than the robot."""


class ObservationError(VlaDropError):
    """A camera, a state value or the instruction is missing, late or of the wrong shape."""


class PlanError(VlaDropError):
    """A drop plan names blocks that are absent, protected or tied to others."""


class DatasetError(VlaDropError):
    """Demonstrations are missing, damaged, or not what the checkpoint was made for."""


class RankingError(VlaDropError):
    """A ranking cannot be made, or a file is none, or not one of this checkpoint."""


class RecoveryError(VlaDropError):
    """A recovery cannot start, go on, or be resumed as asked."""


class EvaluationError(VlaDropError):
    """Episodes cannot be run as asked, or the file of finished ones is none."""


class SimulationError(VlaDropError):
    """The simulator cannot run here, for instance because no renderer is installed."""


class TaskError(VlaDropError):
    """An unknown task, object or goal was asked for."""


class TrialError(VlaDropError):
    """A study cannot start or go on."""


class NodeDiedError(VlaDropError):
    """A node of a running graph ended by itself."""


class MissingDependencyError(VlaDropError):
    """A package that this feature needs is not installed."""


def unknown(kind: str, value: object, valid: Iterable[object]) -> str:
    """Return 'unknown KIND VALUE; valid: ...', with the closest valid one suggested."""
    names = sorted(str(name) for name in valid)
    close = get_close_matches(str(value), names, n=1)
    hint = f' Did you mean {close[0]!r}?' if close else ''
    return f'unknown {kind} {str(value)!r}; valid: {", ".join(names)}.{hint}'
