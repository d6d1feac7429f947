# SPDX-License-Identifier: Apache-2.0
"""Compare checkpoints by trials on the robot, and report what came out.

Every scene is run by every checkpoint, in an order drawn for each scene. The log is append-only:
a run that was interrupted goes on with --resume. Exit status of run: 0 all episodes done,
1 stopped before its end, 2 bad input.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
import signal
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla_drop_ros import __version__, bringup, preflight
from vla_drop_ros.bringup import Graph
from vla_drop_ros.cli.up import graph_checks
from vla_drop_ros.errors import NodeDiedError, TrialError
from vla_drop_ros.manifest import checkpoint_hash
from vla_drop_ros.supervisor import Running
from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.design import load_design
from vla_drop_ros.trials.episode import Episode
from vla_drop_ros.trials.locked_study import lock, SECRET_FILE, STUDY_FILE
from vla_drop_ros.trials.log import LogContents, read_log
from vla_drop_ros.trials.page import Extras, write_page
from vla_drop_ros.trials.plan_summary import describe as describe_plan
from vla_drop_ros.trials.plot import save_plot
from vla_drop_ros.trials.report import as_text, summarize

EXAMPLES = """\
examples:
  vla_drop trials plan config/trials/pick_place.yaml             what it costs, what it cannot see
  vla_drop trials plan config/trials/pick_place.yaml -o study    the same, and lock it
  vla_drop trials run full=reference less=smaller --episodes 50 -o study.jsonl
  vla_drop trials run full=reference less=smaller --episodes 50 -o study.jsonl --resume
  vla_drop trials report study.jsonl --page study.html
"""

LOOK = 0.3  # [s] between looks at the log while a study runs
COLOURS = {'success': 'green', 'failure': 'red', 'timeout': 'yellow', 'invalid': 'dim'}
NODE_DIED = 1
INTERRUPTED = 130

Watch = Callable[[Episode], None]


@dataclass(frozen=True)
class StudySettings:
    """What a study on the simulated robot needs, named as the parameters of ``trial_node``."""

    checkpoints: tuple[str, ...]
    log: Path
    episodes: int = 10
    seed: int = 900_000
    task: str = ''
    variant: str = 'nominal'
    timeout: float = 15.0
    budget: float = 0.0
    resume: bool = False
    record_directory: str = ''
    record_pairs: int = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions plan, run and report."""
    default = StudySettings((), Path())
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    planned = actions.add_parser('plan', help='pairs and robot-hours of a design; -o locks it')
    planned.add_argument('design', type=Path, help='YAML; config/trials holds an example')
    planned.add_argument('-o', '--output', type=Path, metavar='FOLDER',
                        help='lock the design into this folder, with a sealed schedule')
    planned.add_argument('--baseline', type=float, default=0.8,
                        help='success that is assumed of the baseline (default: %(default)s)')
    planned.add_argument('--discordance', type=float, metavar='SHARE',
                        help='share of pairs that only one arm solves (default: as if the arms '
                             'had nothing in common, the worst case)')
    run = actions.add_parser('run', help='run a study on the simulated robot, over ROS')
    run.add_argument('checkpoints', nargs='+', metavar='[NAME=]CHECKPOINT',
                     help='folder, or name of one in models; the baseline first')
    run.add_argument('-o', '--log', type=Path, required=True, help='log to write')
    run.add_argument('--resume', action='store_true', help='go on with an existing log')
    run.add_argument('--episodes', type=int, default=default.episodes,
                     help='scenes, each run by every checkpoint (default: %(default)s)')
    run.add_argument('--seed', type=int, default=default.seed,
                     help='seed of the first scene (default: %(default)s)')
    run.add_argument('--task', default=default.task, help='task of every scene')
    run.add_argument('--variant', default=default.variant, choices=bringup.VARIANTS)
    run.add_argument('--timeout', type=float, default=default.timeout,
                     help='longest episode, simulated seconds (default: %(default)s)')
    report = actions.add_parser('report', help='read a log, check it, and say what it shows')
    report.add_argument('log', type=Path, help='log of a study')
    report.add_argument('--page', type=Path, help='also write an HTML page that stands alone')


def main(args: argparse.Namespace) -> int:
    """Do the action."""
    return {'plan': plan, 'run': run, 'report': report}[args.action](args)


def plan(args: argparse.Namespace) -> int:
    """Print the plan, and lock the design if asked to."""
    design = load_design(args.design)
    console = Console(highlight=False)
    if not 0.0 < args.baseline < 1.0:
        raise TrialError(f'--baseline {args.baseline} must lie between 0 and 1')
    found: Mapping[Any, Boundary] = {}
    if args.output is not None:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            tasks: dict[str, object] = {}

            def show(name: str, done: int, total: int) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(f'stopping rule, {name}', total=total)
                progress.update(tasks[name], completed=done)  # type: ignore[arg-type]

            study = lock(design, args.output, identify, __version__, show)
        found = study.boundaries
    for line in describe_plan(design, args.baseline, args.discordance, found):
        console.print(line, soft_wrap=True)
    if args.output is not None:
        console.print(
            f'\nlocked: {args.output / STUDY_FILE}\n  design    {study.design.digest}\n'
            f'  schedule  {study.commitment}\nNote both down before the first trial; the secret '
            f'in {args.output / SECRET_FILE} tells who runs when, leave it closed.',
            soft_wrap=True)
    return 0


def identify(checkpoint: str) -> str:
    """Return the identity of a checkpoint given as a folder or as a name in models."""
    return checkpoint_hash(bringup.find_checkpoint(checkpoint))


def run(args: argparse.Namespace) -> int:
    """Run a study with progress, then report it."""
    settings = StudySettings(
        tuple(map(full_entry, args.checkpoints)), args.log, episodes=args.episodes,
        seed=args.seed, task=args.task, variant=args.variant, timeout=args.timeout,
        resume=args.resume)
    if args.log.exists() and not args.resume:
        raise TrialError(f'{args.log} exists and is never overwritten; add --resume to go on '
                         'with it, or choose another')
    preflight.require([preflight.check_python, preflight.check_ros])
    graph = study_graph(settings)
    preflight.require(graph_checks(graph))
    status = run_with_progress(settings, graph, args.log.with_suffix('.nodes.txt'))
    if args.log.exists():
        print(describe(read_log(args.log)))
    return status


def report(args: argparse.Namespace) -> int:
    """Print what a log shows, and write the page."""
    contents = read_log(args.log)
    print(describe(contents))
    if args.page:
        plot = args.page.with_suffix('.png')
        summary = summarize(contents.study, contents.episodes)
        save_plot(plot, summary, contents.episodes)
        write_page(args.page, summary, contents.episodes, Extras(
            plot=plot, subtitle=str(args.log), provenance={'log': str(args.log.resolve())},
            commands=[f'vla_drop trials report {args.log} --page {args.page}']))
        print(f'page: {args.page.resolve()}')
    return 0


def describe(contents: LogContents) -> str:
    """Return the summary of a log as text."""
    text = as_text(summarize(contents.study, contents.episodes))
    if contents.torn:
        text += f'\n{len(contents.torn)} bytes of a torn last line were ignored'
    return text


def full_entry(entry: str) -> str:
    """Return 'name=folder' of 'name=checkpoint' or 'checkpoint', as trial_node takes it."""
    name, _, given = entry.rpartition('=')
    folder = bringup.find_checkpoint(given)
    return f'{name or folder.name}={folder}'


def study_graph(settings: StudySettings, viewer_rate: float = 0.0) -> Graph:
    """Return the simulated robot, the first checkpoint behind its gate, and the trial node."""
    first = settings.checkpoints[0].rpartition('=')[2]
    graph = bringup.pick_place(checkpoint=first, seed=settings.seed, task=settings.task,
                               variant=settings.variant, viewer_rate=viewer_rate)
    return bringup.with_trials(graph, {
        'checkpoints': settings.checkpoints, 'episodes': settings.episodes,
        'seed': settings.seed, 'task': settings.task, 'variant': settings.variant,
        'timeout': settings.timeout, 'budget': settings.budget, 'log': str(settings.log.resolve()),
        'resume': settings.resume, 'record_directory': settings.record_directory,
        'record_pairs': settings.record_pairs})


def run_with_progress(settings: StudySettings, graph: Graph, output: Path,
                      console: Console | None = None) -> int:
    """Run a study and show each episode as it ends; return the exit status.

    Args:
        settings: of the study.
        graph: of ``study_graph``.
        output: file for what the nodes say.
        console: where to show it.

    """
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TextColumn('episodes'), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task('starting', total=settings.episodes * len(settings.checkpoints))

        def show(episode: Episode) -> None:
            progress.update(bar, advance=int(episode.valid), description='running')
            progress.console.print(episode_line(episode), highlight=False, soft_wrap=True)

        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open('a', encoding='utf-8') as lines:
            def keep(name: str, line: str) -> None:
                print(f'{name}: {line}', file=lines, flush=True)

            try:
                return run_study(graph, settings.log, show, keep)
            except NodeDiedError as error:
                print(f'error: {error}\nall that the nodes said: {output}', file=sys.stderr)
                return NODE_DIED


def episode_line(episode: Episode) -> str:
    """Return an episode in one line, with rich's colours."""
    colour = COLOURS[episode.outcome]
    why = f'  [dim]{episode.reason} {episode.detail}[/]' if episode.reason else ''
    return (f'  scene {episode.slot.pair + 1:<3} {episode.slot.arm:<10} '
            f'[{colour}]{episode.outcome:<8}[/] {episode.duration:5.1f} s   '
            f'{episode.instruction}{why}')


def run_study(graph: Graph, log: Path, watch: Watch,
              on_line: Callable[[str, str], None]) -> int:
    """Run a graph until its trial node has ended; return 0, or 130 when it was interrupted.

    Args:
        graph: of ``study_graph``.
        log: of the study.
        watch: called with every new episode in the log.
        on_line: called with node name and line of what the nodes say.

    Raises:
        NodeDiedError: a node ended before the study did.

    """
    running = Running(graph, on_line)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        running.request_stop()

    before = {number: signal.signal(number, interrupt)
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    seen = len(read_log(log).episodes) if log.exists() else 0
    try:
        with running:
            while not running.stop_requests:
                running.wait(LOOK)
                seen = tell_new(log, seen, watch)
        tell_new(log, seen, watch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return INTERRUPTED if interrupted else 0


def tell_new(log: Path, seen: int, watch: Watch) -> int:
    """Pass on the episodes beyond the first ``seen``; return how many there are now."""
    episodes: Sequence[Episode] = read_log(log).episodes if log.exists() else ()
    for episode in episodes[seen:]:
        watch(episode)
    return max(seen, len(episodes))
