# SPDX-License-Identifier: Apache-2.0
"""Episodes on a Ray cluster of two nodes: the same as here, and none is lost with a node.

Functions inside the tests travel with their code; the nodes do not have this module.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import signal
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip('torch')
pytest.importorskip('mujoco')

from vla_drop_ros.errors import (  # noqa: E402
    CheckpointError,
    EvaluationError,
    MissingDependencyError,
    TaskError,
)
from vla_drop_ros.evaluation import cluster, pool  # noqa: E402
from vla_drop_ros.evaluation.episodes import Job  # noqa: E402
from vla_drop_ros.evaluation.record import Record  # noqa: E402
from vla_drop_ros.manifest import load_manifest, MANIFEST_FILE  # noqa: E402
from vla_drop_ros.resources import share_path  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what this process unpacks out of the user's cache; nodes have their own."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture(scope='module')
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a cluster of two nodes with one CPU each, whose cache was empty."""
    pytest.importorskip('ray')
    from ray.cluster_utils import Cluster
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('node') / 'cache'))
        patch.setenv('RAY_USAGE_STATS_ENABLED', '0')
        nodes = Cluster(initialize_head=True,
                        head_node_args={'num_cpus': 1, 'include_dashboard': False})
        nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


def jobs_of(folder: Path, *seeds: int) -> list[Job]:
    """Return jobs of a checkpoint."""
    return [Job(str(folder), load_manifest(folder).short, seed) for seed in seeds]


@pytest.mark.slow
@pytest.mark.usefixtures('one_thread')
def test_outcomes_do_not_depend_on_the_node(two_nodes: Any) -> None:
    """The shipped policy does the same on the nodes as in this process, but for its speed."""
    jobs = jobs_of(share_path('models', 'reference'), 0, 1, 2)
    outcomes = [pool.run(jobs, cluster=address) for address in (None, two_nodes.address)]
    for one in (*outcomes[0], *outcomes[1]):
        assert one.pop('latency') > 0
    assert outcomes[0] == outcomes[1]


@pytest.mark.slow
def test_a_checkpoint_travels(two_nodes: Any, tiny_checkpoint: Path) -> None:
    """A node works on a verified copy in its cache, whatever lies where the user had it."""
    def where(job: Job) -> dict[str, Any]:
        return {'folder': job.folder}

    (result,) = pool.run(jobs_of(tiny_checkpoint, 0), cluster=two_nodes.address, function=where)
    copy = Path(result['folder'])
    assert copy != tiny_checkpoint and copy.name == load_manifest(tiny_checkpoint).identity
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}


@pytest.mark.slow
def test_errors_come_back(two_nodes: Any, tiny_checkpoint: Path) -> None:
    """What a user can mend keeps its type and names the node; anything else brings its trace."""
    def refuse(job: Job) -> dict[str, Any]:
        raise TaskError(f'no task in scene {job.seed}')

    def stumble(job: Job) -> dict[str, Any]:
        raise KeyError(job.seed)

    jobs = jobs_of(tiny_checkpoint, 0)
    with pytest.raises(TaskError, match='on node .*: no task in scene 0'):
        pool.run(jobs, cluster=two_nodes.address, function=refuse)
    with pytest.raises(RuntimeError, match='KeyError'):
        pool.run(jobs, cluster=two_nodes.address, function=stumble)


@pytest.mark.slow
def test_a_lost_node_loses_nothing(two_nodes: Any, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The second node is killed while it runs an episode; all episodes are there, once each."""
    (second,) = two_nodes.worker_nodes
    head, meeting, starts = two_nodes.head_node.node_id, tmp_path / 'pipe', tmp_path / 'starts'
    os.mkfifo(meeting)
    starts.mkdir()

    def run(job: Job) -> dict[str, Any]:
        import ray
        node = ray.get_runtime_context().get_node_id()
        (starts / f'{job.seed} {node}').touch()
        if node != head:  # be there until the node dies
            with meeting.open('w'):
                signal.pause()
        elif all(path.name.endswith(head) for path in starts.iterdir()):
            with meeting.open():  # wait for the other node to be at work
                pass
        return {'seed': job.seed, 'node': node}

    def kill(_job: Job, _result: dict[str, Any]) -> None:
        if second in two_nodes.worker_nodes:
            two_nodes.remove_node(second, allow_graceful=False)

    jobs = jobs_of(tiny_checkpoint, *range(5))
    with Record(tmp_path / 'episodes.jsonl') as record:
        results = pool.run(jobs, 1, record, kill, two_nodes.address, run)
        assert [record[job.key] for job in jobs] == results
    assert results == [{'seed': seed, 'node': head} for seed in range(5)]
    assert len(list(starts.iterdir())) == 6  # one of them on both nodes


def test_no_cluster(tiny_checkpoint: Path) -> None:
    """An address at which nothing listens is refused within seconds, with the remedy."""
    pytest.importorskip('ray')
    for address in ('127.0.0.1:1', 'ray://127.0.0.1:1', 'nowhere'):
        with pytest.raises(EvaluationError, match='ray start --head'):
            pool.run(jobs_of(tiny_checkpoint, 0), cluster=address)


def test_without_ray(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ray is not installed, an address names the command that installs it."""
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(MissingDependencyError, match='pip install ray'):
        pool.run(jobs_of(tiny_checkpoint, 0), cluster='auto')


def test_other_software_is_refused() -> None:
    """A node with another version of what computes says which, and what was wanted."""
    cluster.check_software(cluster.software())
    with pytest.raises(EvaluationError, match=r'numpy .* instead of 1\.0'):
        cluster.check_software({**cluster.software(), 'numpy': '1.0'})


def contents(folder: Path) -> dict[str, np.ndarray]:
    """Return the files of a checkpoint, as they travel."""
    return {path.name: np.fromfile(path, np.uint8) for path in folder.iterdir()}


def test_unpacking_once(tiny_checkpoint: Path) -> None:
    """A copy is written once, found again, and written anew where it was damaged."""
    identity, fetched = load_manifest(tiny_checkpoint).identity, []

    def fetch() -> dict[str, np.ndarray]:
        fetched.append(1)
        return contents(tiny_checkpoint)

    folder = cluster.unpack(identity, fetch)
    assert cluster.unpack(identity, fetch) == folder and len(fetched) == 1
    (folder / 'tokenizer.json').write_text('{}')
    assert cluster.unpack(identity, fetch) == folder and len(fetched) == 2
    assert contents(folder).keys() == contents(tiny_checkpoint).keys()


def test_unpacking_something_else(tiny_checkpoint: Path) -> None:
    """What came damaged or for another checkpoint is never put where it would be used."""
    files, identity = contents(tiny_checkpoint), load_manifest(tiny_checkpoint).identity
    with pytest.raises(EvaluationError, match='came for 000000000000'):
        cluster.unpack('0' * 64, lambda: files)
    files['tokenizer.json'] = files['tokenizer.json'][:-1]
    with pytest.raises(CheckpointError, match='tokenizer'):
        cluster.unpack(identity, lambda: files)
    assert not [path for path in cluster.cache_folder().iterdir()
                if path.suffix == '' and (path / MANIFEST_FILE).exists()]
