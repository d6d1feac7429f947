# SPDX-License-Identifier: Apache-2.0
"""False acceptances of whole simulated studies stay within alpha, and the document says so."""

from dataclasses import replace
from pathlib import Path
import re

import numpy as np
import pytest

from bench import null_studies
from bench.null_studies import false_acceptances, METHODS, TERMS
from vla_drop_ros.trials.evidence import Terms

DOCUMENT = null_studies.DOCUMENT.read_text(encoding='utf-8')


def terms_of(rule: str) -> Terms:
    """Return the terms of the benchmark under a rule, of a shorter study."""
    return replace(TERMS, rule=rule, horizon=0 if rule == 'anytime' else 40)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('rule', null_studies.RULES)
def test_false_acceptances_stay_within_alpha(rule: str, method: str) -> None:
    """Whoever stops whenever they like accepts a bad checkpoint in 5 % of studies at most."""
    rates = false_acceptances(np.random.default_rng(8), 2000, terms_of(rule),
                              (0.0, -0.15, -0.15), method)
    assert max(rates) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert rates[2] == max(rates) > 0.0


def test_the_document_keeps_alpha_in_ten_thousand_studies() -> None:
    """Every rate of the table is at most 5 %, within two and a half standard errors."""
    table = DOCUMENT.partition(null_studies.BEGIN)[2].partition(null_studies.END)[0]
    assert '--studies 10000' in table
    rows = [line for line in table.splitlines() if line.startswith('| ') and '±' in line]
    assert len(rows) == len(list(null_studies.cases(quick=False)))
    for row in rows:
        found = re.findall(r'([\d.]+) ± ([\d.]+)', row)
        assert len(found) == 3
        assert all(float(rate) <= 0.05 + 2.5 * float(error) for rate, error in found), row


def test_it_writes_between_the_marks_only(tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    """What people wrote before and after stays; without marks nothing is computed."""
    document = tmp_path / 'statistics.md'
    document.write_text(f'before\n{null_studies.BEGIN}\nold\n{null_studies.END}\nafter\n')
    assert null_studies.measure(['--studies', '20', '--document', str(document)]) == 0
    text = document.read_text()
    assert text.startswith(f'before\n{null_studies.BEGIN}\n')
    assert text.endswith(f'{null_studies.END}\nafter\n') and '\nold\n' not in text
    document.write_text('nothing')
    assert null_studies.measure(['--document', str(document)]) == 1
    assert 'lacks the marks' in capsys.readouterr().err
