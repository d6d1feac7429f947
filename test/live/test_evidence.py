# SPDX-License-Identifier: Apache-2.0
"""Two ends that can never meet are told apart from those that do."""

import math

import pytest

from vla_drop_ros.live.evidence import AUTOMATIC, MANUAL, mismatches, Service

WEAK = Service('best_effort', 'volatile')
STRONG = Service('reliable', 'transient_local', 0.1, MANUAL, 0.1)


def test_a_strong_offer_serves_every_request() -> None:
    """Whoever promises more than is asked is heard; so is an equal."""
    for service in (WEAK, STRONG, Service()):
        assert not mismatches(STRONG, service)
        assert not mismatches(service, service)
        assert not mismatches(service, WEAK)


@pytest.mark.parametrize(('offered', 'requested', 'policy'), [
    (Service('best_effort'), Service('reliable'), 'reliability'),
    (Service(), Service(durability='transient_local'), 'durability'),
    (Service(), Service(deadline=1.0), 'deadline'),
    (Service(deadline=2.0), Service(deadline=1.0), 'deadline'),
    (Service(liveliness=AUTOMATIC), Service(liveliness=MANUAL), 'liveliness'),
    (Service(lease=math.inf), Service(lease=1.0), 'lease duration')])
def test_the_policy_that_does_not_fit_is_named(
        offered: Service, requested: Service, policy: str) -> None:
    """One policy is named, with what was offered and requested; the other way round it fits."""
    found = mismatches(offered, requested)
    assert list(found) == [policy] and 'requested' in found[policy]
    assert not mismatches(requested, offered)
