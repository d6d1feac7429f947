# SPDX-License-Identifier: Apache-2.0
"""Pictures in videos are found by their time, whichever frame was asked for before."""

import json
from pathlib import Path
import shutil

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from vla_drop_ros.dataset.reader import Dataset, INFO_FILE
from vla_drop_ros.dataset.video import read_frame
from vla_drop_ros.errors import DatasetError

av = pytest.importorskip('av')
FPS, FRAMES = 10, 45


@pytest.fixture(scope='module')
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video whose frame n is of brightness 5 n, with few key frames."""
    path = tmp_path_factory.mktemp('film') / 'film.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(
            'mpeg4', rate=FPS, options={'g': '12', 'qmin': '1', 'qmax': '1'})
        stream.width = stream.height = 32
        stream.pix_fmt = 'yuv420p'
        for number in range(FRAMES):
            picture = np.full((32, 32, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize('number', [0, 1, 11, 12, 13, 30, 44, 3])
def test_the_frame_of_a_time_is_found(film: Path, number: int) -> None:
    """Before, at and behind key frames, forwards and backwards."""
    assert read_frame(film, number / FPS, FPS).mean() == pytest.approx(5 * number, abs=2)


def test_stamps_may_be_rounded(film: Path) -> None:
    """A stamp in float32, a little before or behind the frame, means that frame."""
    for off in (-0.01, 0.01):
        assert read_frame(film, 2.0 + off, FPS).mean() == pytest.approx(100, abs=2)


def test_faults_are_named(film: Path, tmp_path: Path) -> None:
    """Times behind the end, and files that are none."""
    with pytest.raises(DatasetError, match='ends before 9.000 s'):
        read_frame(film, 9.0, FPS)
    (tmp_path / 'torn.mp4').write_bytes(film.read_bytes()[:200])
    with pytest.raises(DatasetError, match='cannot be opened'):
        read_frame(tmp_path / 'torn.mp4', 0.0, FPS)


def test_a_dataset_with_videos_is_read(film: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """Episodes lie one behind the other in a file, and each knows where its part begins."""
    folder = Path(shutil.copytree(tiny_dataset, tmp_path / 'copy'))
    info = json.loads((folder / INFO_FILE).read_text())
    key = 'observation.images.front'
    info['features'][key].update(dtype='video', shape=[32, 32, 3])
    info['video_path'] = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
    (folder / INFO_FILE).write_text(json.dumps(info))
    (folder / f'videos/{key}/chunk-000').mkdir(parents=True)
    shutil.copy(film, folder / f'videos/{key}/chunk-000/file-000.mp4')
    path = folder / 'meta/episodes/chunk-000/file-000.parquet'
    rows = parquet.read_table(path).to_pylist()
    for row in rows:
        row.update({f'videos/{key}/chunk_index': 0, f'videos/{key}/file_index': 0,
                    f'videos/{key}/from_timestamp': row['dataset_from_index'] / FPS})
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    dataset = Dataset(folder)
    for index in (0, 4, 5, 20, 44, 6):
        assert dataset.image(index, 'front').mean() == pytest.approx(5 * index, abs=2)
    assert dataset.image(0, 'wrist').shape == (20, 20, 3)
