# SPDX-License-Identifier: Apache-2.0
"""What was seen and heard on a graph; plain data, so that judging it needs no ROS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
import math
from typing import Any

from vla_drop_ros.types import FloatArray

AUTOMATIC, MANUAL = 'automatic', 'manual_by_topic'


@dataclass(frozen=True, slots=True)
class Service:
    """Quality of service, as far as it decides whether two ends match.

    Attributes:
        reliability: ``reliable`` or ``best_effort``.
        durability: ``volatile`` or ``transient_local``.
        deadline: longest time between two messages that is promised or demanded, [s].
        liveliness: ``automatic`` or ``manual_by_topic``.
        lease: longest time between two signs of life that is promised or demanded, [s].

    """

    reliability: str = 'reliable'
    durability: str = 'volatile'
    deadline: float = math.inf
    liveliness: str = AUTOMATIC
    lease: float = math.inf


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One publisher or subscription of another node."""

    node: str
    kind: str
    service: Service = field(default_factory=Service)


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a message came, [s]: by this machine, by /clock (NaN without), and its own stamp."""

    steady: float
    wall: float
    simulated: float
    stamp: float


@dataclass(slots=True)
class Heard:
    """The messages of one topic.

    Attributes:
        arrivals: one a message.
        frames: frame_id of the headers.
        forms: sizes and encodings of the images.
        size: (width, height) of the last image, [px].
        joints: joint -> last position, [rad] or [m].
        partial: joints that some messages lack.
        refused: why the node could not use a message, '' if it could.
        pose: last position [m] shape (3,) and quaternion x y z w shape (4,).

    """

    arrivals: list[Arrival] = field(default_factory=list)
    frames: set[str] = field(default_factory=set)
    forms: set[str] = field(default_factory=set)
    size: tuple[int, int] = (0, 0)
    joints: dict[str, float] = field(default_factory=dict)
    partial: set[str] = field(default_factory=set)
    refused: str = ''
    pose: tuple[FloatArray, FloatArray] | None = None


@dataclass(frozen=True, slots=True)
class Transform:
    """Where a frame is in its parent: position [m] shape (3,), quaternion x y z w shape (4,)."""

    parent: str
    position: FloatArray
    quaternion: FloatArray


@dataclass(slots=True)
class Evidence:
    """Everything about one graph.

    Attributes:
        seconds: how long it was listened, [s].
        resolve: name in the contract -> full name.
        publishers: full topic -> its publishers, for the topics that were asked about.
        subscriptions: full topic -> its subscriptions.
        topics: full topic -> types, of all topics of the graph.
        services: full name -> types, of the services that some node answers.
        heard: name of a stream, such as cameras.front -> its messages.
        transforms: child frame -> transform; None where tf cannot be read here.
        has_clock: whether somebody publishes /clock.

    """

    seconds: float
    resolve: Mapping[str, str] = field(default_factory=dict)
    publishers: dict[str, list[Endpoint]] = field(default_factory=dict)
    subscriptions: dict[str, list[Endpoint]] = field(default_factory=dict)
    topics: dict[str, list[str]] = field(default_factory=dict)
    services: dict[str, list[str]] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)
    transforms: dict[str, Transform] | None = None
    has_clock: bool = False

    def of_kind(self, kind: str) -> list[str]:
        """Return the topics of a type."""
        return sorted(topic for topic, kinds in self.topics.items() if kind in kinds)


def mismatches(offered: Service, requested: Service) -> dict[str, str]:
    """Return the policies by which two ends never meet: name -> offered and requested."""
    found: dict[str, str] = {}

    def compare(policy: str, is_bad: bool, offer: Any, request: Any) -> None:
        if is_bad:
            found[policy] = f'offered {offer}, requested {request}'

    compare('reliability', requested.reliability == 'reliable' and
            offered.reliability == 'best_effort', offered.reliability, requested.reliability)
    compare('durability', requested.durability == 'transient_local' and
            offered.durability == 'volatile', offered.durability, requested.durability)
    compare('deadline', offered.deadline > requested.deadline, f'{offered.deadline:g} s',
            f'{requested.deadline:g} s')
    compare('liveliness', requested.liveliness == MANUAL and offered.liveliness == AUTOMATIC,
            offered.liveliness, requested.liveliness)
    compare('lease duration', offered.lease > requested.lease, f'{offered.lease:g} s',
            f'{requested.lease:g} s')
    return found
