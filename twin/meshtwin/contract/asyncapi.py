"""AsyncAPI documents and JSON schemas of the MQTT contract, for people who build a gateway or a foreign twin."""

import json
from typing import Any, Final

from meshtwin.contract.channels import CHANNELS, Application, Channel
from meshtwin.contract.wire import CONTRACT_VERSION

__all__ = ["asyncapi_document", "schema_files"]

APPLICATIONS: Final[dict[Application, str]] = {
    "gateway": "What a gateway sends and receives. It never commands another one.",
    "twin": "What a twin, also a foreign one, tells its parent. Technology-neutral.",
}
PARAMETERS: Final = {
    "gatewayId": "As in spec.gatewayId of the MeshSegment.",
    "namespace": "Namespace of the DigitalTwin or MeshSegment.",
    "name": "Name of the DigitalTwin or MeshSegment.",
}
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"  # what pydantic writes


def schema_files() -> dict[str, str]:
    """File name to content: one JSON schema per payload, one AsyncAPI document per application."""
    files = {channel.schema_file: _to_text(_schema(channel)) for channel in CHANNELS}
    documents = {f"{name}.asyncapi.json": _to_text(asyncapi_document(name)) for name in APPLICATIONS}
    return files | documents


def asyncapi_document(application: Application) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of one application; payloads refer to the schema files beside it."""
    channels = [channel for channel in CHANNELS if channel.application == application]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"MeshTwin: {application}",
            "version": str(CONTRACT_VERSION),
            "description": APPLICATIONS[application],
        },
        "defaultContentType": "application/json",
        "channels": {_key(channel): _channel(channel) for channel in channels},
        "operations": {_key(channel): _operation(channel) for channel in channels},
        "components": {"messages": {channel.payload.__name__: _message(channel) for channel in channels}},
    }


def _schema(channel: Channel) -> dict[str, Any]:
    schema = channel.payload.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _key(channel: Channel) -> str:
    first, *rest = channel.leaf.split("/")
    return first + "".join(part.capitalize() for part in rest)


def _channel(channel: Channel) -> dict[str, Any]:
    name = channel.payload.__name__
    return {
        "address": channel.address,
        "description": _summary(channel),
        "parameters": {
            parameter: {"description": text}
            for parameter, text in PARAMETERS.items()
            if f"{{{parameter}}}" in channel.address
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    return {
        "action": "send" if channel.is_sent else "receive",
        "channel": {"$ref": f"#/channels/{_key(channel)}"},
        "summary": f"{'To' if channel.is_sent else 'From'} {channel.peers}.",
        "bindings": {"mqtt": {"qos": 1, "retain": channel.is_retained, "bindingVersion": "0.2.0"}},
    }


def _message(channel: Channel) -> dict[str, Any]:
    return {
        "summary": _summary(channel),
        "contentType": "application/json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{channel.schema_file}"}},
    }


def _summary(channel: Channel) -> str:
    return " ".join((channel.payload.__doc__ or "").partition("\n\n")[0].split())


def _to_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
