"""What one gateway said, kept within bounds; bad messages are refused with their reason."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin_operator.southbound.views import ATTEMPTS_KEPT, GatewayRecord, parse_summary

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def message(sequence: int = 1, *, session: str = "s1", at: datetime = NOW, **more: Any) -> bytes:
    envelope = {"contract": 1, "session": session, "sequence": sequence, "sentAt": at.isoformat()}
    return json.dumps({**envelope, **more}).encode()


def result(attempt: str, verb: str = "probe", status: str = "done", sequence: int = 1, **more: Any) -> bytes:
    return message(sequence, attemptId=attempt, verb=verb, status=status, **more)


def flow(attempt: str | None, *, airtime: float | None = 0.05) -> bytes:
    report = {
        "flow": "lights",
        "presses": 10,
        "sentPairs": 10,
        "deliveredPairs": 10,
        "howKnown": "receiverCounted",
        **({} if attempt is None else {"attemptId": attempt}),
    }
    return message(flows=[report], **({} if airtime is None else {"airtimeRatio": airtime}))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "NotJson"),
        (message(online="perhaps"), "Schema"),
        (message(online=True).replace(b'"contract": 1', b'"contract": 2'), "Contract"),
        (message(online=True, at=NOW + timedelta(hours=1)), "FromFuture"),
        (b" " * 5_000_000, "Oversized"),
        (message(online=True, surprise=1), "Schema"),
    ],
)
def test_bad_message_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    record = GatewayRecord()
    with pytest.raises(InvalidInput) as refused:
        record.take("state", payload, NOW)
    assert refused.value.reason == reason
    assert record.view.state is None


def test_newest_answer_per_attempt_and_verb_is_kept() -> None:
    record = GatewayRecord()
    record.take("configuration/result", result("a", "stage", "accepted"), NOW)
    record.take("configuration/result", result("a", "stage", "done", 2), NOW)
    record.take("configuration/result", result("a", "commit", "done", 3), NOW)
    assert [(r.verb.value, r.status) for r in record.view.results["a"]] == [("stage", "done"), ("commit", "done")]


def test_memory_of_attempts_is_bounded_and_keeps_the_newest_monitor() -> None:
    record = GatewayRecord()
    record.take("configuration/result", result("monitoring", "monitor"), NOW)
    for number in range(100):
        record.take("configuration/result", result(f"a{number}"), NOW)
        record.take("telemetry/flows", flow(f"a{number}"), NOW)
    assert len(record.view.results) == ATTEMPTS_KEPT + 1
    assert "monitoring" in record.view.results
    assert len(record.view.flows) == len(record.view.airtime) == ATTEMPTS_KEPT


def test_traffic_of_the_application_is_not_kept() -> None:
    record = GatewayRecord()
    assert record.take("telemetry/flows", flow(None), NOW) is False
    assert record.view.flows == {}


def test_late_message_of_an_earlier_session_changes_nothing() -> None:
    record = GatewayRecord()
    record.take("state", message(online=True, session="s2"), NOW)
    with pytest.raises(InvalidInput) as refused:
        record.take("configuration/result", result("a").replace(b"08:00:00", b"07:00:00"), NOW)
    assert refused.value.reason == "OtherSession"


def test_report_out_of_order_is_refused() -> None:
    record = GatewayRecord()
    record.take("configuration/reported", message(5, phase="idle", epoch=1, revision=3), NOW)
    with pytest.raises(InvalidInput) as refused:
        record.take("configuration/reported", message(4, phase="armed", epoch=1, revision=2), NOW)
    assert refused.value.reason == "OutOfOrder"
    assert record.view.reported is not None
    assert record.view.reported.revision == 3


def test_report_that_says_nothing_new_is_no_change() -> None:
    record = GatewayRecord()
    assert record.take("configuration/reported", message(1, phase="idle", epoch=1), NOW) is True
    assert record.take("configuration/reported", message(2, phase="idle", epoch=1), NOW) is False


def test_cleared_retained_message_is_forgotten() -> None:
    record = GatewayRecord()
    record.take("state", message(online=True), NOW)
    assert record.take("state", b"", NOW) is True
    assert record.view.state is None


def test_summary_of_another_contract_is_refused() -> None:
    summary = {"contract": 2, "twin": "t", "kind": "Parent", "online": True, "session": "s", "sequence": 1}
    with pytest.raises(InvalidInput) as refused:
        parse_summary(json.dumps({**summary, "sentAt": NOW.isoformat()}).encode(), NOW)
    assert refused.value.reason == "Contract"


LEAVES = st.sampled_from(["state", "configuration/reported", "configuration/result", "telemetry/flows", "other"])


@given(LEAVES, st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_no_payload_ever_raises_anything_but_invalid_input(leaf: str, payload: bytes) -> None:
    record = GatewayRecord()
    before = record.view
    try:
        record.take(leaf, payload, NOW)
    except InvalidInput:
        assert record.view == before


def test_a_fault_or_why_observing_is_held_back_is_news_and_counts_are_not() -> None:
    record = GatewayRecord()

    def told(sequence: int, **more: Any) -> bool:
        return record.take("state", message(sequence, online=True, **more), NOW)

    assert told(1)
    assert not told(2)
    assert told(3, fault="AdapterMissing: plug it in")
    held = {"level": "notifications", "active": False, "warnings": ["0003 has a list of 4"]}
    assert told(4, observing=held)
    assert not told(5, observing={**held, "compositionsRead": 3})


def test_two_processes_that_take_turns_to_be_a_gateway_are_told_and_a_restart_is_not() -> None:
    record = GatewayRecord()
    for second, session in enumerate(("s1", "s2", "s2")):
        record.take("state", message(session=session, online=True, at=NOW + timedelta(seconds=second)), NOW)
    assert record.view.contested_at is None

    last_word = message(session="s1", online=False, at=NOW + timedelta(seconds=3))
    record.take("state", last_word, NOW)
    assert record.view.contested_at is None

    for second, session in ((4, "s2"), (5, "s1")):
        record.take("state", message(session=session, online=True, at=NOW + timedelta(seconds=second)), NOW)
    assert record.view.contested_at == NOW
    assert record.view.contested_s(NOW) > 0
    assert record.view.contested_s(NOW + timedelta(minutes=2)) == 0
