"""CustomResourceDefinitions of the eight kinds."""

from functools import cache
from typing import Any, Final

import yaml

from meshtwin_operator.resources.base import API_GROUP, API_VERSION, PrinterColumn, Resource
from meshtwin_operator.resources.kinds import KINDS
from meshtwin_operator.resources.schema import Schema, default_of_object, first_paragraph, structural_schema

__all__ = ["crd", "crd_files", "resource_schema"]

CATEGORY: Final = "meshtwin"
DNS_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABELS: Final = {"app.kubernetes.io/name": "meshtwin", "app.kubernetes.io/part-of": "meshtwin"}
HEADER: Final = "# Generated from meshtwin_operator.resources by `make crds`; do not edit.\n"


@cache
def resource_schema(kind: type[Resource]) -> Schema:
    """The ``openAPIV3Schema`` of a kind; API server and local mode judge by it. Never mutate it."""
    spec = kind.model_fields["spec"]
    assert isinstance(spec.annotation, type)  # noqa: S101  # a kind without a spec is a bug
    spec_schema = structural_schema(spec.annotation)
    if not spec.is_required():
        spec_schema["default"] = default_of_object(spec_schema, "spec")
    status = structural_schema(_status_model(kind), with_defaults=False)
    schema: Schema = {
        "type": "object",
        "description": first_paragraph(spec.annotation.__doc__ or ""),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": _metadata_schema(kind),
            "spec": spec_schema,
            "status": status,
        },
    }
    if spec.is_required():
        schema["required"] = ["spec"]
    if kind.root_cel_rules:
        schema["x-kubernetes-validations"] = [rule.to_schema() for rule in kind.root_cel_rules]
    return schema


def crd(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind as plain data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{API_GROUP}", "labels": dict(LABELS)},
        "spec": {
            "group": API_GROUP,
            "names": {
                "kind": kind.kind_name,
                "listKind": f"{kind.kind_name}List",
                "plural": kind.plural,
                "singular": kind.kind_name.lower(),
                "shortNames": [name for name in kind.short_names if name != kind.kind_name.lower()],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": API_VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.printer_columns],
                    "schema": {"openAPIV3Schema": resource_schema(kind)},
                }
            ],
        },
    }


def crd_files() -> dict[str, str]:
    """File name to content of everything in ``crds/``."""
    files = {f"{API_GROUP}_{kind.plural}.yaml": _to_yaml(crd(kind)) for kind in KINDS}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(files),
    }
    return {**files, "kustomization.yaml": _to_yaml(kustomization)}


def _status_model(kind: type[Resource]) -> type[Any]:
    union = kind.model_fields["status"].annotation
    (model,) = (part for part in union.__args__ if part is not type(None))  # type: ignore[union-attr]  # "X | None"
    return model  # type: ignore[no-any-return]  # the members of a runtime union are untyped


def _metadata_schema(kind: type[Resource]) -> Schema:
    # metadata.name is the one part of metadata that a CRD may restrict; it gives the path that CEL cannot.
    schema: Schema = {"type": "object"}
    if kind.name_max_length < 64:
        name = {"type": "string", "maxLength": kind.name_max_length, "pattern": DNS_LABEL}
        schema["properties"] = {"name": name}
    return schema


def _column(column: PrinterColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.description:
        entry["description"] = column.description
    if column.priority:
        entry["priority"] = column.priority
    return entry


class _Dumper(yaml.SafeDumper):
    """YAML without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _to_yaml(data: dict[str, Any]) -> str:
    return HEADER + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
