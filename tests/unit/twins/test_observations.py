"""Payloads become observations, or are refused with a reason."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.telemetry import NeighbourTelemetry
from meshtwin.twins.observations import FUTURE_TOLERANCE, Reason, Refused, decode

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def body(**changes: Any) -> dict[str, Any]:
    head = {"contract": 1, "session": "s", "sequence": 0, "sentAt": NOW.isoformat()}
    return {**head, "node": "0001", "neighbours": [], **changes}


def reason(payload: bytes, leaf: str = "telemetry/neighbours") -> Reason | None:
    decoded = decode(leaf, payload, NOW)
    return decoded.reason if isinstance(decoded, Refused) else None


def test_whole_message_is_an_observation() -> None:
    assert isinstance(decode("telemetry/neighbours", json.dumps(body()).encode(), NOW), NeighbourTelemetry)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b"\xff\xff", Reason.NOT_JSON),
        (b"[]", Reason.WRONG_SCHEMA),
        (json.dumps(body(contract=2)).encode(), Reason.WRONG_CONTRACT),
        (json.dumps(body(node="zz")).encode(), Reason.WRONG_SCHEMA),
        (json.dumps(body(unknown=1)).encode(), Reason.WRONG_SCHEMA),
        (json.dumps(body(sentAt="2026-01-01T00:00:00")).encode(), Reason.WRONG_SCHEMA),
        (b" " * 200_000, Reason.OVERSIZED),
    ],
)
def test_bad_payload_is_refused_with_its_reason(payload: bytes, expected: Reason) -> None:
    assert reason(payload) == expected


def test_wrong_contract_is_named_even_if_the_rest_is_strange_too() -> None:
    assert reason(json.dumps({"contract": 9, "new": "shape"}).encode()) == Reason.WRONG_CONTRACT


def test_unknown_topic_is_refused() -> None:
    assert reason(b"{}", "telemetry/weather") == Reason.UNKNOWN_TOPIC


def test_message_from_the_future_is_refused_beyond_the_tolerance() -> None:
    just = (NOW + FUTURE_TOLERANCE).isoformat()
    beyond = (NOW + FUTURE_TOLERANCE + timedelta(seconds=1)).isoformat()

    assert reason(json.dumps(body(sentAt=just)).encode()) is None
    assert reason(json.dumps(body(sentAt=beyond)).encode()) == Reason.FROM_FUTURE


@given(st.binary(max_size=300), st.sampled_from(["state", "telemetry/flows", "configuration/reported", "x"]))
def test_no_payload_raises(payload: bytes, leaf: str) -> None:
    assert isinstance(decode(leaf, payload, NOW), Refused)
