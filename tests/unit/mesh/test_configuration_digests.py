"""Digests of configurations beside the package that defines their canonical form."""

import hashlib

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit, compute_digest

TRANSMITS = st.none() | st.builds(Transmit, count=st.integers(0, 7), interval_steps=st.integers(0, 31))
SETTINGS = st.builds(
    NodeSettings,
    relay=st.sampled_from([None, True, False]),
    relay_retransmit=TRANSMITS,
    network_transmit=TRANSMITS,
    default_ttl=st.none() | st.just(0) | st.integers(2, 127),
)


@given(settings=st.dictionaries(st.integers(1, 0x7FFF).map(UnicastAddress), SETTINGS, max_size=8))
def test_digest_is_taken_over_canonical_json(settings: dict[UnicastAddress, NodeSettings]) -> None:
    configuration = Configuration.of(settings)

    plain = [{"node": format_address(a), **s.to_json()} for a, s in configuration.entries]

    assert compute_digest(configuration) == "sha256:" + hashlib.sha256(rfc8785.dumps(plain)).hexdigest()
