"""What the embedded store lets in: the schemas of our kinds, and an API server's rules for ConfigMaps. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.resources.object_metadata import validate_metadata

__all__ = ["admit_by_schema", "check_config_map", "check_namespace", "plain_copy"]

CONFIG_MAP_LIMIT_BYTES: Final = 1_048_576  # as at the API server
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123 label; part of file names here


def plain_copy(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of JSON values only; raises `InvalidInput` for what is none."""
    try:
        copied: dict[str, Any] = json.loads(json.dumps(dict(manifest), default=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{manifest.get('kind')}: is not JSON: {error}") from error
    return copied


def check_namespace(namespace: str) -> None:
    """Raise `InvalidInput` unless it is a name that a cluster would take for a namespace."""
    if NAMESPACE.fullmatch(namespace) is None:
        message = f"namespace {namespace!r} is no RFC 1123 label: lower-case letters, digits and '-', at most 63"
        raise InvalidInput(message, reason="Invalid", place="metadata.namespace")


def check_config_map(manifest: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for a ConfigMap that an API server would refuse."""
    metadata = manifest.get("metadata") or {}
    place = f"ConfigMap {metadata.get('name')}"
    causes = [f"{cause.path}: {cause.message}" for cause in validate_metadata(metadata)]
    size = 0
    for field in ("data", "binaryData"):
        content = manifest.get(field) or {}
        if not isinstance(content, Mapping) or not all(isinstance(value, str) for value in content.values()):
            causes.append(f"{field}: must be a map of strings")
        else:
            size += sum(len(value.encode()) for value in content.values())
    if causes:
        raise InvalidInput(f"{place}: {'; '.join(causes)}", reason="Invalid")
    if size > CONFIG_MAP_LIMIT_BYTES:
        raise InvalidInput(f"{place}: {size} bytes is above {CONFIG_MAP_LIMIT_BYTES}")


def admit_by_schema(manifest: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """The manifest with its defaults; raises `InvalidInput` (reason ``Invalid``) with every fault and its path."""
    from meshtwin_operator.resources.admission import Refused, admit  # the CEL library is loaded on need

    verdict = admit(manifest, old)
    if isinstance(verdict, Refused):
        metadata = manifest.get("metadata") or {}
        causes = "; ".join(f"{cause.path}: {cause.message}" for cause in verdict.causes)
        raise InvalidInput(f"{manifest.get('kind')} {metadata.get('name')}: {causes}", reason="Invalid")
    return dict(verdict.manifest)
