# SPDX-License-Identifier: Apache-2.0
"""The verb plan: from scores to a file that drop carries out, or one clear line why not."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.manifest import block_counts, load_manifest
from vla_drop_ros.pruning.plan import Plan


def planned(source: Path, output: Path, *more: str) -> Plan:
    """Return the plan that the command writes; its picture must be one."""
    assert main(['plan', str(source), '-o', str(output), *more]) == 0
    assert cv2.imread(str(output.with_suffix('.png'))) is not None
    return Plan.load(output)


def test_a_number_of_blocks_goes_and_drop_carries_it_out(
        ranking_file: Path, tiny_pair: tuple[Path, Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """The family's own way of dropping is the default; sizes are foretold exactly."""
    plan = planned(ranking_file, tmp_path / 'plan.json', '--drop', 'language=2')
    assert len(plan.blocks['language']['tied']) == 2
    assert 'language  tied     2 blocks' in capsys.readouterr().out
    assert main(['drop', str(tiny_pair[0]), str(tmp_path / 'plan.json'),
                 '-o', str(tmp_path / 'smaller')]) == 0
    assert block_counts(tmp_path / 'smaller') == {'vision': 3, 'language': 2, 'action': 2}
    left = sum(load_manifest(tmp_path / 'smaller').parameters.values())
    assert left == plan.origin['predicted']['parameters']


@pytest.mark.parametrize(('more', 'expected'), [
    (['--keep', 'language=1', '--mode', 'keep-kv'], {'language': {'keep-kv': 3}}),
    (['--drop', 'vision=1,action=2', '--mode', 'action=mha'],
     {'vision': {'whole': 1}, 'action': {'mha': 2}}),
    (['--budget', 'blocks=3', '--stacks', 'vision,action'], 3),
    (['--blocks', 'language=1+3', '--mode', 'mlp'], {'language': {'mlp': 2}}),
    (['--criterion', 'cka', '--drop', 'language=1'], {'language': {'tied': 1}}),
])
def test_amounts_and_ways(
        more: list[str], expected: Any, ranking_file: Path, tmp_path: Path) -> None:
    """Each way of saying how much gives so many blocks in the wanted mode."""
    plan = planned(ranking_file, tmp_path / 'plan.json', *more)
    found = {stack: {mode: len(indices) for mode, indices in modes.items()}
             for stack, modes in plan.blocks.items()}
    if isinstance(expected, int):
        assert sum(sum(modes.values()) for modes in found.values()) == expected
        assert 'language' not in found
    else:
        assert found == expected


@pytest.mark.parametrize('budget', ['params=80%', 'latency=80%', 'flops=75%,params=90%'])
def test_a_budget_is_met(budget: str, ranking_file: Path, tmp_path: Path) -> None:
    """What is foretold lies within every bound that was given."""
    plan = planned(ranking_file, tmp_path / 'plan.json', '--budget', budget)
    predicted, before = plan.origin['predicted'], plan.origin['before']
    for part in budget.split(','):
        name, bound = part.split('=')
        name = 'parameters' if name == 'params' else name
        assert predicted[name] <= float(bound[:-1]) / 100 * before[name]


def test_widths_go_by_share_and_by_budget(
        ranking_file: Path, tiny_pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A quarter of the channels of a stack; and channels and heads until the budget is met."""
    plan = planned(ranking_file, tmp_path / 'a.json', '--criterion', 'wanda', '--channels',
                   'language=25%')
    assert sum(map(len, plan.channels['language'].values())) == 32
    plan = planned(ranking_file, tmp_path / 'b.json', '--criterion', 'divergence', '--width',
                   '--budget', 'params=90%')
    assert plan.channels and not plan.blocks
    assert main(['drop', str(tiny_pair[0]), str(tmp_path / 'b.json'),
                 '-o', str(tmp_path / 'narrow')]) == 0


def test_dead_compute_and_stock_loaders(
        ranking_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dead is written into the plan; --stock refuses what no configuration can say."""
    assert planned(ranking_file, tmp_path / 'a.json', '--drop', 'language=1', '--dead').dead
    planned(ranking_file, tmp_path / 'b.json', '--drop', 'language=1', '--stock')
    arguments = ['plan', str(ranking_file), '-o', str(tmp_path / 'c.json'), '--drop',
                 'language=1', '--mode', 'keep-kv', '--stock']
    assert main(arguments) == 2
    assert 'stock' in capsys.readouterr().err and not (tmp_path / 'c.json').exists()


def test_presets_are_listed_and_must_fit(
        tiny_pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A published mask is for its depth; blocks can be named without any scores."""
    assert main(['plan', 'x', '--preset', 'list', '-o', 'x']) == 0
    assert 'arXiv' in capsys.readouterr().out
    name = 'dtr-pi05-gateprobe-16'
    arguments = ['plan', str(tiny_pair[0]), '-o', str(tmp_path / 'plan.json')]
    assert main([*arguments, '--preset', name]) == 2
    assert '18' in capsys.readouterr().err
    plan = planned(tiny_pair[0], tmp_path / 'plan.json', '--blocks', 'language=2')
    assert plan.blocks == {'language': {'tied': (2,)}}
    assert main([*arguments, '--drop', 'language=1']) == 2
    assert '--drop needs scores' in capsys.readouterr().err


@pytest.mark.parametrize(('more', 'message'), [
    ([], 'nothing to drop: say how much'),
    (['--drop', 'language'], "--drop 'language': write NAME=VALUE"),
    (['--drop', 'language=four'], "'four' must be a whole number"),
    (['--drop', 'language=9'], '4'),
    (['--drop', 'lang=1'], "unknown stack 'lang'; valid: action, language, vision"),
    (['--drop', 'language=1', '--keep', 'language=2'], 'in --drop and in --keep'),
    (['--drop', 'language=1,language=2'], "names 'language' more than once"),
    (['--drop', 'language=1', '--criterion', 'guess'], "'guess'"),
    (['--drop', 'language=1', '--mode', 'shrink'], "--mode 'shrink': no stack can; valid:"),
    (['--drop', 'language=1', '--mode', 'language=whole'], 'keep-kv'),
    (['--budget', 'joy=3'], "'joy'"),
    (['--budget', 'params=1%'], 'no plan meets the budget'),
    (['--budget', 'params=100%'], 'params'),
    (['--budget', 'latency=60'], 'say the unit, such as 60ms'),
    (['--budget', 'latency=60s'], 'within --budget latency=60s already'),
    (['--budget', 'blocks=50%'], "'50%' must be a whole number"),
    (['--channels', 'language=lots'], "'lots' must be a share"),
])
def test_bad_requests_exit_with_2(
        more: list[str], message: str, ranking_file: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the bad value and the valid ones; nothing is written."""
    assert main(['plan', str(ranking_file), '-o', str(tmp_path / 'plan.json'), *more]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that is neither ranking nor checkpoint is named."""
    (tmp_path / 'other.json').write_text('{}')
    for source in (tmp_path / 'other.json', tmp_path / 'nowhere'):
        assert main(['plan', str(source), '-o', str(tmp_path / 'p.json'), '--drop',
                     'language=1']) == 2
        assert source.name in capsys.readouterr().err


def test_a_front_is_searched_continued_and_picked_from(
        ranking_file: Path, tiny_dataset: Path, tiny_pair: tuple[Path, Path], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Fresh errors are printed; the same command goes on; a point becomes a plan for drop."""
    front = tmp_path / 'front.json'
    arguments = ['plan', str(ranking_file), '--search', '-o', str(front), '--samples', '8',
                 '--beam', '1', '--minutes', '0.02']
    assert main(arguments) == 0
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert 'plans evaluated' in text and 'error' in text
    found = json.loads(front.read_text())
    assert cv2.imread(str(front.with_suffix('.png'))) is not None
    assert found['whole']['plan']['blocks'] == {} and found['points']
    number = len(found['points']) - 1
    plan = planned(front, tmp_path / 'plan.json', '--pick', str(number))
    assert plan.origin['before'] == found['whole']['cost']
    assert plan.origin['criterion']['fresh'] == found['points'][number]['fresh']
    assert main(['drop', str(tiny_pair[0]), str(tmp_path / 'plan.json'),
                 '-o', str(tmp_path / 'smaller')]) == 0
    assert main(['plan', str(front), '--pick', '999', '-o', str(tmp_path / 'x.json')]) == 2
    assert f'points 0 to {number}' in capsys.readouterr().err
    assert main(['plan', str(ranking_file), '--pick', '0', '-o', str(tmp_path / 'x.json')]) == 2
    assert 'is no front' in capsys.readouterr().err


def test_a_ranked_checkpoint_that_moved_is_not_searched(
        ranking_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores of another model would steer the search astray."""
    ranking = json.loads(ranking_file.read_text())
    ranking['checkpoint']['path'] = str(tmp_path / 'gone')
    (tmp_path / 'r.json').write_text(json.dumps(ranking))
    assert main(['plan', str(tmp_path / 'r.json'), '--search', '-o', str(tmp_path / 'f')]) == 2
    assert 'is not there any more' in capsys.readouterr().err
    # A plan by numbers is still possible: what the scores are of is known.
    assert planned(tmp_path / 'r.json', tmp_path / 'p.json', '--drop', 'language=1').checkpoint
