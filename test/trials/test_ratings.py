# SPDX-License-Identifier: Apache-2.0
"""Verdicts of older logs were sure and answered nothing; a rating is what was said."""

from vla_drop_ros.trials.ratings import answers_of, confidence_of, Rating


def test_older_logs_were_sure() -> None:
    """Neither word is in them; an empty one means the same."""
    assert confidence_of({}) == confidence_of({'confidence': ''}) == 'sure'
    assert confidence_of({'confidence': 'unsure'}) == 'unsure'
    assert answers_of({}) == {}
    assert answers_of({'answers': {'reached': True, 'grasped': False}}) == {
        'reached': True, 'grasped': False}


def test_a_partial_success_is_no_success() -> None:
    """Agreement is measured on the endpoint of the study."""
    said = {'code': '1', 'rater': 'R2', 'verdict': 'partial', 'stage': 'reached', 'note': ''}
    assert Rating.said(said) == Rating('R2', 'partial', 'reached', '')
    assert not Rating.said(said).success and Rating('R2', 'success').success
