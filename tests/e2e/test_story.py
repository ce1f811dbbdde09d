"""From ``kubectl apply`` to a verified configuration, and what must not be possible. Tests build on each other."""

import json
import time
from typing import Any

import pytest
import yaml

from tests.e2e.kubectl import MANIFESTS, NAMESPACE, Refused, get, items, kubectl, until

pytestmark = pytest.mark.cluster

# Run inside the pod, whose containers share their processes: kills the northern gateway and nothing else.
KILL_GATEWAY = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").iterdir():
    if not folder.name.isdigit() or int(folder.name) == os.getpid():
        continue
    if b"gw-north.json" in (folder / "cmdline").read_bytes():
        os.kill(int(folder.name), signal.SIGKILL)
"""
RUN = f"-{int(time.time())}"  # names of this run's proposals
TERMINAL = {"Confirmed", "RolledBack", "Rejected", "TimedOut", "Superseded", "Adopted"}


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """One condition of an object; empty if it is not there."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def is_true(kind: str, name: str, condition_type: str) -> bool:
    """Whether a condition holds for the present generation."""
    found = get(kind, name)
    said = condition(found, condition_type)
    generation = found.get("metadata", {}).get("generation")
    return said.get("status") == "True" and said.get("observedGeneration", generation) == generation


def step(found: dict[str, Any]) -> str:
    """Step of a MeshConfiguration's push."""
    return str(found.get("status", {}).get("push", {}).get("step", ""))


def pushed(segment: str) -> dict[str, Any] | None:
    """The newest revision of a segment beyond the adopted one that is confirmed."""
    found = [c for c in items("meshconfigurations") if c["spec"]["segmentRef"]["name"] == segment]
    confirmed = [c for c in found if step(c) == "Confirmed"]
    return max(confirmed, key=lambda c: c["spec"]["revision"], default=None)


def waiting_proposal(but: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """A proposal that waits for its decision."""
    for found in items("configurationproposals"):
        if found.get("status", {}).get("phase") == "AwaitingDecision" and found["metadata"]["name"] not in but:
            return found
    return None


def approval(proposal: dict[str, Any], by: str, decision: str = "Approve") -> str:
    """Manifest of an approval."""
    name = proposal["metadata"]["name"]
    return yaml.safe_dump(
        {
            "apiVersion": "meshtwin.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {"name": f"{name}-{by.replace('@', '-').replace('.', '-')}", "namespace": NAMESPACE},
            "spec": {
                "proposalRef": {"name": name},
                "decision": decision,
                "digest": proposal["status"]["digest"],
                "approvedBy": by,
            },
        }
    )


@pytest.fixture(scope="module", autouse=True)
def roles() -> None:
    """An engineer and an approver, by the roles that are installed."""
    for user, role in (("engineer@example.com", "meshtwin-engineer"), ("approver@example.com", "meshtwin-approver")):
        binding = kubectl(
            "create", "rolebinding", role, f"--clusterrole={role}", f"--user={user}", "-n", NAMESPACE,
            "--dry-run=client", "-o", "yaml",
        )  # fmt: skip
        kubectl("apply", "-f", "-", stdin=binding)


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Operator, sample and emulated building, whoever installed them before."""
    kubectl("apply", "--server-side", "-k", str(MANIFESTS / "base"))
    kubectl(
        "wait", "deployment/meshtwin-operator", "-n", "meshtwin-system", "--for=condition=Available", "--timeout=120s"
    )
    kubectl("apply", "-k", str(MANIFESTS / "samples" / "office"))
    kubectl("apply", "-k", str(MANIFESTS / "samples" / "emulated-building"))


def test_the_twins_become_ready_and_synced() -> None:
    until("twin ready", lambda: is_true("digitaltwin", "office", "Ready"))
    for segment in ("office-north", "office-south"):
        until(f"{segment} ready", lambda name=segment: is_true("meshsegment", name, "Ready"))
        until(f"{segment} synced", lambda name=segment: is_true("meshsegment", name, "Synced"))


def test_what_the_network_has_is_adopted_as_revision_zero() -> None:
    for segment in ("office-north", "office-south"):
        found = until(f"{segment} adopted", lambda name=segment: get("meshconfiguration", f"{name}-r0000"))
        assert found["spec"]["revision"] == 0


def test_applying_the_same_manifests_again_changes_nothing() -> None:
    before = {m["metadata"]["name"]: m["metadata"]["generation"] for m in items("meshsegments")}
    kubectl("apply", "-k", str(MANIFESTS / "samples" / "office"))
    kubectl("diff", "-k", str(MANIFESTS / "samples" / "office"))
    assert {m["metadata"]["name"]: m["metadata"]["generation"] for m in items("meshsegments")} == before


def test_who_may_not_approve_is_refused_and_who_may_cannot_name_somebody_else() -> None:
    proposal = until("a proposal", waiting_proposal)
    with pytest.raises(Refused, match="cannot create resource"):
        kubectl("create", "-f", "-", stdin=approval(proposal, "engineer@example.com"), user="engineer@example.com")
    with pytest.raises(Refused, match="approvedBy"):
        kubectl("create", "-f", "-", stdin=approval(proposal, "somebody@example.com"), user="approver@example.com")


def test_nobody_but_the_operator_creates_a_configuration() -> None:
    template = get("meshconfiguration", "office-north-r0000")
    forged = {
        "apiVersion": template["apiVersion"],
        "kind": "MeshConfiguration",
        "metadata": {"name": "office-north-r0009", "namespace": NAMESPACE},
        "spec": template["spec"] | {"revision": 9, "baseRevision": 0},
    }
    with pytest.raises(Refused, match="cannot create resource"):
        kubectl("create", "-f", "-", stdin=yaml.safe_dump(forged), user="engineer@example.com")
    with pytest.raises(Refused, match="operator"):
        kubectl("create", "-f", "-", stdin=yaml.safe_dump(forged))


def test_an_approval_of_another_digest_is_not_accepted() -> None:
    proposal = until("a proposal", waiting_proposal)
    wrong = yaml.safe_load(approval(proposal, "approver@example.com"))
    wrong["metadata"]["name"] += "-wrong"
    wrong["spec"]["digest"] = "sha256:" + "0" * 64
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(wrong), user="approver@example.com")
    said = until("the verdict", lambda: condition(get("approval", wrong["metadata"]["name"]), "Accepted"))
    assert (said["status"], said["reason"]) == ("False", "DigestMismatch")


def test_an_approved_proposal_is_pushed_verified_and_confirmed() -> None:
    proposal = until("a proposal", waiting_proposal)
    segment = proposal["spec"]["segmentRef"]["name"]
    kubectl("create", "-f", "-", stdin=approval(proposal, "approver@example.com"), user="approver@example.com")
    found = until("confirmed", lambda: pushed(segment), within_s=420)
    assert found["spec"]["digest"] == proposal["status"]["digest"]
    assert found["status"]["noHarm"]["passed"] is True
    assert condition(found, "Confirmed")["status"] == "True"
    until(
        "segment shows it", lambda: get("meshsegment", segment)["status"].get("revision") == found["spec"]["revision"]
    )


def _push_until(steps: set[str]) -> dict[str, Any]:
    """Approve the next proposal and wait until its push is at one of ``steps``."""
    proposal = until("another proposal", waiting_proposal, within_s=420)
    kubectl("create", "-f", "-", stdin=approval(proposal, "approver@example.com"), user="approver@example.com")

    def at_step() -> dict[str, Any] | None:
        for found in items("meshconfigurations"):
            if (
                found["spec"].get("proposalRef", {}).get("name") == proposal["metadata"]["name"]
                and step(found) in steps
            ):
                return found
        return None

    return until(f"a push at {steps}", at_step, within_s=420)


def test_an_operator_killed_between_commit_and_confirm_goes_on_where_it_stopped() -> None:
    found = _push_until({"Verifying"})
    segment, name = found["spec"]["segmentRef"]["name"], found["metadata"]["name"]
    before = get("meshconfiguration", f"{segment}-r{found['spec']['baseRevision']:04d}")["spec"]["digest"]
    kubectl("delete", "pod", "-n", "meshtwin-system", "-l", "app.kubernetes.io/name=meshtwin-operator",
            "--grace-period=0", "--force")  # fmt: skip
    until("a verdict", lambda: step(get("meshconfiguration", name)) in TERMINAL, within_s=600)
    # The no-harm test may end either way by chance; what was decided must be what is in force.
    confirmed = step(get("meshconfiguration", name)) == "Confirmed"
    wanted = found["spec"]["digest"] if confirmed else before
    until("the verdict is in force", lambda: get("meshsegment", segment)["status"]["revisionHash"] == wanted)


def propose(name: str, segment: str, settings: list[dict[str, Any]]) -> dict[str, Any]:
    """An engineer's own proposal, judged and waiting for its decision."""
    manifest = {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "ConfigurationProposal",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"segmentRef": {"name": segment}, "origin": "Manual", "reason": "e2e", "settings": settings},
    }
    kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest), user="engineer@example.com")

    def awaiting() -> dict[str, Any] | None:
        found = get("configurationproposal", name)
        return found if found.get("status", {}).get("phase") == "AwaitingDecision" else None

    return until(f"{name} judged", awaiting, within_s=300)


def verdict_of(proposal: str) -> dict[str, Any]:
    """The configuration that came of a proposal, once its push has ended."""

    def ended() -> dict[str, Any] | None:
        for found in items("meshconfigurations"):
            if found["spec"].get("proposalRef", {}).get("name") == proposal and step(found) in TERMINAL:
                return found
        return None

    return until(f"verdict on {proposal}", ended, within_s=600)


def in_force(segment: str) -> str:
    """Hash that the gateway of a segment reports, as the segment's status shows it."""
    return str(get("meshsegment", segment)["status"]["revisionHash"])


def test_a_harmful_configuration_is_taken_back_and_never_pushed_again() -> None:
    before = in_force("office-north")
    harmful = [{"nodes": ["0001-002b"], "relay": "Disabled", "defaultTtl": 2}]
    proposal = propose("dark" + RUN, "office-north", harmful)
    kubectl("create", "-f", "-", stdin=approval(proposal, "approver@example.com"), user="approver@example.com")
    found = verdict_of("dark" + RUN)
    assert step(found) == "RolledBack"
    assert condition(found, "RolledBack")["status"] == "True"
    until("the last confirmed one is in force", lambda: in_force("office-north") == before)
    again = propose("dark-again" + RUN, "office-north", harmful)
    kubectl("create", "-f", "-", stdin=approval(again, "approver@example.com"), user="approver@example.com")
    second = verdict_of("dark-again" + RUN)
    assert step(second) == "Rejected"
    assert in_force("office-north") == before


def test_a_gateway_killed_between_commit_and_confirm_keeps_its_word() -> None:
    gentle = [{"nodes": ["0001-002b"], "defaultTtl": 9}]
    proposal = propose("gentle" + RUN, "office-north", gentle)
    kubectl("create", "-f", "-", stdin=approval(proposal, "approver@example.com"), user="approver@example.com")
    until("verifying", lambda: any(
        c["spec"].get("proposalRef", {}).get("name") == "gentle" + RUN and step(c) == "Verifying"
        for c in items("meshconfigurations")))  # fmt: skip
    kubectl("exec", "-n", NAMESPACE, "emulated-building-0", "-c", "mesh", "--", "python", "-c", KILL_GATEWAY)
    found = verdict_of("gentle" + RUN)
    shown = until("status agrees", lambda: get("meshsegment", "office-north")["status"])
    if step(found) == "Confirmed":
        assert shown["revisionHash"] == found["spec"]["digest"]
    else:
        assert shown["revisionHash"] != found["spec"]["digest"]


def operator_pods() -> list[dict[str, Any]]:
    """Pods of the operator."""
    text = kubectl(
        "get", "pods", "-n", "meshtwin-system", "-l", "app.kubernetes.io/name=meshtwin-operator", "-o", "json"
    )
    return list(json.loads(text)["items"])


def lease() -> dict[str, Any]:
    """Spec of the operator's Lease."""
    text = kubectl("get", "lease", "meshtwin-operator", "-n", "meshtwin-system", "-o", "json")
    return dict(json.loads(text)["spec"])


def test_an_operator_killed_while_staging_goes_on_with_a_higher_epoch() -> None:
    before = lease()["leaseTransitions"]
    proposal = propose("steady" + RUN, "office-south", [{"nodes": ["000b-0034"], "defaultTtl": 11}])
    kubectl("create", "-f", "-", stdin=approval(proposal, "approver@example.com"), user="approver@example.com")
    early = {"Staging", "MeasuringBaseline"}
    until("staging", lambda: any(
        c["spec"].get("proposalRef", {}).get("name") == "steady" + RUN and step(c) in early
        for c in items("meshconfigurations")))  # fmt: skip
    name = operator_pods()[0]["metadata"]["name"]
    kubectl("delete", "pod", name, "-n", "meshtwin-system", "--grace-period=0", "--force")
    found = verdict_of("steady" + RUN)
    assert lease()["leaseTransitions"] > before
    assert step(found) in {"Confirmed", "RolledBack"}
    expected = found["spec"]["digest"] if step(found) == "Confirmed" else None
    assert expected is None or in_force("office-south") == expected


def test_of_two_operators_one_acts_and_the_other_takes_over_when_it_dies() -> None:
    kubectl("scale", "deployment/meshtwin-operator", "-n", "meshtwin-system", "--replicas=2")
    until("two pods", lambda: sum(pod["status"].get("phase") == "Running" for pod in operator_pods()) == 2)
    first = lease()
    holder = next(p for p in operator_pods() if first["holderIdentity"].startswith(p["metadata"]["name"]))
    other = next(p for p in operator_pods() if p is not holder and p["metadata"] != holder["metadata"])
    states = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["ready"] for p in operator_pods()}
    assert states[other["metadata"]["name"]] is False
    kubectl("delete", "pod", holder["metadata"]["name"], "-n", "meshtwin-system", "--grace-period=0", "--force")
    until("another holds it", lambda: lease()["leaseTransitions"] > first["leaseTransitions"], within_s=60)
    kubectl("scale", "deployment/meshtwin-operator", "-n", "meshtwin-system", "--replicas=1")
    until("one pod", lambda: len(operator_pods()) == 1)


def test_a_child_that_somebody_edits_is_restored() -> None:
    kubectl("patch", "service", "office-parent", "-n", NAMESPACE, "--type=merge", "-p",
            '{"spec":{"ports":[{"name":"http","port":8081,"targetPort":8081}]}}')  # fmt: skip
    until("the port is back", lambda: get("service", "office-parent")["spec"]["ports"][0]["port"] == 8080, within_s=30)


def test_a_bad_image_is_said_and_mending_the_spec_recovers() -> None:
    def ready() -> dict[str, Any]:
        return condition(get("meshsegment", "office-north"), "Ready")

    kubectl("set", "image", "statefulset/office-north-segment", "twin=meshtwin:does-not-exist", "-n", NAMESPACE)

    def image() -> str:
        pod = get("statefulset", "office-north-segment")["spec"]["template"]["spec"]
        return str(pod["containers"][0]["image"])

    until("restored", lambda: image() == "meshtwin:dev" and ready().get("status") == "True", within_s=120)


def test_a_deleted_twin_pod_comes_back_and_knows_what_it_knew() -> None:
    kubectl("delete", "pod", "office-south-segment-0", "-n", NAMESPACE)
    until(
        "ready",
        lambda: get("pod", "office-south-segment-0").get("status", {}).get("containerStatuses", [{}])[0].get("ready"),
    )
    until("synced", lambda: is_true("meshsegment", "office-south", "Synced"), within_s=120)


def test_a_restarted_broker_is_found_again() -> None:
    kubectl("delete", "pod", "office-broker-0", "-n", NAMESPACE)
    until("broker gone", lambda: get("pod", "office-broker-0").get("status", {}).get("phase") != "Succeeded")
    until("ready", lambda: is_true("digitaltwin", "office", "Ready"), within_s=120)
    until("synced", lambda: is_true("meshsegment", "office-north", "Synced"), within_s=180)


def test_deletion_with_the_operator_away_leaves_nothing_behind() -> None:
    kubectl("scale", "deployment/meshtwin-operator", "-n", "meshtwin-system", "--replicas=0")
    until("operator away", lambda: not operator_pods())
    started_s = time.monotonic()
    kubectl("delete", "-k", str(MANIFESTS / "samples" / "office"), "--wait=true", "--timeout=120s")
    kubectl("scale", "deployment/meshtwin-operator", "-n", "meshtwin-system", "--replicas=1")
    until("namespace gone", lambda: not kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"), within_s=180)
    print(f"deleted in {time.monotonic() - started_s:.0f} s")
