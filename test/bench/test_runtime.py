# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the running system measures real processes and reports every gate."""

import json
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
from bench import jitter, swap, transport  # noqa: E402
from bench.child import Child  # noqa: E402
from bench.gates import Row  # noqa: E402
from bench.node_work import Parts  # noqa: E402
from bench.runtime import (  # noqa: E402
    jitter_rows,
    measure,
    PAGE_MARKS,
    QUICK,
    swap_rows,
    transport_rows,
)
from vla_drop_ros.errors import VlaDropError  # noqa: E402

pytestmark = [pytest.mark.ros, pytest.mark.e2e]


@pytest.mark.slow
def test_the_node_is_measured_and_reported(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole way: node, cameras and bare policy as processes, table, JSON, page."""
    page, file = tmp_path / 'page.md', tmp_path / 'bench.json'
    page.write_text('\n'.join(PAGE_MARKS))
    status = measure(['--quick', '--only', 'node', '--checkpoint', str(tiny_checkpoint),
                      '--json', str(file), '--page', str(page)])
    captured = capsys.readouterr()
    rows = json.loads(file.read_text())['rows']
    gates = {row['name']: row for row in rows if row['gate']}
    assert set(gates) == {'work of the node beside the forward pass, p50',
                          'node with forward pass / bare forward pass'}
    assert status == any(row['verdict'] == 'FAIL' for row in rows)
    assert 0.05 < gates['work of the node beside the forward pass, p50']['values'][0] < 100.0
    assert 0.5 < gates['node with forward pass / bare forward pass']['values'][0] < 5.0
    for text in (captured.out, page.read_text()):
        assert 'work of the node' in text and 'load average' in text
    assert 'work of the policy node 1/1' in captured.err


def test_node_work_leaves_out_what_is_not_the_nodes() -> None:
    """Neither the forward pass nor the wait for the timer is work of the node."""
    parts = Parts(callbacks=1.0, slot_wait=100.0, request=2.0, preparation=3.0, forward=50.0,
                  publishing=4.0)
    assert parts.node_work == 10.0 and parts.in_loop == 60.0


def test_a_process_that_ends_is_named_with_what_it_said() -> None:
    """A benchmark does not wait for a process that is gone."""
    with Child('bench.witness', {'rate': 'no number'}) as child, \
            pytest.raises(VlaDropError, match=r'(?s)bench\.witness ended.*TypeError'):
        child.expect('ready')


def test_a_missing_checkpoint_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names what there is."""
    assert measure(['--quick', '--only', 'node', '--checkpoint', 'no_such']) == 2
    assert 'no_such' in capsys.readouterr().err


def verdicts(rows: list[Row]) -> dict[str, str]:
    """Return the verdict of every row that has a gate."""
    return {row.name: row.verdict for row in rows if row.gate}


@pytest.mark.parametrize(('received', 'latency', 'wanted'), [
    (100, 0.002, ['PASS', 'PASS']), (98, 0.002, ['FAIL', 'PASS']), (100, 0.005, ['PASS', 'FAIL'])])
def test_the_gates_of_the_transport(
        monkeypatch: pytest.MonkeyPatch, received: int, latency: float, wanted: list[str]) -> None:
    """The profile must deliver 99 % at 0.35 of the latency of the reliable default."""
    found = {case: [transport.Delivery(100, received, latency, 0.02, 0.1)]
             for case in transport.CASES}
    found[transport.STOCK_RELIABLE] = [transport.Delivery(100, 100, 0.012, 0.02, 0.1)]
    monkeypatch.setattr(transport, 'deliveries', lambda *args, **options: found)
    rows = transport_rows(QUICK, print)
    assert list(verdicts(rows).values()) == wanted
    assert len(rows) == len(transport.CASES) + 1


@pytest.mark.parametrize(('missed', 'p95', 'asleep', 'naive', 'wanted'), [
    (0, 1e-4, 1e-4, 90, ['PASS', 'PASS', 'PASS']), (1, 2e-3, 1e-4, 90, ['FAIL', 'FAIL', 'PASS']),
    (0, 2e-3, 2e-3, 90, ['PASS', 'BUSY', 'PASS']), (0, 1e-4, 1e-4, 40, ['PASS', 'PASS', 'FAIL'])])
def test_the_gates_of_the_control_loop(
        monkeypatch: pytest.MonkeyPatch, missed: int, p95: float, asleep: float, naive: int,
        wanted: list[str]) -> None:
    """The shipped design must be punctual, and the naive one must not, else nothing was shown."""
    def found(design: str, settings: object, seconds: dict[str, float], *rest: object,
              ) -> dict[str, list[jitter.Punctuality]]:
        lost = {'separate': missed, 'thread': 0, 'callback': naive}[design]
        one = jitter.Punctuality(jitter.Jitter(100, lost, 0.0, p95, p95, p95),
                                 jitter.Jitter(100, 0, 0.0, asleep, asleep, asleep), 0.03)
        return {name: [one] for name in seconds}

    monkeypatch.setattr(jitter, 'measure', found)
    rows = jitter_rows(QUICK, 'reference', print)
    assert list(verdicts(rows).values()) == wanted
    assert len(rows) == len(jitter.DESIGNS) * len(jitter.EXECUTORS) + 1


@pytest.mark.parametrize(('missed', 'gap', 'asleep', 'wanted'), [
    (0, 0.024, 0.02, ['PASS', 'PASS']), (1, 0.045, 0.02, ['FAIL', 'FAIL']),
    (0, 0.045, 0.05, ['PASS', 'BUSY'])])
def test_the_gates_of_a_swap(monkeypatch: pytest.MonkeyPatch, missed: int, gap: float,
                             asleep: float, wanted: list[str]) -> None:
    """No tick may be missed, none may be late by half a period; both for 2 resident and for 1."""
    one = swap.Swap(missed, gap, 1.0, 0.2, 0.1)
    found = swap.Swaps([one, one], 0.02, [(0, asleep)] * 2)
    monkeypatch.setattr(swap, 'measure', lambda *args: found)
    rows = swap_rows(QUICK, ('a', 'b'), print)
    assert [row.verdict for row in rows if row.gate] == 2 * wanted
