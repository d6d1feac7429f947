# SPDX-License-Identifier: Apache-2.0
"""The shipped Fast DDS profile brings raw images through that the stock settings lose."""

from collections.abc import Mapping
from dataclasses import replace
import json
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
from bench.transport import Case, deliver, Delivery, PROFILED, transport_environment  # noqa: E402
from vla_drop_ros import bringup, preflight  # noqa: E402
from vla_drop_ros.bringup import (  # noqa: E402
    build,
    Graph,
    Node,
    process_environment,
    TRANSPORT_SEGMENT,
)
from vla_drop_ros.preflight import check_transport, private_domain  # noqa: E402
from vla_drop_ros.resources import share_path  # noqa: E402
from vla_drop_ros.shared_memory import available_bytes, profile_variable  # noqa: E402
from vla_drop_ros.supervisor import Running  # noqa: E402

pytestmark = [
    pytest.mark.ros, pytest.mark.e2e,
    pytest.mark.skipif(available_bytes() < 8 * TRANSPORT_SEGMENT,
                       reason='too little shared memory, see docs/performance.md')]


def delivered(case: Case, attempts: int = 3) -> Delivery:
    """Return what came through in a second of two cameras, the best of some attempts.

    A reader that gets no processor loses images whatever the transport does.
    """
    found: list[Delivery] = []
    with private_domain():
        while len(found) < attempts and not (found and found[-1].share >= 0.95):
            found.append(deliver(case, 1.0))
    return max(found, key=lambda one: one.share)


def test_the_profile_delivers_every_image() -> None:
    """Two cameras of 640x480 arrive whole, best effort, between two processes."""
    found = delivered(PROFILED)
    assert found.sent >= 60
    assert found.share >= 0.95, found


def test_the_profile_is_the_senders() -> None:
    """A camera driver that has it reaches a reader that has not."""
    assert delivered(Case('publisher only', publisher=True)).share >= 0.95


def test_stock_settings_lose_images() -> None:
    """Why there is a profile; when this fails, Fast DDS has outgrown it: measure again."""
    found = delivered(Case('stock'))
    assert found.share < 0.95, f'{found}: the stock transport delivers; is the profile needed?'


def test_compressed_images_need_no_profile() -> None:
    """What a user does who cannot change how the camera driver is started."""
    assert delivered(Case('compressed', compressed=True)).share >= 0.95


def test_the_environment_is_with_or_without_the_profile() -> None:
    """A benchmark of the stock transport must not inherit a profile."""
    path = transport_environment(True)[profile_variable()]
    assert path is not None and path.endswith('fastdds_shm.xml')
    assert transport_environment(False)[profile_variable()] is None


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Return the graph of a robot and a policy, in an environment where nothing is set."""
    monkeypatch.setenv('MUJOCO_GL', 'egl')
    for name in (profile_variable(), 'OMP_NUM_THREADS', 'OMP_WAIT_POLICY'):
        monkeypatch.delenv(name, raising=False)
    return build('pick_place', {'checkpoint': str(tmp_path), 'threads': '2'})


def is_complete(environment: Mapping[str, str]) -> bool:
    """Say whether profile and thread settings are what the measurements ask for."""
    return (environment['OMP_NUM_THREADS'], environment['OMP_WAIT_POLICY']) == ('2', 'PASSIVE') \
        and environment[profile_variable()] == str(share_path('config', 'fastdds_shm.xml'))


def test_a_study_has_the_environment_of_its_graph(tmp_path: Path) -> None:
    """The demo and the trials start the same processes, and the trial node, in it."""
    study = build('ab_trial', {'study': str(tmp_path), 'threads': '2'})
    assert is_complete(study.environment)


def test_processes_get_the_environment(
        graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `vla_drop up` and the demo start finds profile and thread settings as it begins."""
    (tmp_path / 'tell_environment.py').write_text(
        'import json, os\nprint(json.dumps(dict(os.environ)))\n')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    teller = Node('teller', 'tell_environment', has_end=True)
    environment = {**graph.environment, 'PYTHONPATH': process_environment()['PYTHONPATH']}
    with Running(replace(graph, nodes=(teller,), environment=environment)) as running:
        running.wait(timeout=30.0)
        assert is_complete(json.loads(running.lines('teller')[-1]))


@pytest.mark.parametrize('reach', ['LOCALHOST', 'SUBNET'])
@pytest.mark.parametrize(('module', 'shares'), [
    ('command_gate_node', False), ('policy_node', True)])
def test_the_gate_shares_no_memory_with_anybody(
        graph: Graph, tmp_path: Path, module: str, shares: bool, reach: str) -> None:
    """Who sends through shared memory can be held up by a reader that is halted."""
    (tmp_path / 'tell_maps.py').write_text(
        'import sys\nfrom pathlib import Path\nfrom rclpy.context import Context\n'
        f'from vla_drop_ros.nodes import {module} as node, process\n'
        'def run(*_, **__):\n'
        '    import rclpy\n'
        '    rclpy.init()\n'
        '    teller = rclpy.create_node("teller")\n'
        '    print("/dev/shm/fastrtps_" in Path("/proc/self/maps").read_text())\n'
        '    return 0\n'
        'node.run_node = run\nsys.exit(node.main())\n')
    teller = Node('teller', 'tell_maps', has_end=True)
    environment = {**process_environment(), 'ROS_AUTOMATIC_DISCOVERY_RANGE': reach,
                   'PYTHONPATH': f"{tmp_path}:{process_environment()['PYTHONPATH']}"}
    with private_domain(), Running(replace(
            graph, nodes=(teller,), environment=environment)) as running:
        running.wait(timeout=60.0)
        assert running.lines('teller')[-1] == str(shares)


def test_launch_files_give_the_environment(graph: Graph) -> None:
    """So does `ros2 launch`."""
    pytest.importorskip('launch_ros')
    from launch import LaunchContext

    from vla_drop_ros.launch_description import actions
    context = LaunchContext()
    for action in actions(graph):
        assert is_complete({context.perform_substitution(name[0]): ''.join(
            map(context.perform_substitution, value)) for name, value in action.additional_env})


def test_the_doctor_names_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast DDS would go by its defaults without a word."""
    monkeypatch.setenv(profile_variable(), 'no_such.xml')
    check = check_transport()
    assert not check.ok and 'no_such.xml' in check.found and 'unset' in check.fix


def test_the_doctor_tells_what_is_used_and_what_was_leaked(
        graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """With profile, without shared memory, and with another middleware."""
    monkeypatch.setattr(preflight, 'leaked_bytes', lambda: 33 * 2**20)
    assert 'fastdds_shm.xml' in check_transport().found
    assert '33 MB leaked' in check_transport().found
    monkeypatch.setattr(bringup, 'available_bytes', lambda: 64 * 2**20)
    assert '--shm-size' in check_transport().found
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert 'rmw_cyclonedds_cpp' in check_transport().found
