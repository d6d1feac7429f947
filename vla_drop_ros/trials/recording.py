# SPDX-License-Identifier: Apache-2.0
"""Keep the camera frames of an episode in a file of numpy arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_drop_ros.errors import TrialError
from vla_drop_ros.types import FloatArray, ImageArray

SUFFIX = '.npz'


@dataclass(frozen=True, slots=True)
class Recording:
    """Frames of one episode.

    Attributes:
        frames: RGB uint8, shape (T, H, W, 3).
        stamps: capture times, [s] on the node clock, shape (T,), increasing.

    """

    frames: ImageArray
    stamps: FloatArray


class FrameRecorder:
    """Collects frames in memory and writes them when the episode is over.

    At most one frame a ``period`` [s] and ``limit`` frames an episode are kept: 600 frames of
    480 x 360 are 311 MB.
    """

    def __init__(self, folder: str | Path, period: float = 0.1, limit: int = 600) -> None:
        """Record into ``folder``, which is created with the first file."""
        self._folder = Path(folder)
        self._period = period
        self._limit = limit
        self._name = ''
        self._frames: list[ImageArray] = []
        self._stamps: list[float] = []

    def begin(self, name: str) -> None:
        """Start the file ``name``; '' records nothing."""
        self._name = name
        self._frames, self._stamps = [], []

    def add(self, stamp: float, frame: ImageArray) -> None:
        """Keep a frame, RGB uint8 (H, W, 3), captured at ``stamp`` [s], if it is due."""
        due = not self._stamps or stamp - self._stamps[-1] >= self._period * 0.99
        same = not self._frames or frame.shape == self._frames[0].shape
        if self._name and due and same and len(self._frames) < self._limit:
            self._frames.append(frame.copy())
            self._stamps.append(stamp)

    def end(self) -> Path | None:
        """Write what was collected and return the file; None where there was nothing.

        Raises:
            TrialError: the file cannot be written.

        """
        name, self._name = self._name, ''
        if not name or not self._frames:
            return None
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            np.savez(path, frames=np.stack(self._frames), stamps=np.array(self._stamps))
        except OSError as error:
            raise TrialError(f'cannot write the frames {path}: {error.strerror}') from error
        self._frames, self._stamps = [], []
        return path


def load_recording(path: str | Path) -> Recording:
    """Read a file of ``FrameRecorder``.

    Raises:
        TrialError: absent, or not such a file.

    """
    try:
        with np.load(path, allow_pickle=False) as data:
            return Recording(data['frames'], data['stamps'])
    except (OSError, KeyError, ValueError) as error:
        raise TrialError(f'{path} is no recording of an episode: {error}') from error
