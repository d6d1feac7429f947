# SPDX-License-Identifier: Apache-2.0
"""The full shapes are the published ones, and published drops leave what was published."""

from collections.abc import Callable
from pathlib import Path
import runpy
from typing import Any

import pytest

BENCH = runpy.run_path(str(Path(__file__).resolve().parents[2] / 'bench/shapes.py'))


def table(text: str) -> dict[str, float]:
    """Return row -> millions of parameters."""
    return {line[13:49].strip(): float(line[49:59]) for line in text.splitlines()}


def test_pi0_and_openvla(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes of the papers; the dead parts are the ones known from reading the code."""
    assert BENCH['measure'](['--model', 'pi0']) == 0
    pi0 = table(capsys.readouterr().out)
    assert pi0['whole'] == pytest.approx(3500, rel=0.02)
    # Queries, output and MLP of one Gemma block of 2 B, and the expert's word table.
    assert pi0['whole'] - pi0['without what nothing reads'] > 108.9
    assert pi0['clp-pi0-6'] == pytest.approx(2700, rel=0.02)
    assert BENCH['measure'](['--model', 'OpenVLA-OFT']) == 0
    openvla = table(capsys.readouterr().out)
    assert openvla['whole'] == pytest.approx(7550, rel=0.01)
    assert openvla['whole'] - openvla['without what nothing reads'] == pytest.approx(27.8, abs=0.1)
    assert openvla['dtr-openvla-oft-uniform-16'] / openvla['whole'] == pytest.approx(.57, abs=.01)


def test_smolvla(tiny_smolvla: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """450 M, and 354 M after the published drop."""
    assert BENCH['measure'](['--model', 'SmolVLA']) == 0
    smolvla = table(capsys.readouterr().out)
    assert smolvla['whole'] == pytest.approx(450, abs=1)
    assert smolvla['clp-smolvla-6'] == pytest.approx(354, abs=1)
