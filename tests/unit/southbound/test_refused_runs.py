"""What a twin refuses is told by the reason that it gave."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from meshtwin.recipes.messages import RunError
from meshtwin_operator.reconcile.outcome import StartRun
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.southbound.runs import Runs

PROBLEM = json.dumps({"title": "TooLarge", "detail": "900 nodes are above 500", "place": "segment"})


class Twin(BaseHTTPRequestHandler):
    """Refuses everything; the path says with which body."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = (PROBLEM if self.path == "/problem" else "no JSON").encode()
        self.send_response(422)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to say."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Twin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "handed", "error"),
    [
        ("/problem", False, RunError(reason="TooLarge", message="900 nodes are above 500 (segment)")),
        ("/problem", True, RunError(reason="Refused", message="TooLarge: 900 nodes are above 500 (segment)")),
        ("/text", False, RunError(reason="Refused", message="no JSON")),
    ],
)
async def test_a_refused_run_ends_with_the_twins_own_reason(url: str, path: str, handed: bool, error: RunError) -> None:
    told: asyncio.Queue[ObjectKey] = asyncio.Queue()
    runs = Runs(operator_key=lambda *_: b"k" * 32, changed=told.put_nowait, now=lambda: datetime.now(UTC))
    action = StartRun(workload="office-parent", path=path, run_id="r1", body={}, namespace="ns", url=url, handed=handed)
    await runs.start(action)
    await asyncio.wait_for(told.get(), 10)
    view = runs.view("ns", "r1")
    assert view is not None
    assert view.status is not None
    assert view.status.error == error
    await runs.close()
