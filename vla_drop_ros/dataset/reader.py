# SPDX-License-Identifier: Apache-2.0
"""Read a LeRobotDataset v3 folder: tables in parquet, pictures in the tables or in videos."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as parquet

from vla_drop_ros.errors import DatasetError, unknown
from vla_drop_ros.types import FloatArray, ImageArray, Observation

INFO_FILE = 'meta/info.json'
TASKS_FILE = 'meta/tasks.parquet'
STATISTICS_FILE = 'meta/stats.json'
EPISODES_PATH = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VERSION = 'v3.0'
STATE, ACTION, IMAGES = 'observation.state', 'action', 'observation.images.'
# Where this package says what LeRobot has no word for: frame and reference of the actions.
SEMANTICS = 'vla_drop_ros'
# Row groups of pictures that stay in memory, as they lie on disk: training draws at random.
CACHED_BYTES = 1 << 30


class Dataset:
    """Frames of demonstrations, by index.

    Attributes:
        folder: where it lies.
        fps: frames a second, [Hz].
        cameras: camera key -> (height, width).
        state_names, action_names: what the numbers of ``observation.state`` and ``action`` are.
        semantics: ``frame``, ``reference`` and ``period`` of the actions, empty if not stated.

    """

    def __init__(self, folder: str | Path) -> None:
        """Read the tables that describe the frames; pictures stay on disk.

        Raises:
            DatasetError: no dataset of this version, or a part of it is missing.

        """
        self.folder = Path(folder)
        info = self._info()
        self.fps = float(info['fps'])
        features = info['features']
        self.cameras = {key.removeprefix(IMAGES): _size(feature)
                        for key, feature in features.items() if key.startswith(IMAGES)}
        self._videos = {key.removeprefix(IMAGES) for key, feature in features.items()
                        if key.startswith(IMAGES) and feature['dtype'] == 'video'}
        self._video_path = info.get('video_path')
        self.state_names = _names(features, STATE, self.folder)
        self.action_names = _names(features, ACTION, self.folder)
        self.semantics: dict[str, Any] = dict(info.get(SEMANTICS, {}))
        self._files = sorted((self.folder / 'data').glob('*/*.parquet'))
        self._read_tables()

    def _info(self) -> dict[str, Any]:
        path = self.folder / INFO_FILE
        try:
            info: dict[str, Any] = json.loads(path.read_text())
            version, _ = info['codebase_version'], info['features']
        except FileNotFoundError:
            raise DatasetError(
                f'{str(self.folder)!r} is no LeRobot dataset: {INFO_FILE} is missing. Record one '
                'with `vla_drop demonstrate`, or give the folder that holds meta/ and data/'
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f'{str(path)!r} cannot be read: {error!r}') from error
        if version != VERSION:
            raise DatasetError(
                f'{str(self.folder)!r} is a LeRobot dataset of version {version!r}, this reads '
                f"{VERSION!r}; convert it with lerobot's own converter")
        return info

    def _read_tables(self) -> None:
        """Read all that is no picture."""
        columns = [STATE, ACTION, 'episode_index', 'frame_index', 'task_index', 'timestamp']
        if not self._files:
            raise DatasetError(f'{str(self.folder)!r} holds no demonstrations: data/ has no '
                               'parquet file. Record some with `vla_drop demonstrate`')
        try:
            tables = [parquet.read_table(path, columns=columns) for path in self._files]
            tasks = parquet.read_table(self.folder / TASKS_FILE).to_pydict()
            episodes = [row for path in sorted((self.folder / 'meta/episodes').glob('*/*.parquet'))
                        for row in parquet.read_table(path).to_pylist()]
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f'{str(self.folder)!r} cannot be read: {error}') from error
        missing = [name for name in columns if any(name not in t.column_names for t in tables)]
        if missing:
            raise DatasetError(f'{str(self.folder)!r} has no column {missing}; it has '
                               f'{tables[0].column_names}')
        text: list[str] = next(
            (values for name, values in tasks.items() if name != 'task_index'), [])
        self._tasks = dict(zip(tasks['task_index'], text, strict=True))
        self._episodes = {row['episode_index']: row for row in episodes}
        self._ends = np.cumsum([table.num_rows for table in tables])
        self.states = _matrix(tables, STATE)
        self._actions = _matrix(tables, ACTION)
        self.episode, self.step, self._task = (
            np.concatenate([np.asarray(table[name]) for table in tables]).astype(int)
            for name in ('episode_index', 'frame_index', 'task_index'))
        self._stamps = np.concatenate([np.asarray(t['timestamp']) for t in tables]).astype(float)
        if not len(self.states):
            raise DatasetError(f'{str(self.folder)!r} holds no demonstrations: its tables are '
                               'empty. Record some with `vla_drop demonstrate`')
        for name, values in ((STATE, self.states), (ACTION, self._actions)):
            bad = np.flatnonzero(~np.isfinite(values).all(1))
            if len(bad):
                raise DatasetError(
                    f'{str(self.folder)!r}: {name} of frame {bad[0]} (episode '
                    f'{self.episode[bad[0]]}, step {self.step[bad[0]]}) is not finite, '
                    f'{len(bad)} frames in all; remove those episodes')

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.states)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(np.unique(self.episode))

    def instruction(self, index: int) -> str:
        """Return what the robot was told at a frame."""
        return str(self._tasks[self._task[index]])

    def observation(self, index: int) -> Observation:
        """Return what was seen at a frame, stamped with its time in the episode, [s]."""
        images = {key: self.image(index, key) for key in self.cameras}
        return Observation(float(self._stamps[index]), images, self.states[index],
                           self.instruction(index))

    def actions(self, index: int, length: int) -> tuple[FloatArray, FloatArray]:
        """Return the next actions from a frame on, and which of them its episode still has.

        Returns:
            actions, shape (length, A), the last one repeated behind the end, and 1 or 0 for each,
            shape (length,).

        """
        behind = np.arange(index, min(index + length, len(self)))
        inside = behind[self.episode[behind] == self.episode[index]]
        valid = np.zeros(length)
        valid[:len(inside)] = 1.0
        padded = np.concatenate([inside, np.full(length - len(inside), inside[-1])])
        return self._actions[padded], valid

    def image(self, index: int, camera: str) -> ImageArray:
        """Return a picture, RGB, shape (H, W, 3)."""
        if camera not in self.cameras:
            raise DatasetError(unknown('camera', camera, self.cameras))
        if camera in self._videos:
            return self._video_frame(index, camera)
        file = int(np.searchsorted(self._ends, index, side='right'))
        row = index - (int(self._ends[file - 1]) if file else 0)
        encoded = _cell(self._files[file], row, f'{IMAGES}{camera}')
        data = encoded.get('bytes')
        if data is None:
            data = (self.folder / str(encoded.get('path'))).read_bytes()
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise DatasetError(f'picture {camera!r} of frame {index} in {str(self.folder)!r} '
                               'cannot be decoded')
        image: ImageArray = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
        return image

    def _video_frame(self, index: int, camera: str) -> ImageArray:
        from vla_drop_ros.dataset.video import read_frame
        key, episode = f'{IMAGES}{camera}', self._episodes[int(self.episode[index])]
        path = self.folder / str(self._video_path).format(
            video_key=key, chunk_index=episode[f'videos/{key}/chunk_index'],
            file_index=episode[f'videos/{key}/file_index'])
        begin = float(episode.get(f'videos/{key}/from_timestamp', 0.0))
        return read_frame(path, begin + float(self._stamps[index]), self.fps)

    def sample(self, count: int, seed: int, *, usable: Callable[[int], bool] = lambda _: True,
               ) -> list[int]:
        """Return indices of ``count`` frames, spread over the episodes, in order.

        Each further pass over the episodes takes one more frame of each.

        Raises:
            DatasetError: there are fewer frames than that.

        """
        rng = np.random.default_rng(seed)
        pools = [[int(index) for index in rng.permutation(np.flatnonzero(self.episode == one))
                  if usable(int(index))] for one in rng.permutation(np.unique(self.episode))]
        picked = [index for index, _ in zip(_round_robin(pools), range(count), strict=False)]
        if len(picked) < count:
            raise DatasetError(f'{str(self.folder)!r} has {len(picked)} usable frames, {count} '
                               'are asked for; record more, or ask for fewer')
        return sorted(picked)

    def sha256(self) -> str:
        """Return a hash over everything in the folder, 64 hex digits."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob('*')):
            if path.is_file():
                digest.update(path.relative_to(self.folder).as_posix().encode())
                with path.open('rb') as file:
                    digest.update(hashlib.file_digest(file, 'sha256').digest()
                                  if hasattr(hashlib, 'file_digest')
                                  else hashlib.sha256(file.read()).digest())
        return digest.hexdigest()


def _round_robin(pools: list[list[int]]) -> Iterator[int]:
    for turn in range(max(map(len, pools), default=0)):
        yield from (pool[turn] for pool in pools if turn < len(pool))


def _size(feature: dict[str, Any]) -> tuple[int, int]:
    """Return (height, width) of a camera feature, whichever order its shape has."""
    shape, names = list(feature['shape']), feature.get('names') or []
    if 'channels' in names[:1] or 'channel' in names[:1] or (not names and shape[0] == 3):
        shape = shape[1:]
    return int(shape[0]), int(shape[1])


def _names(features: dict[str, Any], key: str, folder: Path) -> tuple[str, ...]:
    if key not in features:
        raise DatasetError(f'{str(folder)!r} has no {key!r}; it has {sorted(features)}')
    names = features[key].get('names')
    if isinstance(names, dict):  # {'motors': [...]}, as converters write it
        names = next(iter(names.values()))
    return tuple(str(name) for name in names) if names else tuple(
        f'{key}.{index}' for index in range(int(features[key]['shape'][0])))


def _matrix(tables: list[Any], name: str) -> FloatArray:
    return np.concatenate([np.stack([np.atleast_1d(np.asarray(value, dtype=float)) for value in
                                     table[name].to_pylist()]) if table.num_rows
                           else np.zeros((0, 1)) for table in tables])


class _Groups:
    """Row groups of picture columns, the ones used last, up to a number of bytes."""

    def __init__(self, limit: int = CACHED_BYTES) -> None:
        self._limit, self._held = limit, 0
        self._groups: OrderedDict[tuple[Path, int, str], tuple[list[dict[str, Any]], int]] = (
            OrderedDict())

    def get(self, path: Path, group: int, column: str) -> list[dict[str, Any]]:
        """Return the values of a column in a row group."""
        key = (path, group, column)
        if key in self._groups:
            self._groups.move_to_end(key)
            return self._groups[key][0]
        table = _file(path).read_row_group(group, columns=[column])
        self._groups[key] = table[column].to_pylist(), table.nbytes
        self._held += table.nbytes
        while self._held > self._limit and len(self._groups) > 1:
            self._held -= self._groups.popitem(last=False)[1][1]
        return self._groups[key][0]


@lru_cache(maxsize=8)
def _file(path: Path) -> Any:
    return parquet.ParquetFile(path)


@lru_cache(maxsize=8)
def _group_ends(path: Path) -> FloatArray:
    metadata = _file(path).metadata
    return np.cumsum([metadata.row_group(group).num_rows
                      for group in range(metadata.num_row_groups)])


_GROUPS = _Groups()


def _cell(path: Path, row: int, column: str) -> dict[str, Any]:
    """Return one value, reading no more than its row group."""
    ends = _group_ends(path)
    group = int(np.searchsorted(ends, row, side='right'))
    return _GROUPS.get(path, group, column)[row - (int(ends[group - 1]) if group else 0)]
