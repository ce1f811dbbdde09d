"""Publication and subscription messages byte for byte, for models of the standard and of a vendor."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.contract.access import Opcode, decode_access
from meshtwin.contract.model_messages import (
    MONITORING_MODEL,
    ModelAt,
    Publication,
    ask_publication,
    ask_subscriptions,
    encode_publication_status,
    encode_subscription_list,
    encode_subscription_status,
    parse_publication,
    parse_subscriptions,
    set_publication,
    subscribe,
)
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit

VENDOR = ModelAt(element=0x0102, model=MONITORING_MODEL)
STANDARD = ModelAt(element=0x0102, model=0x1000)
transmits = st.builds(Transmit, count=st.integers(0, 7), interval_steps=st.integers(0, 31))
publications = st.builds(
    Publication,
    address=st.integers(0, 0xFFFF),
    ttl=st.integers(0, 127),
    key_index=st.integers(0, 0xFFF),
    period_code=st.integers(0, 255),
    retransmit=transmits,
)
models = st.one_of(st.integers(0, 0xFFFF), st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF)))
places = st.builds(ModelAt, element=st.integers(1, 0x7FFF), model=models)


def test_messages_are_those_of_the_standard() -> None:
    notify = Publication(address=0xFFFF, ttl=0, retransmit=Transmit(count=1, interval_steps=0))

    assert ask_publication(VENDOR).hex() == "8018" + "0201" + "f1050100"
    assert ask_publication(STANDARD).hex() == "8018" + "0201" + "0010"
    assert set_publication(VENDOR, notify).hex() == "03" + "0201" + "ffff" + "0000" + "00" + "00" + "01" + "f1050100"
    assert ask_subscriptions(VENDOR).hex() == "802b" + "0201" + "f1050100"
    assert ask_subscriptions(STANDARD).hex() == "8029" + "0201" + "0010"
    assert subscribe(VENDOR, 0xC001).hex() == "801b" + "0201" + "01c0" + "f1050100"
    assert encode_subscription_status(VENDOR, 0xC001, 5).hex() == "801f" + "05" + "0201" + "01c0" + "f1050100"
    assert encode_subscription_list(STANDARD, (0xC001,)).hex() == "802a" + "00" + "0201" + "0010" + "01c0"


@given(publication=publications, at=places)
def test_a_publication_survives_the_air(publication: Publication, at: ModelAt) -> None:
    message = decode_access(encode_publication_status(at, publication))

    assert message is not None
    assert (message.opcode, message.parameters[0]) == (Opcode.MODEL_PUBLICATION_STATUS, 0)
    assert parse_publication(message.parameters[1:], at) == publication


@given(groups=st.sets(st.integers(0xC000, 0xFEFF), max_size=20), at=places)
def test_subscriptions_survive_the_air(groups: set[int], at: ModelAt) -> None:
    message = decode_access(encode_subscription_list(at, tuple(groups)))

    assert message is not None
    assert parse_subscriptions(message.parameters[1:], at) == tuple(sorted(groups))


@pytest.mark.parametrize(
    "other", [ModelAt(element=3, model=MONITORING_MODEL), ModelAt(element=0x0102, model=(0x05F1, 2))]
)
def test_the_answer_for_another_model_or_element_is_refused(other: ModelAt) -> None:
    nothing = Publication(address=0, ttl=0, retransmit=Transmit(count=0, interval_steps=0))

    for parse, payload in (
        (parse_publication, encode_publication_status(other, nothing)),
        (parse_subscriptions, encode_subscription_list(other, (0xC001,))),
    ):
        with pytest.raises(InvalidInput) as refused:
            parse(payload[3:], VENDOR)
        assert refused.value.reason == "OtherModel"


@pytest.mark.parametrize("wrong", [{"ttl": 256}, {"ttl": -1}, {"address": 0x10000}, {"key_index": 0x1000}])
def test_a_publication_that_does_not_fit_its_fields_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Publication(**{"address": 1, "ttl": 0, "retransmit": Transmit(count=0, interval_steps=0)} | wrong)  # type: ignore[arg-type]  # by name


@given(data=st.binary(max_size=40), at=places)
def test_broken_answers_are_refused_and_never_crash(data: bytes, at: ModelAt) -> None:
    for parse in (parse_publication, parse_subscriptions):
        with contextlib.suppress(InvalidInput):
            parse(data, at)
