# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a contract's topics, services and actions, and can they meet."""

from collections.abc import Iterator

from vla_drop_ros.contracts.finding import Finding
from vla_drop_ros.live.evidence import Endpoint, Evidence, mismatches, Service
from vla_drop_ros.live.expected import (
    COMMAND,
    command_topics,
    IMAGES,
    INPUT,
    Input,
    LATCHED,
    Output,
    SEND_GOAL,
    services,
)
from vla_drop_ros.robot_contract import RobotContract

GATE = 'command_gate'
FIXES = {
    'reliability': 'set reliability to reliable on the publisher',
    'durability': 'set durability to transient_local on the publisher, or volatile on the '
                  'subscription',
    'deadline': 'remove the deadline from the subscription',
    'liveliness': 'set liveliness to automatic on the subscription',
    'lease duration': 'remove the lease duration from the subscription',
}


def input_findings(one: Input, evidence: Evidence) -> Iterator[Finding]:
    """Judge the publishers of a stream; nothing is found where all is well."""
    topic = evidence.resolve[one.stream.topic]
    publishers = evidence.publishers[topic]
    right = [end for end in publishers if end.kind == one.kind]
    if not publishers:
        yield Finding(one.group, one.name, 'fault', f'nobody publishes {topic}',
                      _candidates(evidence.of_kind(one.kind), topic, one.kind))
        return
    for end in publishers:
        if end.kind != one.kind:
            yield Finding(one.group, one.name, 'fault', f'{end.node} publishes {topic} as '
                          f'{end.kind}, needed is {one.kind}', _other_kind(end.kind))
        yield from _unmet(one.group, one.name, end, end.service, INPUT)
    if len(right) > 1 and one.name != 'state.joints':
        yield Finding(one.group, one.name, 'fault', f'{len(right)} nodes publish {topic}: '
                      f'{_nodes(right)}', 'stop one of them, or remap its topic')
    elif right and not evidence.heard[one.name].arrivals:
        yield Finding(one.group, one.name, 'fault', f'{_nodes(right)} publishes {topic}, but '
                      f'nothing came in {evidence.seconds:g} s', 'is the driver active, is a '
                      'firewall or a second network card in the way? ros2 topic hz')


def output_findings(contract: RobotContract, evidence: Evidence) -> Iterator[Finding]:
    """Judge who listens to the commands, and who else commands."""
    for one in command_topics(contract):
        topic = evidence.resolve[one.topic]
        ends = evidence.subscriptions[topic]
        right = [end for end in ends if end.kind == one.kind]
        if not ends:
            yield Finding('command', one.name, 'fault', f'nobody listens to {topic}',
                          'is the controller active? ' +
                          _candidates(evidence.of_kind(one.kind), topic, one.kind))
        for end in ends:
            if end.kind != one.kind:
                yield Finding('command', one.name, 'fault', f'{end.node} listens to {topic} as '
                              f'{end.kind}, commands are {one.kind}', 'correct command.adapter, '
                              'the type of the gripper, or the topic')
            yield from _unmet('command', one.name, end, COMMAND, end.service)
        if right:
            yield Finding('command', one.name, 'ok', f'{_nodes(right)} listens to {topic}')
        others = [end for end in evidence.publishers[topic] if not end.node.endswith(GATE)]
        if others:
            yield Finding('command', one.name, 'remark', f'{_nodes(others)} publishes {topic} as '
                          'well', 'two masters: stop it before the gate commands')
    for one in services(contract):
        yield _service_finding(one, evidence)


def operator_findings(evidence: Evidence) -> Iterator[Finding]:
    """Judge what the operator sends; nobody needs to send it yet."""
    for name in ('instruction', 'estop'):
        topic = evidence.resolve[name]
        for end in evidence.publishers[topic]:
            yield from _unmet('operator', name, end, end.service, COMMAND)
            if name == 'instruction' and 'durability' in mismatches(end.service, LATCHED):
                yield Finding('operator', name, 'remark', f'{end.node} publishes {topic} as '
                              'volatile: a policy node that starts later does not hear the last '
                              'instruction', 'set durability to transient_local on the publisher')
        if not evidence.publishers[topic]:
            yield Finding('operator', name, 'remark' if name == 'estop' else 'skipped',
                          f'nobody publishes {topic}', 'connect an emergency stop (std_msgs/Bool)'
                          if name == 'estop' else 'it may come later')


def _service_finding(one: Output, evidence: Evidence) -> Finding:
    full = evidence.resolve[one.topic]
    kinds = evidence.services.get(full, [])
    shown = full.removesuffix(SEND_GOAL)
    what, kind = (('action', one.kind.removesuffix('_SendGoal')) if full.endswith(SEND_GOAL)
                  else ('service', one.kind))
    if one.kind in kinds:
        return Finding('command', one.name, 'ok', f'{what} {shown} is there')
    if kinds:
        found = ', '.join(kinds).removesuffix('_SendGoal')
        return Finding('command', one.name, 'fault', f'{what} {shown} is {found}, '
                       f'needed is {kind}', 'correct its type in the contract, or the name')
    same = sorted(name.removesuffix(SEND_GOAL) for name, found in evidence.services.items()
                  if one.kind in found)
    return Finding('command', one.name, 'fault', f'no node has the {what} {shown}',
                   _candidates(same, shown, kind))


def _unmet(group: str, name: str, end: Endpoint, offered: Service,
           requested: Service) -> Iterator[Finding]:
    for policy, said in mismatches(offered, requested).items():
        yield Finding(group, name, 'fault', f'{policy} of {end.node} does not fit: {said}; no '
                      'message passes', FIXES[policy])


def _candidates(names: list[str], topic: str, kind: str) -> str:
    others = [name for name in names if name != topic]
    return f'with {kind} there is {", ".join(others)}' if others else f'nothing has {kind}'


def _other_kind(kind: str) -> str:
    for transport, image in IMAGES.items():
        if kind == image:
            return f'set transport: {transport}'
    return 'correct the topic'


def _nodes(ends: list[Endpoint]) -> str:
    return ', '.join(sorted({end.node for end in ends}))
