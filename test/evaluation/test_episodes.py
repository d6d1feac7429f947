# SPDX-License-Identifier: Apache-2.0
"""An episode as a job: plain data that depends on the job alone."""

from collections.abc import Callable
import json
from pathlib import Path
import shutil
from typing import Any

import pytest

pytest.importorskip('torch')
pytest.importorskip('mujoco')

from vla_drop_ros.errors import CheckpointError, VlaDropError  # noqa: E402
from vla_drop_ros.evaluation.episodes import Job, PROBES, run_job  # noqa: E402
from vla_drop_ros.manifest import load_manifest  # noqa: E402

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(autouse=True)
def short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """End an episode after one chunk; random weights would not succeed in nine seconds either."""
    monkeypatch.setattr('vla_drop_ros.reference.rollouts.MAX_STEPS', 2)


@pytest.mark.parametrize('probe', sorted(PROBES))
def test_the_same_job_gives_the_same_outcome(tiny_checkpoint: Path, probe: str) -> None:
    """A result is plain JSON and, but for the latency, the same again."""
    job = Job(str(tiny_checkpoint), load_manifest(tiny_checkpoint).short, 3, 'hard', probe)
    first, second = run_job(job), run_job(job)
    assert json.loads(json.dumps(first)) == first
    assert first.pop('latency', 1.0) > 0
    second.pop('latency', None)
    assert first == second
    assert (first['seed'], first['variant'], first['success']) == (3, 'hard', False)


def test_another_object_is_named_in_the_swap(tiny_checkpoint: Path) -> None:
    """The second run of a swap has the same goal for another object."""
    result = run_job(Job(str(tiny_checkpoint), '', 0, probe='swap'))
    assert result['swapped']['named'] != result['named']
    assert result['swapped']['goal'] == result['goal']


def test_an_unknown_probe_is_refused_at_once() -> None:
    """A probe that does not exist never reaches a worker."""
    with pytest.raises(VlaDropError, match='swap'):
        Job('folder', '', 0, probe='swop')


def test_a_checkpoint_that_changed_is_refused(tmp_path: Path, write_tiny: Callable[..., Any],
                                              ) -> None:
    """The outcome of other weights is never taken for that of the job's checkpoint."""
    folder = tmp_path / 'tiny'
    job = Job(str(folder), write_tiny(folder).identity, 0)
    shutil.rmtree(folder)
    write_tiny(folder, scale=0.2)
    with pytest.raises(CheckpointError, match='changed'):
        run_job(job)
