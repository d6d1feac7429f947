# SPDX-License-Identifier: Apache-2.0
"""Three arms have letters from tests on the same scenes; two arms have none."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from vla_drop_ros.report.letters import letters_of
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.sections import document
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.trials.statistics import mcnemar_exact


def test_two_arms_have_no_letters(opened: Results) -> None:
    """They have one test, beside the pairs; nor has a study without a round."""
    assert opened.letters is None
    assert letters_of((), ['a', 'b', 'c']) is None


def test_a_bad_arm_has_a_letter_of_its_own(study: Callable[..., Path], studies: ModuleType
                                           ) -> None:
    """The counts are those of the pairs, and the report names test and correction."""
    names = ('base', 'nine', 'six')
    folder = study(world=studies.World({'base': 0.95, 'nine': 0.95, 'six': 0.1}),
                   data=studies.design_data(names, horizon=24))
    results = results_of(unblind(read_record(folder), 'P1'))
    letters = results.letters
    assert letters is not None
    assert set(letters.of['base']) & set(letters.of['nine'])
    assert not set(letters.of['base']) & set(letters.of['six'])
    for one in results.comparisons:
        test = next(test for test in letters.tests if {test.first, test.second} == {
            'base', one.name})
        counts = one.verdict.counts
        assert (test.first_only, test.second_only) == (counts.baseline_only,
                                                       counts.candidate_only)
        assert test.p_value == mcnemar_exact(counts.candidate_only, counts.baseline_only)
        assert test.adjusted >= test.p_value
    success = next(one for one in document(results).sections if one.id == 'success')
    text = str(asdict(success))
    assert "McNemar's exact paired test" in text and 'Holm' in text and 'descriptive' in text
