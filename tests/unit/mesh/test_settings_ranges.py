"""Configurations as ranges of nodes, in entries that schemas take."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh.test_configuration_digests import SETTINGS

from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, compress_settings, expand_settings

ADDRESSES = st.integers(1, 40).map(UnicastAddress)


@given(st.dictionaries(ADDRESSES, SETTINGS, min_size=1), st.sets(ADDRESSES))
def test_ranges_mean_the_configuration_that_they_were_made_of(
    settings: dict[UnicastAddress, NodeSettings], others: set[UnicastAddress]
) -> None:
    inventory = sorted({*settings, *others})

    ranges = compress_settings(Configuration.of(settings), inventory)

    assert expand_settings(ranges, inventory) == Configuration.of(settings)


def test_settings_that_alternate_over_two_thousand_nodes_fit_the_wire() -> None:
    nodes = [UnicastAddress(n) for n in range(1, 2001)]
    alternating = Configuration.of({n: NodeSettings(relay=n % 2 == 0) for n in nodes})

    entries = [SettingsEntry.from_value(entry) for entry in compress_settings(alternating, nodes)]

    assert len(entries) == 8
    assert expand_settings([entry.to_value() for entry in entries], nodes) == alternating
