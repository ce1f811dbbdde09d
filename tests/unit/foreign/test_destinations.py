"""Where a model may be asked, and that what was looked at is what is connected to."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.foreign.destinations import Destinations, Refusal
from meshtwin.foreign.guarded import GuardedTransport
from meshtwin_operator.southbound.certificates import issue_server_certificate, make_authority

LOCAL = Destinations(loopback=True)
CLUSTER = Destinations(refused=frozenset({"10.96.0.1"}))


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("169.254.169.254", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("127.0.0.1", "a loopback address"),
        ("127.8.9.10", "a loopback address"),
        ("::1", "a loopback address"),
        ("0.0.0.0", "an unspecified address"),
        ("0.1.2.3", "an unspecified address"),
        ("::", "an unspecified address"),
        ("224.0.0.251", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("255.255.255.255", "a reserved address"),
        ("::ffff:169.254.169.254", "a link-local address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("64:ff9b::a9fe:a9fe", "a link-local address"),
        ("2002:a9fe:a9fe::1", "a link-local address"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("10.96.0.1", "the API server's address"),
        ("::ffff:10.96.0.1", "the API server's address"),
    ],
)
def test_address_that_no_model_is_asked_at_is_told_by_its_kind(address: str, what: str) -> None:
    assert CLUSTER.refusal(address) == what


@pytest.mark.parametrize(
    "address", ["10.96.0.2", "192.168.1.20", "172.16.0.9", "192.0.2.10", "fd12::7", "2001:db8::7", "64:ff9b::c000:20a"]
)
def test_services_private_networks_and_the_world_are_legitimate_places(address: str) -> None:
    assert CLUSTER.refusal(address) is None


def test_loopback_is_allowed_where_it_is_said_and_nothing_else_besides() -> None:
    assert LOCAL.refusal("127.0.0.1") is None
    assert LOCAL.refusal("::1") is None
    assert LOCAL.refusal("169.254.169.254") == "a link-local address"


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_gets_the_same_verdict_in_an_ipv6_address(address: Any) -> None:
    assert CLUSTER.refusal(f"::ffff:{address}") == CLUSTER.refusal(str(address))


class Told(BaseHTTPRequestHandler):
    """Answers with the Host header it was asked by; sends who asks for ``/away`` to a refused address."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


NOW = datetime.now(UTC)


@pytest.fixture
def port() -> Iterator[int]:
    with listening() as port:
        yield port


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server, with TLS if there is a context; its port."""
    server = HTTPServer(("127.0.0.1", 0), Told)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Resolver:
    """Knows one name; a name is answered once, so that a second look would show."""

    def __init__(self, *addresses: str) -> None:
        self.asked: list[str] = []
        self._addresses = addresses

    def __call__(self, host: str, _port: int | None) -> tuple[str, ...]:
        self.asked.append(host)
        return self._addresses if len(self.asked) == 1 else ("169.254.169.254",)


def client(refusal: Refusal, resolver: Resolver) -> httpx.Client:
    return httpx.Client(transport=GuardedTransport(httpx.HTTPTransport(), refusal, resolver), timeout=5)


def test_name_that_resolves_to_a_refused_address_is_not_asked() -> None:
    resolver = Resolver("192.0.2.10", "169.254.169.254")
    with (
        client(CLUSTER.refusal, resolver) as asking,
        pytest.raises(InvalidInput, match=r"169\.254\.169\.254.*a link-local address") as caught,
    ):
        asking.get("http://models.example.org/model")
    assert caught.value.reason == "ModelAddressRefused"


def test_request_goes_to_the_address_that_was_looked_at_under_the_name_of_the_url(port: int) -> None:
    resolver = Resolver("127.0.0.1")
    with client(LOCAL.refusal, resolver) as asking:
        told = asking.get(f"http://models.example.org:{port}/model").text
    assert told == f"models.example.org:{port}"
    assert resolver.asked == ["models.example.org"]


def test_next_address_of_a_name_is_tried_when_the_first_does_not_answer(port: int) -> None:
    with client(LOCAL.refusal, Resolver("127.0.0.2", "127.0.0.1")) as asking:  # nobody listens at the first
        assert asking.get(f"http://models.example.org:{port}/model").status_code == 200


@pytest.mark.parametrize(("name", "is_good"), [("models.example.org", True), ("other.example.org", False)])
def test_certificate_must_be_that_of_the_name_and_not_of_the_address(tmp_path: Path, name: str, is_good: bool) -> None:
    authority = make_authority("models", NOW)
    server = issue_server_certificate(authority, ["models.example.org"], NOW)
    for file, content in (("ca.crt", authority.certificate), ("tls.crt", server.certificate), ("tls.key", server.key)):
        (tmp_path / file).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    inner = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=str(tmp_path / "ca.crt")))
    transport = GuardedTransport(inner, LOCAL.refusal, Resolver("127.0.0.1"))
    with listening(context) as port, httpx.Client(transport=transport, timeout=5) as asking:
        if is_good:
            assert asking.get(f"https://{name}:{port}/model").status_code == 200
        else:
            with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
                asking.get(f"https://{name}:{port}/model")


def test_name_that_resolves_to_nothing_is_unreachable() -> None:
    def nothing(_host: str, _port: int | None) -> tuple[str, ...]:
        raise socket.gaierror("no such name")

    transport = GuardedTransport(httpx.HTTPTransport(), LOCAL.refusal, nothing)
    with httpx.Client(transport=transport) as asking, pytest.raises(httpx.ConnectError, match="no such name"):
        asking.get("http://models.example.org/model")


def test_redirect_to_a_refused_address_is_refused_even_by_a_client_that_follows_it(port: int) -> None:
    transport = GuardedTransport(httpx.HTTPTransport(), LOCAL.refusal)
    asking = httpx.Client(transport=transport, follow_redirects=True, timeout=5)
    with asking, pytest.raises(InvalidInput, match="a link-local address"):
        asking.get(f"http://127.0.0.1:{port}/away")
