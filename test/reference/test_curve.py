# SPDX-License-Identifier: Apache-2.0
"""The curve of a training is drawn from what it logged."""

import json
from pathlib import Path

from vla_drop_ros.reference.curve import draw, read_curve


def test_a_resumed_run_has_one_curve(tmp_path: Path) -> None:
    """Of a step that was logged twice, the later record counts; what is missing is left out."""
    path = tmp_path / 'curve.jsonl'
    lines = [{'step': 100, 'flow': 1.0}, {'step': 200, 'flow': 9.0},
             {'step': 200, 'flow': 0.5, 'target_mm': 30.0}]
    path.write_text('\n'.join(json.dumps(line) for line in lines) + '\n')
    assert read_curve(path) == [lines[0], lines[2]]
    draw([tmp_path], tmp_path / 'training.png')
    assert (tmp_path / 'training.png').read_bytes().startswith(b'\x89PNG')
