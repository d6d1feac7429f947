# SPDX-License-Identifier: Apache-2.0
"""How fast chunks came, where their time went, and how much was left: one report a run."""

from dataclasses import astuple, dataclass, fields

import numpy as np

from vla_drop_ros.types import FloatArray

KEPT = 4096
"""Chunks that the quantiles are computed of: the last ones."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the time of one chunk went, [s].

    Attributes:
        queue: from the request to the begin of its work.
        observe: decoding the images and building the observation.
        inference: the policy.
        publish: checking and sending the chunk.

    """

    queue: float
    observe: float
    inference: float
    publish: float

    @property
    def total(self) -> float:
        """Return the time from the request to the end of publishing, [s]."""
        return self.queue + self.observe + self.inference + self.publish


STAGES = (*(field.name for field in fields(Stages)), 'total')


class Cadence:
    """Counts and times of all chunks since the start. Constant memory."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self.chunks = 0
        self._over_budget = 0
        self._intervals, self._between, self._wanted = 0, 0.0, 0.0
        self._last: tuple[int, float] | None = None
        self._sums, self._worst = np.zeros(len(STAGES)), np.zeros(len(STAGES))
        self._rows: FloatArray = np.zeros((KEPT, len(STAGES)))

    def add(self, stages: Stages, now: float, episode: int, budget: float) -> None:
        """Record one published chunk.

        Args:
            stages: where its time went.
            now: when it was published, [s].
            episode: of its request; only chunks of one episode follow each other.
            budget: wanted time between two chunks then, [s].

        """
        row = np.array([*astuple(stages), stages.total])
        self._rows[self.chunks % KEPT] = row
        self._sums += row
        self._worst = np.maximum(self._worst, row)
        self.chunks += 1
        self._over_budget += stages.total > budget
        if self._last is not None and self._last[0] == episode:
            self._intervals += 1
            self._between += now - self._last[1]
            self._wanted += budget
        self._last = (episode, now)

    @property
    def rate(self) -> float:
        """Return the chunks a second while something was asked, [Hz]; NaN before the second."""
        return self._intervals / self._between if self._between > 0 else float('nan')

    @property
    def wanted_rate(self) -> float:
        """Return the chunks a second that were wanted then, [Hz]; NaN before the second."""
        return self._intervals / self._wanted if self._wanted > 0 else float('nan')

    @property
    def over_budget(self) -> float:
        """Return the share of chunks that took longer than the wanted time between two."""
        return self._over_budget / self.chunks if self.chunks else float('nan')

    def quantile(self, share: float) -> dict[str, float]:
        """Return stage -> quantile over the last chunks, [s]; NaN before the first."""
        rows = self._rows[:self.chunks]
        values = np.quantile(rows, share, axis=0) if len(rows) else np.full(len(STAGES), np.nan)
        return dict(zip(STAGES, map(float, values), strict=True))

    def report(self) -> str:
        """Return the report of the run, at most 100 columns wide; '' before the first chunk."""
        if not self.chunks:
            return ''
        p95, mean = self.quantile(0.95), self._sums / self.chunks
        lines = [
            f'cadence: {self.chunks} chunks, {_hertz(self.rate)} while asked (wanted '
            f'{_hertz(self.wanted_rate)}), {self.over_budget:.1%} over budget',
            f'  {"[ms]":<10}{"mean":>9}{"p95":>9}{"worst":>9}']
        for i, name in enumerate(STAGES):
            lines.append(f'  {name:<10}' + ''.join(
                f'{value * 1000:>9.1f}' for value in (mean[i], p95[name], self._worst[i])))
        if self._wanted > 0:
            budget = self._wanted / self._intervals
            lines.append(f'  headroom: {1 - p95["total"] / budget:.0%} of the {budget * 1000:.0f} '
                         'ms between two chunks are left at p95')
        return '\n'.join(lines)


def _hertz(rate: float) -> str:
    return '-' if np.isnan(rate) else f'{rate:.2f}/s'
