"""Local admission: the verdict and the paths of the API server, for manifests that meet none.

One source of truth: the schema of the CRD (`resource_schema`) is evaluated, not the pydantic models.
Order, as there: strict decoding (unknown fields), defaults, structural validation, CEL rules.

What only a cluster has is left out: the admission policies on users (there are none locally), and ratcheting
(an update may keep a value that a newer CRD would refuse; here it is refused).
"""

from dataclasses import dataclass
from typing import Any

from meshtwin.errors import InvalidInput
from meshtwin_operator.resources.base import API_GROUP, API_VERSION, Resource
from meshtwin_operator.resources.causes import BLOCKING, Cause, Fault
from meshtwin_operator.resources.cel_rules import ABSENT, evaluate_rules
from meshtwin_operator.resources.crd import resource_schema
from meshtwin_operator.resources.defaulting import defaulted, unknown_fields
from meshtwin_operator.resources.kinds import KINDS_BY_NAME
from meshtwin_operator.resources.object_metadata import unknown_metadata_fields, validate_metadata
from meshtwin_operator.resources.validation import type_name, validate

__all__ = ["Admitted", "Refused", "admit", "parse"]

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The object as it would be stored: defaults set, nulls dropped."""

    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why not; at least one cause."""

    causes: tuple[Cause, ...]

    def __str__(self) -> str:
        return "; ".join(str(cause) for cause in self.causes)


def admit(manifest: Manifest, old: Manifest | None = None) -> Admitted | Refused:
    """The verdict on creating ``manifest``, or on updating ``old`` to it; neither is changed.

    As with the status subresource, a status in ``manifest`` is not taken: that of ``old`` stays.
    """
    kind, causes = _find_kind(manifest)
    if kind is None:
        return Refused(causes=causes)
    schema = resource_schema(kind)
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, dict):
        message = f'Invalid value: "{type_name(metadata)}": metadata must be an object'
        return Refused(causes=(Cause(path="metadata", message=message, fault=Fault.TYPE),))
    body = {key: value for key, value in manifest.items() if key != "metadata"}
    if unknown := (*unknown_fields(body, schema, ""), *unknown_metadata_fields(metadata)):
        return Refused(causes=unknown)
    candidate = defaulted(body | {"metadata": metadata}, schema)
    candidate.pop("status", None)
    found = [*validate_metadata(metadata)]
    if not found:
        found += validate(candidate, schema, "")
    if not any(cause.fault in BLOCKING for cause in found):
        known = ABSENT if old is None else defaulted(old, schema)
        found += evaluate_rules(candidate, known, schema, "")
    if found:
        return Refused(causes=tuple(found))
    if old is not None and "status" in old:
        candidate["status"] = old["status"]
    return Admitted(manifest=candidate)


def parse(manifest: Manifest, *, namespace: str = "default") -> Resource:
    """The typed resource of a stored or admitted object, its status included.

    ``namespace`` is used where the object names none. Judges by the models only, so use `admit` first for
    what a person wrote. Raises `InvalidInput` with the first place that the models cannot take.
    """
    kind, causes = _find_kind(manifest)
    if kind is None:
        raise InvalidInput(causes[0].message, place=causes[0].path)
    metadata = {"namespace": namespace, **(manifest.get("metadata") or {})}
    try:
        return kind.model_validate({**manifest, "metadata": metadata})
    except ValueError as error:
        raise InvalidInput(str(error), place=f"{kind.kind_name} {metadata.get('name')}") from error


def _find_kind(manifest: Manifest) -> tuple[type[Resource] | None, tuple[Cause, ...]]:
    wanted = f"{API_GROUP}/{API_VERSION}"
    if manifest.get("apiVersion") != wanted:
        message = f"Invalid value: {manifest.get('apiVersion')!r}: must be {wanted}"
        return None, (Cause(path="apiVersion", message=message),)
    name = manifest.get("kind")
    kind = KINDS_BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        message = f"Invalid value: {name!r}: must be one of {', '.join(KINDS_BY_NAME)}"
        return None, (Cause(path="kind", message=message),)
    return kind, ()
