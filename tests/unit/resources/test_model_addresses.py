"""What admission says of a model's address and what the twin says when it connects are one verdict."""

from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtwin.foreign.destinations import CLOUD_METADATA, Destinations
from meshtwin_operator.resources.admission import Admitted, admit


def is_admitted(host: str) -> bool:
    spec = {"model": {"http": {"url": f"https://{host}:8443/mesh"}}}
    manifest = {"apiVersion": "meshtwin.dev/v1alpha1", "kind": "DigitalTwin", "metadata": {"name": "t"}, "spec": spec}
    return isinstance(admit(manifest), Admitted)


EDGES = ("0.0.0.0", "0.255.255.255", "1.0.0.0", "169.253.255.255", "169.254.0.0", "169.255.0.0", "223.255.255.255",
         "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255")  # fmt: skip


@given(st.ip_addresses(v=4).filter(lambda address: address not in CLOUD_METADATA))
@example(IPv4Address("169.254.169.254"))
def test_literal_address_gets_the_verdict_of_the_twin_in_local_mode(address: IPv4Address) -> None:
    assert is_admitted(str(address)) is (Destinations(loopback=True).refusal(str(address)) is None)


@pytest.mark.parametrize("address", EDGES)
def test_ranges_end_where_those_of_the_twin_end(address: str) -> None:
    assert is_admitted(address) is (Destinations(loopback=True).refusal(address) is None)


@given(st.ip_addresses(v=4), st.sampled_from(["{0}", "{0:#x}", "0{0:o}"]))
def test_no_other_spelling_of_an_address_is_admitted(address: IPv4Address, spelling: str) -> None:
    assert not is_admitted(spelling.format(int(address)))
