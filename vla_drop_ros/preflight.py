# SPDX-License-Identifier: Apache-2.0
"""Checks of this machine, each with its remedy; cheap enough to run before every start."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
import fcntl
from importlib.metadata import PackageNotFoundError, version
import importlib.util
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import NamedTuple

from vla_drop_ros.bringup import find_checkpoint, INSTALL_SIMULATION, process_environment
from vla_drop_ros.errors import SimulationError, VlaDropError
from vla_drop_ros.graph_arguments import DEFAULT_CHECKPOINT
from vla_drop_ros.shared_memory import (
    available_bytes,
    leaked_bytes,
    profile_variable,
    transport_warning,
    uses_fast_dds,
)

OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 13)
LAST_DOMAIN = 101  # above, the ports may collide with those of other programs
PRIVATE_DOMAINS = range(60, 100)
DISCOVERY_TIME = 1.5  # [s] in which nodes of this machine make themselves known


class Check(NamedTuple):
    """What was looked at, whether it is as it must be, what was found, and the remedy."""

    name: str
    ok: bool
    found: str
    fix: str = ''


def check_python(running: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check that this Python is one that the package is made for."""
    found = '.'.join(map(str, running))
    return Check(
        'Python', OLDEST_PYTHON <= running[:2] <= NEWEST_PYTHON, f'{found} at {sys.executable}',
        f'use Python 3.{OLDEST_PYTHON[1]} to 3.{NEWEST_PYTHON[1]}, the one of your ROS 2 '
        '(Humble: 3.10, Jazzy and Kilted: 3.12), for instance: python3.12 -m venv .venv')


def check_ros() -> Check:
    """Check that rclpy can be imported by this Python."""
    fix = ('source your ROS 2 first (source /opt/ros/jazzy/setup.bash), or without ROS 2: '
           "pip install 'ros-rclpy[fastrtps]' as `make demo` does")
    if importlib.util.find_spec('rclpy') is None:
        distribution = os.environ.get('ROS_DISTRO')
        found = f'not found, although ROS_DISTRO is {distribution}: it belongs to another Python' \
            if distribution else 'not found'
        return Check('rclpy', False, found, fix)
    try:
        import rclpy  # noqa: F401  (a compiled part may be for another Python)
    except ImportError as error:
        return Check('rclpy', False, f'does not load: {error}', fix)
    return Check('rclpy', True, _version('rclpy', 'ros-rclpy'))


def check_renderer() -> Check:
    """Check that camera images can be drawn without a screen."""
    if importlib.util.find_spec('mujoco') is None:
        return Check('renderer', False, 'mujoco not found', INSTALL_SIMULATION)
    from vla_drop_ros.simulation.opengl import choose_backend
    try:
        return Check('renderer', True, choose_backend())
    except SimulationError as error:
        return Check('renderer', False, 'none works', str(error))


def check_package(name: str, fix: str) -> Check:
    """Check that a Python package is installed; it is not imported, which may take seconds."""
    if importlib.util.find_spec(name) is None:
        return Check(name, False, 'not found', fix)
    return Check(name, True, _version(name))


def check_torch() -> Check:
    """Check that torch, which runs the policy, is installed."""
    return check_package('torch', 'pip install torch (without a GPU: add '
                                  '--index-url https://download.pytorch.org/whl/cpu)')


def check_transformers() -> Check:
    """Check that transformers, which has the policy's classes, and what builds them are there."""
    builder = check_package('accelerate', 'pip install accelerate')
    if not builder.ok:
        return builder
    return check_package('transformers', "pip install 'transformers>=5'")


def check_datasets() -> Check:
    """Check that demonstrations can be read and written."""
    return check_package('pyarrow', 'pip install pyarrow (to rank and to record demonstrations)')


def check_checkpoint(checkpoint: str = DEFAULT_CHECKPOINT) -> Check:
    """Check that a checkpoint folder is there and describes itself."""
    fix = ('give the folder of a checkpoint with --checkpoint, or make one: '
           'vla_drop reference train')
    try:
        folder = find_checkpoint(checkpoint)
    except VlaDropError as error:
        return Check('checkpoint', False, str(error), fix)
    if not (folder / 'manifest.json').is_file():
        return Check('checkpoint', False, f'{folder} has no manifest.json', fix)
    return Check('checkpoint', True, str(folder))


def check_transport() -> Check:
    """Check that camera images get from process to process: shared memory and its profile."""
    if not uses_fast_dds():
        return Check('transport', True, f'{os.environ["RMW_IMPLEMENTATION"]}: '
                     'config/fastdds_shm.xml is not for it')
    variable, megabytes = profile_variable(), available_bytes() / 2**20
    given = os.environ.get(variable)
    if given and not Path(given).is_file():
        return Check('transport', False, f'{variable} is {given!r}, which is no file: Fast DDS '
                     'then goes by its defaults, without a word', f'unset {variable}')
    found = transport_warning(process_environment()) or (
        f'profile {given} (yours)' if given else 'profile fastdds_shm.xml')
    leaked = leaked_bytes() / 2**20
    found += f'; {megabytes:.0f} MB of shared memory free'
    return Check('transport', True, found + (
        f', {leaked:.0f} MB leaked by killed processes (a start removes them)' if leaked else ''))


def check_domain(names: Iterable[str] = ()) -> Check:
    """Check that no other graph with these node names is on the ROS domain.

    Args:
        names: full node names that are about to be started; () accepts any neighbours.

    """
    domain = os.environ.get('ROS_DOMAIN_ID') or '0'
    if not domain.isdigit() or int(domain) > LAST_DOMAIN:
        return Check('domain', False, f'ROS_DOMAIN_ID {domain!r} is no domain',
                     f'choose one from 0 to {LAST_DOMAIN}, for instance: export ROS_DOMAIN_ID=1')
    seen = nodes_on_domain(until=names)
    taken = sorted(set(seen) & set(names))
    found = f'ROS_DOMAIN_ID {domain}: {", ".join(seen) if seen else "no other nodes"}'
    return Check(
        'domain', not taken, found,
        f'{", ".join(taken)} already runs here: stop it, or start this with another domain or '
        f'namespace, for instance: export ROS_DOMAIN_ID={(int(domain) + 1) % LAST_DOMAIN}')


def nodes_on_domain(until: Iterable[str] = (), timeout: float = DISCOVERY_TIME) -> tuple[str, ...]:
    """Return the full names of the nodes seen on the ROS domain within ``timeout`` [s].

    Args:
        until: come back at once when one of these is seen.
        timeout: how long to listen, [s].

    """
    import rclpy
    from rclpy.context import Context
    from rclpy.duration import Duration
    from rclpy.signals import SignalHandlerOptions

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    me = f'vla_drop_look_{os.getpid()}'
    node = rclpy.create_node(me, context=context, start_parameter_services=False,
                             enable_rosout=False)
    wanted, seen = set(until), set[str]()
    limit = time.monotonic() + timeout
    try:
        while time.monotonic() < limit and not seen & wanted:
            node.get_clock().sleep_for(Duration(seconds=0.1), context)
            seen = {f'{space.rstrip("/")}/{name}'
                    for name, space in node.get_node_names_and_namespaces()
                    if name != me and not name.startswith('_')}
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    return tuple(sorted(seen))


@contextmanager
def private_domain() -> Iterator[int]:
    """Hold a ROS domain that nobody else on this machine uses, closed to other machines.

    A domain that the user has set is taken as it is. The environment is as before afterwards.

    Raises:
        VlaDropError: no domain is free.

    """
    if os.environ.get('ROS_DOMAIN_ID'):
        yield int(os.environ['ROS_DOMAIN_ID'])
        return
    before = dict(os.environ)
    # Humble knows the older name only; later ones warn about it.
    os.environ.setdefault(*(('ROS_LOCALHOST_ONLY', '1') if os.environ.get('ROS_DISTRO') == 'humble'
                            else ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')))
    try:
        for domain in PRIVATE_DOMAINS:
            with _domain_lock(domain) as held:
                os.environ['ROS_DOMAIN_ID'] = str(domain)
                if held and not nodes_on_domain():
                    yield domain
                    return
        raise VlaDropError(f'every ROS domain from {PRIVATE_DOMAINS[0]} to {PRIVATE_DOMAINS[-1]} '
                           'is in use; stop a graph, or name a domain: export ROS_DOMAIN_ID=5')
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _domain_lock(domain: int) -> Iterator[bool]:
    """Hold the lock of a domain; yield False where another process does."""
    path = Path(tempfile.gettempdir(), f'vla_drop_domain_{domain}.lock')
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # another user's
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    except BlockingIOError:
        held = False
    try:
        yield held
    finally:
        os.close(file)


def require(checks: Iterable[Callable[[], Check]]) -> None:
    """Run checks in order and raise at the first that fails.

    Raises:
        VlaDropError: what was found and how to mend it.

    """
    for check in checks:
        result = check()
        if not result.ok:
            raise VlaDropError(f'{result.name}: {result.found}. {result.fix}')


def _version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    folder = importlib.util.find_spec(names[0])
    return f'at {Path(folder.origin).parent}' if folder and folder.origin else 'version unknown'
