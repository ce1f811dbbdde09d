"""``Prefer: wait=`` as RFC 7240 has it."""

import pytest

from meshtwin.northbound.preferring import WAIT_MOST_S, read_wait_s


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("wait=10", 10.0),
        ("respond-async, wait=10", 10.0),
        ('Wait = "7"; x=1, return=minimal', 7.0),
        ("wait=999999999", WAIT_MOST_S),
        ("wait=0", 0.0),
    ],
)
def test_seconds_are_read(said, seconds):
    assert read_wait_s(said) == seconds


@pytest.mark.parametrize("said", [None, "", "wait", "wait=", "wait=-1", "wait=1.5", "wait=ten", "await=3", "wait=٣"])
def test_what_is_not_understood_is_as_if_it_were_not_said(said):
    assert read_wait_s(said) == 0.0
