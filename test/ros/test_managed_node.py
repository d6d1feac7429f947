# SPDX-License-Identifier: Apache-2.0
"""Lifecycle services in any order: no hang, no crash, and no chunk unless active."""

from collections.abc import Callable
import random
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest

pytestmark = pytest.mark.ros

IDS = {'configure': Transition.TRANSITION_CONFIGURE, 'activate': Transition.TRANSITION_ACTIVATE,
       'deactivate': Transition.TRANSITION_DEACTIVATE, 'cleanup': Transition.TRANSITION_CLEANUP,
       'shutdown (inactive)': Transition.TRANSITION_INACTIVE_SHUTDOWN,
       'success': Transition.TRANSITION_ON_CONFIGURE_SUCCESS,
       'destroy': Transition.TRANSITION_DESTROY, 'none such': 99}
UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = (
    State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_FINALIZED)
ALLOWED = {('configure', UNCONFIGURED): INACTIVE, ('activate', INACTIVE): ACTIVE,
           ('deactivate', ACTIVE): INACTIVE, ('cleanup', INACTIVE): UNCONFIGURED,
           ('shutdown (inactive)', INACTIVE): FINALIZED}


class Operator:
    """Calls the lifecycle services of the policy node over DDS."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.change = bench.node.create_client(ChangeState, 'policy_node/change_state')
        self.get = bench.node.create_client(GetState, 'policy_node/get_state')
        bench.until(lambda: self.change.service_is_ready() and self.get.service_is_ready())

    def call(self, client: Any, request: Any) -> Any:
        """Return the answer of a service."""
        future = client.call_async(request)
        self.bench.until(future.done)
        return future.result()

    @property
    def state(self) -> int:
        """Return the id of the node's state."""
        return int(self.call(self.get, GetState.Request()).current_state.id)

    def ask(self, name: str) -> bool:
        """Ask for a transition by id; return whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=IDS[name]))
        return bool(self.call(self.change, request).success)


@pytest.mark.parametrize('seed', range(4))
def test_any_order_of_transitions(make: Callable[..., Any], seed: int) -> None:
    """The state is what the calls say, and each chunk belongs to a time of activity."""
    bench, rng = make(start=False, instruction='go', replan_period=0.05), random.Random(seed)
    operator, state = Operator(bench), UNCONFIGURED
    names = [name for name in IDS if not name.startswith('shutdown')]
    for _ in range(40):
        allowed = [name for name, where in ALLOWED if where == state and name in names]
        name = rng.choice(allowed if rng.random() < 0.6 else names)
        wanted = ALLOWED.get((name, state))
        count, was_active = len(bench.moves), state == ACTIVE
        assert operator.ask(name) == (wanted is not None), f'{name} in state {state}'
        state = wanted or state
        assert operator.state == state
        if state == ACTIVE and not was_active and rng.random() < 0.5:
            bench.until(lambda count=count: len(bench.moves) > count)
        elif state != ACTIVE and not was_active:
            assert len(bench.moves) == count, 'a chunk while inactive'
        if was_active and state != ACTIVE:
            bench.until(lambda: not bench.chunks[-1].points)
    if state == UNCONFIGURED:
        assert operator.ask('configure')
    if state == ACTIVE:
        assert operator.ask('deactivate')
    assert operator.ask('shutdown (inactive)')
    assert not any(operator.ask(name) for name in IDS)
    assert operator.state == FINALIZED
    loads = bench.policies['a']
    assert loads.closed == bench.loads, 'every policy that was loaded has been closed'


def test_an_unknown_label_is_refused(make: Callable[..., Any]) -> None:
    """A transition asked for by a name that does not exist changes nothing."""
    operator = Operator(make(start=False))
    request = ChangeState.Request(transition=Transition(label='jump'))
    assert not operator.call(operator.change, request).success
    assert operator.state == UNCONFIGURED


@pytest.mark.parametrize('hook', ['configure', 'activate', 'deactivate'])
def test_an_error_leads_back_to_where_one_can_start(make: Callable[..., Any], hook: str) -> None:
    """After an exception in any hook the node is unconfigured, and the same calls then work."""
    bench = make(start=False, instruction='go')
    operator, node = Operator(bench), bench.policy
    original = getattr(node, hook)
    setattr(node, hook, lambda: 1 // 0)
    for name in ('configure', 'activate', 'deactivate'):
        worked = operator.ask(name)
        assert worked == (name != hook)
        if not worked:
            break
    assert operator.state == UNCONFIGURED
    assert 'ZeroDivisionError' in node.failure
    assert bench.policies['a'].closed == bench.loads
    setattr(node, hook, original)
    count = len(bench.moves)
    assert operator.ask('configure') and operator.ask('activate')
    bench.until(lambda: len(bench.moves) > count)


def test_a_refused_activation_leaves_the_publishers_silent(make: Callable[..., Any]) -> None:
    """The node is inactive again, and what it publishes reaches nobody."""
    from vla_drop_ros.errors import VlaDropError
    bench = make(start=False)
    operator, node = Operator(bench), bench.policy
    assert operator.ask('configure')

    def refuse() -> None:
        raise VlaDropError('not today')

    node.activate = refuse
    assert not operator.ask('activate') and operator.state == INACTIVE
    assert not node._chunks.is_activated
    assert node.failure == 'not today'


def test_cleaning_up_frees_the_policy_though_it_hangs(make: Callable[..., Any]) -> None:
    """An inference that never ends does not hold the node; its chunk is never published."""
    bench = make(start=False, instruction='go')
    operator, policy = Operator(bench), bench.policies['a']
    bench.policy.stop_timeout = 0.1
    policy.gate.clear()
    assert operator.ask('configure') and operator.ask('activate')
    bench.until(lambda: policy.observations)
    assert operator.ask('deactivate') and operator.ask('cleanup')
    assert operator.ask('configure') and operator.ask('activate')
    policy.gate.set()
    bench.until(lambda: bench.moves)
    first = policy.observations[0].stamp
    assert all(abs(chunk.header.stamp.sec + chunk.header.stamp.nanosec * 1e-9 - first) > 1e-4
               for chunk in bench.moves)
