"""Local admission beyond the corpus: statuses, odd shapes, and agreement with the models."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.sim.profiles import PROFILES
from meshtwin_operator.resources.admission import Admitted, Refused, admit, parse
from meshtwin_operator.resources.causes import Fault
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment

HEAD = {"apiVersion": "meshtwin.dev/v1alpha1"}
TWIN = {**HEAD, "kind": "DigitalTwin", "metadata": {"name": "office"}}
SEGMENT = {
    **HEAD,
    "kind": "MeshSegment",
    "metadata": {"name": "north"},
    "spec": {
        "twinRef": {"name": "office"},
        "gatewayId": "gw",
        "inventory": {"configMapRef": {"name": "north"}},
    },
}


def paths(verdict: Admitted | Refused) -> list[str]:
    assert isinstance(verdict, Refused), verdict
    return [cause.path for cause in verdict.causes]


def test_status_in_a_manifest_is_not_taken() -> None:
    old = TWIN | {"status": {"nodes": 52}}
    created, updated = admit(TWIN | {"status": {"nodes": 1}}), admit(TWIN | {"status": {"nodes": 1}}, old)
    assert isinstance(created, Admitted)
    assert "status" not in created.manifest
    assert isinstance(updated, Admitted)
    assert updated.manifest["status"] == {"nodes": 52}


def test_neither_manifest_nor_old_object_is_changed() -> None:
    manifest, old = copy.deepcopy(SEGMENT), copy.deepcopy(SEGMENT)
    admit(manifest, old)
    assert manifest == old == SEGMENT


def test_changing_what_is_admitted_does_not_change_the_defaults() -> None:
    first = admit(TWIN)
    assert isinstance(first, Admitted)
    first.manifest["spec"]["push"]["drift"] = "Accept"
    second = admit(TWIN)
    assert isinstance(second, Admitted)
    assert second.manifest["spec"]["push"]["drift"] == "Heal"


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ({}, "apiVersion"),
        ({"apiVersion": "meshtwin.dev/v2", "kind": "DigitalTwin"}, "apiVersion"),
        ({**HEAD, "kind": "Deployment"}, "kind"),
        ({**HEAD, "kind": ["DigitalTwin"]}, "kind"),
        ({**TWIN, "metadata": []}, "metadata.name"),
        ({**TWIN, "metadata": "office"}, "metadata"),
        ({**TWIN, "metadata": {"name": 7}}, "metadata.name"),
        ({**TWIN, "metadata": {"name": "a", "labels": {"a": 1}}}, "metadata.labels"),
        ({**TWIN, "metadata": {"name": "a", "labels": ["a"]}}, "metadata.labels"),
        ({**TWIN, "metadata": {"name": "a", "annotations": {"a": "x" * 262_144}}}, "metadata.annotations"),
        ({**TWIN, "metadata": {"name": "a" * 254}}, "metadata.name"),
    ],
)
def test_odd_shapes_are_refused_with_their_path(manifest: dict[str, Any], path: str) -> None:
    assert paths(admit(manifest)) == [path]


def test_cause_says_path_and_message_in_one_line() -> None:
    verdict = admit({**TWIN, "spec": {"suspend": "yes"}})
    assert isinstance(verdict, Refused)
    assert verdict.causes[0].fault is Fault.TYPE
    assert str(verdict).startswith("spec.suspend: ")


def test_parsed_resource_is_typed_and_takes_the_namespace_where_none_is_named() -> None:
    twin = parse({**TWIN, "status": {"nodes": 3, "fromANewerOperator": 1}}, namespace="buildings")
    assert isinstance(twin, DigitalTwin)
    assert (twin.metadata.namespace, twin.spec.mode) == ("buildings", "Recommend")
    assert twin.status is not None
    assert twin.status.nodes == 3


def test_what_the_models_cannot_take_is_invalid_input_with_kind_and_name() -> None:
    with pytest.raises(InvalidInput, match="DigitalTwin office"):
        parse({**TWIN, "spec": {"mode": "Fly"}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
SPEC_FIELDS = st.sampled_from(
    ["twinRef", "stage", "gatewayId", "inventory", "monitoring", "flows", "frozenNodes", "stackProfile"]
)


@given(st.dictionaries(SPEC_FIELDS | st.text(max_size=8), JSON, max_size=4))
def test_any_json_gets_a_verdict_and_what_is_admitted_is_understood(changes: dict[str, Any]) -> None:
    verdict = admit({**SEGMENT, "spec": {**SEGMENT["spec"], **changes}})
    if isinstance(verdict, Admitted):
        parse(verdict.manifest)
    else:
        assert verdict.causes


@given(st.integers(0, 0x7FFF), st.integers(0, 0x7FFF), st.booleans())
def test_range_is_admitted_exactly_when_it_is_assigned_and_ascending(first: int, last: int, is_upper: bool) -> None:
    text = f"{first:04x}-{last:04X}" if is_upper else f"{first:04X}-{last:04x}"
    verdict = admit({**SEGMENT, "spec": {**SEGMENT["spec"], "frozenNodes": [text]}})
    assert isinstance(verdict, Admitted) == (0 < first <= last)


def test_profile_that_nobody_knows_is_refused_with_the_names_that_there_are() -> None:
    verdict = admit({**SEGMENT, "spec": {**SEGMENT["spec"], "stackProfile": "zephir"}})
    assert paths(verdict) == ["spec.stackProfile"]
    assert all(f'"{name}"' in str(verdict) for name in PROFILES)
    for name in PROFILES:
        assert isinstance(admit({**SEGMENT, "spec": {**SEGMENT["spec"], "stackProfile": name}}), Admitted)


def test_a_stored_segment_with_a_profile_that_nobody_knows_is_still_read() -> None:
    found = parse({**SEGMENT, "spec": {**SEGMENT["spec"], "stackProfile": "zephir"}})
    assert isinstance(found, MeshSegment)
    assert found.spec.stack_profile == "zephir"


def test_a_stored_twin_with_a_field_that_is_gone_is_still_read() -> None:
    found = parse({**TWIN, "spec": {"mode": "Control", "privacy": {"pseudonymiseExports": False}}})
    assert isinstance(found, DigitalTwin)
    assert found.spec.mode == "Control"
