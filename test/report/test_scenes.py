# SPDX-License-Identifier: Apache-2.0
"""The pictures that are shown are few, and those worth a look."""

from dataclasses import replace

import pytest

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.scenes import MOST_SCENES, scenes_of


def test_first_worst_and_discordant(opened: Results) -> None:
    """The first trial, the worst match of every arm, then pairs that one arm alone solved."""
    found = opened.scenes
    assert 4 < len(found) <= MOST_SCENES
    assert len({one.row.code for one in found}) == len(found)
    counted = [row for row in opened.rows if row.counted]
    assert found[0].row == counted[0] and found[0].why.startswith('first trial')
    for arm in ('whole9', 'lean9'):
        least = min(row.number('picture', 'match') for row in counted if row.arm == arm)
        assert any(one.match == least and f'worst match of {arm}' in one.why for one in found)
    discordant = {row.code for pair in opened.comparisons[0].discordant
                  for row in (pair.solved, pair.failed)}
    assert all('only one of' in one.why for one in found if one.row.code in discordant)


@pytest.mark.parametrize('uri', ['', 'pictures/1.jpg'])
def test_never_too_many(opened: Results, uri: str) -> None:
    """However many pairs differ; and none without a picture."""
    rows = [replace(row, values={'picture': {'uri': uri, 'match': 0.5}}) for row in opened.rows]
    pairs = [replace(opened.comparisons[0].discordant[0], solved=one, failed=other)
             for one, other in zip(rows[::2], rows[1::2], strict=False)]
    one = replace(opened.comparisons[0], discordant=tuple(pairs))
    assert len(scenes_of(rows, [one])) == (MOST_SCENES if uri else 0)
