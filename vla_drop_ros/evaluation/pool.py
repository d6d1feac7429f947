# SPDX-License-Identifier: Apache-2.0
"""Run episodes: in this process, in several, or on a Ray cluster; the results are the same.

Each process runs one job at a time and nothing is queued behind it, so that one which dies takes
nothing along but the episode it was running.
"""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from multiprocessing import connection, get_context
import signal
import traceback
from typing import Any

from vla_drop_ros.errors import EvaluationError, VlaDropError
from vla_drop_ros.evaluation import cluster as ray_cluster
from vla_drop_ros.evaluation.episodes import Job, run_job
from vla_drop_ros.evaluation.record import Key, Record

RESTARTS = 3  # of a job whose process died
CONTEXT = get_context('spawn')  # a forked copy of torch or of an OpenGL context hangs
Result = dict[str, Any]
Function = Callable[[Job], Result]
Finished = Generator[tuple[Job, Result], None, None]


def run(jobs: Sequence[Job], workers: int = 1, record: Record | None = None,
        progress: Callable[[Job, Result], None] | None = None, cluster: str | None = None,
        function: Function = run_job) -> list[Result]:
    """Return the results of jobs, in their order; equal jobs run once.

    Call ``prepare_rendering`` before this module is imported.

    Args:
        jobs: the episodes.
        workers: processes on this machine; 1 is this process itself. A cluster has its own number.
        record: knows episodes that are not run again; gets each as it finishes.
        progress: hears each job with its result in this process as it is known: the recorded ones
            first, then in the order in which they finish.
        cluster: address of a Ray cluster that runs the episodes, for instance ``auto``,
            ``10.0.0.1:6379`` or ``ray://10.0.0.1:10001``.
        function: what runs a job; spawned processes import it by name.

    Raises:
        EvaluationError: the process of a job died again and again, or the cluster cannot be used.
        VlaDropError: whatever a job raises that a user can mend; other errors as RuntimeError
            with the trace, from another process. Episodes that had begun by then are finished
            first, here, and all that have finished are in the record.

    """
    if workers < 1:
        raise EvaluationError(f'{workers} workers; at least 1 is needed')
    results: dict[Key, Result] = {}
    left: dict[Key, Job] = {}

    def keep(job: Job, result: Result) -> None:
        results[job.key] = result
        if progress is not None:
            progress(job, result)

    for job in jobs:
        if job.key in results or job.key in left:
            continue
        if record is not None and job.key in record:
            keep(job, record[job.key])
        else:
            left[job.key] = job
    with closing(_finished(list(left.values()), workers, cluster, function)) as finished:
        for job, result in finished:
            if record is not None:
                record.add(job.key, result)
            keep(job, result)
    return [results[job.key] for job in jobs]


def _finished(jobs: list[Job], workers: int, cluster: str | None, function: Function) -> Finished:
    """Yield each job with its result as it finishes."""
    if not jobs:
        return
    if cluster is not None:
        yield from ray_cluster.finished(jobs, cluster, function, RESTARTS)
    elif workers == 1:
        for job in jobs:
            yield job, function(job)
    else:
        yield from _in_processes(jobs, min(workers, len(jobs)), function)


class _Worker:
    """A process that runs one job at a time, and its successors when it dies."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._process: Any = None
        self.pipe: Any = None
        self.job: Job | None = None
        self.status: int | None = None  # exit status of the last one, negative for a signal

    def start(self, job: Job) -> None:
        """Run a job; if the process has died meanwhile, the pipe ends, which ``take`` sees."""
        if self._process is None:
            self.pipe, far = CONTEXT.Pipe()
            self._process = CONTEXT.Process(target=_serve, args=(far, self._function), daemon=True)
            self._process.start()
            far.close()  # the process has the only one: when it dies, the pipe ends
        self.job = job
        with suppress(OSError):
            self.pipe.send(job)

    def take(self) -> tuple[Job, Result | Exception | None]:
        """Return the job that has ended, and what came of it: None if the process died."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            return job, self.pipe.recv()
        except (EOFError, OSError):  # OSError: in the middle of an answer
            self.stop()
            return job, None

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self.pipe.close()
            self._process.kill()
            self._process.join()
            self.status, self._process = self._process.exitcode, None


def _serve(pipe: Any, function: Function) -> None:
    """Run jobs until the other end of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends this process
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            answer: Result | Exception
            try:
                answer = function(job)
            except VlaDropError as error:
                answer = error
            except Exception:  # noqa: BLE001 - a process boundary: it is raised at the other end
                answer = RuntimeError(f'{job} failed in its process\n{traceback.format_exc()}')
            pipe.send(answer)


def _in_processes(jobs: list[Job], count: int, function: Function) -> Finished:
    """Yield what processes finish; after an error none starts, and it is raised at the end."""
    waiting = jobs[::-1]
    deaths = Counter[Key]()
    problem: Exception | None = None
    workers = [_Worker(function) for _ in range(count)]
    try:
        for worker in workers:
            worker.start(waiting.pop())
        while busy := {worker.pipe: worker for worker in workers if worker.job is not None}:
            for pipe in connection.wait(list(busy)):
                worker = busy[pipe]
                job, answer = worker.take()
                if answer is None:
                    deaths[job.key] += 1
                    answer = _judge(job, deaths[job.key], worker.status)
                    waiting.append(job)
                if isinstance(answer, Exception):
                    problem = problem or answer
                if waiting and problem is None:
                    worker.start(waiting.pop())
                if isinstance(answer, dict):
                    yield job, answer
    finally:
        for worker in workers:
            worker.stop()
    if problem is not None:
        raise problem


def _judge(job: Job, deaths: int, status: int | None) -> EvaluationError | None:
    """Return the error of a job that its processes do not survive, None if it may start again."""
    if deaths <= RESTARTS:
        return None
    return EvaluationError(
        f'the process that ran {job} died {deaths} times, the last time with exit status '
        f'{status}; -9 is often a lack of memory, which fewer workers mend')
