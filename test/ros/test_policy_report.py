# SPDX-License-Identifier: Apache-2.0
"""The policy node's status line warns of what the operator can mend before it becomes a fault."""

from collections.abc import Callable, Iterator
from pathlib import Path
import re
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.nodes.messages import clock_seconds
from vla_drop_ros.nodes.policy_report import PolicyReport
from vla_drop_ros.nodes.qos import STATUS
from vla_drop_ros.runtime.replanning import Replanner
from vla_drop_ros.runtime.robot_inputs import RobotInputs

pytestmark = pytest.mark.ros

CONTRACT = load_contract(Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml')
RATE, SECONDS = 20, 8


@pytest.fixture(name='say')
def _say() -> Iterator[Callable[..., DiagnosticStatus]]:
    """Yield what returns the status of a node whose front camera lost a share of its frames."""
    context = Context()
    context.init()
    heard: list[DiagnosticArray] = []
    node = Node('policy_node', context=context)
    node.create_subscription(DiagnosticArray, '/diagnostics', heard.append, STATUS)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def say(lost: float = 0.0, until: float = 0.0, blinded: bool = False) -> DiagnosticStatus:
        inputs, start = RobotInputs(CONTRACT), clock_seconds(node) - SECONDS - until
        arrives = np.random.default_rng(0).random(RATE * SECONDS) >= lost
        for frame in range(RATE * SECONDS):
            if arrives[frame]:
                inputs.sync.add_image('front', start + frame / RATE, 'picture')
            inputs.sync.add_image('wrist', start + frame / RATE, 'picture')
        replanner: Replanner[Any] = Replanner(inputs.sync, 0.0)
        replanner.instruct('go')
        report = PolicyReport(node, blinded)
        report.loaded('a', 'a')
        heard.clear()
        report.publish(replanner, True, (1, 0), inputs, {})
        end = time.monotonic() + 20.0
        while not heard:
            assert time.monotonic() < end, 'no diagnostics came'
            executor.spin_once(timeout_sec=0.05)
        return heard[0].status[0]

    yield say
    node.destroy_node()
    context.shutdown()


@pytest.mark.parametrize('share', [0.2, 0.35, 0.5])
def test_lost_frames_are_a_warning_with_its_remedy(
        say: Callable[..., DiagnosticStatus], share: float) -> None:
    """The camera, the share and what to do stand in the summary; a whole camera does not."""
    status = say(share)
    assert status.level == DiagnosticStatus.WARN
    told = re.match(r"publishing chunks; camera 'front' lost (\d+) % of its", status.message)
    assert told is not None and int(told[1]) == pytest.approx(100 * share, abs=8)
    assert 'fastdds_shm.xml' in status.message and 'transport' in status.message
    assert 'wrist' not in status.message


def test_nothing_is_said_of_what_was_lost_long_ago(say: Callable[..., DiagnosticStatus]) -> None:
    """Without loss, or a minute after it, or with one frame in fifty, all is well."""
    for status in (say(), say(0.5, until=60.0), say(0.02)):
        assert (status.level, status.message) == (DiagnosticStatus.OK, 'publishing chunks')


def test_blinded_no_share_is_told(say: Callable[..., DiagnosticStatus]) -> None:
    """In a study the camera is named, and no number that might depend on the arm."""
    status = say(0.5, blinded=True)
    assert status.level == DiagnosticStatus.WARN and "'front' lost frames" in status.message
    assert '%' not in status.message
