# SPDX-License-Identifier: Apache-2.0
"""Draw what training logged: losses and held-out errors against steps."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

PANELS = (('flow', 'guess', 'vector', 'patch'), ('target_mm', 'place_mm', 'action_mm'),
          ('patch_wrong', 'gripper_wrong', 'target_far'))
LABELS = ('training loss', 'held-out error [mm]', 'held-out rate')


def read_curve(path: Path) -> list[dict[str, float]]:
    """Return the records of a ``curve.jsonl``, later ones winning where a run was resumed."""
    records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return list({record['step']: record for record in records}.values())


def draw(folders: Sequence[Path], output: Path) -> None:
    """Write a PNG: a row for each stage (a folder with ``curve.jsonl``)."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(len(folders), len(PANELS), figsize=(12, 3.2 * len(folders)),
                                   squeeze=False)
    for row, folder in zip(axes, folders, strict=True):
        records = read_curve(folder / 'curve.jsonl')
        for axis, names, label in zip(row, PANELS, LABELS, strict=True):
            _panel(axis, records, names)
            axis.set(title=f'{folder.name}: {label}', xlabel='step')
    figure.tight_layout()
    figure.savefig(output, dpi=110)
    pyplot.close(figure)


def _panel(axis: Any, records: list[dict[str, float]], names: Sequence[str]) -> None:
    for name in names:
        points = [(record['step'], record[name]) for record in records if name in record]
        if points:
            axis.plot(*zip(*points, strict=True), label=name, marker='.')
    if axis.lines:
        axis.legend(fontsize=8)
        axis.set_ylim(bottom=0)
