"""The simulated points of the published tables as scenario files, made of the published conditions."""

import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.sim.files import make_write_error
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioNode
from meshtwin.sim.validation.chain import build_chain_scenario
from meshtwin.sim.validation.grid import build_grid_scenario, list_grid_positions
from meshtwin.sim.validation.office import build_office_scenario, list_cells, list_office_positions
from meshtwin.sim.validation.physics import HARDWARE_PROFILES, build_hardware_scenario
from meshtwin.sim.validation.tables import TABLES, Table, read_table

__all__ = ["EXPORTED", "export_tables", "iter_published"]

EXPORTED: Final = ("chain", "office", "grid", "hardware")  # reception is of single receptions, not of networks
GRID_SEED: Final = 1  # of the start times, which the publication does not tell
GROUP: Final = "c000"  # of a flow to several members
Plain = dict[str, Any]


class _Quoted(str):
    """Text in quotes: 0012 is a number to YAML, and so is 00e1 to YAML 1.2."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Quoted, lambda d, text: d.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'))


def export_tables(
    folder: Path, *, names: Sequence[str] | None = None, tables: Path | None = None, seed: int = GRID_SEED
) -> tuple[Path, ...]:
    """Writes a scenario file for each simulated point of the tables into ``folder``, which is made; gives the files.

    ``names``: keys of `EXPORTED`, None: all. ``tables``: folder with the tables, None: the package's own. ``seed``:
    of the start times of the grid. Raises `InvalidInput` for another name, or where it can't write, `Unavailable` for
    a full disk: all files are written or none.
    """
    if strangers := [name for name in names or () if name not in EXPORTED]:
        raise InvalidInput(f"table {strangers[0]!r} has no scenarios; {', '.join(EXPORTED)} have", place="table")
    texts = {
        f"{stem}.yaml": text
        for name in names or EXPORTED
        for stem, text in iter_published(name, read_table(name, tables), seed)
    }
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise make_write_error(error, folder, "can't be made") from error
    try:
        _write_all(folder, texts)
    except OSError as error:
        raise make_write_error(error, folder) from error
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
    return tuple(folder / name for name in texts)


def iter_published(name: str, table: Table, seed: int = GRID_SEED) -> Iterator[tuple[str, str]]:
    """File name without suffix, and YAML text, of each simulated point of the table called ``name``."""
    if name == "chain":
        yield "chain", _to_text(name, "the whole table", build_chain_scenario(table), {}, {})
    elif name == "grid":
        radio = {"model": "unitDisc", "rangeM": table["conditions"]["range_m"], "txPowerDbm": -60}
        point = f"start times drawn from seed {seed}, which are not published"
        yield "grid", _to_text(name, point, build_grid_scenario(table, seed), list_grid_positions(table), radio)
    elif name == "office":
        conditions, positions = table["conditions"], list_office_positions(table)
        radio = {
            "model": "hardRange", "rangeM": conditions["reception_range_m"], "txPowerDbm": conditions["tx_power_dbm"],
        }  # fmt: skip
        for relay_set, ttl, delivery in list_cells(table, None):
            point = f"relay set {relay_set!r}, TTL {ttl}; published delivery {delivery}"
            scenario = build_office_scenario(table, relay_set, ttl)
            yield f"office-{relay_set}-ttl-{ttl}", _to_text(name, point, scenario, positions, radio)
    else:
        for profile in HARDWARE_PROFILES:
            scenario = build_hardware_scenario(table, get_profile(profile))
            yield f"hardware-{profile}", _to_text(name, f"a chain, profile {profile}", scenario, {}, {})


def _write_all(folder: Path, texts: Mapping[str, str]) -> None:
    """All files in a folder beside their places first; putting them there takes no space. Links are followed."""
    draft = folder / f".export.{secrets.token_hex(4)}"
    places = {name: (folder / name).resolve() for name in texts}
    for place in places.values():
        if place.is_dir():
            raise IsADirectoryError(None, f"{place} is a folder")
    try:
        draft.mkdir()
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
        for name, place in places.items():
            (draft / name).replace(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _to_text(
    name: str, point: str, scenario: Scenario, positions: Mapping[UnicastAddress, Position], radio: Plain
) -> str:
    told: Plain = {"format": "meshtwin.dev/scenario/v1", "name": scenario.name, "profile": scenario.profile.name}
    if not scenario.capture:
        told["reception"] = "anyOverlapDestroys"
    if scenario.duration_s is not None:
        told["durationSeconds"] = scenario.duration_s
    usual = scenario.nodes[0]
    told["defaults"] = _to_settings(usual)
    listeners = {member for flow in scenario.flows if len(flow.members) > 1 for member in flow.members}
    told["nodes"] = [_to_node(node, usual, positions, node.address in listeners) for node in scenario.nodes]
    if radio:
        told["radio"] = radio
    else:
        told["links"] = [
            {"source": _address(k.source), "target": _address(k.target)}
            | ({} if k.rx_power_dbm is None else {"rxPowerDbm": k.rx_power_dbm})
            | ({} if k.delivery is None else {"delivery": k.delivery})
            for k in scenario.links
        ]
    told["flows"] = [_to_flow(flow) for flow in scenario.flows]
    body = yaml.dump(told, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=118)
    return (
        f"# The conditions of the published table {name} ({TABLES[name]}, with its source): {point}.\n"
        f"# Written by meshtwin validate --export.\n{body}"
    )


def _address(address: int) -> _Quoted:
    return _Quoted(f"{address:04x}")


def _to_transmit(transmit: Transmit) -> Plain:
    return {"count": transmit.count, "intervalSteps": transmit.interval_steps}


def _to_settings(node: ScenarioNode) -> Plain:
    return {
        "relay": node.relay,
        "ttl": node.ttl,
        "networkTransmit": _to_transmit(node.network_transmit),
        "relayRetransmit": _to_transmit(node.relay_retransmit),
    }


def _to_node(
    node: ScenarioNode, usual: ScenarioNode, positions: Mapping[UnicastAddress, Position], is_listener: bool
) -> Plain:
    told: Plain = {"address": _address(node.address)}
    if at := positions.get(node.address):
        told["positionM"] = [at.x_m, at.y_m]
    if is_listener:
        told["groups"] = [_Quoted(GROUP)]
    own, other = _to_settings(node), _to_settings(usual)
    return told | {key: value for key, value in own.items() if value != other[key]}


def _to_flow(flow: ScenarioFlow) -> Plain:
    told: Plain = {
        "name": flow.name,
        "source": _address(flow.source),
        "destination": _Quoted(GROUP) if len(flow.members) > 1 else _address(flow.members[0]),
        "count": flow.count,
        "periodSeconds": flow.period_s,
        "startSeconds": flow.start_s,
        "deadlineMilliseconds": flow.deadline_ms,
        "pduBytes": flow.pdu_bytes,
    }
    if flow.response_pdu_bytes is not None:
        told["responsePduBytes"] = flow.response_pdu_bytes
    if flow.ttl is not None:
        told["ttl"] = flow.ttl
    if flow.spread_in_period:
        told["atDrawnTimes"] = True
    return told
