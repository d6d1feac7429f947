# SPDX-License-Identifier: Apache-2.0
"""A recording holds the very bytes that came, says what it lost, and overwrites nothing."""

import ast
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from typing import Any

import pytest
import yaml

from vla_drop_ros.dataset.bag import Bag
from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.bag_writer import BagWriter, Topic

pytest.importorskip('rosbags.rosbag2')
SPEC = spec_from_file_location('bag_bench', Path(__file__).with_name('bag_bench.py'))
assert SPEC is not None and SPEC.loader is not None
bench: Any = module_from_spec(SPEC)
sys.modules[SPEC.name] = bench
SPEC.loader.exec_module(bench)


def metadata(bag: Path) -> Any:
    """Return what metadata.yaml says."""
    return yaml.safe_load((bag / 'metadata.yaml').read_text())['rosbag2_bagfile_information']


def test_the_very_bytes(tmp_path: Path) -> None:
    """Topics, stamps and bytes come back in the order of the stamps; the report counts them."""
    bag = BagWriter(tmp_path, '17', 'jazzy')
    sent = [('/instruction', 5, bench.text('go'))]
    sent += [('/camera', 10 + number, bench.picture(number)) for number in range(40)]
    for name, stamp, data in sent:
        bag.write(bench.INSTRUCTION if name == '/instruction' else bench.CAMERA, stamp, data)
    report = bag.close()
    assert bench.read(tmp_path / 'bags/17') == sent
    assert report.messages == {'/instruction': 1, '/camera': 40} and report.lost == {}
    assert (report.code, report.uri, report.start, report.end) == ('17', 'bags/17', 5, 49)
    assert report.problem == ''
    assert report.sha256 == sha256((tmp_path / 'bags/17/17.mcap').read_bytes()).hexdigest()
    with Bag(tmp_path / 'bags/17') as opened:
        assert [message.data for _, message in opened.read(['/instruction'])] == ['go']


def test_stamps_may_go_back(tmp_path: Path) -> None:
    """A clock that was set back spoils neither the recording nor its begin and end."""
    bag = BagWriter(tmp_path, '1')
    for stamp in (30, 10, 20):
        bag.write(bench.INSTRUCTION, stamp, bench.text(str(stamp)))
    report = bag.close()
    assert (report.start, report.end) == (10, 30)
    assert [stamp for _, stamp, _ in bench.read(tmp_path / 'bags/1')] == [10, 20, 30]


@pytest.mark.parametrize('distro, version', [('jazzy', 9), ('kilted', 9), ('humble', 8)])
def test_metadata_of_each_distribution(tmp_path: Path, distro: str, version: int) -> None:
    """`ros2 bag` finds file, types, hashes, distribution, and the quality of a latched topic."""
    bag = BagWriter(tmp_path, '1', distro)
    bag.write(bench.INSTRUCTION, 5, bench.text('go'))
    bag.write(bench.CAMERA, 25, bench.picture(0))
    bag.close()
    found = metadata(tmp_path / 'bags/1')
    assert (found['version'], found['storage_identifier'], found['ros_distro']) == (
        version, 'mcap', distro)
    assert found['relative_file_paths'] == ['1.mcap'] and found['message_count'] == 2
    assert found['duration']['nanoseconds'] == 20
    topics = {one['topic_metadata']['name']: one['topic_metadata']
              for one in found['topics_with_message_count']}
    quality = topics['/instruction']['offered_qos_profiles']
    quality = yaml.safe_load(quality)[0] if version == 8 else quality[0]
    # Numbers of the middleware in version 8, names since.
    assert (quality['reliability'], quality['durability']) == (
        (1, 1) if version == 8 else ('reliable', 'transient_local'))
    assert topics['/camera']['type_description_hash'].startswith('RIHS01_')


def test_definitions_are_in_the_file(tmp_path: Path) -> None:
    """The file alone says what its messages look like, and what was offered."""
    from rosbags.interfaces import ConnectionExtRosbag2
    from rosbags.rosbag2 import Reader
    bag = BagWriter(tmp_path, '1', 'jazzy')
    bag.write(bench.INSTRUCTION, 5, bench.text('go'))
    bag.close()
    with Reader(tmp_path / 'bags/1/1.mcap') as reader:
        channel, = reader.connections
        assert channel.msgdef.data.strip() == 'string data'
        assert isinstance(channel.ext, ConnectionExtRosbag2)
        assert channel.ext.offered_qos_profiles[0].durability.name == 'TRANSIENT_LOCAL'


def test_nothing_tells_the_arm(tmp_path: Path) -> None:
    """Folder, file and metadata have no name but the code of the trial."""
    bag = BagWriter(tmp_path, '17', 'jazzy')
    bag.write(bench.INSTRUCTION, 5, bench.text('go'))
    bag.close()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*')) == [
        'bags', 'bags/17', 'bags/17/17.mcap', 'bags/17/metadata.yaml']
    assert metadata(tmp_path / 'bags/17')['custom_data'] is None


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A trial of the same code is recorded beside the first, whatever that one is."""
    (tmp_path / 'bags/3').mkdir(parents=True)
    uris = []
    for _ in range(2):
        bag = BagWriter(tmp_path, '3')
        bag.write(bench.INSTRUCTION, 5, bench.text('go'))
        uris.append(bag.close().uri)
    assert uris == ['bags/3-2', 'bags/3-3'] and list((tmp_path / 'bags/3').iterdir()) == []


@pytest.mark.parametrize('code', ['', '../17', 'a/b', '-x', 'x' * 33, '1 7'])
def test_a_code_is_no_path(tmp_path: Path, code: str) -> None:
    """What cannot be the name of a folder in bags/ is refused."""
    with pytest.raises(TrialError, match='code of a trial'):
        BagWriter(tmp_path, code)
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    """Where no folder can be made, the error names it."""
    (tmp_path / 'bags').write_text('a file')
    with pytest.raises(TrialError, match='bags'):
        BagWriter(tmp_path, '1')


def test_what_does_not_fit_is_lost(tmp_path: Path) -> None:
    """A message that the queue has no room for is counted by topic, and nobody waits for it."""
    bag = BagWriter(tmp_path, '1', queue=1000)
    for number in range(3):
        bag.write(bench.CAMERA, number, bench.picture(number))
    assert bag.lost == 3
    bag.write(bench.INSTRUCTION, 7, bench.text('go'))
    bag.lose('/tf', 2)
    report = bag.close()
    assert report.lost == {'/camera': 3, '/tf': 2} and report.messages == {'/instruction': 1}
    bag.write(bench.INSTRUCTION, 8, bench.text('late'))
    assert bag.report == report


def test_unknown_type(tmp_path: Path) -> None:
    """A topic of a type that nothing defines is lost alone, and named."""
    bag = BagWriter(tmp_path, '1', 'jazzy')
    bag.write(Topic('/strange', 'no_such_msgs/msg/Thing'), 1, b'abcd')
    bag.write(bench.INSTRUCTION, 2, bench.text('go'))
    report = bag.close()
    assert report.lost == {'/strange': 1} and '/strange' in report.problem
    assert bench.read(tmp_path / 'bags/1') == [('/instruction', 2, bench.text('go'))]


def test_without_messages(tmp_path: Path) -> None:
    """A trial in which nothing was heard leaves an empty recording, which opens."""
    report = BagWriter(tmp_path, '1').close()
    assert (report.messages, report.start, report.end) == ({}, 0, 0)
    assert bench.read(tmp_path / 'bags/1') == []


def test_full_disk(tmp_path: Path) -> None:
    """Before the disk is full the recording ends, says why, and opens as any other."""
    bag = BagWriter(tmp_path, '1', spare=2**62)
    for number in range(30):
        bag.write(bench.CAMERA, number + 1, bench.picture(number))
    report = bag.close()
    assert 'the disk is full' in report.problem
    kept = report.messages['/camera']
    assert 0 < kept < 30 and report.lost == {'/camera': 30 - kept}
    assert bench.read(tmp_path / 'bags/1') == [
        ('/camera', number + 1, bench.picture(number)) for number in range(kept)]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    """Where a write fails all of a sudden, what was written whole is kept, and opens."""
    process = bench.write_elsewhere(tmp_path, limit=5 * 2**20, pictures=100)
    out, _ = process.communicate('\n', timeout=60)
    messages, lost, end, problem = ast.literal_eval(out.splitlines()[-1])
    assert 'the disk takes no more' in problem and process.returncode == 0
    kept = messages['/camera']
    assert 30 < kept < 55 and lost == {'/camera': 100 - kept} and end == kept
    assert bench.read(tmp_path / 'bags/7') == [
        ('/camera', number + 1, bench.picture(number)) for number in range(kept)]
    assert metadata(tmp_path / 'bags/7')['message_count'] == kept
