# SPDX-License-Identifier: Apache-2.0
"""Write a LeRobotDataset v3 folder, pictures as PNG inside the tables."""

from collections.abc import Mapping, Sequence
import json
from pathlib import Path
import shutil
from typing import Any

import cv2
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from vla_drop_ros.dataset.reader import (
    ACTION,
    DATA_PATH,
    EPISODES_PATH,
    IMAGES,
    INFO_FILE,
    SEMANTICS,
    STATE,
    STATISTICS_FILE,
    TASKS_FILE,
    VERSION,
)
from vla_drop_ros.errors import DatasetError
from vla_drop_ros.types import FloatArray, ImageArray

_PICTURE = arrow.struct([('bytes', arrow.binary()), ('path', arrow.string())])
_STEP = 7  # every so manieth pixel enters the statistics of pictures
_QUANTILES = (1, 10, 50, 90, 99)


class DatasetWriter:
    """Collect episodes; the folder appears under its name when ``close`` has written all of it."""

    def __init__(self, folder: str | Path, fps: int, cameras: Mapping[str, tuple[int, int]],
                 state_names: Sequence[str], action_names: Sequence[str],
                 semantics: Mapping[str, Any], robot_type: str) -> None:
        """Begin a dataset.

        Args:
            folder: must not exist.
            fps: frames a second, [Hz].
            cameras: camera key -> (height, width).
            state_names: what the numbers of a state are.
            action_names: what those of an action are.
            semantics: frame and reference of the actions, see ``Dataset.semantics``.
            robot_type: what recorded it.

        """
        self.folder = Path(folder)
        if self.folder.exists():
            raise DatasetError(f'{str(self.folder)!r} exists already; choose another folder')
        self._partial = self.folder.with_name(f'.{self.folder.name}.partial')
        shutil.rmtree(self._partial, ignore_errors=True)
        self._fps, self._cameras, self._robot = fps, dict(cameras), robot_type
        self._names = {STATE: list(state_names), ACTION: list(action_names)}
        self._semantics = dict(semantics)
        self._rows: list[dict[str, Any]] = []
        self._episodes: list[dict[str, Any]] = []
        self._tasks: dict[str, int] = {}
        self._pixels: dict[str, list[ImageArray]] = {key: [] for key in cameras}
        self._open: list[dict[str, Any]] = []
        data = self._partial / DATA_PATH.format(chunk_index=0, file_index=0)
        data.parent.mkdir(parents=True)
        self._writer = parquet.ParquetWriter(data, self._schema())

    def _schema(self) -> Any:
        # LeRobot keeps a vector of one number as a number.
        vectors = [(name, arrow.float32() if len(names) == 1
                    else arrow.list_(arrow.float32(), len(names)))
                   for name, names in self._names.items()]
        return arrow.schema([
            *((f'{IMAGES}{key}', _PICTURE) for key in self._cameras), *vectors,
            ('timestamp', arrow.float32()),
            *((name, arrow.int64()) for name in (
                'frame_index', 'episode_index', 'index', 'task_index'))])

    def add(self, images: Mapping[str, ImageArray], state: FloatArray, action: FloatArray) -> None:
        """Add a frame to the episode: RGB pictures (H, W, 3), what was measured, what was done."""
        row: dict[str, Any] = {STATE: _cell(state), ACTION: _cell(action),
                               'timestamp': len(self._open) / self._fps,
                               'frame_index': len(self._open)}
        for key, size in self._cameras.items():
            image = images[key]
            if image.shape != (*size, 3):
                raise DatasetError(f'camera {key!r}: picture {image.shape}, expected {size}')
            done, encoded = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if not done:
                raise DatasetError(f'camera {key!r}: the picture cannot be encoded')
            row[f'{IMAGES}{key}'] = {'bytes': encoded.tobytes(), 'path': None}
            self._pixels[key].append(image[::_STEP, ::_STEP].reshape(-1, 3))
        self._open.append(row)

    def end_episode(self, instruction: str) -> None:
        """Close the episode; all of its frames were done under this instruction."""
        if not self._open:
            raise DatasetError('an episode needs at least one frame')
        task = self._tasks.setdefault(instruction, len(self._tasks))
        begin, number = len(self._rows), len(self._episodes)
        for offset, row in enumerate(self._open):
            row.update(episode_index=number, index=begin + offset, task_index=task)
        self._writer.write_table(arrow.Table.from_pylist(self._open, schema=self._schema()))
        self._rows += [{name: row[name] for name in (STATE, ACTION)} for row in self._open]
        self._episodes.append({
            'episode_index': number, 'tasks': [instruction], 'length': len(self._open),
            'data/chunk_index': 0, 'data/file_index': 0, 'dataset_from_index': begin,
            'dataset_to_index': begin + len(self._open), 'meta/episodes/chunk_index': 0,
            'meta/episodes/file_index': 0})
        self._open = []

    def abandon(self) -> None:
        """Forget the frames of the open episode."""
        self._open = []

    def discard(self) -> None:
        """Remove all that was written."""
        self._writer.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def close(self) -> None:
        """Write what describes the frames, and give the folder its name."""
        self._writer.close()
        if not self._episodes:
            self.discard()
            raise DatasetError('no episode was recorded; nothing is written')
        self._write_table(EPISODES_PATH.format(chunk_index=0, file_index=0),
                          arrow.Table.from_pylist(self._episodes))
        self._write_table(TASKS_FILE, self._task_table())
        self._write_json(INFO_FILE, self._info())
        self._write_json(STATISTICS_FILE, self._statistics())
        self._partial.rename(self.folder)

    def _write_table(self, name: str, table: Any) -> None:
        (self._partial / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, self._partial / name)

    def _write_json(self, name: str, content: Any) -> None:
        (self._partial / name).write_text(json.dumps(content, indent=2) + '\n')

    def _task_table(self) -> Any:
        """Return the tasks as pandas would: the text is the index of the table."""
        index = '__index_level_0__'
        columns = [{'name': 'task_index', 'field_name': 'task_index', 'pandas_type': 'int64',
                    'numpy_type': 'int64', 'metadata': None},
                   {'name': None, 'field_name': index, 'pandas_type': 'unicode',
                    'numpy_type': 'object', 'metadata': None}]
        pandas = {'index_columns': [index], 'column_indexes': [], 'columns': columns,
                  'creator': {'library': 'pyarrow', 'version': arrow.__version__},
                  'pandas_version': '2.0.0'}
        return arrow.table({'task_index': list(self._tasks.values()), index: list(self._tasks)}
                           ).replace_schema_metadata({'pandas': json.dumps(pandas)})

    def _info(self) -> dict[str, Any]:
        features: dict[str, Any] = {
            f'{IMAGES}{key}': {'dtype': 'image', 'shape': [*size, 3],
                               'names': ['height', 'width', 'channels']}
            for key, size in self._cameras.items()}
        features.update({name: {'dtype': 'float32', 'shape': [len(names)], 'names': names}
                         for name, names in self._names.items()})
        features.update({name: {'dtype': kind, 'shape': [1], 'names': None} for name, kind in (
            ('timestamp', 'float32'), ('frame_index', 'int64'), ('episode_index', 'int64'),
            ('index', 'int64'), ('task_index', 'int64'))})
        return {
            'codebase_version': VERSION, 'robot_type': self._robot,
            'total_episodes': len(self._episodes), 'total_frames': len(self._rows),
            'total_tasks': len(self._tasks), 'chunks_size': 1000, 'data_files_size_in_mb': 100,
            'video_files_size_in_mb': 200, 'fps': self._fps,
            'splits': {'train': f'0:{len(self._episodes)}'}, 'data_path': DATA_PATH,
            'video_path': None, 'features': features, SEMANTICS: self._semantics}

    def _statistics(self) -> dict[str, Any]:
        found = {name: _describe(np.array([np.atleast_1d(row[name]) for row in self._rows]))
                 for name in (STATE, ACTION)}
        for key, pixels in self._pixels.items():
            described = _describe(np.concatenate(pixels) / 255.0)
            found[f'{IMAGES}{key}'] = {
                name: [[[number]] for number in values] if name != 'count' else values
                for name, values in described.items()}
        return found


def _cell(vector: FloatArray) -> Any:
    return vector.tolist() if len(vector) > 1 else float(vector[0])


def _describe(values: FloatArray) -> dict[str, Any]:
    """Return LeRobot's statistics of a matrix, by column."""
    quantiles = np.percentile(values, _QUANTILES, axis=0)
    return {'min': values.min(0).tolist(), 'max': values.max(0).tolist(),
            'mean': values.mean(0).tolist(), 'std': values.std(0).tolist(),
            'count': [len(values)],
            **{f'q{number:02d}': row.tolist()
               for number, row in zip(_QUANTILES, quantiles, strict=True)}}
