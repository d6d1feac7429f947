# SPDX-License-Identifier: Apache-2.0
"""The figures of the difference show the numbers of the results, in words as well."""

import xml.etree.ElementTree as ElementTree

from vla_drop_ros.report.difference_figures import evidence, forest, ladder
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import span


def test_forest_has_every_task_and_the_whole(opened: Results) -> None:
    """Names, n, margin and units are in the picture; intervals are in its words."""
    comparison, = opened.comparisons
    picture = forest(comparison, 1)
    ElementTree.fromstring(picture.svg)
    for text in ('bins', 'stacking', 'WHOLE STUDY', 'n = 24', 'n = 12', 'n = 36', '-15',
                 'difference of success [points]'):
        assert text in picture.svg
    assert span(comparison.verdict.interval) in picture.words
    assert '90 %' in picture.caption and 'stopping rule' in picture.caption


def test_evidence_says_whether_it_crossed(opened: Results) -> None:
    """Both panels are there, and the words agree with the rejections."""
    comparison, = opened.comparisons
    picture = evidence(comparison, 1)
    assert 'complete pairs' in picture.svg and 'score z' in picture.svg
    crossed = comparison.verdict.rejections['non_inferior']
    first = picture.words.split(';')[0]
    assert first.startswith('non inferior') and ('not crossed' in first) == (not crossed)


def test_ladder_marks_what_is_accepted(opened: Results) -> None:
    """Without parameter counts the order of the design is the axis."""
    picture = ladder(opened.arms, opened.comparisons)
    assert 'checkpoints, by increasing sparsity' in picture.svg
    state = 'accepted' if opened.comparisons[0].rung.accepted else 'not accepted'
    assert picture.words.endswith(state)
