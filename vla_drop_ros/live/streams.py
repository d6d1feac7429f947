# SPDX-License-Identifier: Apache-2.0
"""What the messages of the input streams say: rates, stamps, ages, sizes, names, frames."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import combinations
import math

import numpy as np

from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.live.evidence import Arrival, Evidence, Heard
from vla_drop_ros.live.expected import Input, inputs
from vla_drop_ros.robot_contract import Range, RobotContract
from vla_drop_ros.runtime.watchdog import CLOCK_TOLERANCE
from vla_drop_ros.types import CameraSpec, TRANSLATION_NAMES

SAME_CLOCK = 60.0
"""A stamp farther from a clock than this is not of this clock, [s]."""
WALL_CLOCK = 1.0
"""A stamp this near to the wall clock is of the wall clock, even where /clock runs beside it."""
ASPECT_TOLERANCE = 0.02
NEAR = 0.005
"""How far beyond a limit a measurement may lie, [m] or [rad]."""
CLOCK = 'clock'


def clock_of(heard: Heard) -> str:
    """Return which clock the stamps of a stream follow: wall, simulated, zero, other, or ''."""
    if not heard.arrivals:
        return ''
    if all(one.stamp == 0.0 for one in heard.arrivals):
        return 'zero'
    last = heard.arrivals[-1]
    distances = {'wall': abs(last.wall - last.stamp),
                 'simulated': abs(last.simulated - last.stamp)}
    if distances['wall'] < WALL_CLOCK:
        return 'wall'
    best = min(distances, key=lambda name: (math.isnan(distances[name]), distances[name]))
    return best if distances[best] < SAME_CLOCK else 'other'


def stream_findings(contract: RobotContract, one: Input, heard: Heard,
                    state_names: tuple[str, ...] = (),
                    camera: CameraSpec | None = None) -> Iterator[Finding]:
    """Judge the messages of one stream that did arrive.

    Args:
        contract: of the robot.
        one: the stream.
        heard: its messages, at least one.
        state_names: of the checkpoint, for the joints that it reads.
        camera: size that the checkpoint was trained on.

    """
    if heard.refused:
        yield Finding(one.group, one.name, 'fault', heard.refused)
    yield from _stamps(one, heard)
    if clock_of(heard) in ('wall', 'simulated'):
        yield from _ages(contract, one, heard)
    if one.name == 'state.pose' and heard.frames != {contract.base_frame}:
        yield Finding(one.group, one.name, 'fault',
                      f'frame_id is {_listed(heard.frames)}, frames.base is '
                      f'{contract.base_frame!r}',
                      'set the frame of the broadcaster, or frames.base')
    if one.name == 'state.joints':
        yield from _joints(contract, heard, state_names)
    if one.group == 'cameras':
        yield from _sizes(one, heard, camera)
    else:
        yield from _places(contract, heard)


def skew_findings(contract: RobotContract, heard: Mapping[str, Heard]) -> Iterator[Finding]:
    """Judge how far apart the stamps of each pair of cameras are."""
    for one, other in combinations(contract.cameras, 2):
        pair = [_captures(heard[f'cameras.{key}'], contract.cameras[key].latency)
                for key in (one, other)]
        if min(map(len, pair)) < 2:
            continue
        pair.sort(key=len)
        others = np.array(pair[1])  # the first and the last may have lost their partner
        nearest = [np.abs(others - stamp).min() for stamp in pair[0][1:-1] or pair[0]]
        skew = float(np.median(nearest))
        name = f'cameras.{one} and {other}'
        if skew > contract.max_skew:
            yield Finding('cameras', name, 'fault', f'stamps are {_ms(skew)} apart, max_skew is '
                          f'{_ms(contract.max_skew)}', 'synchronise the cameras (trigger), '
                          'correct their latency, or raise max_skew as far as the task bears')
        else:
            yield Finding('cameras', name, 'ok', f'stamps are {_ms(skew)} apart')


def clock_findings(contract: RobotContract, evidence: Evidence) -> Iterator[Finding]:
    """Judge whether all stamps follow one clock, and which."""
    clocks = {one.name: clock_of(evidence.heard[one.name]) for one in inputs(contract)}
    used = {clock: [name for name, found in clocks.items() if found == clock]
            for clock in ('wall', 'simulated')}
    if used['wall'] and used['simulated']:
        yield Finding(CLOCK, 'use_sim_time', 'fault', f'{_names(used["wall"])} follow the wall '
                      f'clock, {_names(used["simulated"])} follow /clock',
                      'set use_sim_time alike on every node')
    elif used['simulated']:
        yield Finding(CLOCK, 'use_sim_time', 'ok', 'all stamps follow /clock: start the '
                      'nodes with use_sim_time true')
    elif used['wall'] and evidence.has_clock:
        yield Finding(CLOCK, 'use_sim_time', 'remark', 'somebody publishes /clock, the stamps '
                      'follow the wall clock', 'leave use_sim_time false')
    elif used['wall']:
        yield Finding(CLOCK, 'use_sim_time', 'ok', 'all stamps follow the wall clock')


def _stamps(one: Input, heard: Heard) -> Iterator[Finding]:
    clock, last = clock_of(heard), heard.arrivals[-1]
    zeros = sum(arrival.stamp == 0.0 for arrival in heard.arrivals)
    if zeros:
        yield Finding(one.group, one.name, 'fault',
                      f'{zeros} of {len(heard.arrivals)} messages are stamped zero',
                      'the driver must set header.stamp to the time of capture')
    elif clock == 'other':
        yield Finding(one.group, one.name, 'fault', f'stamps are {last.wall - last.stamp:.0f} s '
                      "from this machine's clock", 'set the clock (chrony, PTP), or is the stamp '
                      'a time since boot, or use_sim_time without /clock?')
    elif min(_ages_of(heard), default=0.0) < -CLOCK_TOLERANCE:
        yield Finding(one.group, one.name, 'fault', f'stamps are {_ms(-min(_ages_of(heard)))} in '
                      'the future', 'the clocks of two computers differ: chrony or PTP')
    elif len(heard.arrivals) > 2 and len({arrival.stamp for arrival in heard.arrivals}) == 1:
        yield Finding(one.group, one.name, 'fault', 'every message has the same stamp',
                      'the driver must stamp each message anew')


def _ages(contract: RobotContract, one: Input, heard: Heard) -> Iterator[Finding]:
    """Judge rate and age together: what matters is how old the newest is just before the next."""
    ages = np.array(_ages_of(heard)) + one.stream.latency
    gaps = np.diff([arrival.steady for arrival in heard.arrivals])
    limit, period = one.stream.max_age, 1.0 / contract.control_rate
    age = float(np.median(ages))
    if age < -CLOCK_TOLERANCE:
        return  # of the future; said already
    if not gaps.size:
        yield Finding(one.group, one.name, 'fault', 'only one message came',
                      f'at least one in {limit:g} s is needed')
        return
    gap, longest = float(np.median(gaps)), float(gaps.max())
    rate = f'{1.0 / max(gap, 1e-6):.1f} Hz, {_ms(age)} old on arrival'
    fix = ('lower size or rate of the driver, use compressed images or a faster network, or raise '
           'max_age as far as the task bears')
    if age > limit:
        yield Finding(one.group, one.name, 'fault',
                      f'{rate}: older than max_age {_ms(limit)}', fix)
    elif age + gap > limit:
        yield Finding(one.group, one.name, 'fault',
                      f'{rate}: {_ms(age + gap)} old before the next comes, max_age is '
                      f'{_ms(limit)}', 'raise the rate of the driver, or max_age')
    elif float(ages.max()) + longest > limit:
        yield Finding(one.group, one.name, 'remark', f'{rate}, but up to {_ms(longest)} without a '
                      f'message and {_ms(float(ages.max()))} old; max_age is {_ms(limit)}', fix)
    elif one.is_measured and gap > 1.2 * period:
        yield Finding(one.group, one.name, 'remark', f'{rate}: fewer than control_rate '
                      f'{contract.control_rate:g} Hz', 'raise its rate, or lower control_rate')
    else:
        yield Finding(one.group, one.name, 'ok', rate)


def _joints(contract: RobotContract, heard: Heard,
            state_names: tuple[str, ...]) -> Iterator[Finding]:
    needed = {f'action.names joint.{name}': name for name in contract.action.joints}
    if contract.gripper is not None:
        needed['state.gripper.joint'] = contract.gripper.joint
    needed |= {f'state {name}': name.removeprefix('joint.') for name in state_names
               if name.startswith('joint.')}
    for key, name in needed.items():
        if name not in heard.joints:
            close = get_close_matches(name, heard.joints, n=1)
            yield Finding('state', key, 'fault', f'no joint {name!r} in state.joints',
                          (f'did you mean {close[0]!r}? ' if close else '')
                          + f'it has {_listed(heard.joints)}')
        elif name in heard.partial:
            yield Finding('state', key, 'fault', f'joint {name!r} is not in every message of '
                          'state.joints: several nodes publish a part each', 'give them topics of '
                          'their own and merge them (joint_state_publisher, source_list)')


def _places(contract: RobotContract, heard: Heard) -> Iterator[Finding]:
    """Judge whether the robot stands within its limits: the first command would pull it there."""
    limits = contract.limits
    outside: list[tuple[str, str, float, Range]] = []
    if heard.pose is not None and limits.cartesian is not None:
        outside += [(f'limits.workspace.{axis}', axis, float(heard.pose[0][i]),
                     limits.cartesian.workspace[i]) for i, axis in enumerate(TRANSLATION_NAMES)]
    outside += [(f'limits.joints.{joint}.position', joint, heard.joints[joint], one.position)
                for joint, one in limits.joints.items() if joint in heard.joints]
    for key, name, value, bounds in outside:
        if not bounds[0] - NEAR <= value <= bounds[1] + NEAR:
            yield Finding('state', key, 'fault', f'{name} is {value:.3f}, outside of '
                          f'[{bounds[0]:g}, {bounds[1]:g}]', 'the first command would pull it '
                          'inside: move the robot there, or is a frame, sign or unit wrong?')
    gripper, width = contract.gripper, limits.gripper_width
    if gripper is not None and width is not None and gripper.joint in heard.joints:
        now = gripper.width(heard.joints[gripper.joint])
        if not width[0] - NEAR <= now <= width[1] + NEAR:
            yield Finding('state', 'state.gripper', 'remark', f'the width is {now:.3f} m, outside '
                          f'of [{width[0]:g}, {width[1]:g}]', 'measure scale and offset')


def _sizes(one: Input, heard: Heard, camera: CameraSpec | None) -> Iterator[Finding]:
    if len(heard.forms) > 1:
        yield Finding(one.group, one.name, 'fault', f'sizes or encodings change: '
                      f'{", ".join(sorted(heard.forms))}', 'is a second driver on the topic?')
    width, height = heard.size
    if not width:
        return
    said = ', '.join(sorted(heard.forms))
    if camera is None:
        yield Finding(one.group, one.name, 'ok', said)
    elif width < camera.width or height < camera.height:
        yield Finding(one.group, one.name, 'remark', f'{width}x{height} is enlarged to '
                      f'{camera.width}x{camera.height} of the checkpoint', 'raise its resolution')
    elif abs(width / height * camera.height / camera.width - 1.0) > ASPECT_TOLERANCE:
        yield Finding(one.group, one.name, 'remark', f'{width}x{height} has another aspect ratio '
                      f'than {camera.width}x{camera.height} of the checkpoint: the image is '
                      'distorted', 'right only if the training images were, too')
    else:
        yield Finding(one.group, one.name, 'ok', f'{said}; the checkpoint sees '
                      f'{camera.width}x{camera.height}')


def _ages_of(heard: Heard) -> list[float]:
    """Return now - stamp of every message, by the clock that it follows, [s]."""
    clock = clock_of(heard)
    return [age for one in heard.arrivals if not math.isnan(age := _age(one, clock))]


def _age(one: Arrival, clock: str) -> float:
    return (one.simulated if clock == 'simulated' else one.wall) - one.stamp


def _captures(heard: Heard, latency: float) -> list[float]:
    return [one.stamp - latency for one in heard.arrivals]


def _ms(seconds: float) -> str:
    return f'{seconds * 1000:.0f} ms'


def _names(names: list[str]) -> str:
    return ' '.join(names)


def _listed(names: Iterable[str]) -> str:
    return ', '.join(map(repr, sorted(names))) or 'nothing'
