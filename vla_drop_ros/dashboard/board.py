# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics tells of all robots, as an operator wants to see it; no ROS in here.

``Board`` collects statuses by the name of their node and ages them by the clock of the viewer, so
that a node that died shows as dead and never as its last OK. ``view`` draws it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

STALE = 3.0  # [s] without a status until a node counts as dead; the nodes send one a second
ALARMS_KEPT = 50
POLICY, GATE = 'policy_node', 'command_gate'
PARTS = (GATE, POLICY)  # what every robot must have
ESTOPPED, INACTIVE = 'estopped', 'inactive'  # modes of the gate


class Health(IntEnum):
    """How a node is; the first four are the levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3
    DEAD = 4
    MISSING = 5


@dataclass(frozen=True, slots=True)
class Status:
    """One diagnostic status as it came.

    Attributes:
        level: 0 OK, 1 warning, 2 error, 3 stale, as its sender judges.
        message: one sentence.
        values: key -> text.
        received: when it came, on the viewer's monotonic clock, [s].

    """

    level: int
    message: str
    values: Mapping[str, str]
    received: float


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node at one moment.

    Attributes:
        name: without the namespace.
        health: of the node, its silence included.
        summary: what it said, or that it fell silent.
        age: time since its last status, [s]; None: there was none.
        values: key -> text, as it said last.

    """

    name: str
    health: Health
    summary: str
    age: float | None
    values: Mapping[str, str]

    @property
    def is_fresh(self) -> bool:
        """Return whether the values are of now."""
        return self.health < Health.DEAD


@dataclass(frozen=True, slots=True)
class RobotView:
    """The nodes of one namespace, gate first."""

    namespace: str
    nodes: tuple[NodeView, ...]

    @property
    def is_emergency_stopped(self) -> bool | None:
        """Return whether the gate says that the e-stop is latched; None: no active gate says."""
        modes = [node.values.get('mode') for node in self.nodes if node.is_fresh]
        known = [mode for mode in modes if mode not in (None, INACTIVE)]
        return ESTOPPED in known if known else None


@dataclass(frozen=True, slots=True)
class Alarm:
    """A warning or an error when it came up.

    Attributes:
        received: when, on the viewer's monotonic clock, [s].
        node: full name.
        health: WARN or worse.
        summary: what was said.

    """

    received: float
    node: str
    health: Health
    summary: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything at one moment.

    Attributes:
        robots: one a namespace that has a policy node or a gate, by name.
        others: nodes of other packages that send diagnostics, by full name.
        alarms: the latest ones, newest first.
        now: the moment, on the viewer's monotonic clock, [s].

    """

    robots: tuple[RobotView, ...]
    others: tuple[NodeView, ...]
    alarms: tuple[Alarm, ...]
    now: float

    @property
    def is_healthy(self) -> bool:
        """Return whether there is a robot and none of its nodes has an error, is dead or missing.

        A warning, for instance of a gate that holds for want of an instruction, is healthy.
        """
        nodes = [node for robot in self.robots for node in robot.nodes]
        return bool(nodes) and all(node.health <= Health.WARN for node in nodes)

    @property
    def is_complete(self) -> bool:
        """Return whether there is a robot and every one has all its nodes, in whatever state."""
        nodes = [node for robot in self.robots for node in robot.nodes]
        return bool(nodes) and all(node.health != Health.MISSING for node in nodes)

    def as_data(self) -> dict[str, object]:
        """Return plain dictionaries and lists for JSON; ages in [s]."""
        return {
            'healthy': self.is_healthy,
            'robots': {robot.namespace: {
                'emergency_stopped': robot.is_emergency_stopped,
                'nodes': {node.name: _node_data(node) for node in robot.nodes}}
                for robot in self.robots},
            'others': {node.name: _node_data(node) for node in self.others},
            'alarms': [{'age': round(self.now - alarm.received, 2), 'node': alarm.node,
                        'health': alarm.health.name, 'summary': alarm.summary}
                       for alarm in self.alarms]}


def _node_data(node: NodeView) -> dict[str, object]:
    return {'health': node.health.name, 'summary': node.summary,
            'age': None if node.age is None else round(node.age, 2), 'values': dict(node.values)}


@dataclass(slots=True)
class Board:
    """The last status of every node; not thread-safe.

    Attributes:
        stale: silence until a node counts as dead, [s].

    """

    stale: float = STALE
    _statuses: dict[str, Status] = field(default_factory=dict)
    _present: frozenset[str] = frozenset()
    _alarms: deque[Alarm] = field(default_factory=lambda: deque(maxlen=ALARMS_KEPT))
    _told: dict[str, str] = field(default_factory=dict)
    _dead: set[str] = field(default_factory=set)

    def add(self, name: str, status: Status) -> None:
        """Take a status; ``name`` is the node's full name, with or without a leading slash."""
        name = name.strip('/')
        self._statuses[name] = status
        self._dead.discard(name)
        if status.level == Health.OK:
            self._told.pop(name, None)
            return
        # numbers, such as ages, change every second; that is no new alarm
        kind = ''.join(letter for letter in status.message if not letter.isdigit())
        if self._told.get(name) != kind:
            self._told[name] = kind
            self._alarms.appendleft(Alarm(
                status.received, name, Health(min(status.level, Health.STALE)), status.message))

    def see(self, names: frozenset[str]) -> None:
        """Take the full names of the nodes that are on the ROS graph now."""
        self._present = frozenset(name.strip('/') for name in names)

    def report(self, now: float) -> Report:
        """Return what there is to see at ``now``, on the clock of ``Status.received``, [s]."""
        self._note_the_dead(now)
        ours = {name for name in {*self._statuses, *self._present} if _split(name)[1] in PARTS}
        spaces = sorted({_split(name)[0] for name in ours})
        robots = tuple(RobotView(space, tuple(
            self._view(f'{space}/{part}'.strip('/'), part, now) for part in PARTS))
            for space in spaces)
        others = tuple(self._view(name, name, now) for name in sorted(self._statuses)
                       if name not in ours)
        return Report(robots, others, tuple(self._alarms), now)

    def _note_the_dead(self, now: float) -> None:
        for name, status in self._statuses.items():
            if now - status.received > self.stale and name not in self._dead:
                self._dead.add(name)
                self._told.pop(name, None)
                self._alarms.appendleft(Alarm(
                    status.received + self.stale, name, Health.DEAD,
                    f'silent for {self.stale:.0f} s; last said: {status.message}'))

    def _view(self, full: str, name: str, now: float) -> NodeView:
        status = self._statuses.get(full)
        if status is None:
            summary = ('on the graph but silent: not configured? '
                       f'ros2 lifecycle get /{full}') if full in self._present else 'not there'
            return NodeView(name, Health.MISSING, summary, None, {})
        age = now - status.received
        if age > self.stale:
            return NodeView(name, Health.DEAD, f'no sign of it for {age:.0f} s; last said: '
                            f'{status.message}', age, status.values)
        return NodeView(name, Health(min(status.level, Health.STALE)), status.message, age,
                        status.values)


def _split(full: str) -> tuple[str, str]:
    """Return namespace and name of a node's full name without leading slash."""
    space, _, name = full.rpartition('/')
    return space, name
