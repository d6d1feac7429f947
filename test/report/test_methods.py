# SPDX-License-Identifier: Apache-2.0
"""The methods paragraph says what was done, and every source it names is in the bibliography."""

from collections.abc import Callable
from pathlib import Path
import re
from types import ModuleType

import pytest

from vla_drop_ros import __version__
from vla_drop_ros.report.methods import bibliography, paragraph, SOURCES
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.study_record import read_record


@pytest.mark.parametrize('rule', ['exact_paired', 'anytime', 'fixed'])
@pytest.mark.parametrize('several', ['fixed_sequence', 'holm'])
def test_sources_are_complete(study: Callable[..., Path], studies: ModuleType, rule: str,
                              several: str) -> None:
    """For every rule: each key has its entry, and no entry is without its key."""
    stopping = {'rule': rule} if rule == 'anytime' else {'rule': rule, 'horizon': 12}
    folder = study(trials=1, data=studies.design_data(
        ('base', 'nine', 'six'), stopping=stopping, several=several))
    text = paragraph(results_of(read_record(folder)))
    keys = set(re.findall(r'\[([a-z]+\d{4})\]', text))
    *sources, own = re.findall(r'@\w+\{(\w+),', bibliography(text))
    assert keys == set(sources) <= set(SOURCES)
    assert own == 'vla_drop_ros' and f'version = {{{__version__}}}' in bibliography(text)
    assert ('holm1979' in keys) == (several == 'holm')
    assert ('tango1998' in keys) == (rule != 'anytime')


def test_numbers_are_those_of_the_study(opened: Results) -> None:
    """Margin, error, conditions, rounds and operators are in the text."""
    text = paragraph(opened)
    for words in ('3 conditions', '15 points', '5 %', '12 complete rounds (36 pairs)',
                  '1 robot (arm-1)', '1 operator', 'horizon 36 pairs', "Bang's blinding index"):
        assert words in text
    assert opened.record.study.design.digest[:12] in text
