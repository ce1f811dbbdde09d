"""What the API server checks in ``metadata`` of every object."""

import re
from collections.abc import Iterator
from typing import Any, Final

from meshtwin_operator.resources.causes import Cause, Fault

__all__ = ["unknown_metadata_fields", "validate_metadata"]

OBJECT_META_FIELDS: Final = frozenset(  # metav1.ObjectMeta, Kubernetes 1.34
    {
        *(
            "annotations",
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
        ),
        *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
        *("resourceVersion", "selfLink", "uid"),
    }
)
DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_MAX: Final = 253  # RFC 1123 subdomain
QUALIFIED_NAME: Final = re.compile(r"([^/]+/)?([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)")
LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
ANNOTATIONS_MAX_BYTES: Final = 262_144  # apimachinery, TotalAnnotationSizeLimitB


def unknown_metadata_fields(metadata: dict[str, Any]) -> list[Cause]:
    """Fields that ObjectMeta does not have."""
    return [
        Cause(path=f"metadata.{name}", message=f'unknown field "metadata.{name}"', fault=Fault.UNKNOWN_FIELD)
        for name in metadata
        if name not in OBJECT_META_FIELDS
    ]


def validate_metadata(metadata: dict[str, Any]) -> Iterator[Cause]:
    """Faults of name, labels and annotations; ``generateName`` is nothing for a folder of manifests."""
    name = metadata.get("name")
    if not name:
        yield Cause(path="metadata.name", message="Required value: name is required", fault=Fault.REQUIRED)
    elif not isinstance(name, str):
        yield Cause(path="metadata.name", message="name must be a string", fault=Fault.TYPE)
    elif len(name) > NAME_MAX or DNS_SUBDOMAIN.fullmatch(name) is None:
        message = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain of at most {NAME_MAX} is wanted'
        yield Cause(path="metadata.name", message=message)
    yield from _validate_map(metadata.get("labels"), "metadata.labels", values=LABEL_VALUE)
    yield from _validate_map(metadata.get("annotations"), "metadata.annotations", values=None)


def _validate_map(entries: Any, path: str, values: re.Pattern[str] | None) -> Iterator[Cause]:
    if entries is None:
        return
    if not isinstance(entries, dict):
        yield Cause(path=path, message="must be a map of strings", fault=Fault.TYPE)
        return
    for key, value in entries.items():
        if not isinstance(key, str) or not isinstance(value, str):
            message = f"Invalid value: {key!r}: {value!r}: keys and values must be strings"
            yield Cause(path=path, message=message, fault=Fault.TYPE)
        elif not _is_qualified_name(key):
            yield Cause(
                path=path,
                message=f'Invalid value: "{key}": name part must consist of alphanumeric '
                "characters, '-', '_' or '.', after an optional DNS prefix and '/'",
            )
        elif values is not None and values.fullmatch(value) is None:
            yield Cause(
                path=path,
                message=f'Invalid value: "{value}": a valid label must be empty or consist '
                "of at most 63 alphanumeric characters, '-', '_' or '.'",
            )
    if values is None and sum(len(f"{k}{v}".encode()) for k, v in entries.items()) > ANNOTATIONS_MAX_BYTES:
        message = f"Too long: may not be more than {ANNOTATIONS_MAX_BYTES} bytes"
        yield Cause(path=path, message=message, fault=Fault.TOO_LONG)


def _is_qualified_name(key: str) -> bool:
    prefix, slash, _ = key.rpartition("/")
    if slash and (len(prefix) > NAME_MAX or DNS_SUBDOMAIN.fullmatch(prefix) is None):
        return False
    return QUALIFIED_NAME.fullmatch(key) is not None
