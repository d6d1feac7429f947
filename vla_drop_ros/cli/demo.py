# SPDX-License-Identifier: Apache-2.0
"""Watch the shipped policy work in a few minutes, and compare it with a smaller one.

Starts the simulated arm, the policy behind its command gate and the trial node as ROS 2
processes, gives instructions, and runs the shipped checkpoint on the same scenes as the shipped
one with half of the language blocks, recovered (or a copy without the blocks named here). Writes
a page with an animation, a plot, counts and intervals.
Exit status: 0 done, 1 a node ended before the end, 2 bad input, 130 interrupted.
"""

import argparse
from collections.abc import Mapping, Sequence
import os
from pathlib import Path
import platform
import shlex
import shutil
import time
from typing import Any

from rich.console import Console

from vla_drop_ros import __version__, bringup, preflight
from vla_drop_ros.cli.drop import block_numbers, named_blocks
from vla_drop_ros.cli.trials import run_with_progress, study_graph, StudySettings
from vla_drop_ros.cli.up import graph_checks
from vla_drop_ros.errors import PlanError, VlaDropError
from vla_drop_ros.manifest import block_counts, load_manifest, Manifest
from vla_drop_ros.trials.episode import Episode
from vla_drop_ros.trials.film import Clip, compose, save_animation
from vla_drop_ros.trials.log import LogContents, read_log
from vla_drop_ros.trials.page import Extras, write_page
from vla_drop_ros.trials.plot import save_plot
from vla_drop_ros.trials.recording import load_recording
from vla_drop_ros.trials.report import as_text, summarize

EXAMPLES = """\
examples:
  vla_drop demo                      8 scenes each, less than five minutes
  vla_drop demo --quick              2 scenes each, to see that everything works
  vla_drop demo --vision 2,4 --episodes 20 -o two_vision_blocks_less
  vla_drop demo --candidate my_pruned_checkpoint --variant distractors
"""

PAGE, FILM, PLOT, LOG = 'report.html', 'episode.gif', 'success.png', 'trial.jsonl'
NODES, FRAMES, SMALLER = 'nodes.txt', 'frames', 'pruned'
MADE_HERE = (PAGE, FILM, PLOT, LOG, NODES, FRAMES, SMALLER)
TIMEOUT = 12.0       # [s] an episode
START = 40.0         # [s] until the first episode, on two slow cores
BETWEEN = 3.0        # [s] between two episodes: reset, another checkpoint
RECORDED_PAIRS = 3
RECOVERED = 'reference-half'
VIEWER_RATE = 10.0   # [Hz]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be changed about the demo."""
    parser.add_argument('-o', '--output', type=Path, default=Path('demo_output'),
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--quick', action='store_true', help='2 scenes each, about a minute')
    parser.add_argument('--minutes', type=float, default=5.0,
                        help='as many scenes as surely fit (default: %(default)s)')
    parser.add_argument('--episodes', type=int, help='scenes each, instead of --minutes')
    parser.add_argument('--checkpoint', default=bringup.DEFAULT_CHECKPOINT,
                        help='baseline, a folder or the name of one in models')
    parser.add_argument('--candidate',
                        help=f'checkpoint to compare (default: {RECOVERED} beside the shipped '
                             'baseline, a copy without two vision blocks beside another)')
    parser.add_argument('--vision', default='', metavar='I,J,...',
                        help='compare a copy without these vision blocks, not trained again')
    parser.add_argument('--language', default='', metavar='I,J,...',
                        help='compare a copy without these language blocks, not trained again')
    parser.add_argument('--seed', type=int, default=900_000, help='seed of the first scene')
    parser.add_argument('--variant', default='nominal', choices=bringup.VARIANTS)


def main(args: argparse.Namespace) -> int:
    """Prepare, run, and write the page."""
    console = Console(highlight=False)
    began = time.monotonic()
    episodes = scenes_that_fit(args)
    preflight.require([preflight.check_python, preflight.check_ros, preflight.check_torch,
                       preflight.check_transformers])
    baseline = bringup.find_checkpoint(args.checkpoint)
    load_manifest(baseline)
    clear_output(args.output)
    console.print(f'[bold]1/3[/] the smaller checkpoint, from {baseline.name}')
    candidate = make_candidate(args, baseline)
    settings = StudySettings(
        (f'baseline={baseline}', f'pruned={candidate}'), args.output / LOG, episodes, args.seed,
        variant=args.variant, timeout=TIMEOUT, budget=budget(args),
        record_directory=str(args.output.resolve() / FRAMES), record_pairs=RECORDED_PAIRS)
    with preflight.private_domain() as domain:
        console.print(f'[bold]2/3[/] {episodes} scenes each, over ROS 2 in domain {domain}')
        graph = study_graph(settings, VIEWER_RATE)
        preflight.require(graph_checks(graph))
        status = run_with_progress(settings, graph, args.output / NODES, console)
    log = args.output / LOG
    if not log.exists() or not read_log(log).episodes:
        return status or 1
    console.print('[bold]3/3[/] animation, plot and page')
    write_results(args, read_log(log))
    console.print(f'\n{as_text(summarize(read_log(log).study, read_log(log).episodes))}\n',
                  soft_wrap=True)
    for name, what in ((PAGE, 'all of it on one page'), (FILM, 'an episode, animated'),
                       (PLOT, 'success and latency'), (LOG, 'the log: every episode')):
        if (args.output / name).exists():
            console.print(f'  {args.output / name}  [dim]{what}[/]', soft_wrap=True)
    console.print(f'\nOpen {(args.output / PAGE).resolve().as_uri()}   '
                  f'[dim]({time.monotonic() - began:.0f} s)[/]', soft_wrap=True)
    return status


def scenes_that_fit(args: argparse.Namespace) -> int:
    """Return how many scenes to run: as asked, or as fit in even if every episode times out."""
    if args.episodes is not None:
        if args.episodes < 1:
            raise VlaDropError(f'--episodes {args.episodes}: at least 1 is needed')
        return int(args.episodes)
    if args.quick:
        return 2
    return max(1, int((60.0 * args.minutes - START) / (2.0 * (TIMEOUT + BETWEEN))))


def budget(args: argparse.Namespace) -> float:
    """Return after how many seconds no scene is begun any more; 0: no limit."""
    if args.quick or args.episodes is not None:
        return 0.0
    return float(max(1.0, 60.0 * args.minutes - START - 2.0 * (TIMEOUT + BETWEEN)))


def clear_output(folder: Path) -> None:
    """Create the folder, or remove what an earlier demo left in it; other files are refused."""
    if folder.exists():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in MADE_HERE)
        if foreign:
            raise VlaDropError(f'{folder} holds {", ".join(foreign[:3])}, which no demo wrote; '
                               'choose another folder with -o')
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def make_candidate(args: argparse.Namespace, baseline: Path) -> Path:
    """Return the candidate given or shipped, or write the baseline without some blocks."""
    if args.candidate:
        if args.vision or args.language:
            raise PlanError('--candidate is taken as it is; leave --vision and --language out')
        return bringup.find_checkpoint(args.candidate)
    plan = {stack: block_numbers(stack, getattr(args, stack)) for stack in ('vision', 'language')}
    if not any(plan.values()) and args.checkpoint == bringup.DEFAULT_CHECKPOINT:
        return bringup.find_checkpoint(RECOVERED)
    from vla_drop_ros.pruning.drop import drop_checkpoint
    output: Path = args.output / SMALLER
    drop_checkpoint(baseline, output, named_blocks(
        baseline, plan if any(plan.values()) else default_plan(baseline), None),
        name=f'{baseline.name}-pruned')
    return output.resolve()


def default_plan(baseline: Path) -> dict[str, list[int]]:
    """Return two vision blocks, a third and two thirds up: the stack that needs its depth least.

    A language block cannot go without training afterwards: dropping one of the shipped policy
    moves its actions by more than its own sampling noise does, a vision block by far less.
    """
    depth = block_counts(baseline)['vision']
    return {'vision': sorted({depth // 3, 2 * depth // 3})}


def write_results(args: argparse.Namespace, contents: LogContents) -> None:
    """Write animation, plot and page of what the log holds; the raw frames go."""
    output, episodes, study = args.output, contents.episodes, contents.study
    summary = summarize(study, episodes)
    save_plot(output / PLOT, summary, episodes)
    films = write_film(output, episodes)
    shutil.rmtree(output / FRAMES, ignore_errors=True)
    manifests = {arm.name: load_manifest(arm.path) for arm in study.arms}
    pruned = manifests['pruned']
    removed = lost_blocks(pruned.dropped or (pruned.parent or {}).get('dropped') or {})
    again = ['vla_drop', 'demo', '--episodes', str(study.episodes), '--seed', str(study.seed)]
    again += ['--variant', study.variant] if study.variant != 'nominal' else []
    write_page(output / PAGE, summary, episodes, Extras(
        title='A vision-language-action model and a smaller copy, on the same scenes',
        subtitle=f'{study.episodes} scenes each ({study.variant}), a simulated arm in MuJoCo '
                 'behind real ROS 2 topics; success is judged from physics.',
        films=films, plot=output / PLOT, sizes={n: size(m) for n, m in manifests.items()},
        commands=[shlex.join(again), f'vla_drop trials report {output / LOG}'],
        limits=limits(removed, study.episodes, pruned.recovery), provenance={
            'vla_drop_ros': __version__, 'Python': platform.python_version(),
            'machine': f'{platform.machine()}, {os.cpu_count()} CPU cores',
            'log (sha256 of its last line)': contents.tip,
            **{f'checkpoint {arm.name}': f'{arm.hash} {arm.path}' for arm in study.arms}}))


def lost_blocks(dropped: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return stack -> blocks that went, or lost a part, by a manifest's ``dropped``."""
    found = {stack: sorted(set(change['removed']).union(*change.get('modes', {}).values()))
             for stack, change in dropped.items() if stack != 'dead'}
    return {stack: blocks for stack, blocks in found.items() if blocks}


def limits(removed: dict[str, list[int]], scenes: int, recovery: Mapping[str, Any] | None = None,
           ) -> Sequence[str]:
    """Return what this demo in particular does not show."""
    words = [f'{scenes} scenes are few: this shows the loop at work, it is no evaluation.']
    if removed:
        blocks = ', '.join(f'{stack} {numbers}' for stack, numbers in removed.items())
        words.append(f'The smaller checkpoint lacks the blocks {blocks}; ' + (
            f'afterwards it was trained on {recovery["frames"]} frames of demonstrations.'
            if recovery else 'it was neither chosen by a ranking nor trained afterwards; pruning '
                             'with care does better.'))
    return words


def size(manifest: Manifest) -> str:
    """Return parameters and bytes of a checkpoint in words."""
    parameters, number = sum(manifest.parameters.values()), sum(manifest.bytes.values())
    return f'{parameters / 1e6:.2f} M, {number / 1e6:.1f} MB'


def write_film(output: Path, episodes: Sequence[Episode]) -> dict[Path, str]:
    """Animate the first recorded scene that the baseline solved, else the first one."""
    recorded: dict[int, dict[str, Episode]] = {}
    for episode in episodes:
        if episode.valid and episode.frames and (output / FRAMES / episode.frames).exists():
            recorded.setdefault(episode.slot.pair, {})[episode.slot.arm] = episode
    whole = [pair for pair in recorded.values() if len(pair) == 2] or list(recorded.values())
    if not whole:
        return {}
    solved = [pair for pair in whole if all(e.outcome == 'success' for n, e in pair.items()
                                            if n == 'baseline')]
    chosen = sorted((solved or whole)[0].items())
    clips = [Clip(load_recording(output / FRAMES / episode.frames),
                  f'{name} {episode.checkpoint_hash[:12]}', episode.outcome, episode.duration)
             for name, episode in chosen]
    instruction = chosen[0][1].instruction
    save_animation(output / FILM, compose(clips, instruction, 1.0 / VIEWER_RATE))
    return {output / FILM: f'Scene {chosen[0][1].slot.seed}, told “{instruction}”: '
            'both checkpoints from the same start, as fast as the robot really moves.'}
