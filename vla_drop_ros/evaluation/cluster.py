# SPDX-License-Identifier: Apache-2.0
"""Run episodes on the nodes of a Ray cluster; ray is imported only when an address is given.

A checkpoint travels through Ray's object store, once a node, and is unpacked into a cache folder
there, so that nodes need this package and no shared disk. Ray starts a task again whose process
or node died; results lie in this process as soon as a task has ended, so that none is lost.
"""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
import fcntl
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import pickle
import platform
import shutil
import socket
from typing import Any, TYPE_CHECKING

import numpy as np

from vla_drop_ros import __version__
from vla_drop_ros.errors import EvaluationError, MissingDependencyError, VlaDropError
from vla_drop_ros.manifest import MANIFEST_FILE, verify
from vla_drop_ros.simulation.opengl import prepare_rendering

if TYPE_CHECKING:  # on a node it imports MuJoCo, before which the renderer is chosen
    from vla_drop_ros.evaluation.episodes import Job

ANSWER_TIME = 10.0  # [s] in which the cluster takes a connection
SUBMITTED = 1000  # tasks at a time: enough for an autoscaler to see what is wanted
COMPUTES = ('mujoco', 'numpy', 'torch', 'transformers')  # what the numbers come from
Finished = Generator[tuple['Job', dict[str, Any]], None, None]
_UNPACKED: dict[str, Path] = {}


def finished(jobs: Sequence['Job'], address: str, function: Callable[['Job'], dict[str, Any]],
             restarts: int) -> Finished:
    """Yield each job with its result as it finishes, anywhere on the cluster.

    Args:
        jobs: each takes one CPU of the cluster.
        address: of the cluster. If this process has joined one already, that is used and stays.
        function: what runs a job; pickled by name if the nodes have its module.
        restarts: how often a job is started again whose process or node died.

    Raises:
        MissingDependencyError: ray is not installed.
        EvaluationError: there is no cluster at the address, its nodes have other versions of what
            computes, or the process of a job died again and again.
        CheckpointError: a folder is damaged or not the checkpoint of its job.
        VlaDropError: whatever a job raises; other errors come as RuntimeError with the trace.

    """
    ray = _import_ray()
    joined = not ray.is_initialized()
    if joined:
        _join(ray, address)
    try:
        yield from _run(ray, jobs, function, restarts)
    finally:
        if joined:
            ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            'episodes on a cluster need the package ray, here and on every node: '
            'pip install ray') from error
    return ray


def _join(ray: Any, address: str) -> None:
    host, colon, port = address.removeprefix('ray://').rpartition(':')
    try:
        if colon:  # ray itself tries for minutes
            socket.create_connection((host.strip('[]'), int(port)), ANSWER_TIME).close()
        ray.init(address, log_to_driver=False, logging_level='error')
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise EvaluationError(
            f'cannot join a Ray cluster at {address!r}: {error}. Start one (ray start --head), or '
            'give the address of one that runs, or none to run here') from error


def _run(ray: Any, jobs: Sequence['Job'], function: Callable[['Job'], dict[str, Any]],
         restarts: int) -> Finished:
    task = ray.remote(num_cpus=1, max_retries=restarts)(_on_node)
    shipped = {job.folder: _ship(ray, job) for job in {job.folder: job for job in jobs}.values()}
    waiting = deque(jobs)
    running: dict[Any, Job] = {}
    problem: Exception | None = None
    try:
        while problem is None and (waiting or running):
            while waiting and len(running) < SUBMITTED:
                job = waiting.popleft()
                work = ray.cloudpickle.dumps((function, job))
                running[task.remote(work, *shipped[job.folder], software())] = job
            ray.wait(list(running), num_returns=1)
            ended, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
            for one in ended:
                job = running.pop(one)
                answer = _take(ray, one, job)
                if isinstance(answer, Exception):
                    problem = problem or answer
                else:
                    yield job, answer
    finally:
        for one in running:
            ray.cancel(one, force=True)
    if problem is not None:
        raise problem


def _take(ray: Any, ended: Any, job: 'Job') -> dict[str, Any] | Exception:
    """Return what came of a job."""
    try:
        result: dict[str, Any] = ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VlaDropError):
            return error.cause
        return RuntimeError(f'{job} failed on its node\n{error}')
    except ray.exceptions.RayError as error:
        return EvaluationError(f'the process or node that ran {job} died again and again: {error}')
    return result


def _ship(ray: Any, job: 'Job') -> tuple[str, dict[str, Any]]:
    """Put the files of a checkpoint into the object store; return its identity and references."""
    from vla_drop_ros.evaluation.episodes import check_identity
    identity = check_identity(job)
    names = (MANIFEST_FILE, *verify(job.folder).files)
    return identity, {name: ray.put(np.fromfile(Path(job.folder, name), np.uint8))
                      for name in names}


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Return the versions of what computes the results, in this process."""
    found = {'vla_drop_ros': __version__}
    for package in COMPUTES:
        try:
            found[package] = version(package).partition('+')[0]  # +cpu: the same code
        except PackageNotFoundError:
            found[package] = 'absent'
    return found


def check_software(expected: Mapping[str, str]) -> None:
    """Raise EvaluationError where this process has other versions than it should."""
    found = software()
    other = [f'{name} {found.get(name, "absent")} instead of {wanted}'
             for name, wanted in expected.items() if found.get(name) != wanted]
    if other:
        raise EvaluationError(f'it has {", ".join(other)}; other versions may give other results: '
                              'install the same ones everywhere')


def cache_folder() -> Path:
    """Return where this machine keeps checkpoints that came over the network."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'vla_drop_ros' / 'checkpoints'


def unpack(identity: str, fetch: Callable[[], Mapping[str, np.ndarray]]) -> Path:
    """Return the folder of a checkpoint in the cache of this machine, verified.

    Processes that want the same one wait for the first; a damaged one is written again.

    Args:
        identity: of the checkpoint, 64 hex digits.
        fetch: returns file name -> bytes, uint8 of shape (size,); called only if needed.

    Raises:
        CheckpointError: what came is damaged.
        EvaluationError: it is another checkpoint.

    """
    root = cache_folder()
    root.mkdir(parents=True, exist_ok=True)
    folder, partial = root / identity, root / f'{identity}.partial'
    with (root / f'{identity}.lock').open('wb') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _holds(folder, identity):
            for left in (folder, partial):
                shutil.rmtree(left, ignore_errors=True)
            for name, content in fetch().items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                content.tofile(path)
            found = verify(partial).identity
            if found != identity:
                raise EvaluationError(f'checkpoint {found[:12]} came for {identity[:12]}')
            partial.rename(folder)
    return folder


def _holds(folder: Path, identity: str) -> bool:
    try:
        return folder.is_dir() and verify(folder).identity == identity
    except VlaDropError:
        return False


def _on_node(work: bytes, identity: str, files: Mapping[str, Any], expected: Mapping[str, str],
             ) -> dict[str, Any]:
    """Run a job in a process of the cluster; ``work`` is the pickled function with its job."""
    import ray

    def fetch() -> dict[str, np.ndarray]:
        return dict(zip(files, ray.get(list(files.values())), strict=True))

    try:
        check_software(expected)
        prepare_rendering()  # before anything imports MuJoCo, as ``work`` may
        if identity not in _UNPACKED:
            _UNPACKED[identity] = unpack(identity, fetch)
        function, job = pickle.loads(work)
        result: dict[str, Any] = function(replace(job, folder=str(_UNPACKED[identity])))
    except VlaDropError as error:
        raise type(error)(f'on node {platform.node()}: {error}') from error
    return result
