"""Folding observations into a state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.twin_builders import START_S, counter, fold_all, gateway, report, reported

from meshtwin.contract.telemetry import FlowTelemetry, NodeTelemetry
from meshtwin.twins.folding import EVIDENCE_HALF_LIFE_S, FIRST_EVIDENCE_MAX
from meshtwin.twins.state import LinkRecord


def evidence(record: LinkRecord) -> tuple[float, float]:
    return sum(h for _, h, _ in record.evidence), sum(m for _, _, m in record.evidence)


def test_first_report_counts_from_its_own_base() -> None:
    state = fold_all([report("0001", counter("0002", 20, 8, sinceCounter=10))])

    assert evidence(state.nodes[1].links[2]) == (8.0, 2.0)


def test_next_report_counts_only_what_was_added() -> None:
    state = fold_all([report("0001", counter("0002", 10, 8)), report("0001", counter("0002", 20, 13), sequence=1)])

    assert evidence(state.nodes[1].links[2]) == (13.0, 7.0)


def test_lost_report_loses_no_data() -> None:
    all_three = [report("0001", counter("0002", 10 * n, 7 * n), sequence=n) for n in (1, 2, 3)]

    whole = fold_all(all_three).nodes[1].links[2]
    with_gap = fold_all([all_three[0], all_three[2]]).nodes[1].links[2]

    assert evidence(whole) == evidence(with_gap)


def test_missing_sequence_numbers_are_counted_as_gaps() -> None:
    state = fold_all([report("0001", sequence=3), report("0001", sequence=7)])

    assert state.streams["telemetry/neighbours"].gaps == 3


def test_long_first_count_is_capped_since_its_age_is_unknown() -> None:
    state = fold_all([report("0001", counter("0002", 100_000, 50_000))])

    assert sum(evidence(state.nodes[1].links[2])) == pytest.approx(FIRST_EVIDENCE_MAX)


def test_evidence_halves_within_its_half_life() -> None:
    first = report("0001", counter("0002", 10, 10))
    later = report("0001", counter("0002", 10, 10), sequence=1, at_s=EVIDENCE_HALF_LIFE_S)

    state = fold_all([first, later])

    assert evidence(state.nodes[1].links[2])[0] == pytest.approx(5.0)


def test_restarted_neighbour_begins_a_new_count() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 50, 40)),
            report("0001", counter("0002", 5, 4, epoch=1), sequence=1),
        ]
    )

    assert evidence(state.nodes[1].links[2]) == (44.0, 11.0)
    assert state.resets == 1


def test_count_that_falls_back_within_its_epoch_is_a_base_line_and_no_evidence() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 50, 40)),
            report("0001", counter("0002", 5, 4), sequence=1),
            report("0001", counter("0002", 15, 12), sequence=2),
        ]
    )

    assert evidence(state.nodes[1].links[2]) == (48.0, 12.0)


def test_more_received_than_expected_counts_as_all_heard() -> None:
    state = fold_all([report("0001", counter("0002", 10, 12))])

    assert evidence(state.nodes[1].links[2]) == (10.0, 0.0)


def test_numbers_of_transmissions_are_kept_apart() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 10, 9, transmissions=3)),
            report("0001", counter("0002", 20, 14, transmissions=1), sequence=1),
        ]
    )

    assert state.nodes[1].links[2].evidence == ((1, 5.0, 5.0), (3, 9.0, 1.0))


def test_message_of_an_older_session_is_counted_and_not_folded() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 20, 15), session="new", at_s=100),
            report("0001", counter("0002", 10, 8), session="old", sequence=9, at_s=50),
        ]
    )

    assert state.dropped == {"OtherSession": 1}
    assert state.nodes[1].links[2].last == 20


def test_gateway_that_restarts_begins_a_new_session_without_gaps() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 10, 8), sequence=40),
            report("0001", counter("0002", 20, 16), session="s2", sequence=0, at_s=5),
        ]
    )

    assert state.session == "s2"
    assert state.streams["telemetry/neighbours"].gaps == 0
    assert evidence(state.nodes[1].links[2]) == pytest.approx((16.0, 4.0), rel=0.01)


def test_gateway_whose_clock_went_back_is_followed_once_it_says_online() -> None:
    state = fold_all(
        [
            report("0001", counter("0002", 10, 8), at_s=1000),
            gateway(session="s2", at_s=10),
            report("0001", counter("0002", 20, 16), session="s2", at_s=20),
        ]
    )

    assert state.dropped == {}
    assert state.nodes[1].links[2].last == 20


def test_time_ahead_of_the_receiver_counts_as_now() -> None:
    state = fold_all([report("0001", at_s=60)], at_s=10)

    assert state.newest_report_s == START_S + 10


def test_last_will_shows_the_gateway_offline_whatever_its_sequence() -> None:
    state = fold_all([gateway(sequence=5), gateway(sequence=0, online=False)])

    assert state.gateway is not None
    assert not state.gateway.online


def test_older_configuration_does_not_replace_a_newer_one() -> None:
    state = fold_all([reported("0001", sequence=2, revision=7), reported("0001", sequence=1, revision=6)])

    assert state.reported is not None
    assert state.reported.revision == 7


def test_flow_reports_keep_the_newest_and_smooth_the_airtime() -> None:
    def flows(sequence: int, airtime: float) -> FlowTelemetry:
        flow = {
            "flow": "lamps",
            "presses": sequence,
            "sentPairs": 10,
            "deliveredPairs": 9,
            "howKnown": "receiverCounted",
        }
        head = {"session": "s1", "sequence": sequence, "sentAt": "2023-11-14T22:13:20Z"}
        return FlowTelemetry.model_validate({**head, "flows": [flow], "airtimeRatio": airtime})

    state = fold_all([flows(1, 0.10), flows(2, 0.20)])

    assert state.flows["lamps"].report.presses == 2
    assert state.airtime_ratio == pytest.approx(0.13)


def test_vitals_of_a_node_do_not_touch_its_links() -> None:
    head = {"session": "s1", "sequence": 0, "sentAt": "2023-11-14T22:13:20Z"}
    vitals = NodeTelemetry.model_validate({**head, "nodes": [{"node": "0001", "uptimeS": 5}]})

    state = fold_all([report("0001", counter("0002", 10, 8)), vitals])

    assert state.nodes[1].links[2].last == 10
    assert state.nodes[1].vitals is not None


def test_folding_leaves_the_state_before_as_it_was() -> None:
    before = fold_all([report("0001", counter("0002", 10, 8))])
    kept = before.nodes[1].links[2]

    after = fold_all([report("0001", counter("0002", 20, 16), sequence=1)], before)

    assert before.nodes[1].links[2] == kept
    assert after.nodes[1].links[2] != kept


steps = st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1)), min_size=1, max_size=20)


@given(steps=steps, repeats=st.lists(st.integers(0, 19), max_size=20))
def test_repeated_and_late_messages_change_no_link(steps: list[tuple[int, float]], repeats: list[int]) -> None:
    last = received = 0
    messages = []
    for index, (sent, share) in enumerate(steps):
        last, received = last + sent, received + round(sent * share)
        messages.append(report("0001", counter("0002", last, received), sequence=index))
    clean = fold_all(messages)

    again = fold_all([messages[index % len(messages)] for index in repeats], clean)

    assert again.nodes == clean.nodes
    assert again.folded == clean.folded + len(repeats)


@given(steps=steps, keep=st.lists(st.booleans(), min_size=20, max_size=20))
def test_evidence_depends_only_on_first_and_last_count(steps: list[tuple[int, float]], keep: list[bool]) -> None:
    last = received = 0
    messages = []
    for index, (sent, share) in enumerate(steps):
        last, received = last + sent, received + round(sent * share)
        messages.append(report("0001", counter("0002", last, received), sequence=index))
    thinned = [m for m, kept in zip(messages[1:-1], keep, strict=False) if kept]

    whole = fold_all(messages).nodes[1].links[2]
    some = fold_all([messages[0], *thinned, messages[-1]]).nodes[1].links[2]

    assert sum(evidence(whole)) == pytest.approx(sum(evidence(some)))
    assert evidence(whole)[0] == pytest.approx(evidence(some)[0])
