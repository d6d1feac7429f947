# SPDX-License-Identifier: Apache-2.0
"""A recording that was cut off at any place opens again with all its whole parts."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import shutil
import sys
from typing import Any

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.bag_writer import BagWriter
from vla_drop_ros.trials.torn_bag import mend

pytest.importorskip('rosbags.rosbag2')
SPEC = spec_from_file_location('bag_bench', Path(__file__).with_name('bag_bench.py'))
assert SPEC is not None and SPEC.loader is not None
bench: Any = module_from_spec(SPEC)
sys.modules[SPEC.name] = bench
SPEC.loader.exec_module(bench)


def recording(study: Path, pictures: int = 40) -> Path:
    """Return the folder of a whole recording."""
    bag = BagWriter(study, '7', 'jazzy')
    for number in range(pictures):
        bag.write(bench.CAMERA, number + 1, bench.picture(number))
    return study / bag.close().uri


def test_a_recorder_that_was_killed(tmp_path: Path) -> None:
    """After kill -9 all but the last part can be read; the next recording leaves it alone."""
    process = bench.write_elsewhere(tmp_path, limit=2**30, pictures=80)
    assert process.stdout.readline() == 'written\n'
    process.kill()
    process.communicate(timeout=60)
    torn = tmp_path / 'bags/7'
    assert [path.name for path in torn.iterdir()] == ['7.mcap']
    before = (torn / '7.mcap').read_bytes()
    assert BagWriter(tmp_path, '7', 'jazzy').close().uri == 'bags/7-2'
    assert (torn / '7.mcap').read_bytes() == before
    left = mend(torn, 'jazzy')
    kept = left.messages['/camera']
    assert kept >= 40 and left.span == (1, kept)
    assert bench.read(torn) == [
        ('/camera', number + 1, bench.picture(number)) for number in range(kept)]


def test_cut_anywhere(tmp_path: Path) -> None:
    """Wherever the file is cut, nothing but whole messages in their order are left."""
    whole = recording(tmp_path)
    data, expected = (whole / '7.mcap').read_bytes(), bench.read(whole)
    counts = []
    for share in (0.01, 0.3, 0.6, 0.9, 0.999, 1.0):
        folder = tmp_path / f'cut-{share}'
        folder.mkdir()
        (folder / '7.mcap').write_bytes(data[:int(len(data) * share)])
        left = mend(folder)
        found = bench.read(folder)
        assert found == expected[:len(found)] and sum(left.messages.values()) == len(found)
        assert left.span == ((1, len(found)) if found else (0, 0))
        counts.append(len(found))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == 40


def test_room(tmp_path: Path) -> None:
    """On a full disk the file becomes shorter by what its end needs."""
    folder = recording(tmp_path)
    (folder / 'metadata.yaml').unlink()
    before = (folder / '7.mcap').stat().st_size
    mend(folder, room=2**16)
    assert (folder / '7.mcap').stat().st_size < before - 2**16 + 100
    assert 20 < len(bench.read(folder)) < 40


def test_what_cannot_be_mended(tmp_path: Path) -> None:
    """A whole recording, an empty folder and another file are left as they are."""
    whole = recording(tmp_path, 2)
    (tmp_path / 'empty').mkdir()
    other = tmp_path / 'other'
    shutil.copytree(whole, other)
    (other / 'metadata.yaml').unlink()
    (other / '7.mcap').write_bytes(b'no recording at all')
    for folder in (whole, tmp_path / 'empty', other):
        before = {path: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(TrialError):
            mend(folder)
        assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_verb_mends_what_is_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole recordings are left alone, and a second call finds nothing to do."""
    bag = recording(tmp_path)
    whole = sorted(path.name for path in bag.iterdir())
    assert main(['trials', 'mend', str(tmp_path)]) == 0
    assert '0 of 1 recordings mended' in capsys.readouterr().out
    (bag / 'metadata.yaml').unlink()
    assert main(['trials', 'mend', str(tmp_path)]) == 0
    assert '1 of 1 recordings mended' in capsys.readouterr().out
    assert sorted(path.name for path in bag.iterdir()) == whole
