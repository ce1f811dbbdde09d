"""Configuration messages byte for byte, against the formats of Mesh Protocol 1.1."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.access import encode_set
from meshtwin.errors import InvalidInput
from meshtwin.gateway.bluez.config_messages import (
    Publication,
    ask_heartbeats_heard,
    bind_app_key,
    parse_composition,
    parse_heartbeats_heard,
    parse_publication,
    publish_heartbeat,
    read_settings,
    set_beacon,
    set_publication,
    set_settings,
    subscribe_group,
)
from meshtwin.mesh.configuration import NodeSettings, Transmit

MODEL = (0x05F1, 0x0001)
transmits = st.builds(Transmit, count=st.integers(0, 7), interval_steps=st.integers(0, 31))


@given(
    relay=st.booleans(),
    relay_retransmit=transmits,
    network_transmit=transmits,
    default_ttl=st.integers(2, 127),
)
def test_sets_are_those_of_the_gateway_contract(
    relay: bool, relay_retransmit: Transmit, network_transmit: Transmit, default_ttl: int
) -> None:
    wanted = NodeSettings(
        relay=relay, relay_retransmit=relay_retransmit, network_transmit=network_transmit, default_ttl=default_ttl
    )

    assert tuple(q.payload for q in set_settings(wanted)) == encode_set(wanted, NodeSettings())


def test_opcodes_are_the_standard_s() -> None:
    assert [q.payload.hex() for q in read_settings()] == ["8026", "8023", "800c"]
    assert set_beacon(is_on=True).payload.hex() == "800a01"
    assert bind_app_key(0x0102, 0, MODEL).payload.hex() == "803d" + "0201" + "0000" + "f105" + "0100"
    assert subscribe_group(0x0102, 0xC001, MODEL).payload.hex() == "801b" + "0201" + "01c0" + "f105" + "0100"
    notify = Publication(address=0xFFFF, ttl=0, retransmit=Transmit(count=1, interval_steps=0))
    assert (
        set_publication(0x0102, notify, MODEL).payload.hex() == "03" + "0201" + "ffff" + "0000" + "000001" + "f1050100"
    )
    heartbeat = publish_heartbeat(destination=0xFFFF, ttl=5, features=1)
    assert heartbeat.payload.hex() == "8039" + "ffff" + "00" + "00" + "05" + "0100" + "0000"


@given(address=st.integers(0, 0xFFFF), ttl=st.integers(0, 127), key_index=st.integers(0, 0xFFF), retransmit=transmits)
def test_a_publication_survives_the_air(address: int, ttl: int, key_index: int, retransmit: Transmit) -> None:
    publication = Publication(address=address, ttl=ttl, key_index=key_index, retransmit=retransmit)

    assert parse_publication(set_publication(7, publication, MODEL).parameters) == publication


@pytest.mark.parametrize(("code", "least"), [(0, 0), (1, 1), (2, 2), (3, 4), (0x11, 0x10000), (0xFF, 0x10000)])
def test_heartbeat_counts_are_the_least_of_their_logarithmic_code(code: int, least: int) -> None:
    heard = parse_heartbeats_heard(struct.pack("<HHBBBB", 3, 0xFFFF, 6, code, 2, 4))

    assert (heard.source, heard.count_low, heard.min_hops, heard.max_hops) == (3, least, 2, 4)


def test_composition_data_tells_features_models_and_the_replay_list() -> None:
    first = struct.pack("<HBBHHHH", 0, 2, 1, 0x0000, 0x1000, 0x05F1, 0x0001)
    second = struct.pack("<HBBH", 0, 1, 0, 0x1001)
    header = struct.pack("<BHHHHH", 0, 0x05F1, 1, 2, 40, 0b0101)

    said = parse_composition(header + first + second)

    assert (said.company, said.product, said.version, said.replay_list_size) == (0x05F1, 1, 2, 40)
    assert (said.relay, said.proxy, said.friend, said.low_power) == (True, False, True, False)
    assert said.sig_models == (0x0000, 0x1000, 0x1001)
    assert said.vendor_models == (MODEL,)


@given(st.binary(max_size=60))
def test_broken_answers_are_refused_and_never_crash(data: bytes) -> None:
    for parse in (parse_composition, parse_publication, parse_heartbeats_heard):
        with contextlib.suppress(InvalidInput):
            parse(data)


def test_an_error_status_is_refused_by_name_with_node_and_question() -> None:
    question = ask_heartbeats_heard()

    with pytest.raises(InvalidInput, match=r"Heartbeat Subscription Get.*0x05 InsufficientResources.*0007") as refused:
        question.check(b"\x05\x00\x00", "0007")

    assert refused.value.reason == "InsufficientResources"
    assert question.check(b"\x00\x01\x02", "0007") == b"\x01\x02"
