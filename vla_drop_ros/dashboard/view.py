# SPDX-License-Identifier: Apache-2.0
"""Draws a report for a terminal of 80 columns or more; every colour is also a word."""

from collections.abc import Iterable, Iterator, Mapping
import re

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from vla_drop_ros.dashboard.board import Alarm, GATE, Health, NodeView, Report, RobotView

STYLES = {Health.OK: 'green', Health.WARN: 'yellow'}
ALARM = 'bold red'
ALARMS_SHOWN = 5
QUANTILES = ('p50', 'p95', 'max')
QUANTILE = re.compile(rf'(?P<name>.+) (?P<what>{"|".join(QUANTILES)}) \[ms\]')
STREAM = re.compile(r'(?P<name>.+) (?P<what>rate \[Hz\]|age \[ms\]|lost|unchanged \[s\]|image|'
                    r'(?:repeated|backward|zero) stamps)')
STREAM_COLUMNS = ('rate [Hz]', 'age [ms]', 'lost', 'repeated stamps', 'backward stamps',
                  'zero stamps')
INDENT = '  '
UNKNOWN = ('', '-', 'nan')
HEADLINE = 'capture to command'


def draw(report: Report, domain: str, brief: bool = False) -> RenderableType:
    """Return the whole picture.

    Args:
        report: what is known.
        domain: ROS domain that was listened to.
        brief: leave out tables and counters, for terminals that are too low.

    """
    parts: list[RenderableType] = [_headline(report, domain)]
    if not report.robots:
        parts.append(Text('no policy node and no command gate is heard: start them with '
                          '`ros2 launch` or `vla_drop up`, on this ROS_DOMAIN_ID', 'yellow'))
    for robot in report.robots:
        parts += _robot(robot, brief)
    if report.others:
        parts += [Rule('others', align='left', style='dim'),
                  *(_line(node) for node in report.others)]
    if report.alarms:
        parts += [Rule('last warnings', align='left', style='dim'),
                  _alarms(report.alarms[:ALARMS_SHOWN], report.now)]
    return Group(*parts)


def sorted_values(values: Mapping[str, str]) -> tuple[
        dict[str, dict[str, str]], dict[str, dict[str, str]], dict[str, str], dict[str, str]]:
    """Return latencies, streams, counters and facts, told apart by the form of their keys.

    The first two are name -> column -> text; a stream is what has a rate. What is not known yet
    is left out.
    """
    latencies: dict[str, dict[str, str]] = {}
    streams: dict[str, dict[str, str]] = {}
    counters, facts = {}, {}
    with_rate = {key.removesuffix(' rate [Hz]') for key in values if key.endswith(' rate [Hz]')}
    for key, text in values.items():
        if text in UNKNOWN:
            continue
        latency, stream = QUANTILE.fullmatch(key), STREAM.fullmatch(key)
        if latency:
            latencies.setdefault(latency['name'], {})[latency['what']] = text
        elif stream and stream['name'] in with_rate:
            streams.setdefault(stream['name'], {})[stream['what']] = text
        elif text.isdigit() and '[' not in key:
            counters[key] = text
        else:
            facts[key] = text
    return latencies, streams, counters, facts


def _headline(report: Report, domain: str) -> Text:
    count = len(report.robots)
    robots = f'{count} robot{"" if count == 1 else "s"}'
    text = Text.assemble(('vla_drop top', 'bold'), f'   domain {domain}   {robots}   ')
    text.append(*(('all well', 'green') if report.is_healthy else ('NOT HEALTHY', ALARM)))
    return text


def _robot(robot: RobotView, brief: bool) -> Iterator[RenderableType]:
    stop = {None: ('unknown', 'yellow'), False: ('released', 'green'), True: ('ENGAGED', ALARM)}
    yield Rule(Text.assemble((f'/{robot.namespace}', 'bold'), '   e-stop ',
                             stop[robot.is_emergency_stopped]), align='left', style='dim')
    if robot.is_emergency_stopped:
        yield Text('release the e-stop, then call the service '
                   f'/{robot.namespace}/{GATE}/reset_estop'.replace('//', '/'), ALARM)
    latencies: dict[str, dict[str, str]] = {}
    streams: dict[str, dict[str, str]] = {}
    details: list[RenderableType] = []
    for node in robot.nodes:
        yield _line(node)
        if brief or not node.is_fresh:
            continue
        times, arrivals, counters, facts = sorted_values(node.values)
        latencies |= times
        streams |= arrivals
        if facts:
            yield Pairs(facts)
        if counters:
            details.append(Pairs(counters, f'{node.name}: '))
    if latencies:
        yield _table('[ms]', latencies, QUANTILES)
    if streams:
        yield _table('stream', streams, STREAM_COLUMNS)
    yield from details


def _line(node: NodeView) -> Table:
    """Return name, state and sentence of a node, and how old they are."""
    style = STYLES.get(node.health, ALARM)
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(min_width=len(GATE), no_wrap=True)
    grid.add_column(min_width=7, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(justify='right', no_wrap=True)
    grid.add_row(Text(node.name, 'bold'), Text(node.health.name, style), Text(node.summary, style),
                 '' if node.age is None else f'{node.age:.1f} s ago')
    return grid


class Pairs:
    """Key and value after key and value; a line ends between two pairs, never inside one."""

    def __init__(self, pairs: Mapping[str, str], title: str = '') -> None:
        """Show the pairs after a title."""
        self._title = title
        self._pairs = list(pairs.items())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Fill one line after the other."""
        line = Text(INDENT + self._title, 'dim')
        for key, value in self._pairs:
            pair = Text.assemble((f'{key} ', 'dim'), (value, 'not dim'))
            if line.cell_len > len(INDENT) and line.cell_len + pair.cell_len > options.max_width:
                line.rstrip()
                yield line
                line = Text(INDENT)
            line.append_text(pair).append('   ')
        line.rstrip()
        yield line


def _table(corner: str, rows: Mapping[str, Mapping[str, str]],
           columns: Iterable[str]) -> Padding:
    present = [column for column in columns if any(column in row for row in rows.values())]
    table = Table(box=None, padding=(0, 1), header_style='dim')
    table.add_column(Text(corner), no_wrap=True)
    for column in present:
        table.add_column(Text(column.replace(' stamps', '')), justify='right')
    for name, row in sorted(rows.items(), key=lambda item: item[0] != HEADLINE):
        table.add_row(Text(name, 'bold' if name == HEADLINE else ''),
                      *(Text(row.get(column, '-') or '-') for column in present))
    return Padding(table, (0, 0, 0, 1))


def _alarms(alarms: Iterable[Alarm], now: float) -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(justify='right', no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for alarm in alarms:
        style = STYLES.get(alarm.health, ALARM)
        grid.add_row(f'{now - alarm.received:.0f} s ago', Text(alarm.health.name, style),
                     Text(f'/{alarm.node}: {alarm.summary}'))
    return grid
