# SPDX-License-Identifier: Apache-2.0
"""A person at the simulated robot: sees the state of the trial node, presses as people do."""

from dataclasses import dataclass
import json
import sys
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from vla_drop_ros.errors import TrialError
from vla_drop_ros.nodes.parameters import declare, parameter
from vla_drop_ros.nodes.process import run_node
from vla_drop_ros.nodes.qos import LATCHED, STATUS
from vla_drop_ros.trials.simulated_operator import SimulatedOperator

LOOK = 0.2  # [s] between two looks
NEEDED = {'phase', 'code', 'undo', 'waiting', 'guesses_wanted', 'may_stop', 'last',
          'trials_done', 'pairs_done', 'pairs_planned', 'suggestion', 'rubric',
          'failure_reasons', 'invalid_reasons', 'incidents'}
AGAIN = 3.0  # [s] after which a verb that changed nothing is pressed again


@dataclass(frozen=True)
class OperatorParameters:
    """Parameters of ``simulated_operator``."""

    robot: str = parameter('simulated_robot', 'Node whose scene is looked at')
    seed: int = parameter(0, 'Seed of slips and guesses', minimum=0)
    slips: float = parameter(
        0.0, 'Share of verdicts pressed wrongly, and taken back', minimum=0.0, maximum=1.0)
    spoiled: float = parameter(
        0.0, 'Share of trials whose scene was set up wrongly', minimum=0.0, maximum=1.0)
    remarks: float = parameter(
        0.05, 'Share of trials with an incident, and of verdicts that are unsure', minimum=0.0,
        maximum=1.0)
    stops_early: bool = parameter(True, 'End the study as soon as its rule allows it')
    patience: float = parameter(
        0.0, 'Time after which it leaves, 0: never', unit='s', minimum=0.0)
    persistence: float = parameter(
        120.0, 'Time for which it presses again what has no effect, then it gives up; 0: for ever',
        unit='s', minimum=0.0)


class SimulatedOperatorNode(Node):
    """Looks at the state five times a second and publishes the verb on ``trial_node/verb``."""

    def __init__(self, context: Context | None = None,
                 overrides: list[Parameter] | None = None) -> None:
        """Create the interfaces."""
        super().__init__('simulated_operator', context=context, parameter_overrides=overrides)
        wanted = self.parameters = declare(self, OperatorParameters)
        self._operator = SimulatedOperator(
            wanted.seed, wanted.slips, wanted.spoiled, wanted.stops_early, wanted.remarks)
        self._state: dict[str, Any] = {}
        self._answered, self._told = '', -1
        self._first_pressed = self._pressed_at = float('-inf')
        self.finished = False
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._verbs = self.create_publisher(String, 'trial_node/verb', STATUS)
        self.create_subscription(String, 'trial_node/state', self._on_state, LATCHED)
        self.create_subscription(
            String, f'{wanted.robot}/scene', lambda message: self._operator.look(message.data),
            LATCHED)

    def start(self) -> bool:
        """Begin to look."""
        self._began = self._seconds()
        self.create_timer(LOOK, self._look, clock=self._steady)
        return True

    def close(self) -> None:
        """Leave; nothing is to be stopped."""

    def _seconds(self) -> float:
        return float(self._steady.now().nanoseconds * 1e-9)

    def _on_state(self, message: String) -> None:
        try:
            state = json.loads(message.data)
        except ValueError:
            return
        if not isinstance(state, dict) or NEEDED - set(state):
            return  # of somebody else
        self._state = state
        if self._state['trials_done'] != self._told:
            self._told = self._state['trials_done']
            planned = self._state['pairs_planned'] or 'no limit'
            self.get_logger().info(f'pair {self._state["pairs_done"]} of {planned}, '
                                   f'{self._told} trials')

    def _look(self) -> None:
        state, now = self._state, self._seconds()
        if self.parameters.patience and now - self._began > self.parameters.patience:
            self.finished = True
        if not state:
            return
        seen = json.dumps({key: state[key] for key in (
            'phase', 'code', 'undo', 'waiting', 'guesses_wanted', 'may_stop', 'last',
            'incidents')})
        if seen != self._answered:
            self._first_pressed = now
        elif now - self._pressed_at < AGAIN:
            return
        verb = self._operator.answer(state)
        if verb is None:
            self.finished |= state['phase'] == 'finished'
            return
        if 0.0 < self.parameters.persistence < now - self._first_pressed:
            raise TrialError(
                f'{verb.name!r} has had no effect for {self.parameters.persistence:.0f} s '
                '(parameter persistence): trial_node says why; start the study again and it goes '
                'on where it is')
        self._answered, self._pressed_at = seen, now
        self._verbs.publish(String(data=json.dumps({
            'verb': verb.name, 'code': verb.code, 'stage': verb.stage, 'reason': verb.reason,
            'confidence': verb.confidence, 'answers': dict(verb.answers),
            'who': 'simulated'})))


def main(args: list[str] | None = None) -> int:
    """Run the operator in this process; return the exit code, 0 when the study is finished."""
    return run_node(SimulatedOperatorNode, args, until=lambda node: node.finished)


if __name__ == '__main__':
    sys.exit(main())
