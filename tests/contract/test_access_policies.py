"""Roles and admission policies of ``manifests/base`` on a real API server, each user impersonated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract.api_server import ATTEMPTS, NAMESPACE, ApiServer, started_api_server

from meshtwin_operator.resources.kinds import KINDS

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests" / "golden" / "corpus" / "good"
OPERATOR = "system:serviceaccount:meshtwin-system:meshtwin-operator"
MASTERS = ("system:masters",)  # RBAC allows everything: what is left are the policies
ROLES = ("viewer", "engineer", "approver", "data-scientist", "security")
WRITERS = {
    "engineer": {
        "ConfigurationProposal",
        "DigitalTwin",
        "MeshSegment",
        "Pipeline",
        "Recipe",
        "WhatIf",
    },
    "approver": {"Approval"},
    "data-scientist": {"Pipeline", "Recipe", "WhatIf"},
}
GOOD_OF_KIND = {
    "Approval": "approval-approve.yaml",
    "ConfigurationProposal": "configurationproposal-manual.yaml",
    "DigitalTwin": "digitaltwin-minimal.yaml",
    "MeshConfiguration": "meshconfiguration-revision.yaml",
    "MeshSegment": "meshsegment-minimal.yaml",
    "Pipeline": "pipeline-minimal.yaml",
    "Recipe": "recipe-parameters.yaml",
    "WhatIf": "whatif-settings.yaml",
}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((GOOD / name).read_text(encoding="utf-8"))


def approval_by(user: str) -> dict[str, Any]:
    manifest = read("approval-approve.yaml")
    return manifest | {"spec": manifest["spec"] | {"approvedBy": user}}


def manifest_for(kind: str, user: str) -> dict[str, Any]:
    return approval_by(user) if kind == "Approval" else read(GOOD_OF_KIND[kind])


def collection(document: dict[str, Any]) -> str:
    plural = {
        "ClusterRole": "clusterroles",
        "ClusterRoleBinding": "clusterrolebindings",
        "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    }[document["kind"]]
    return f"/apis/{document['apiVersion']}/{plural}"


def install(server: ApiServer) -> None:
    for file in ("roles.yaml", "admission.yaml", "operator.yaml"):
        for document in yaml.safe_load_all((ROOT / "manifests" / "base" / file).read_text(encoding="utf-8")):
            if file == "operator.yaml" and not document["kind"].startswith("ClusterRole"):
                continue  # what needs its namespace
            answer = server.send("POST", collection(document), document, dry_run=False)
            assert answer.status_code == 201, answer.text
    for role in ROLES:
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": role},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"meshtwin-{role}",
            },
            "subjects": [{"kind": "User", "name": role, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        place = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"
        assert server.send("POST", place, binding, dry_run=False).status_code == 201


def wait_until_in_force(server: ApiServer) -> None:
    """The API server takes up new policies and bindings within about a second."""
    for path, body, user in (
        (server.place("MeshConfiguration"), read("meshconfiguration-revision.yaml"), "admin"),
        (server.place("Approval"), approval_by("else"), "admin"),
        (server.place("ConfigurationProposal"), read("configurationproposal-pipeline.yaml"), "admin"),
    ):
        for _ in range(ATTEMPTS):
            if server.send("POST", path, body, user=user, groups=MASTERS).status_code == 403:
                break
        else:
            pytest.fail(f"no policy refuses {path}")
    for _ in range(ATTEMPTS):
        if server.send("GET", server.place("DigitalTwin"), user="security").is_success:
            return
    pytest.fail("the role bindings are not in force")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with started_api_server(tmp_path_factory.mktemp("control-plane")) as found:
        install(found)
        wait_until_in_force(found)
        yield found


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("kind", [kind.kind_name for kind in KINDS])
def test_role_reads_every_kind_and_writes_only_its_own(server: ApiServer, role: str, kind: str) -> None:
    assert server.send("GET", server.place(kind), user=role).is_success
    answer = server.send("POST", server.place(kind), manifest_for(kind, role), user=role)
    may_write = kind in WRITERS.get(role, set())
    assert answer.status_code == (201 if may_write else 403), answer.text


@pytest.mark.parametrize("role", ROLES)
def test_no_role_writes_a_status_or_reads_a_secret(server: ApiServer, role: str) -> None:
    for kind in KINDS:
        place = server.place(kind.kind_name, "any") + "/status"
        assert server.send("PATCH", place, {"status": {}}, user=role).status_code == 403
    secrets = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    assert server.send("GET", secrets, user=role).status_code == 403


def test_approver_naming_somebody_else_is_refused(server: ApiServer) -> None:
    answer = server.send("POST", server.place("Approval"), approval_by("engineer"), user="approver")
    assert answer.status_code == 403
    assert "spec.approvedBy must be the requesting user, approver" in answer.json()["message"]


def test_administrator_naming_somebody_else_is_refused(server: ApiServer) -> None:
    body = approval_by("approver")
    answer = server.send("POST", server.place("Approval"), body, user="admin", groups=MASTERS)
    assert answer.status_code == 403


@pytest.mark.parametrize(("user", "status_code"), [("admin", 403), (OPERATOR, 201)])
def test_configuration_is_created_by_the_operator_alone(server: ApiServer, user: str, status_code: int) -> None:
    body = read("meshconfiguration-revision.yaml")
    answer = server.send("POST", server.place("MeshConfiguration"), body, user=user, groups=MASTERS)
    assert answer.status_code == status_code, answer.text


def test_configuration_is_changed_and_deleted_by_the_operator_and_the_end_of_its_namespace(
    server: ApiServer,
) -> None:
    body = read("meshconfiguration-adopted.yaml")
    place = server.place("MeshConfiguration", body["metadata"]["name"])
    made = server.send("POST", server.place("MeshConfiguration"), body, user=OPERATOR, groups=MASTERS, dry_run=False)
    label = {"metadata": {"labels": {"a": "b"}}}
    controller = "system:serviceaccount:kube-system:namespace-controller"
    users = ("admin", OPERATOR, controller)
    patched = [server.send("PATCH", place, label, user=u, groups=MASTERS).status_code for u in users]
    deleted = [server.send("DELETE", place, user=u, groups=MASTERS).status_code for u in users]
    assert made.status_code == 201
    assert patched == [403, 200, 200]
    assert deleted == [403, 200, 200]


@pytest.mark.parametrize(("user", "status_code"), [("admin", 403), (OPERATOR, 200)])
def test_status_is_written_by_the_operator_alone(server: ApiServer, user: str, status_code: int) -> None:
    body = read("digitaltwin-minimal.yaml")
    server.send("POST", server.place("DigitalTwin"), body, dry_run=False)
    place = server.place("DigitalTwin", body["metadata"]["name"]) + "/status"
    answer = server.send("PATCH", place, {"status": {"nodes": 52}}, user=user, groups=MASTERS)
    assert answer.status_code == status_code, answer.text


@pytest.mark.parametrize(
    ("url", "status_code"),
    [
        ("http://127.0.0.1:9000", 422),
        ("http://LocalHost:9000/mesh", 422),
        ("http://models.localhost", 422),
        ("http://models.buildings.svc:9000", 201),
        ("https://localhost.example.org", 201),
    ],
)
def test_model_inside_the_twins_own_pod_is_refused(server: ApiServer, url: str, status_code: int) -> None:
    spec = {"model": {"http": {"url": url}}}
    body = read("digitaltwin-minimal.yaml") | {"metadata": {"name": "planned-by-others"}, "spec": spec}
    answer = server.send("POST", server.place("DigitalTwin"), body, user="admin", groups=MASTERS)
    assert answer.status_code == status_code, answer.text


@pytest.mark.parametrize(("user", "status_code"), [("engineer", 403), (OPERATOR, 201)])
def test_proposal_of_a_pipeline_comes_from_the_operator_alone(server: ApiServer, user: str, status_code: int) -> None:
    groups = MASTERS if user == OPERATOR else ()
    body = read("configurationproposal-pipeline.yaml")
    answer = server.send("POST", server.place("ConfigurationProposal"), body, user=user, groups=groups)
    assert answer.status_code == status_code, answer.text


@pytest.mark.parametrize(
    ("verbs", "resource", "is_allowed"),
    [
        ("get create patch", "secrets", True),
        ("list watch update delete", "secrets", False),
        ("get list watch create patch", "persistentvolumeclaims", True),
        ("delete", "persistentvolumeclaims", False),
        ("get list watch create patch delete", "services configmaps statefulsets.apps", True),
        ("get list watch create patch delete", "networkpolicies.networking.k8s.io", True),
        ("get list watch", "pods digitaltwins.meshtwin.dev approvals.meshtwin.dev", True),
        ("create", "pods pods/exec approvals.meshtwin.dev serviceaccounts", False),
        ("create", "events configurationproposals.meshtwin.dev meshconfigurations.meshtwin.dev", True),
        ("delete", "approvals.meshtwin.dev configurationproposals.meshtwin.dev", True),
        ("patch", "digitaltwins.meshtwin.dev/status whatifs.meshtwin.dev/status", True),
        ("update patch delete", "digitaltwins.meshtwin.dev meshsegments.meshtwin.dev", False),
    ],
)
def test_the_operator_may_what_it_does_and_no_more(
    server: ApiServer, verbs: str, resource: str, is_allowed: bool
) -> None:
    for verb in verbs.split():
        for one in resource.split():
            plural, _, group = one.partition("/")[0].partition(".")
            asked = {"verb": verb, "resource": plural, "group": group, "namespace": NAMESPACE}
            asked["subresource"] = one.partition("/")[2]
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": OPERATOR, "resourceAttributes": asked},
            }
            path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            answer = server.send("POST", path, review, dry_run=False)
            assert answer.json()["status"]["allowed"] is is_allowed, f"{verb} {one}"
