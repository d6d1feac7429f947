# SPDX-License-Identifier: Apache-2.0
"""The scene as MJCF: a 7-joint arm with a parallel gripper, two bins, objects, cameras.

The kinematic offsets and joint limits are those of the Franka Emika Panda data sheet; shapes are
primitives, since contact happens only at fingers, hand, objects, bins and table.
"""

from dataclasses import dataclass

import numpy as np

ARM_JOINTS = tuple(f'joint{i}' for i in range(1, 8))
FINGER_JOINTS = ('finger_joint1', 'finger_joint2')
HOME = np.array([0.0, -0.47, 0.0, -2.45, 0.0, 1.98, np.pi / 4])
JOINT_LIMITS = ((-2.8973, 2.8973), (-1.7628, 1.7628), (-2.8973, 2.8973), (-3.0718, -0.0698),
                (-2.8973, 2.8973), (-0.0175, 3.7525), (-2.8973, 2.8973))
MAX_WIDTH = 0.08
OBJECT_SIZE = 0.044
OBJECT_SLOTS = 3
DISTRACTOR_SLOTS = 2
BIN_HALF = (0.075, 0.065)
BIN_WALL = 0.03
BIN_CENTERS = {'left': (0.47, 0.235), 'right': (0.47, -0.235)}
TABLE_X = (0.33, 0.61)
TABLE_Y = (-0.100, 0.100)
CAMERAS = ('front', 'wrist', 'studio')
TIMESTEP = 0.002

_OFFSETS = (
    # (position, rotation about x in quarter turns) of each joint's body in its parent
    ((0.0, 0.0, 0.333), 0), ((0.0, 0.0, 0.0), -1), ((0.0, -0.316, 0.0), 1),
    ((0.0825, 0.0, 0.0), 1), ((-0.0825, 0.384, 0.0), -1), ((0.0, 0.0, 0.0), 1),
    ((0.088, 0.0, 0.0), 1))
_GAINS = ((4500, 200, 87), (4500, 200, 87), (3500, 160, 87), (3500, 160, 87),
          (2000, 60, 12), (2000, 60, 12), (2000, 60, 12))
_LINK_SHAPES = (
    'type="capsule" fromto="0 0 -.14 0 0 -.02" size=".06"',
    'type="capsule" fromto="0 0 0 0 -.12 0" size=".06"',
    'type="capsule" fromto="0 0 -.16 .04 0 -.02" size=".055"',
    'type="capsule" fromto="0 0 0 -.07 .08 0" size=".055"',
    'type="capsule" fromto="0 .02 -.24 0 .03 -.03" size=".05"',
    'type="capsule" fromto="0 0 0 .07 0 0" size=".048"',
    'type="cylinder" fromto="0 0 .03 0 0 .107" size=".043"')


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """A graspable shape: MuJoCo geom type, half sizes [m] and the word for it."""

    name: str
    geom_type: int
    size: tuple[float, float, float]


_HALF = OBJECT_SIZE / 2
BOX, CYLINDER, SPHERE, CAPSULE = 6, 5, 2, 3
KINDS = {
    'cube': ObjectKind('cube', BOX, (_HALF, _HALF, _HALF)),
    'cylinder': ObjectKind('cylinder', CYLINDER, (_HALF, _HALF, 0.0)),
}
DISTRACTOR_KINDS = (
    ObjectKind('block', BOX, (0.026, 0.016, 0.014)),
    ObjectKind('can', CYLINDER, (0.016, 0.030, 0.0)),
    ObjectKind('slab', BOX, (0.030, 0.030, 0.008)),
)
COLORS = {'red': (0.85, 0.08, 0.08), 'green': (0.08, 0.65, 0.15),
          'blue': (0.08, 0.20, 0.85), 'yellow': (0.95, 0.80, 0.05)}
DISTRACTOR_COLORS = ((0.55, 0.15, 0.65), (0.95, 0.95, 0.95), (0.12, 0.12, 0.12),
                     (0.50, 0.33, 0.18), (0.15, 0.75, 0.75))


def _arm(index: int = 0) -> str:
    if index == len(_OFFSETS):
        return _hand()
    (x, y, z), turn = _OFFSETS[index]
    low, high = JOINT_LIMITS[index]
    shade = '.93 .93 .95 1' if index % 2 else '.82 .84 .88 1'
    return (
        f'<body name="link{index + 1}" pos="{x} {y} {z}" euler="{turn * np.pi / 2} 0 0" '
        f'gravcomp="1"><inertial mass="{2.5 if index < 4 else 1.2}" pos="0 0 0" '
        f'diaginertia=".03 .03 .02"/>'
        f'<joint name="joint{index + 1}" axis="0 0 1" range="{low} {high}" damping="2" '
        f'armature=".1"/><geom class="visual" {_LINK_SHAPES[index]} rgba="{shade}"/>'
        f'{_arm(index + 1)}</body>')


def _hand() -> str:
    fingers = ''.join(
        f'<body name="finger{i}" pos="0 0 .0584" gravcomp="1"><inertial mass=".05" pos="0 0 .02" '
        f'diaginertia="1e-5 1e-5 1e-5"/><joint name="finger_joint{i}" type="slide" '
        f'axis="0 {sign} 0" range="0 .04" damping="10" armature=".05"/>'
        f'<geom name="finger{i}_pad" class="finger" type="box" size=".013 .006 .019" '
        f'pos="0 {sign * .006} .035"/><geom class="finger" type="box" size=".008 .010 .013" '
        f'pos="0 {sign * .012} .007"/></body>' for i, sign in ((1, 1), (2, -1)))
    return (
        '<body name="hand" pos="0 0 .107" euler="0 0 -.7853981634" gravcomp="1">'
        '<inertial mass=".6" pos="0 0 .03" diaginertia=".002 .002 .002"/>'
        '<geom name="palm" class="hand" type="box" size=".025 .095 .027" pos="0 0 .03"/>'
        '<site name="tcp" pos="0 0 .1034" size=".002" rgba="0 0 0 0"/>'
        # Mounted ahead of the hand, tilted back so that finger tips and table ahead are seen.
        '<camera name="wrist" pos=".10 0 -.03" xyaxes="0 -1 0 -.93 0 -.37" fovy="74"/>'
        f'{fingers}</body>')


def _bin(name: str) -> str:
    x, y = BIN_CENTERS[name]
    half_x, half_y = BIN_HALF
    color = '.30 .33 .38 1' if name == 'left' else '.62 .56 .46 1'
    walls = ''.join(
        f'<geom class="bin" type="box" size="{sx} {sy} {BIN_WALL / 2}" '
        f'pos="{px} {py} {BIN_WALL / 2}" rgba="{color}"/>'
        for sx, sy, px, py in ((.004, half_y, half_x, 0), (.004, half_y, -half_x, 0),
                               (half_x, .004, 0, half_y), (half_x, .004, 0, -half_y)))
    return (f'<body name="bin_{name}" pos="{x} {y} 0">{walls}<geom class="bin" type="box" '
            f'size="{half_x} {half_y} .002" pos="0 0 .002" rgba="{color}"/></body>')


def _objects() -> str:
    half = OBJECT_SIZE / 2
    return ''.join(
        f'<body name="object{i}" pos="{-0.6 - 0.2 * i} -1 .022"><freejoint name="object{i}"/>'
        f'<geom name="object{i}" class="object" type="box" size="{half} {half} {half}" '
        f'mass=".05"/></body>' for i in range(OBJECT_SLOTS + DISTRACTOR_SLOTS))


def scene_xml(objects: bool = True, offscreen: tuple[int, int] = (640, 480),
              samples: int = 4) -> str:
    """Return the MJCF text of the cell; poses, colours and shapes are set at reset.

    Args:
        objects: False leaves the free bodies out, which makes inverse kinematics small.
        offscreen: width and height of the frame buffer, pixels.
        samples: samples a pixel; 0 renders a small picture three times as fast.

    """
    free = _objects() if objects else ''
    actuators = ''.join(
        f'<general name="joint{i + 1}" joint="joint{i + 1}" gainprm="{kp}" biastype="affine" '
        f'biasprm="0 -{kp} -{kv}" forcerange="-{force} {force}"/>'
        for i, (kp, kv, force) in enumerate(_GAINS))
    return f"""<mujoco model="pick_place">
<compiler angle="radian" autolimits="true"/>
<option timestep="{TIMESTEP}" cone="elliptic" impratio="10" integrator="implicitfast"
 noslip_iterations="3"/>
<visual><global offwidth="{offscreen[0]}" offheight="{offscreen[1]}"/>
<quality offsamples="{samples}" numslices="16" numstacks="8"/>
<headlight ambient=".35 .35 .35" diffuse=".25 .25 .25" specular="0 0 0"/>
<map znear=".02"/></visual>
<default>
 <default class="visual"><geom contype="0" conaffinity="0" group="1"/></default>
 <default class="hand"><geom contype="2" conaffinity="1" rgba=".25 .26 .28 1" mass="0"/></default>
 <default class="finger"><geom contype="2" conaffinity="1" friction="2 .05 .002" condim="4"
  solref=".005 1" rgba=".15 .15 .16 1" mass="0"/></default>
 <default class="bin"><geom contype="1" conaffinity="3" friction="1 .02 .001"/></default>
 <default class="object"><geom contype="1" conaffinity="3" friction="1.5 .03 .002" condim="4"
  solref=".005 1"/></default>
</default>
<asset><texture name="sky" type="skybox" builtin="flat" rgb1=".75 .78 .82" width="16" height="16"/>
</asset>
<worldbody>
 <light name="key" pos=".6 .5 1.8" dir="-.1 -.3 -1" diffuse=".55 .55 .55" specular=".1 .1 .1"
  directional="true" castshadow="false"/>
 <geom name="floor" type="plane" size="4 4 .1" pos="0 0 -.4" rgba=".55 .57 .60 1" contype="0"
  conaffinity="0"/>
 <geom name="table" type="box" size=".48 .55 .2" pos=".38 0 -.2" rgba=".72 .70 .66 1" contype="1"
  conaffinity="3" friction="1 .02 .001"/>
 <camera name="front" pos="1.00 0 .66" xyaxes="0 1 0 -.72 0 .69" fovy="45"/>
 <camera name="studio" pos="1.35 .55 .75" xyaxes="-.5 .87 0 -.42 -.25 .87" fovy="42"/>
 <geom class="visual" type="cylinder" fromto="0 0 0 0 0 .2" size=".075" rgba=".82 .84 .88 1"/>
 {_arm()}{_bin('left')}{_bin('right')}{free}
</worldbody>
<equality><joint joint1="finger_joint1" joint2="finger_joint2" polycoef="0 1 0 0 0"/></equality>
<actuator>{actuators}
 <general name="gripper" joint="finger_joint1" gainprm="500" biastype="affine"
  biasprm="0 -500 -30" forcerange="-40 40" ctrlrange="0 .04"/></actuator>
</mujoco>"""
