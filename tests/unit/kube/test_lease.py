"""Who may take the Lease."""

from datetime import UTC, datetime, timedelta

from meshtwin_operator.kube.lease import TIME_FORMAT, may_take

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
