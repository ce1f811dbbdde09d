"""Workloads as manifests."""

import json
from pathlib import Path

import pytest
import yaml

from meshtwin.errors import InvalidInput
from meshtwin_operator.kube.render import (
    RenderSettings,
    image_of,
    quantity_mebibytes,
    quantity_millicores,
    render_workload,
)
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.twins import EmbeddedBroker, PodSpecPart

SETTINGS = RenderSettings(image="meshtwin:1", allowed_image_prefixes=("registry.example/meshtwin:",))


def workload(role: WorkloadRole = WorkloadRole.SEGMENT_TWIN, **changes: object) -> Workload:
    values: dict[str, object] = {
        "role": role,
        "namespace": "buildings",
        "name": "north-segment",
        "owner": ObjectKey("MeshSegment", "buildings", "north"),
        "owner_uid": "uid-1",
        "root_twin": "office",
        "identity": "twin-north",
        "inventory": ("north", "network.json", None),
        "config": {"name": "north"},
    }
    return Workload(**(values | changes))  # type: ignore[arg-type]  # keyword values of a test


def manifests(role: WorkloadRole = WorkloadRole.SEGMENT_TWIN, **changes: object) -> dict[str, dict]:  # type: ignore[type-arg]  # raw manifests
    rendered = render_workload(workload(role, **changes), SETTINGS, ("office-broker", 8883, True), "s1")
    return {manifest["kind"]: manifest for manifest in rendered}


@pytest.mark.parametrize("role", list(WorkloadRole))
def test_every_pod_passes_pod_security_restricted(role: WorkloadRole) -> None:
    broker = EmbeddedBroker() if role is WorkloadRole.BROKER else None
    pod = manifests(role, broker=broker)["StatefulSet"]["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_every_child_is_owned_by_the_resource_it_was_made_for() -> None:
    for manifest in manifests().values():
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
            "MeshSegment",
            "north",
            "uid-1",
            True,
        )


def test_no_child_claims_the_instance_label_that_argo_cd_uses() -> None:
    for manifest in manifests().values():
        assert "app.kubernetes.io/instance" not in manifest["metadata"]["labels"]


def test_secrets_are_mounted_and_the_configuration_only_names_their_files() -> None:
    rendered = manifests()
    config = json.loads(rendered["ConfigMap"]["data"]["config.json"])
    assert config["broker"]["passwordFile"] == "/etc/meshtwin/account/password"
    assert "password" not in config["broker"]


def test_a_changed_secret_restarts_the_pod() -> None:
    one = render_workload(workload(), SETTINGS, None, "s1")[-1]
    other = render_workload(workload(), SETTINGS, None, "s2")[-1]
    assert one["spec"]["template"] != other["spec"]["template"]


def is_run(image: str, settings: RenderSettings) -> bool:
    try:
        return image_of(workload(pod=PodSpecPart(image=image)), settings) == image
    except InvalidInput:
        return False


def test_an_image_outside_the_allow_list_is_refused_by_name_and_place() -> None:
    with pytest.raises(InvalidInput, match=r"evil.example/x:1 .* registry.example/meshtwin:.*spec.pod.image") as caught:
        image_of(workload(pod=PodSpecPart(image="evil.example/x:1")), SETTINGS)
    assert caught.value.reason == "ImageNotAllowed"
    assert is_run("registry.example/meshtwin:2", SETTINGS)
    assert image_of(workload(), SETTINGS) == "meshtwin:1"


@pytest.mark.parametrize(
    ("prefix", "image", "is_allowed"),
    [
        ("registry.example/meshtwin", "registry.example/meshtwin", True),
        ("registry.example/meshtwin", "registry.example/meshtwin:2", True),
        ("registry.example/meshtwin", "registry.example/meshtwin@sha256:00", True),
        ("registry.example/meshtwin", "registry.example/meshtwin/lab:2", True),
        ("registry.example/meshtwin", "registry.example/meshtwin-evil:1", False),
        ("registry.example/meshtwin:1", "registry.example/meshtwin:1", True),
        ("registry.example/meshtwin:1", "registry.example/meshtwin:12", False),
        ("registry.example/meshtwin:1", "registry.example/meshtwin:1@sha256:00", False),
        ("registry.example/meshtwin:1", "registry.example/meshtwin:1/x", False),
        ("registry.example/meshtwin:", "registry.example/meshtwin:7", True),
        ("registry.example", "registry.example/any:1", True),
        ("registry.example", "registry.example.evil.org/any:1", False),
        ("registry.example", "registry.example:5000/any:1", False),
        ("registry.example:5000", "registry.example:5000/any:1", True),
        ("registry.example:5000", "registry.example:50001/any:1", False),
        ("registry.example/", "registry.example/any:1", True),
        ("", "evil.example/any:1", False),
    ],
)
def test_a_prefix_of_the_allow_list_ends_where_a_name_ends(prefix: str, image: str, is_allowed: bool) -> None:
    settings = RenderSettings(image="meshtwin:1", allowed_image_prefixes=(prefix,))
    assert is_run(image, settings) is is_allowed


def test_without_an_allow_list_the_operators_own_image_is_allowed_and_not_one_that_begins_like_it() -> None:
    own = RenderSettings(image="registry.example/meshtwin:1")
    assert is_run("registry.example/meshtwin:1", own)
    assert not is_run("registry.example/meshtwin:1.evil", own)
    assert not is_run("registry.example/meshtwin:12", own)


def test_quantities_are_canonical_so_that_the_server_does_not_rewrite_them() -> None:
    assert [quantity_mebibytes(n) for n in (64, 1024, 1536, 2048)] == ["64Mi", "1Gi", "1536Mi", "2Gi"]
    assert [quantity_millicores(n) for n in (50, 1000, 1500)] == ["50m", "1", "1500m"]


def test_token_of_somebody_elses_model_is_mounted_by_its_keys_alone_and_only_named_in_the_configuration() -> None:
    config = {"name": "office", "model": {"http": {"url": "https://models.example.org"}, "onFailure": "Fail"}}
    rendered = manifests(WorkloadRole.PARENT_TWIN, config=config, model_secret="planner", inventory=None)
    told = json.loads(rendered["ConfigMap"]["data"]["config.json"])["model"]["http"]
    assert told == {
        "url": "https://models.example.org",
        "tokenFile": "/etc/meshtwin/model/token",
        "caFile": "/etc/meshtwin/model/ca.crt",
    }
    pod = rendered["StatefulSet"]["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "model"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["token", "ca.crt"]
    assert "/etc/meshtwin/model" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    plain = manifests(WorkloadRole.PARENT_TWIN, inventory=None)["StatefulSet"]["spec"]["template"]["spec"]
    assert "model" not in [volume["name"] for volume in plain["volumes"]]


def ways_out(host: str) -> list[dict]:  # type: ignore[type-arg]  # raw manifests
    parent = workload(WorkloadRole.PARENT_TWIN, inventory=None)
    rendered = {m["kind"]: m for m in render_workload(parent, SETTINGS, (host, 8884, True), "s1")}
    spec = rendered["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    return spec["egress"]  # type: ignore[no-any-return]  # raw manifests


def test_twins_reach_their_own_tree_and_the_resolver_and_nothing_else() -> None:
    resolver, tree = ways_out("office-broker.buildings.svc")
    assert {port["port"] for port in resolver["ports"]} == {53, 5353}
    (peer,) = tree["to"]
    labels = peer["podSelector"]["matchLabels"]
    for role in WorkloadRole:
        broker = EmbeddedBroker() if role is WorkloadRole.BROKER else None
        pod = manifests(role, broker=broker)["StatefulSet"]["spec"]["template"]
        assert labels.items() <= pod["metadata"]["labels"].items()
        assert "namespaceSelector" not in peer


def test_twins_reach_somebody_elses_broker_outside_and_no_metadata_service_nor_a_pod() -> None:
    _, _, outside = ways_out("mqtt.example.org")
    assert [port["port"] for port in outside["ports"]] == [8884]
    assert all(peer["ipBlock"]["except"] for peer in outside["to"])


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("broker.mqtt.svc", "mqtt"),
        ("broker.mqtt.svc.cluster.local.", "mqtt"),
        ("broker.mqtt", "mqtt"),
        ("broker", None),  # its own
    ],
)
def test_of_the_pods_twins_reach_those_of_the_namespace_that_somebody_elses_broker_names(
    host: str, namespace: str | None
) -> None:
    _, _, inside, _ = ways_out(host)
    labels = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    assert inside["to"] == [{"namespaceSelector": labels} if namespace else {"podSelector": {}}]


def test_a_tree_is_reached_by_its_own_twins_and_the_operator_alone() -> None:
    (way,) = manifests(WorkloadRole.PARENT_TWIN, inventory=None)["NetworkPolicy"]["spec"]["ingress"]
    tree, operator = way["from"]
    assert tree["podSelector"]["matchLabels"]["meshtwin.dev/twin"] == "office"
    assert operator == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "meshtwin-system"}}}


def test_the_broker_reaches_nothing() -> None:
    spec = manifests(WorkloadRole.BROKER, broker=EmbeddedBroker())["NetworkPolicy"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []


def test_the_policy_for_models_selects_parent_twins_alone() -> None:
    file = Path(__file__).parents[3] / "manifests" / "model-egress" / "network-policy.yaml"
    spec = yaml.safe_load(file.read_text())["spec"]
    wanted = spec["podSelector"]["matchLabels"].items()
    parent, segment = (manifests(role)["StatefulSet"] for role in (WorkloadRole.PARENT_TWIN, WorkloadRole.SEGMENT_TWIN))
    assert wanted <= parent["spec"]["template"]["metadata"]["labels"].items()
    assert not wanted <= segment["spec"]["template"]["metadata"]["labels"].items()
    assert spec["policyTypes"] == ["Egress"]
