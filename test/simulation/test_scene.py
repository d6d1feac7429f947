# SPDX-License-Identifier: Apache-2.0
"""The cell as MuJoCo compiles it."""

import mujoco
import numpy as np
import pytest

from vla_drop_ros.simulation.scene import (
    ARM_JOINTS,
    BIN_CENTERS,
    CAMERAS,
    DISTRACTOR_SLOTS,
    FINGER_JOINTS,
    HOME,
    JOINT_LIMITS,
    OBJECT_SIZE,
    OBJECT_SLOTS,
    scene_xml,
    TIMESTEP,
)


@pytest.fixture(scope='module')
def model() -> mujoco.MjModel:
    """Return the compiled cell."""
    return mujoco.MjModel.from_xml_string(scene_xml())


def test_everything_that_the_package_names_is_there(model: mujoco.MjModel) -> None:
    """Joints, actuators, cameras, bins and objects carry the names that the code asks for."""
    assert [model.camera(name).name for name in CAMERAS] == list(CAMERAS)
    assert [model.body(f'bin_{name}').name for name in BIN_CENTERS]
    assert model.nu == len(ARM_JOINTS) + 1
    assert model.nq == 7 + 2 + 7 * (OBJECT_SLOTS + DISTRACTOR_SLOTS)
    assert model.opt.timestep == TIMESTEP
    for name in (*ARM_JOINTS, *FINGER_JOINTS):
        assert model.joint(name).name == name


def test_joint_limits_are_those_of_the_arm(model: mujoco.MjModel) -> None:
    """Every arm joint is limited, as the table says, and the home pose is inside."""
    found = np.array([model.joint(name).range for name in ARM_JOINTS])
    np.testing.assert_allclose(found, JOINT_LIMITS)
    assert (found[:, 0] < HOME).all() and (found[:, 1] > HOME).all()


def test_nothing_is_glued(model: mujoco.MjModel) -> None:
    """The only constraint couples the two fingers: objects are held by friction alone."""
    assert model.neq == 1
    assert model.eq_type[0] == mujoco.mjtEq.mjEQ_JOINT
    assert {model.joint(int(joint[0])).name for joint in (model.eq_obj1id, model.eq_obj2id)} == {
        *FINGER_JOINTS}


def test_the_arm_alone_has_the_same_arm(model: mujoco.MjModel) -> None:
    """Inverse kinematics sees the arm of the full scene, without the objects."""
    alone = mujoco.MjModel.from_xml_string(scene_xml(objects=False))
    assert alone.nq == 9
    found = []
    for one in (alone, model):
        data = mujoco.MjData(one)
        data.qpos[:7] = HOME
        mujoco.mj_forward(one, data)
        found.append(data.site('tcp').xpos.copy())
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def test_an_object_fits_between_the_fingers(model: mujoco.MjModel) -> None:
    """Open fingers leave room around an object."""
    opening = sum(model.joint(name).range[1] for name in FINGER_JOINTS)
    assert opening > OBJECT_SIZE + 0.02
