"""What a node counts of its neighbours, and what it tells."""

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.access import decode_records, encode_records
from meshtwin.gateway.bluez.neighbour_counts import NeighbourCounts


def make_counts(*heard: tuple[int, int]) -> NeighbourCounts:
    """Notifications as (source, counter), in order."""
    counts = NeighbourCounts(epoch=1)
    for source, counter in heard:
        counts.count(source, counter, 1, -60.0)
    return counts


def test_a_gap_in_the_counter_is_what_was_missed() -> None:
    counts = make_counts((5, 10), (5, 11), (5, 14))

    (record,) = counts.tell((5,))

    assert (record.expected, record.received) == (4, 2)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.integers(0, 0xFFFF))
def test_expected_is_the_way_of_the_counter_across_its_end(steps: list[int], first: int) -> None:
    counter, heard = first, [(5, first)]
    for step in steps:
        counter = (counter + step) & 0xFFFF
        heard.append((5, counter))

    (record,) = make_counts(*heard).tell((5,))

    assert (record.expected, record.received) == (sum(steps), len(steps))


def test_a_neighbour_that_began_again_counts_as_one_expected() -> None:
    (record,) = make_counts((5, 40_000), (5, 1), (5, 2)).tell((5,))

    assert (record.expected, record.received) == (2, 2)


def test_only_changes_are_told_new_neighbours_first() -> None:
    counts = make_counts(*[(5, n) for n in range(4)], *[(6, n) for n in range(5)], *[(7, n) for n in range(3)])

    assert counts.choose(2) == [(6, 5)]  # 7 is too new
    counts.tell((6, 5))
    assert counts.choose(2) == []
    counts.count(5, 4, 1, -60.0)
    counts.count(7, 3, 1, -60.0)
    assert counts.choose(2) == [(7, 5)]


def test_a_report_holds_no_more_messages_than_asked_for() -> None:
    counts = make_counts(*[(node, n) for node in range(1, 10) for n in range(4)])

    messages = counts.choose(2)

    assert [len(m) for m in messages] == [2, 2]


def test_an_unknown_rssi_travels_as_unknown() -> None:
    counts = NeighbourCounts(epoch=0)
    for counter in range(4):
        counts.count(5, counter, 1, None)

    records = decode_records(encode_records(counts.tell((5,))))

    assert [r.rssi_dbm for r in records] == [None]


def test_rssi_is_a_mean_of_what_is_known() -> None:
    counts = NeighbourCounts(epoch=0)
    for counter, rssi_dbm in enumerate((None, -60.0, None, -70.0)):
        counts.count(5, counter, 1, rssi_dbm)

    (record,) = counts.tell((5,))

    assert record.rssi_dbm is not None
    assert -70 < record.rssi_dbm < -60
