# SPDX-License-Identifier: Apache-2.0
"""A wrong end-effector frame shows by tf, and the right one is named."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.live.evidence import Evidence, Heard, Transform
from vla_drop_ros.live.frame_tree import frame_findings, pose_in
from vla_drop_ros.runtime import rotation
from vla_drop_ros.types import FloatArray

CONTRACT = load_contract(find_contract('franka_cartesian'))
QUARTER = rotation.from_vector(np.array([0.0, 0.0, np.pi / 2]))
# world -> base, turned by a quarter; base -> flange -> tip, 0.1 m further along z.
TREE = {
    'base': Transform('world', np.array([1.0, 2.0, 0.0]), QUARTER),
    'flange': Transform('base', np.array([0.4, 0.0, 0.5]),
                        rotation.from_vector(np.array([np.pi, 0.0, 0.0]))),
    'fr3_hand_tcp': Transform('flange', np.array([0.0, 0.0, 0.1]), rotation.IDENTITY),
}


def found(tree: dict[str, Transform] | None,
          pose: tuple[FloatArray, FloatArray] | None) -> list[Finding]:
    """Return what is found with these transforms and this pose on the topic."""
    evidence = Evidence(1.0, heard={'state.pose': Heard(pose=pose)}, transforms=tree)
    return list(frame_findings(CONTRACT, evidence))


def test_poses_are_chained_up_and_down() -> None:
    """The tip hangs 0.1 m below the flange; seen from it, the world is where algebra says."""
    pose = pose_in('base', 'fr3_hand_tcp', TREE)
    assert pose is not None
    np.testing.assert_allclose(pose[0], [0.4, 0.0, 0.4], atol=1e-12)
    world = pose_in('base', 'world', TREE)
    assert world is not None
    np.testing.assert_allclose(world[0], [-2.0, 1.0, 0.0], atol=1e-12)
    there = pose_in('world', 'fr3_hand_tcp', TREE)
    assert there is not None
    np.testing.assert_allclose(there[0], [1.0, 2.4, 0.4], atol=1e-12)


def test_a_chain_and_its_inverse_cancel() -> None:
    """For random trees, A in B times B in A is nothing."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        tree = {str(i): Transform(str(rng.integers(i)), rng.normal(size=3),
                                  rotation.normalized(rng.normal(size=4))) for i in range(1, 8)}
        one, other = pose_in('3', '7', tree), pose_in('7', '3', tree)
        assert one is not None and other is not None
        both = {'b': Transform('a', *one), 'c': Transform('b', *other)}
        back = pose_in('a', 'c', both)
        assert back is not None
        np.testing.assert_allclose(back[0], 0.0, atol=1e-9)
        np.testing.assert_allclose(rotation.to_vector(back[1]), 0.0, atol=1e-9)


def test_agreement_is_ok_with_either_sign_of_the_quaternion() -> None:
    """The pose of the topic is that of tf."""
    pose = pose_in('base', 'fr3_hand_tcp', TREE)
    assert pose is not None
    assert [one.level for one in found(TREE, (pose[0], -pose[1]))] == ['ok']


def test_the_frame_that_the_topic_is_about_is_named() -> None:
    """A broadcaster that tells the flange is 100 mm off, and flange is what it tells."""
    wrong, = found(TREE, pose_in('base', 'flange', TREE))
    assert wrong.level == 'fault' and '100 mm' in wrong.said and 'pose of flange' in wrong.fix


@pytest.mark.parametrize(('tree', 'level', 'said'), [
    (None, 'skipped', 'tf2_msgs'), ({}, 'remark', 'nothing on /tf'),
    ({'flange': TREE['flange']}, 'fault', "does not know 'fr3_hand_tcp'"),
    ({'fr3_hand_tcp': replace(TREE['flange'], parent='elsewhere'), 'base': TREE['base']}, 'fault',
     "does not join 'base' and 'fr3_hand_tcp'"),
    ({'base': replace(TREE['base'], parent='fr3_hand_tcp'),
      'fr3_hand_tcp': replace(TREE['base'], parent='base')}, 'fault', 'from the pose topic'),
], ids=['no package', 'silent', 'unknown', 'two trees', 'ring'])
def test_a_tree_that_does_not_serve_is_told(
        tree: dict[str, Transform] | None, level: str, said: str) -> None:
    """Without tf it is skipped; an unknown frame, two trees and even a ring are told."""
    findings = found(tree, (np.ones(3), rotation.IDENTITY))
    assert (findings[0].level, said in findings[0].said) == (level, True), findings
