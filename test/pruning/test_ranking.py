# SPDX-License-Identifier: Apache-2.0
"""A ranking file holds all that a plan needs, and says when it does not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import RankingError
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.ranker import rank
from vla_drop_ros.pruning.ranking import Ranking


@pytest.fixture
def ranking(subject: Subject) -> Ranking:
    """Return a small ranking."""
    return Ranking({'path': 'x', 'name': 'tiny', 'sha256': 'ab' * 32, 'family': 'pi0'},
                   subject.layout, rank(subject, ('leave-one-out', 'angular', 'wanda')),
                   {'samples': 12}, seed=4)


def test_survives_a_file(ranking: Ranking, tmp_path: Path) -> None:
    """Scores, intervals, layout and extras come back; NaN too."""
    values = ranking.criteria['angular'].units['tied']['language'].values
    values[2] = np.nan
    ranking.save(tmp_path / 'deep' / 'ranking.json')
    again = Ranking.load(tmp_path / 'deep' / 'ranking.json')
    assert again.to_dict() == ranking.to_dict()
    assert again.layout == ranking.layout and again.seed == 4
    loaded = again.criteria['angular'].importance('tied', 'language')
    assert np.isnan(loaded[2]) and np.isfinite(loaded[[0, 1, 3]]).all()
    assert len(again.criteria['wanda'].width_importance('channel', 'vision')[0]) == 32
    text = (tmp_path / 'deep' / 'ranking.json').read_text()
    assert 'NaN' not in text and [p.name for p in (tmp_path / 'deep').iterdir()] == [
        'ranking.json']


def test_an_absent_criterion_names_those_that_are_there(ranking: Ranking) -> None:
    """And says how to have it."""
    with pytest.raises(RankingError, match='valid: angular, leave-one-out, wanda.*--criterion'):
        ranking.pick('gateprobe')


@pytest.mark.parametrize(('content', 'message'), [
    ('{"format": 1}', 'malformed'), ('{"format": 2}', '"format": 1'), ('[]', '"format": 1'),
    ('{"form', 'cannot be read')])
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    """Naming the file."""
    path = tmp_path / 'other.json'
    path.write_text(content)
    with pytest.raises(RankingError, match=message) as error:
        Ranking.load(path)
    assert 'other.json' in str(error.value)


def test_scores_of_another_form_are_refused(ranking: Ranking, tmp_path: Path) -> None:
    """A field more or less is an error, not a guess."""
    data: dict[str, Any] = ranking.to_dict()
    del data['criteria']['angular']['units']['block']['vision']['rule']
    data['criteria']['angular']['units']['block']['vision']['ruel'] = 'x'
    (tmp_path / 'r.json').write_text(json.dumps(data))
    with pytest.raises(RankingError, match='malformed'):
        Ranking.load(tmp_path / 'r.json')
