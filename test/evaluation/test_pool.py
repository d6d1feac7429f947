# SPDX-License-Identifier: Apache-2.0
"""Episodes in processes: complete, in order, the same anywhere, whoever dies."""

from collections import Counter
import importlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('torch')
pytest.importorskip('mujoco')

from vla_drop_ros.errors import EvaluationError, TaskError  # noqa: E402
from vla_drop_ros.evaluation import pool  # noqa: E402
from vla_drop_ros.evaluation.episodes import Job  # noqa: E402
from vla_drop_ros.evaluation.record import Record  # noqa: E402
from vla_drop_ros.manifest import load_manifest  # noqa: E402
from vla_drop_ros.resources import share_path  # noqa: E402


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of jobs, where spawned processes find it too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module('mortal_jobs')


def jobs_of(folder: Path, count: int) -> list[Job]:
    """Return jobs with the seeds 0 to count - 1."""
    return [Job(str(folder), 'f8a940dc8b3e', seed) for seed in range(count)]


def starts(folder: Path) -> Counter[int]:
    """Return how often each seed was started."""
    return Counter(int(line) for line in (folder / 'starts').read_text().split())


@pytest.mark.slow
def test_a_killed_process_loses_nothing(tmp_path: Path, mortal: Any) -> None:
    """Only the episode that the process ran starts again; the rest stays, and in order."""
    heard: list[int] = []
    with Record(tmp_path / 'episodes.jsonl') as record:
        results = pool.run(jobs_of(tmp_path, 6), 2, record, lambda job, _: heard.append(job.seed),
                           function=mortal.die_once)
        assert [record[job.key] for job in jobs_of(tmp_path, 6)] == results
    assert [one['seed'] for one in results] == list(range(6))
    assert sorted(heard) == list(range(6))
    assert starts(tmp_path) == {**dict.fromkeys(range(6), 1), 2: 2}
    assert len({one['process'] for one in results}) == 3  # the two, and the one that replaced one


@pytest.mark.slow
def test_a_job_that_kills_every_process_is_named(tmp_path: Path, mortal: Any) -> None:
    """After three new starts the run ends with the job's name; the others can go on later."""
    path, jobs = tmp_path / 'episodes.jsonl', jobs_of(tmp_path, 4)
    with Record(path) as record, pytest.raises(EvaluationError, match=r'seed=2.*4 times.*-9'):
        pool.run(jobs, 2, record, function=mortal.die_always)
    assert starts(tmp_path)[2] == 1 + pool.RESTARTS
    with Record(path) as record:
        finished = [job.seed for job in jobs if job.key in record]
        assert 2 not in finished
        pool.run(jobs, 1, record, function=mortal.note)
    assert all(starts(tmp_path)[seed] == 1 for seed in finished)


@pytest.mark.parametrize(('name', 'kind', 'words'), [
    ('refuse', TaskError, 'no task in scene'), ('stumble', RuntimeError, 'KeyError')])
def test_an_error_comes_back(tmp_path: Path, mortal: Any, name: str, kind: type[Exception],
                             words: str) -> None:
    """What a user can mend keeps its type, anything else brings its trace; nothing is retried."""
    with pytest.raises(kind, match=words):
        pool.run(jobs_of(tmp_path, 2), 2, function=getattr(mortal, name))


def test_what_is_recorded_is_not_run_again(tmp_path: Path, mortal: Any) -> None:
    """A second run goes on where the first ended, also with a checkpoint folder elsewhere."""
    path, elsewhere = tmp_path / 'episodes.jsonl', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    with Record(path) as record:
        before = pool.run(jobs_of(tmp_path, 3), record=record, function=mortal.note)
    heard: list[int] = []
    with Record(path) as record:
        after = pool.run(jobs_of(elsewhere, 5)[::-1], 1, record,
                         lambda job, _: heard.append(job.seed), function=mortal.note)
    assert after[:1:-1] == before
    assert heard == [2, 1, 0, 4, 3]
    assert starts(elsewhere) == {3: 1, 4: 1}


def test_equal_jobs_run_once(tmp_path: Path, mortal: Any) -> None:
    """A job that is asked for twice has one result, in both places."""
    results = pool.run(jobs_of(tmp_path, 2) * 2, function=mortal.note)
    assert [one['seed'] for one in results] == [0, 1, 0, 1]
    assert starts(tmp_path) == {0: 1, 1: 1}


def test_no_jobs_and_no_workers() -> None:
    """Nothing to do is done at once; nobody to do it is refused."""
    assert pool.run([], 2) == []
    with pytest.raises(EvaluationError, match='at least 1'):
        pool.run([], 0)


@pytest.mark.slow
@pytest.mark.usefixtures('one_thread')
def test_outcomes_do_not_depend_on_the_process() -> None:
    """The shipped policy does the same in this process and in two others, but for its speed."""
    folder = share_path('models', 'reference')
    jobs = [Job(str(folder), load_manifest(folder).short, seed, 'hard') for seed in (0, 1, 2)]
    outcomes = [pool.run(jobs, workers) for workers in (1, 2)]
    for one in (*outcomes[0], *outcomes[1]):
        assert one.pop('latency') > 0
    assert outcomes[0] == outcomes[1]
