# SPDX-License-Identifier: Apache-2.0
"""A person at the simulated robot, so that a whole study runs without one.

It sees what people see: the state of the trial node, and the scene. Nobody tells it the arm.
"""

from collections.abc import Mapping
from dataclasses import replace
import json
from typing import Any

import numpy as np

from vla_drop_ros.trials.conductor import GUESSES, Verb
from vla_drop_ros.trials.incidents import INCIDENTS

SOURCE = 'simulated operator'


class SimulatedOperator:
    """Answers every state with the verb that a diligent person would press, or none."""

    def __init__(self, seed: int = 0, slips: float = 0.0, spoiled: float = 0.0,
                 stops_early: bool = True, remarks: float = 0.0) -> None:
        """Take how human it is.

        Args:
            seed: of slips and guesses.
            slips: share of verdicts that are pressed wrongly, and taken back at once.
            spoiled: share of trials in which the scene was set up wrongly.
            stops_early: ends the study when the rule allows it; else at the horizon only.
            remarks: share of trials with an incident, and of verdicts that are unsure.

        """
        self._rng = np.random.default_rng(seed)
        self._slips, self._spoiled, self._stops_early = slips, spoiled, stops_early
        self._aside = np.random.default_rng([seed, 1])  # remarks change no slip
        self._remarks, self._remarked = remarks, ''
        self._slipped: Verb | None = None  # what was right when the wrong verdict was pressed
        self._scene: Mapping[str, Any] = {}

    def look(self, scene: str) -> None:
        """Take the robot's description of the scene, JSON."""
        try:
            self._scene = json.loads(scene)
        except ValueError:
            self._scene = {}

    def answer(self, state: Mapping[str, Any]) -> Verb | None:
        """Return what to press in a state of ``session_state.state_of``."""
        phase, code = state['phase'], str(state['code'])
        if phase == 'judge':
            return self._judge(state, code)
        slip = self._slipped
        if slip is not None and phase != 'running' and state['undo'] == slip.code:
            return Verb('undo', SOURCE, code=slip.code)
        if phase == 'finished':
            wanted = state['guesses_wanted']
            return Verb('guess', SOURCE, code=wanted[0],
                        reason=str(self._rng.choice(GUESSES))) if wanted else None
        if phase == 'arrange' and state['may_stop'] and self._stops_early:
            return Verb('finish', SOURCE)
        if phase == 'arrange' and not state['waiting']:
            return Verb('start', SOURCE, code=code)
        return None

    def _judge(self, state: Mapping[str, Any], code: str) -> Verb:
        if self._remarked != code:
            self._remarked = code
            if self._aside.random() < self._remarks:
                return Verb(str(self._aside.choice(INCIDENTS)), SOURCE, code=code)
        verb = self._say(state, code)
        unsure = verb.name != 'invalid' and self._aside.random() < self._remarks
        return replace(verb, confidence='unsure' if unsure else 'sure')

    def _say(self, state: Mapping[str, Any], code: str) -> Verb:
        if self._slipped is not None and self._slipped.code == code:
            true, self._slipped = self._slipped, None
            return true  # the scene may be the next trial's by now
        if self._rng.random() < self._slips:
            self._slipped = true = self._verdict(state, code)
            return Verb('failure' if true.name == 'success' else 'success', SOURCE, code=code)
        reasons = state['invalid_reasons']
        if self._rng.random() < self._spoiled:
            return Verb('invalid', SOURCE, code=code, reason=reasons[0])
        return self._verdict(state, code)

    def _verdict(self, state: Mapping[str, Any], code: str) -> Verb:
        suggested = state['suggestion'] or {}
        if suggested.get('verb') == 'invalid':
            reason = suggested['reason'] or state['invalid_reasons'][0]
            return Verb('invalid', SOURCE, code=code, reason=reason)
        if self._scene.get('success') or suggested.get('verb') == 'success':
            return Verb('success', SOURCE, code=code)
        moved, target = self._scene.get('moved_object'), self._scene.get('target')
        stages = [stage['id'] for stage in state['rubric']]
        if moved and moved == target and 'grasped' in stages:
            reached = stages[:stages.index('grasped') + 1]
            return Verb('partial', SOURCE, code=code, stage='grasped',
                        answers=dict.fromkeys(reached, True))
        reason = 'wrong_object' if moved and moved != target else 'missed_grasp'
        return Verb('failure', SOURCE, code=code,
                    reason=reason if reason in state['failure_reasons'] else '')
