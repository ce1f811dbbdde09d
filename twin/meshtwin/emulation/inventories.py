"""Inventories of an emulated mesh: what a commissioning tool would have exported, without keys.

``python -m meshtwin.emulation.inventories MESH.yaml FOLDER`` writes one Mesh Configuration Database document
per gateway, ``<segment>-network.json`` with the gateway id's part after ``gw-`` as segment, and its placement.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["to_databases", "to_placements", "write_inventories"]

EXPORTED_AT: Final = "2026-01-01T00:00:00Z"  # fixed: the same scenario gives the same bytes
COMPANY: Final = "05f1"  # Linux Foundation, the company identifier of Zephyr's samples
REPLAY_LIST_SIZE: Final = "0080"  # 128 entries: more than the 52 nodes of the office


def to_databases(scenario: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One database per gateway id; groups, addresses and names as in the scenario."""
    mesh_uuid = str(uuid.UUID(scenario["meshUuid"]))
    return {
        gateway["id"]: _to_database(mesh_uuid, gateway["id"], _nodes_of(scenario, gateway["id"]))
        for gateway in scenario["gateways"]
    }


def to_placements(scenario: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One placement per gateway id."""
    return {
        gateway["id"]: {
            "nodes": {
                node["address"]: {"xMetres": node["x"], "yMetres": node["y"]}
                for node in _nodes_of(scenario, gateway["id"])
            }
        }
        for gateway in scenario["gateways"]
    }


def write_inventories(scenario: dict[str, Any], folder: Path) -> list[Path]:
    """Write all documents; their paths."""
    written: list[Path] = []
    for suffix, documents in (("network", to_databases(scenario)), ("placement", to_placements(scenario))):
        for gateway_id, document in documents.items():
            path = folder / f"{gateway_id.removeprefix('gw-')}-{suffix}.json"
            path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            written.append(path)
    return written


def _nodes_of(scenario: dict[str, Any], gateway_id: str) -> list[dict[str, Any]]:
    return [node for node in scenario["nodes"] if node["gateway"] == gateway_id]


def _to_database(mesh_uuid: str, gateway_id: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    groups = sorted({group for node in nodes for group in node.get("groups", ())})
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "https://www.bluetooth.com/specifications/specs/mesh-cdb-1-0-1-schema.json#",
        "version": "1.0.1",
        "meshUUID": mesh_uuid,
        "meshName": f"office behind {gateway_id}",
        "timestamp": EXPORTED_AT,
        "partial": True,  # one part of a network; key material is left out
        "nodes": [_to_node(mesh_uuid, node) for node in nodes],
        "groups": [{"name": f"group {g}", "address": g.upper(), "parentAddress": "0000"} for g in groups],
        "scenes": [],
    }


def _to_node(mesh_uuid: str, node: dict[str, Any]) -> dict[str, Any]:
    address = node["address"]
    groups = [group.upper() for group in node.get("groups", ())]
    return {
        "UUID": str(uuid.uuid5(uuid.UUID(mesh_uuid), address)),
        "unicastAddress": address.upper(),
        "name": node.get("name") or f"{'lamp' if groups else 'node'} {int(address, 16)}",
        "cid": COMPANY,
        "crpl": REPLAY_LIST_SIZE,
        "features": {"relay": 1, "proxy": 0, "friend": 2, "lowPower": 2},
        "elements": [
            {
                "name": "main",
                "index": 0,
                "location": "0000",
                "models": [
                    {"modelId": "0000", "subscribe": [], "bind": []},  # Configuration Server
                    {"modelId": "1000", "subscribe": groups, "bind": []},  # Generic OnOff Server
                ],
            }
        ],
        "excluded": False,
    }


def main() -> int:
    """Exit code 2 for a wrong call."""
    if len(sys.argv) != 3:
        print("usage: python -m meshtwin.emulation.inventories MESH.yaml FOLDER", file=sys.stderr)
        return 2
    scenario = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for path in write_inventories(scenario, Path(sys.argv[2])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
