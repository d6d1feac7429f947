# SPDX-License-Identifier: Apache-2.0
"""What passes between camera, policy and robot: checked once, on construction, then trusted."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vla_drop_ros.errors import ActionSpecMismatchError, ObservationError

FloatArray = npt.NDArray[np.float64]
ImageArray = npt.NDArray[np.uint8]

TRANSLATION_NAMES = ('x', 'y', 'z')
ROTATION_NAMES = ('rx', 'ry', 'rz')
GRIPPER_NAME = 'gripper'
JOINT_PREFIX = 'joint.'


def is_action_name(name: object) -> bool:
    """Say whether a name has a meaning in an action: x .. rz, joint.<joint> or gripper."""
    named = (*TRANSLATION_NAMES, *ROTATION_NAMES, GRIPPER_NAME)
    return isinstance(name, str) and (
        name in named or (name.startswith(JOINT_PREFIX) and name != JOINT_PREFIX))


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """The action language of a checkpoint: what each number of an action means.

    Attributes:
        names: one per dimension, from ``x y z`` [m], ``rx ry rz`` (rotation vector, [rad]),
            ``joint.<joint>`` [rad] or [m], and ``gripper`` [m] (absolute opening width between
            the fingers). Joints and ``x .. rz`` do not mix.
        frame: frame in which ``x .. rz`` are expressed, axes after REP 103.
        reference: ``delta``: step i is the displacement during control period i; the target after
            step i is the end-effector pose measured at the chunk's stamp plus the sum of steps
            0..i. ``absolute``: each step is a pose in ``frame``.
        period: control period of one step, [s].
        chunk_length: steps in a chunk.
        executed_steps: steps meant to run before a newer chunk takes over.

    """

    names: tuple[str, ...]
    frame: str
    reference: Literal['delta', 'absolute']
    period: float
    chunk_length: int
    executed_steps: int

    def __post_init__(self) -> None:
        """Refuse a spec that no robot could execute."""
        valid = (*TRANSLATION_NAMES, *ROTATION_NAMES, f'{JOINT_PREFIX}<joint>', GRIPPER_NAME)
        bad = [name for name in self.names if not is_action_name(name)]
        if bad or len(set(self.names)) != len(self.names) or not self.names:
            raise ActionSpecMismatchError(
                f'action names {list(self.names)} must be distinct and from {list(valid)}')
        if self.reference not in ('delta', 'absolute'):
            raise ActionSpecMismatchError(
                f'action reference {self.reference!r} must be delta or absolute')
        if not self.frame:
            raise ActionSpecMismatchError('action frame must be named, for instance base_link')
        if not (np.isfinite(self.period) and self.period > 0):
            raise ActionSpecMismatchError(f'action period {self.period} must be > 0 s')
        if not 1 <= self.executed_steps <= self.chunk_length:
            raise ActionSpecMismatchError(
                f'executed_steps {self.executed_steps} must lie in 1..chunk_length '
                f'({self.chunk_length})')

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**asdict(self), 'names': list(self.names)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'ActionSpec':
        """Build from ``to_dict`` output; unknown and missing fields are refused by name."""
        known = set(cls.__dataclass_fields__)
        if set(data) != known:
            raise ActionSpecMismatchError(
                f'action spec: missing {sorted(known - set(data))}, '
                f'unknown {sorted(set(data) - known)}')
        return cls(**{**data, 'names': tuple(data['names'])})


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """Image that a checkpoint expects for one camera key: RGB uint8, shape (height, width, 3)."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ActionPrefix:
    """What the robot is going to do anyway while the policy thinks (real-time chunking).

    Attributes:
        actions: shape (n, len(spec.names)), 1 <= n <= chunk_length, units of the spec: row i is
            what the chunk in force says for step i after the new observation's stamp.
        frozen: the first so many rows will have been executed before the new chunk can take
            over; the rest may still be changed, the later the more.

    """

    actions: FloatArray
    frozen: int

    def __post_init__(self) -> None:
        """Refuse a prefix that cannot be followed."""
        if self.actions.ndim != 2 or not np.isfinite(self.actions).all():
            raise ObservationError('an action prefix must be a finite matrix')
        if not 0 <= self.frozen <= len(self.actions):
            raise ObservationError(f'{self.frozen} frozen steps of {len(self.actions)}')


@dataclass(frozen=True, slots=True)
class Observation:
    """All that a policy sees at one instant.

    Attributes:
        stamp: capture time, [s] on the node's clock: the oldest stamp of the images used.
        images: camera key -> RGB uint8 array, shape (H, W, 3).
        state: values in the order of the checkpoint's ``state_names``, shape (S,).
        instruction: what the robot is asked to do, not empty.
        prefix: for policies that continue a chunk in force; None starts afresh.

    """

    stamp: float
    images: Mapping[str, ImageArray]
    state: FloatArray
    instruction: str
    prefix: ActionPrefix | None = None

    def __post_init__(self) -> None:
        """Refuse what would make a policy act on nothing."""
        for key, image in self.images.items():
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ObservationError(
                    f'camera {key!r}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}')
        if self.state.ndim != 1 or not np.isfinite(self.state).all():
            raise ObservationError(f'state must be a finite vector, got {self.state}')
        if not self.instruction.strip():
            raise ObservationError(
                'the instruction is empty; publish one on the topic instruction')


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """What a policy wants done from ``stamp`` on.

    Attributes:
        stamp: capture time of the observation, [s]; step i starts at stamp + i * period.
        actions: shape (chunk_length, len(spec.names)), units of ``spec``.
        spec: the action language.
        latency: seconds spent in inference.
        checkpoint: short hash of the checkpoint that produced it.

    """

    stamp: float
    actions: FloatArray
    spec: ActionSpec
    latency: float = 0.0
    checkpoint: str = ''
    info: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse wrong shapes; non-finite numbers are the gate's business, which counts them."""
        expected = (self.spec.chunk_length, len(self.spec.names))
        if self.actions.shape != expected:
            raise ActionSpecMismatchError(
                f'chunk has shape {self.actions.shape}, its spec says {expected}')
