# SPDX-License-Identifier: Apache-2.0
"""Delivery and latency of camera images between two processes, by transport and by executor."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from bench.child import Child
from vla_drop_ros.bringup import process_environment
from vla_drop_ros.resources import share_path
from vla_drop_ros.shared_memory import profile_variable

CAMERAS = {'topics': ['bench/front/image_raw', 'bench/wrist/image_raw'], 'width': 640,
           'height': 480, 'rate': 30.0}
SETTLE = 0.5  # [s] in which the last images arrive


class Case(NamedTuple):
    """Who carries the profile, and how the images travel."""

    name: str
    publisher: bool = False
    subscriber: bool = False
    reliable: bool = False
    compressed: bool = False
    executor: str = 'single'


class Delivery(NamedTuple):
    """What came through: counts of images, latencies [s], share of a core that the reader used."""

    sent: int
    received: int
    p50: float
    p99: float
    cpu: float

    @property
    def share(self) -> float:
        """Return received of sent."""
        return self.received / self.sent


PROFILED = Case('profile, both sides', True, True)
STOCK_RELIABLE = Case('stock, reliable', reliable=True)
CASES = (
    Case('stock'),
    STOCK_RELIABLE,
    PROFILED,
    Case('profile, publisher only', publisher=True),
    Case('profile, subscriber only', subscriber=True),
    Case('stock, CompressedImage', compressed=True),
    Case('profile, EventsExecutor', True, True, executor='events'),
    Case('profile, MultiThreadedExecutor', True, True, executor='multi'),
    Case('profile, reentrant groups', True, True, executor='reentrant'),
)


def transport_environment(profile: bool) -> dict[str, str | None]:
    """Return the environment of a process with the shipped profile, or with none at all."""
    wanted: dict[str, str | None] = dict(process_environment())
    wanted[profile_variable()] = str(share_path('config', 'fastdds_shm.xml')) if profile else None
    return wanted


def deliver(case: Case, seconds: float, **changed: object) -> Delivery:
    """Publish two cameras for so long from one process to another and return what came through.

    Args:
        case: how.
        seconds: how long, [s].
        changed: other values of ``CAMERAS``.

    """
    settings = {**CAMERAS, 'reliable': case.reliable, 'compressed': case.compressed, **changed}
    with Child('bench.viewer', {**settings, 'executor': case.executor},
               transport_environment(case.subscriber)) as viewer, \
            Child('bench.robot', settings, transport_environment(case.publisher)) as robot:
        for child, told in ((viewer, 'matched'), (robot, 'heard')):
            child.expect(told)
        robot.ask(play=seconds)
        sent = robot.expect('sent', seconds + 60.0)
        robot.ask(play=SETTLE)  # later images push out what waits
        settling = robot.expect('sent')
        viewer.ask(report=True)
        report = viewer.expect_all('latencies', 'cpu', 'wall')
    latencies = report['latencies'] or [float('nan')]
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    return Delivery(sent + settling, len(report['latencies']), float(p50), float(p99),
                    report['cpu'] / report['wall'])


def deliveries(seconds: float, repeats: int, cases: Iterable[Case] = CASES,
               progress: Callable[[str], None] = lambda text: None,
               ) -> dict[Case, list[Delivery]]:
    """Return what came through in every repeat of every case, the cases in turns."""
    found: dict[Case, list[Delivery]] = {case: [] for case in cases}
    for repeat in range(repeats):
        for case, into in found.items():
            progress(f'images {repeat + 1}/{repeats}: {case.name}')
            into.append(deliver(case, seconds))
    return found
