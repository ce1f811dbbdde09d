"""Names of children, records and MQTT identities, and ids of attempts and runs. Deterministic, no clock."""

import hashlib
from typing import Final

__all__ = [
    "CREATED_BY_ANNOTATION",
    "OPERATOR_IDENTITY",
    "PIPELINE_LABEL",
    "SEGMENT_LABEL",
    "TWIN_LABEL",
    "attempt_id",
    "broker_workload",
    "configuration_name",
    "gateway_identity",
    "owner_of_workload",
    "parent_workload",
    "proposal_name",
    "run_id",
    "segment_workload",
    "short_hash",
    "twin_identity",
]

TWIN_LABEL: Final = "meshtwin.dev/twin"
SEGMENT_LABEL: Final = "meshtwin.dev/segment"
PIPELINE_LABEL: Final = "meshtwin.dev/pipeline"
CREATED_BY_ANNOTATION: Final = "meshtwin.dev/created-by"

OPERATOR_IDENTITY: Final = "operator"  # MQTT user of the operator at every embedded broker
OWNER_KINDS: Final = {"-segment": "MeshSegment", "-parent": "DigitalTwin", "-broker": "DigitalTwin"}  # as named below
ATTEMPT_DIGITS: Final = 24  # 96 bits: attempts never collide, and an id with a suffix stays below 64
RUN_DIGITS: Final = 24


def segment_workload(segment: str) -> str:
    """Name of the twin of a MeshSegment."""
    return f"{segment}-segment"


def parent_workload(twin: str) -> str:
    """Name of the twin of a DigitalTwin."""
    return f"{twin}-parent"


def broker_workload(root_twin: str) -> str:
    """Name of the embedded broker of a tree."""
    return f"{root_twin}-broker"


def configuration_name(segment: str, revision: int) -> str:
    """Name of a MeshConfiguration, for example ``office-north-r0007``."""
    return f"{segment}-r{revision:04d}"


def proposal_name(pipeline: str, segment: str, run: str) -> str:
    """Name of a pipeline's ConfigurationProposal; the same run always gives the same name."""
    return f"{pipeline}-{segment}-{short_hash(run)[:8]}"


def owner_of_workload(name: str) -> tuple[str, str] | None:
    """Kind and name of whom a workload of this name belongs to; None for a name that none of ours has.

    >>> owner_of_workload("north-segment")
    ('MeshSegment', 'north')
    """
    for suffix, kind in OWNER_KINDS.items():
        if name.endswith(suffix) and name != suffix:
            return kind, name.removesuffix(suffix)
    return None


def twin_identity(namespace: str, workload: str) -> str:
    """MQTT user of a segment twin or parent twin."""
    return f"twin.{namespace}.{workload}"


def gateway_identity(gateway_id: str) -> str:
    """MQTT user of a gateway."""
    return f"gateway.{gateway_id}"


def short_hash(*parts: object) -> str:
    """64 hexadecimal digits over the parts in order; parts are joined so that they cannot run together."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()


def attempt_id(uid: str, purpose: str, number: int | str) -> str:
    """Id of one attempt at a gateway: equal input, equal id, so that repeating a command is harmless."""
    return short_hash(uid, purpose, number)[:ATTEMPT_DIGITS]


def run_id(uid: str, *parts: object) -> str:
    """Id of a run asked of a twin."""
    return short_hash(uid, *parts)[:RUN_DIGITS]
