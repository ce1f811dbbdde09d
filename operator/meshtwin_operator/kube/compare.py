"""Whether a live object is as desired, field by field. Pure.

A hash annotation alone is no proof: somebody may have edited the fields and left the annotation. So both are
checked: every desired field must be in the live object, and the hash tells of fields no longer desired.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["APPLIED_HASH", "contains", "is_as_desired", "with_hash"]

APPLIED_HASH: Final = "meshtwin.dev/applied-hash"


def with_hash(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the hash of itself as an annotation."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    out = dict(manifest)
    meta = dict(manifest["metadata"])
    meta["annotations"] = {**meta.get("annotations", {}), APPLIED_HASH: digest}
    out["metadata"] = meta
    return out


def contains(live: Any, desired: Any) -> bool:
    """Whether ``live`` says everything that ``desired`` says.

    Maps: every desired key. Lists of named items: every desired item, found by name. Other lists: equal
    length, item by item. Empty maps and lists in ``desired`` are equal to absence.
    """
    if isinstance(desired, Mapping):
        if not desired:
            return live is None or isinstance(live, Mapping)
        return isinstance(live, Mapping) and all(contains(live.get(key), value) for key, value in desired.items())
    if isinstance(desired, list):
        return _contains_list(live, desired)
    return bool(live == desired)


def _contains_list(live: Any, desired: list[Any]) -> bool:
    if not desired:
        return not live
    if not isinstance(live, list):
        return False
    if all(isinstance(item, Mapping) and "name" in item for item in desired):
        by_name = {item.get("name"): item for item in live if isinstance(item, Mapping)}
        return all(contains(by_name.get(item["name"]), item) for item in desired)
    return len(live) == len(desired) and all(contains(one, other) for one, other in zip(live, desired, strict=True))


def is_as_desired(live: Mapping[str, Any] | None, desired: Mapping[str, Any]) -> bool:
    """Whether applying ``desired`` (from `with_hash`) would change nothing that is ours."""
    return live is not None and contains(live, desired)
