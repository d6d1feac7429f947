# SPDX-License-Identifier: Apache-2.0
"""What a user may set when a node graph is started, for `ros2 launch` and `vla_drop up` alike."""

from typing import NamedTuple

from vla_drop_ros.errors import unknown, VlaDropError

Value = bool | int | float | str

SIMULATED_ROBOT = 'simulated_arm'
DEFAULT_CHECKPOINT = 'reference'  # the shipped policy, models/reference


class Argument(NamedTuple):
    """One thing a user may set when a graph is started."""

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()

    @property
    def default_text(self) -> str:
        """Return the default as a user would type it."""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    def parse(self, text: str) -> Value:
        """Return the value of ``text`` in the type of the default.

        Raises:
            VlaDropError: not one of the choices, or not of the type.

        """
        if self.choices and text not in self.choices:
            valid = [choice or "''" for choice in self.choices]
            raise VlaDropError(f'{self.name}: {unknown("value", text, valid)}')
        if isinstance(self.default, bool):
            if text.lower() not in ('true', 'false'):
                raise VlaDropError(f'{self.name}: {text!r} must be true or false')
            return text.lower() == 'true'
        try:
            return type(self.default)(text)
        except ValueError:
            kind = {int: 'a whole number', float: 'a number'}[type(self.default)]
            raise VlaDropError(f'{self.name}: {text!r} must be {kind}') from None


TASKS = ('', 'left_bin', 'right_bin', 'on_top', 'beside')
EXECUTIONS = ('asynchronous', 'synchronous', 'real_time_chunking')
VARIANTS = ('nominal', 'distractors', 'lighting', 'hard', 'camera', 'start')

SCENE_ARGUMENTS = (
    Argument('task', '', "task of the simulated scene; '' draws one from the seed", TASKS),
    Argument('seed', 0, 'seed of the simulated scene'),
    Argument('variant', 'nominal', 'difficulty of the simulated scene', VARIANTS),
    Argument('speed', 1.0, 'simulated seconds a second; 0 = as fast as possible'),
    Argument('viewer_rate', 0.0, 'images a second on studio_camera/image_raw; 0 = none'),
)
NAMESPACE_ARGUMENT = Argument('namespace', '', 'namespace of every node, for several robots')
PICK_PLACE_ARGUMENTS = (
    Argument('robot', SIMULATED_ROBOT,
             'robot contract: a file, or the name of one in config/robots'),
    Argument('checkpoint', DEFAULT_CHECKPOINT,
             'policy checkpoint: a folder, or the name of one in models'),
    Argument('instruction', '', "what to do from the start; '' waits for the topic instruction"),
    Argument('dry_run', False, 'command nothing; a contract that says dry_run stays dry anyway'),
    Argument('simulator', 'auto', 'start the simulated arm; auto: if the contract is its own',
             ('auto', 'true', 'false')),
    Argument('device', 'auto', 'where the policy runs: auto, cpu, cuda, cuda:1 ...'),
    Argument('threads', 1, 'CPU threads of the policy'),
    Argument('execution', 'asynchronous',
             'how chunks follow each other: the robot goes on while the policy thinks, waits for '
             'it, or goes on and the policy is told', EXECUTIONS),
    Argument('replan_period', 0.0, 'seconds of capture time between two requests; 0: after the '
             'executed steps of the checkpoint'),
    Argument('resident', 1, 'checkpoints kept in memory; 2 or more: going back loads nothing'),
    Argument('blend', 0.1, 'seconds over which a new chunk fades in'),
    Argument('ensemble', 0.0, 'seconds in which older chunks lose weight; 0: the newest alone'),
    Argument('autostart', True, 'configure and activate at once; false: ros2 lifecycle set does'),
    Argument('use_sim_time', 'auto', 'take the time from /clock; auto: with the simulated arm',
             ('auto', 'true', 'false')),
    Argument('params_file', '', 'YAML with parameters of policy_node and command_gate, as '
             'config/policy.yaml and config/gate.yaml; an argument that is given wins'),
    *SCENE_ARGUMENTS,
    NAMESPACE_ARGUMENT,
)
AB_TRIAL_ARGUMENTS = (
    Argument('study', '', 'folder of a locked study: vla_drop trials plan DESIGN -o FOLDER'),
    Argument('operator', '', 'pseudonym of the person at the robot, for the log'),
    Argument('rig', '', 'YAML that states robot, cameras, light; as config/rigs/example.yaml'),
    Argument('robot_name', 'robot', 'name of this robot in the log'),
    Argument('log', '', "log to write or go on with; '' is log.jsonl in the study's folder"),
    Argument('first_round', 0, 'first round of this robot, where several share a study'),
    Argument('end_round', 0, 'round before which this robot ends; 0: the last'),
    Argument('reset_service', '',
             "service by which a real robot arranges the scene; '': people do it"),
    Argument('host', '127.0.0.1', 'address of the console; 0.0.0.0: phones reach it, by a token'),
    Argument('port', 8080, 'port of the console; -1: none'),
    Argument('trial_file', '',
             'YAML with further parameters of trial_node, for instance joy_buttons; as '
             'config/trial.yaml'),
    Argument('simulated_operator', False, 'a simulated person starts and judges every trial'),
    Argument('stops_early', True, 'the simulated person stops as soon as the rule allows it'),
    Argument('bags', True, 'record an MCAP bag of every trial'),
    *(argument for argument in PICK_PLACE_ARGUMENTS if argument.name not in (
        'checkpoint', 'instruction', 'resident', 'task', 'seed', 'variant')),
)
SIMULATED_ROBOT_ARGUMENTS = (
    Argument('publish_clock', True, 'publish simulated time on /clock; false: stamp wall time'),
    *SCENE_ARGUMENTS,
    NAMESPACE_ARGUMENT,
)
