# SPDX-License-Identifier: Apache-2.0
"""What happened in a trial beside its outcome: somebody helped, or something nearly broke, or did.

An incident never changes a verdict. It says what the verdict cannot: two policies that succeed
alike are not alike when one of them hits the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import math
from typing import Any

INCIDENTS = ('intervention', 'near_miss', 'collision')
MOST = 50  # of one trial; a button that hangs fills no disk


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident.

    Attributes:
        kind: one of ``INCIDENTS``.
        seconds_after_start: on the node clock, [s]; NaN where it was said after the end of the
            trial, when nobody knows any more when it was.
        note: free text.
        source: who said it: web, service, joy ...

    """

    kind: str
    seconds_after_start: float
    note: str = ''
    source: str = ''

    @classmethod
    def said(cls, data: Mapping[str, Any], started: float, ended: float) -> 'Incident':
        """Build from an event ``incident``.

        Args:
            data: of the event.
            started: when the trial began, [s] on the node clock.
            ended: when it ended, [s]; NaN while it runs.

        """
        runs = math.isnan(ended)
        after = max(0.0, float(data['stamp']) - started) if runs else math.nan
        return cls(str(data['kind']), after, str(data['note']), str(data['source']))
