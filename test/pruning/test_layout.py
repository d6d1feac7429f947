# SPDX-License-Identifier: Apache-2.0
"""The layout is the family's facts as plain data: it survives JSON and names what is protected."""

import json

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.pruning.layout import Layout


def test_survives_json(subject: Subject) -> None:
    """Numbers that are keys come back as numbers."""
    layout = subject.layout
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_it_says_what_the_model_is(subject: Subject) -> None:
    """Depths, modes, ties, channels and heads of the tiny policy."""
    language, action = subject.layout['language'], subject.layout['action']
    assert (language.depth, language.reader) == (4, 'action')
    assert language.modes == ('tied', 'keep-kv', 'mha', 'mlp')
    assert language.pairs == {0: 0, 1: 1, 2: 2, 3: 3} and action.pairs == {}
    assert language.channels == (32,) * 4 and subject.layout['vision'].heads == (2, 2, 2)


def test_unknown_and_protected_are_told_apart(subject: Subject) -> None:
    """A projector is refused with the reason, a misspelling with the valid names."""
    with pytest.raises(PlanError, match=r"unknown stack 'lang'; valid: action, lang"):
        subject.layout['lang']
    with pytest.raises(PlanError, match="protected: 'multi_modal_projector' cannot be dropped"):
        subject.layout['multi_modal_projector']
