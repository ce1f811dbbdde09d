"""Liveness, readiness and metrics of the operator over HTTP, served by a thread of the standard library.

Alive means that the loops turn: the Lease is renewed, watches are not deaf, workers are not stuck. A broker
that is away is somebody else's trouble and kills nothing here.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["serve_health"]


def serve_health(port: int, alive: Callable[[], str | None], ready: Callable[[], str | None]) -> None:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics`` until the process ends.

    ``alive`` and ``ready`` give None, or what is wrong.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path in ("/healthz", "/readyz"):
                problem = (alive if self.path == "/healthz" else ready)()
                self._answer(503 if problem else 200, (problem or "ok").encode() + b"\n", "text/plain")
            else:
                self._answer(404, b"not found\n", "text/plain")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes every few seconds are not worth a line."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
