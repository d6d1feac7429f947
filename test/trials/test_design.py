# SPDX-License-Identifier: Apache-2.0
"""A design is whole, or no study begins; and nothing in it can change unseen."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.design import Design, load_design, parse_design


def test_a_design_arrives_in_its_dataclass(design_data: dict[str, Any]) -> None:
    """Numbers, order of the arms and the rubric are what the YAML says."""
    design = parse_design(design_data)
    assert [arm.name for arm in design.arms] == ['baseline', 'half']
    assert (design.margin, design.alpha, design.stopping.horizon) == (0.15, 0.05, 60)
    assert design.rounds == 20
    assert design.rubric[0].id == 'reached'


@pytest.mark.parametrize('key', ['title', 'question', 'arms', 'conditions', 'margin', 'alpha',
                                 'stopping', 'minimum_baseline', 'timeout', 'rest',
                                 'failure_reasons', 'invalid_reasons', 'seed'])
def test_nothing_that_decides_has_a_default(design_data: dict[str, Any], key: str) -> None:
    """Leaving a key out is refused, by name."""
    del design_data[key]
    with pytest.raises(TrialError, match=key):
        parse_design(design_data)


def test_what_may_be_stated(design_data: dict[str, Any]) -> None:
    """Criterion and abort rules are part of the digest; a design without them keeps its own."""
    plain = parse_design(design_data)
    assert not {'success_criterion', 'abort_rules'} & set(plain.to_dict())
    design_data |= {'success_criterion': 'it lies in the bin', 'abort_rules': ['a hand is near']}
    stated = parse_design(design_data)
    assert (stated.success_criterion, stated.abort_rules) == (
        'it lies in the bin', ('a hand is near',))
    assert parse_design(json.loads(json.dumps(design_data))) == stated
    assert stated.digest != plain.digest
    for key, value in (('success_criterion', ''), ('abort_rules', 'stop'), ('abort_rules', [])):
        with pytest.raises(TrialError, match=key):
            parse_design({**design_data, key: value})


@pytest.mark.parametrize(('change', 'said'), [
    (lambda d: d.update(margin=15), 'margin: 15 must be a number from 0 to 1'),
    (lambda d: d.update(margin=float('nan')), 'margin'),
    (lambda d: d.update(alpha=0.7), 'alpha'),
    (lambda d: d.update(marign=0.1), 'marign: unknown key'),
    (lambda d: d['stopping'].update(rule='peek'), 'stopping.rule'),
    (lambda d: d['stopping'].update(horizon=61), 'for instance 60'),
    (lambda d: d['arms'].pop(), 'at least two'),
    (lambda d: d['arms'][1].update(name='baseline'), 'distinct names'),
    (lambda d: d['arms'][1].pop('checkpoint'), r'arms\[1\].checkpoint: missing'),
    (lambda d: d['conditions'][0].update(instruction=''), 'must be text'),
    (lambda d: d['conditions'][0].update(instructoin='x'), "Did you mean 'instruction'"),
    (lambda d: d.update(failure_reasons=['a', 'a']), 'failure_reasons'),
    (lambda d: d.update(invalid_reasons=['Not a name']), 'invalid_reasons'),
    (lambda d: d.update(timeout=0), 'timeout'),
    (lambda d: d.update(simulation={'variant': 'hard', 'sead': 1}), 'simulation'),
    (lambda d: d.update(simulation={'seed': 'first'}), 'simulation'),
    (lambda d: d['conditions'][0].update(id='red/left'), 'files of their pictures'),
])
def test_what_cannot_be_is_refused_by_name(
        design_data: dict[str, Any], change: Callable[[dict[str, Any]], Any], said: str) -> None:
    """A bad value is named with what would be right."""
    change(design_data)
    with pytest.raises(TrialError, match=said):
        parse_design(design_data)


def test_all_problems_are_named_at_once(design_data: dict[str, Any]) -> None:
    """A design is mended in one round."""
    del design_data['margin'], design_data['title']
    design_data['alpha'] = 'five'
    with pytest.raises(TrialError) as caught:
        parse_design(design_data)
    assert all(key in str(caught.value) for key in ('margin', 'title', 'alpha', '3 problem(s)'))


@pytest.mark.parametrize('change', [
    {'margin': 0.2}, {'alpha': 0.025}, {'seed': 8}, {'timeout': 31.0},
    {'invalid_reasons': ('reset_failed', 'bad_mood')}])
def test_any_change_changes_the_digest(design: Design, change: dict[str, Any]) -> None:
    """The digest of the locked design tells when anything was altered afterwards."""
    assert replace(design, **change).digest != design.digest
    assert replace(design).digest == design.digest


def test_order_and_comments_of_the_file_do_not_matter(
        design_data: dict[str, Any], tmp_path: Path) -> None:
    """Two files that say the same have the same digest."""
    one, two = tmp_path / 'one.yaml', tmp_path / 'two.yaml'
    one.write_text(yaml.safe_dump(design_data))
    two.write_text('# a comment\n' + yaml.safe_dump(
        dict(reversed(list(deepcopy(design_data).items()))), sort_keys=False))
    assert load_design(one).digest == load_design(two).digest


@pytest.mark.parametrize('content', [b'', b'[1, 2]', b'a: [', b'\xff\xfe', b'true'])
def test_a_file_that_is_no_design_is_an_error_in_words(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the error is a TrialError that names it."""
    path = tmp_path / 'design.yaml'
    path.write_bytes(content)
    with pytest.raises(TrialError, match='design'):
        load_design(path)
