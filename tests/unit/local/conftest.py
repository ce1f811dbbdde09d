"""A store in a temporary folder with a clock that stands, and manifests small enough to read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshtwin_operator.local.store import Store

Manifest = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.sqlite", clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    yield made
    made.close()


@pytest.fixture
def twin() -> Manifest:
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "DigitalTwin",
        "metadata": {"name": "office", "namespace": "buildings"},
        "spec": {"mode": "Control"},
    }


@pytest.fixture
def approval() -> Manifest:
    return {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": "yes", "namespace": "buildings"},
        "spec": {
            "proposalRef": {"name": "p"},
            "decision": "Approve",
            "digest": "sha256:" + "0" * 64,
            "approvedBy": "alice",
        },
    }
