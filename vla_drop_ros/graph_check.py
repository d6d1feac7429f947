# SPDX-License-Identifier: Apache-2.0
"""Check a robot contract against the graph that runs: listen for a few seconds, then judge.

Nothing is commanded, no service is called. rclpy is imported when it is needed.
"""

from collections.abc import Mapping

from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.live.evidence import Evidence
from vla_drop_ros.live.expected import inputs
from vla_drop_ros.live.frame_tree import frame_findings
from vla_drop_ros.live.interfaces import input_findings, operator_findings, output_findings
from vla_drop_ros.live.listener import listen, Progress
from vla_drop_ros.live.streams import clock_findings, skew_findings, stream_findings
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.types import CameraSpec

LISTENING_TIME = 5.0
"""Enough for discovery and a few dozen images, [s]."""


def check_graph(contract: RobotContract, seconds: float = LISTENING_TIME, namespace: str = '',
                cameras: Mapping[str, CameraSpec] | None = None,
                state_names: tuple[str, ...] = (),
                progress: Progress | None = None) -> list[Finding]:
    """Return what is right and wrong with a running graph.

    Args:
        contract: of the robot.
        seconds: how long to listen, [s].
        namespace: in which the nodes will run.
        cameras: camera key -> size that a checkpoint was trained on.
        state_names: state vector of a checkpoint.
        progress: called a few times a second with the elapsed time [s] and messages by stream.

    Raises:
        MissingDependencyError: rclpy is not there.

    """
    return judge(contract, listen(contract, seconds, namespace, progress), cameras, state_names)


def judge(contract: RobotContract, evidence: Evidence,
          cameras: Mapping[str, CameraSpec] | None = None,
          state_names: tuple[str, ...] = ()) -> list[Finding]:
    """Return what follows from the evidence, in the order of the contract."""
    found: list[Finding] = []
    for one in inputs(contract):
        found += input_findings(one, evidence)
        if evidence.heard[one.name].arrivals:
            key = one.name.removeprefix('cameras.')
            found += stream_findings(contract, one, evidence.heard[one.name], state_names,
                                     (cameras or {}).get(key))
    found += skew_findings(contract, evidence.heard)
    found += clock_findings(contract, evidence)
    found += frame_findings(contract, evidence)
    found += output_findings(contract, evidence)
    found += operator_findings(evidence)
    return found
