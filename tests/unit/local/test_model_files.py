"""Credentials of somebody else's model in local mode, where there are no Secrets."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshtwin.errors import Unavailable
from meshtwin_operator.local.state import StateFolder
from meshtwin_operator.local.workloads import LocalWorkloads
from meshtwin_operator.reconcile.outcome import Workload, WorkloadRole
from meshtwin_operator.reconcile.world import ObjectKey


class FakeSupervisor:
    """Takes what it is to run."""

    async def apply(self, spec: Any) -> None:
        self.spec = spec


async def write_config(state: StateFolder) -> str:
    brokers = SimpleNamespace(
        view=lambda namespace, root: SimpleNamespace(host="127.0.0.1", port=1883),
        password_file=lambda namespace, root, identity: state.secret("password"),
    )
    workloads = LocalWorkloads(
        state=state,
        supervisor=FakeSupervisor(),  # type: ignore[arg-type]  # what is used of it
        brokers=brokers,  # type: ignore[arg-type]  # likewise
        config_map=lambda key: None,
    )
    workload = Workload(
        role=WorkloadRole.PARENT_TWIN,
        namespace="buildings",
        name="office-parent",
        owner=ObjectKey("DigitalTwin", "buildings", "office"),
        owner_uid="uid",
        root_twin="office",
        config={"model": {"http": {"url": "https://models.example.org"}}},
        model_secret="planner",
    )
    try:
        await workloads.apply(workload)
    finally:
        await workloads.close()
    return (state.child("buildings", "office-parent") / "config.json").read_text()


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / ".meshtwin")
    folder.prepare()
    return folder


async def test_token_is_taken_from_the_state_folder_and_only_named(state: StateFolder) -> None:
    (state.secrets / "buildings.planner.model-token").write_text("s3cret")
    text = await write_config(state)
    assert "buildings.planner.model-token" in text
    assert "s3cret" not in text
    assert "caFile" not in text


async def test_model_on_the_same_machine_is_allowed_in_local_mode(state: StateFolder) -> None:
    (state.secrets / "buildings.planner.model-token").write_text("s3cret")
    assert json.loads(await write_config(state))["model"]["http"]["allowLoopback"] is True


async def test_private_authority_is_taken_where_it_is_there(state: StateFolder) -> None:
    for part in ("model-token", "model-ca.crt"):
        (state.secrets / f"buildings.planner.{part}").write_text("x")
    assert "buildings.planner.model-ca.crt" in await write_config(state)


async def test_token_that_is_missing_is_asked_for_with_its_place(state: StateFolder) -> None:
    with pytest.raises(Unavailable, match=r"put it into .*buildings\.planner\.model-token"):
        await write_config(state)
