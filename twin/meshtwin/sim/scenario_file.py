"""Scenario files: YAML parsed at the door into a `Scenario`; the format is `ScenarioDocument`'s."""

from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, is_unicast, parse_address, parse_unicast
from meshtwin.mesh.nodes import Position
from meshtwin.radio.path_loss import (
    LogDistance,
    compute_distance_m,
    compute_free_space_loss_db,
    compute_log_distance_loss_db,
)
from meshtwin.sim.draws import draw_normal, make_key
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_document import (
    FlowDocument,
    NodeDocument,
    RadioDocument,
    ScenarioDocument,
    SettingsDocument,
    TransmitDocument,
)

__all__ = ["parse_scenario", "read_scenario", "to_scenario"]

WEAKEST_DBM: Final = -108.0  # below this a link neither delivers nor disturbs; leaving it out saves time
FILE_MAX_CHARACTERS: Final = 4_000_000


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file; raises `InvalidInput` with place and reason."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"can't be read: {error}", place=str(path)) from error
    return parse_scenario(text, place=str(path))


def parse_scenario(text: str, place: str = "scenario") -> Scenario:
    """The scenario that YAML ``text`` says; raises `InvalidInput` naming the first wrong field."""
    if len(text) > FILE_MAX_CHARACTERS:
        raise InvalidInput(f"{len(text)} characters are more than {FILE_MAX_CHARACTERS}", place=place)
    try:
        document = ScenarioDocument.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InvalidInput(f"not YAML: {error}", place=place) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(first["msg"], place=f"{place}: {where}" if where else place) from error
    return to_scenario(document, place)


def to_scenario(document: ScenarioDocument, place: str) -> Scenario:
    """The value behind a checked document."""
    return Scenario(
        name=document.name,
        nodes=tuple(_to_node(node, document.defaults) for node in document.nodes),
        links=_to_links(document),
        flows=tuple(_to_flow(flow, document, place) for flow in document.flows),
        profile=get_profile(document.profile, f"{place}: profile"),
        capture=document.reception == "packetErrorRatio",
        duration_s=document.duration_seconds,
    )


def _to_node(node: NodeDocument, defaults: SettingsDocument) -> ScenarioNode:
    relay = defaults.relay if node.relay is None else node.relay
    ttl = defaults.ttl if node.ttl is None else node.ttl
    fallback = TransmitDocument()
    return ScenarioNode(
        address=parse_unicast(node.address),
        relay=True if relay is None else relay,
        ttl=7 if ttl is None else ttl,
        network_transmit=(node.network_transmit or defaults.network_transmit or fallback).to_value(),
        relay_retransmit=(node.relay_retransmit or defaults.relay_retransmit or fallback).to_value(),
        external_pdus_per_s=node.external_pdus_per_second,
        is_on=node.powered_on,
    )


def _to_flow(flow: FlowDocument, document: ScenarioDocument, place: str) -> ScenarioFlow:
    source, destination = parse_unicast(flow.source), parse_address(flow.destination)
    if is_unicast(destination):
        members: tuple[UnicastAddress, ...] = (UnicastAddress(destination),)
    else:
        subscribed = [parse_unicast(n.address) for n in document.nodes if destination in map(parse_address, n.groups)]
        members = tuple(a for a in subscribed if a != source)
    if not members:
        raise InvalidInput(f"nobody subscribes to {flow.destination}", place=f"{place}: flows.{flow.name}")
    return ScenarioFlow(
        name=flow.name,
        source=source,
        members=members,
        count=flow.count,
        period_s=flow.period_seconds,
        start_s=flow.start_seconds,
        deadline_ms=flow.deadline_milliseconds,
        spread_in_period=flow.at_drawn_times,
        pdu_bytes=flow.pdu_bytes,
        response_pdu_bytes=flow.response_pdu_bytes,
        ttl=flow.ttl,
    )


def _to_links(document: ScenarioDocument) -> tuple[ScenarioLink, ...]:
    if document.links is not None:
        return tuple(
            ScenarioLink(
                source=parse_unicast(link.source),
                target=parse_unicast(link.target),
                rx_power_dbm=link.rx_power_dbm,
                delivery=link.delivery,
            )
            for link in document.links
        )
    addresses = [parse_unicast(node.address) for node in document.nodes]
    powers = _powers_from_matrix(document) if document.radio is None else _powers_from_radio(document)
    return tuple(
        ScenarioLink(source=addresses[i], target=addresses[j], rx_power_dbm=power)
        for (i, j), power in powers.items()
        if i != j and power >= WEAKEST_DBM
    )


def _powers_from_matrix(document: ScenarioDocument) -> dict[tuple[int, int], float]:
    """Received power at 0 dBm by (transmitter, receiver)."""
    return {
        (i, j): -loss
        for i, row in enumerate(document.attenuation_db or [])
        for j, loss in enumerate(row)
        if loss is not None
    }


def _powers_from_radio(document: ScenarioDocument) -> dict[tuple[int, int], float]:
    """Received power by (transmitter, receiver); pairs out of a hard range are left out."""
    radio = document.radio or RadioDocument()
    positions = [Position(*(node.position_m or (0.0, 0.0))) for node in document.nodes]
    params = LogDistance(exponent=radio.exponent, reference_db=radio.reference_db, shadowing_db=radio.shadowing_db)
    powers: dict[tuple[int, int], float] = {}
    for i, at in enumerate(positions):
        for j, bt in enumerate(positions):
            distance_m = compute_distance_m(at, bt)
            if radio.range_m is not None and distance_m > radio.range_m:
                continue
            if radio.model == "unitDisc":
                loss_db = 0.0
            elif radio.model == "logDistance":
                key = make_key(radio.shadowing_seed, "shadowing", document.nodes[i].address.lower())
                shadowing_db = radio.shadowing_db * draw_normal(key, parse_address(document.nodes[j].address))
                loss_db = compute_log_distance_loss_db(distance_m, params, shadowing_db)
            else:
                loss_db = compute_free_space_loss_db(distance_m)
            powers[i, j] = radio.tx_power_dbm - loss_db
    return powers
