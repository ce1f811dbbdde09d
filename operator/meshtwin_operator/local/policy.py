"""Who may write what in local mode: the policies of ``manifests/base/admission.yaml``, as a function.

On one machine the operating system decides who can open the store; this keeps the records honest: an
approval and, where it says so, a proposal carry the name of the user who wrote it, and revisions come from
the operator alone.
"""

from collections.abc import Mapping
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.naming import CREATED_BY_ANNOTATION

__all__ = ["OPERATOR_USER", "check_writer"]

OPERATOR_USER: Final = "system:serviceaccount:meshtwin-system:meshtwin-operator"  # the same as on a cluster


def check_writer(manifest: Mapping[str, Any], user: str) -> None:
    """Raise `InvalidInput` (reason ``Forbidden``) if ``user`` may not create or change this object."""
    kind = manifest.get("kind")
    spec = manifest.get("spec") or {}
    name = (manifest.get("metadata") or {}).get("name")
    if user == OPERATOR_USER or not isinstance(spec, Mapping):  # the schema refuses a spec of another type
        return
    if kind == "MeshConfiguration":
        message = f"MeshConfiguration {name}: {user} may not write it, only the operator may: create a proposal"
        raise InvalidInput(message, reason="Forbidden")
    if kind == "ConfigurationProposal" and spec.get("origin") == "Pipeline":
        message = f"ConfigurationProposal {name}: origin Pipeline is for the operator, not {user}: use Manual"
        raise InvalidInput(message, reason="Forbidden", place="spec.origin")
    creator = ((manifest.get("metadata") or {}).get("annotations") or {}).get(CREATED_BY_ANNOTATION)
    if kind == "ConfigurationProposal" and creator not in (None, user):
        message = (
            f"ConfigurationProposal {name}: {CREATED_BY_ANNOTATION} {creator!r} is not the requesting user {user!r}"
        )
        raise InvalidInput(message, reason="Forbidden", place="metadata.annotations")
    if kind == "Approval" and spec.get("approvedBy") != user:
        message = f"Approval {name}: approvedBy {spec.get('approvedBy')!r} is not the requesting user {user!r}"
        raise InvalidInput(message, reason="Forbidden", place="spec.approvedBy")
