"""Attenuation of links: stated transmit power less received power, and why it is not known."""

from dataclasses import replace

import pytest

from meshtwin.mesh.nodes import Node
from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.mesh.tx_power import TxPower
from meshtwin.northbound.messages import NodeMessage, to_link_messages
from meshtwin.northbound.views import answer_links, answer_node, answer_topology
from meshtwin.radio.attenuation import Attenuation, AttenuationUnknown, estimate_attenuation
from meshtwin.twins.partial import PartialSnapshot

LINK = LinkEstimate(
    source=1, target=2, delivery_alpha=6.0, delivery_beta=94.0, rssi_dbm=-90.0, rx_power_dbm=-93.5,
    rx_power_deviation_db=2.4,
)  # fmt: skip
BLIND = replace(LINK, rssi_dbm=None, rx_power_dbm=None, rx_power_deviation_db=None)
SENDER = Node(address=1, device_uuid="", tx_power=TxPower(4.0))


def test_attenuation_is_what_was_stated_less_what_arrives_and_as_uncertain():
    assert estimate_attenuation(LINK, SENDER) == Attenuation(97.5, 2.4)


def test_uncertainty_of_the_statement_adds_in_squares():
    told = estimate_attenuation(LINK, replace(SENDER, tx_power=TxPower(4.0, 1.8)))
    assert told == Attenuation(97.5, pytest.approx(3.0))


@pytest.mark.parametrize("sender", [None, replace(SENDER, tx_power=None)])
def test_without_a_statement_attenuation_is_not_known(sender):
    assert estimate_attenuation(LINK, sender) is AttenuationUnknown.NO_TX_POWER


@pytest.mark.parametrize("sender", [None, SENDER])
def test_without_received_power_attenuation_is_not_known(sender):
    assert estimate_attenuation(BLIND, sender) is AttenuationUnknown.NO_RX_POWER


def plain(links, nodes):
    return [
        message.model_dump(mode="json", by_alias=True, exclude_none=True) for message in to_link_messages(links, nodes)
    ]


def told(document):
    return {name: value for name, value in document.items() if name.startswith("attenuation")}


def test_each_direction_goes_by_the_power_of_its_own_sender():
    back = replace(LINK, source=2, target=1)
    other = Node(address=2, device_uuid="", tx_power=TxPower(-8.0, 1.0))

    there, returned = plain((LINK, back), (SENDER, other))

    assert told(there) == {"attenuationDb": 97.5, "attenuationDeviationDb": 2.4}
    assert told(returned) == {"attenuationDb": 85.5, "attenuationDeviationDb": 2.6}


def test_a_link_without_attenuation_says_why():
    first, second = plain((LINK, BLIND), ())
    assert told(first) == {"attenuationUnknown": "txPowerNotStated"}
    assert told(second) == {"attenuationUnknown": "rxPowerNotKnown"}


@pytest.fixture
def partial(build_grid):
    snapshot = build_grid(2, 1)
    stated = tuple(replace(n, tx_power=TxPower(4.0, 1.0)) if n.address == 1 else n for n in snapshot.nodes)
    return PartialSnapshot(snapshot=replace(snapshot, nodes=stated, links=(LINK,)), gaps=(), load_source="monitoring")


def test_every_answer_with_links_tells_attenuation(partial):
    for links in (answer_links(partial).links, answer_topology(partial).links, answer_node(partial, 2).links):
        assert [link.attenuation_db for link in links] == [97.5]


def test_fingerprint_is_that_of_the_same_snapshot_without_the_statement(partial):
    silent = tuple(replace(node, tx_power=None) for node in partial.snapshot.nodes)
    assert replace(partial.snapshot, nodes=silent).fingerprint == partial.snapshot.fingerprint


def test_stated_power_of_a_node_survives_the_wire():
    message = NodeMessage.from_value(replace(SENDER, tx_power=TxPower(-8.0, 1.5)))
    assert NodeMessage.model_validate_json(message.model_dump_json(by_alias=True)).to_value().tx_power == TxPower(
        -8, 1.5
    )
    assert NodeMessage.from_value(replace(SENDER, tx_power=None)).to_value().tx_power is None
