"""The operator's entry: ``kopf run -m meshtwin_operator.main`` or ``python -m meshtwin_operator.main``.

kopf delivers events of our kinds and nothing else: every handler puts a key into our own queue (on.event
handlers are not retried by kopf, and add neither finalizers nor annotations).
"""

import asyncio
import os
import sys
from typing import Any

import kopf

from meshtwin.app.logs import configure_logs
from meshtwin_operator.kube.process import OperatorProcess
from meshtwin_operator.kube.settings import OperatorSettings
from meshtwin_operator.resources.kinds import KINDS

__all__ = ["run"]

configure_logs(os.environ.get("MESHTWIN_LOG_LEVEL", "info"), stream=sys.stderr)
REGISTRY = kopf.get_default_registry()
SETTINGS = OperatorSettings.from_environment()
PROCESS = OperatorProcess(SETTINGS)


@kopf.on.startup()
def start(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Start the driver; kopf neither posts events nor writes annotations."""
    settings.posting.enabled = False
    settings.watching.inactivity_timeout = 70  # a silent connection is made again
    settings.queueing.idle_timeout = 0.5  # else a thousand idle tasks wait 5 s after a thousand changes
    settings.persistence.finalizer = "meshtwin.dev/unused"  # no handler needs one
    PROCESS.start()


@kopf.on.cleanup()
def stop(**_: Any) -> None:
    """Release the Lease."""
    PROCESS.stop()


def _watch(kind: str, plural: str) -> None:
    @kopf.on.event("meshtwin.dev", "v1alpha1", plural, id=f"seen-{plural}")
    async def seen(event: Any, **_: Any) -> None:  # async: a plain function would take a thread of a pool
        PROCESS.seen(kind, event["object"], deleted=event["type"] == "DELETED")


for _kind in KINDS:
    _watch(_kind.kind_name, _kind.plural)


def run() -> None:
    """Run the operator until it is told to stop or loses its Lease."""
    asyncio.run(
        kopf.operator(
            clusterwide=not SETTINGS.namespaces, namespaces=SETTINGS.namespaces, standalone=True, registry=REGISTRY
        )
    )


if __name__ == "__main__":
    run()
