"""Readiness waits until reports bring few new links."""

import pytest

from meshtwin.twins.freshness import LinkGrowth


def settle(nodes: int, links_at: dict[int, int]) -> list[bool]:
    growth = LinkGrowth(nodes)
    return [growth.is_settled(folded, links) for folded, links in links_at.items()]


def test_nothing_is_settled_before_two_reports_of_each_node():
    assert settle(30, {1: 500, 31: 500, 60: 500, 61: 500}) == [False, False, False, True]


@pytest.mark.parametrize(("new_links", "is_settled"), [(9, True), (10, False)])
def test_a_new_link_in_more_than_every_seventh_message_is_growth(new_links, is_settled):
    assert settle(30, {1: 500, 61: 500 + new_links})[-1] is is_settled


def test_growth_long_ago_does_not_count():
    assert settle(30, {1: 0, 50: 400, 100: 500, 161: 501})[-1]


def test_a_small_network_is_looked_at_over_twenty_messages():
    assert settle(2, {1: 2, 20: 2, 21: 2}) == [False, False, True]
