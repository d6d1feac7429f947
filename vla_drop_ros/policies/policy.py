# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package knows about a policy."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, FloatArray, Observation


class Policy(Protocol):
    """A loaded checkpoint. Calls come from one thread at a time and block until done.

    Attributes:
        spec: the action language of its chunks.
        cameras: camera key -> image size it was trained on.
        state_names: order of ``Observation.state``.
        checkpoint: short hash of the checkpoint.
        continues_chunks: whether it follows ``Observation.prefix``; one that does not must not be
            given any, real-time chunking is not for it.

    """

    spec: ActionSpec
    cameras: Mapping[str, CameraSpec]
    state_names: tuple[str, ...]
    checkpoint: str
    continues_chunks: bool

    def infer(self, observation: Observation, noise: FloatArray | None = None) -> ActionChunk:
        """Return the chunk for one observation.

        Args:
            observation: needs every camera of ``cameras``; images of another size are resized.
            noise: start of the flow, shape (chunk_length, len(spec.names)); None draws the next
                one from the policy's own generator, the same sequence after each ``reset``.

        Raises:
            ObservationError: a camera is absent, the state has another length, no word of the
                instruction is known, or the prefix does not fit ``spec``.
            CheckpointError: there is a prefix, and the policy does not continue chunks.

        """

    def infer_batch(self, observations: Sequence[Observation], seed: int) -> list[ActionChunk]:
        """Return one chunk an observation from one forward pass; noise row i hangs on seed, i."""

    def prepare_continuing(self) -> None:
        """Get ready for prefixes: they are then answered about twice as fast. Takes seconds.

        Raises:
            CheckpointError: the policy does not continue chunks.

        """

    def reset(self) -> None:
        """Forget the past: the next noise is the first again."""

    def close(self) -> None:
        """Free the memory; the policy cannot be used afterwards."""
