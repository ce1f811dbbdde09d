"""Who may take the Lease, and until when it is held."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from meshtwin_operator.kube.lease import TIME_FORMAT, Lease, may_take

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def spec(holder: str, renewed_s_ago: float) -> dict[str, object]:
    renewed = (NOW - timedelta(seconds=renewed_s_ago)).strftime(TIME_FORMAT)
    return {"holderIdentity": holder, "leaseDurationSeconds": 10, "renewTime": renewed}


def test_a_free_lease_may_be_taken() -> None:
    assert may_take({}, "me", NOW)
    assert may_take(spec("", 0), "me", NOW)


def test_a_fresh_lease_of_another_holder_may_not_be_taken() -> None:
    assert not may_take(spec("other", 9.9), "me", NOW)


def test_an_expired_lease_may_be_taken() -> None:
    assert may_take(spec("other", 10.1), "me", NOW)


def test_our_own_lease_may_be_taken_again() -> None:
    assert may_take(spec("me", 1), "me", NOW)


class Api:
    """Holds one Lease; ``answers`` False: requests hang, as on a connection that is dead."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] = {"spec": {}}
        self.answers = True
        self.renewals = 0

    async def get(self, *_: str) -> dict[str, Any]:
        if not self.answers:
            await asyncio.Event().wait()
        return self.lease

    async def replace(self, lease: dict[str, Any]) -> None:
        self.lease = lease
        self.renewals += 1
        self.answers = self.renewals < 4


async def test_a_lease_whose_renewal_hangs_is_given_up_when_it_has_lasted_its_time() -> None:
    api = Api()
    lease = Lease(
        api=api,  # type: ignore[arg-type]  # what is used of it
        namespace="meshtwin-system",
        name="meshtwin-operator",
        identity="me",
        clock=lambda: NOW,
        duration_s=0.2,
        renew_s=0.01,
    )
    await lease.take()
    await asyncio.wait_for(lease.hold(), 5)
    assert api.renewals == 4
    assert lease.epoch == 1
