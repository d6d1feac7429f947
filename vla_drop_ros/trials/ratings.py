# SPDX-License-Identifier: Apache-2.0
"""How sure the person at the robot was, and what a second person said of the recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONFIDENCES = ('sure', 'unsure')


@dataclass(frozen=True, slots=True)
class Rating:
    """A verdict of somebody who saw the recording only, and knew neither arm nor first verdict.

    Attributes:
        rater: pseudonym.
        verdict: success, partial or failure.
        stage: how far a partial success or a failure came, '' where that was not said.
        note: free text.

    """

    rater: str
    verdict: str
    stage: str = ''
    note: str = ''

    @classmethod
    def said(cls, data: Mapping[str, Any]) -> 'Rating':
        """Build from an event ``rated``."""
        return cls(str(data['rater']), str(data['verdict']), str(data['stage']),
                   str(data['note']))

    @property
    def success(self) -> bool:
        """Say whether the task was done."""
        return self.verdict == 'success'


def confidence_of(data: Mapping[str, Any]) -> str:
    """Return how sure a ``judged`` event is; older logs, which do not say it, were sure."""
    return str(data.get('confidence') or CONFIDENCES[0])


def answers_of(data: Mapping[str, Any]) -> dict[str, bool]:
    """Return the stages of the rubric that a ``judged`` event answers, with yes or no."""
    return {str(stage): bool(said) for stage, said in (data.get('answers') or {}).items()}
