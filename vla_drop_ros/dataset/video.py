# SPDX-License-Identifier: Apache-2.0
"""Pictures from the video files of a dataset."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import DatasetError, MissingDependencyError
from vla_drop_ros.types import ImageArray


def read_frame(path: Path, stamp: float, fps: float) -> ImageArray:
    """Return the picture shown at ``stamp`` [s], RGB, shape (H, W, 3).

    Raises:
        DatasetError: no such file, or it ends before.
        MissingDependencyError: PyAV is not installed.

    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingDependencyError('this dataset keeps its pictures as videos, which needs the '
                                     'package av: pip install av') from error
    container = _open(av, path)
    stream = container.streams.video[0]
    # Decoding starts at the key frame before; frames lie on multiples of 1 / fps.
    container.seek(int(max(0.0, stamp) / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.time is not None and frame.time >= stamp - 0.5 / fps:
            image: ImageArray = frame.to_ndarray(format='rgb24')
            return image
    raise DatasetError(f'video {str(path)!r} ends before {stamp:.3f} s')


@lru_cache(maxsize=4)
def _open(av: Any, path: Path) -> Any:
    try:
        return av.open(str(path))
    except (OSError, ValueError) as error:
        raise DatasetError(f'video {str(path)!r} cannot be opened: {error}') from error
