# SPDX-License-Identifier: Apache-2.0
"""Hashes, versions, robot and computer are told; what is absent is named."""

from dataclasses import asdict

from vla_drop_ros.report.reproducibility_section import methods_section, reproducibility_section
from vla_drop_ros.report.results import Results


def test_hashes_and_rig(opened: Results, blinded: Results) -> None:
    """The secret proves the schedule once opened; blinded it is not told."""
    secret = (opened.record.folder / 'secret').read_text().strip()
    text, closed = (str(asdict(reproducibility_section(one))) for one in (opened, blinded))
    assert secret in text and secret not in closed and 'lean9' not in closed
    for one in (text, closed):
        assert opened.record.study.design.digest in one and 'robot model' in one
        assert 'not stated' in one


def test_the_package_can_be_cited(opened: Results) -> None:
    """The methods come with the BibTeX of the package."""
    assert '@software{vla_drop_ros' in str(asdict(methods_section(opened)))
