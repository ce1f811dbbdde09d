"""An HTTP transport that looks at the address before it connects, and connects to the address it looked at.

A name is resolved once for each request: a name that resolves to one address for the check and to another one for
the connection (DNS rebinding) gains nothing. Redirects pass here as well, should a client follow any.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Final

import httpx

from meshtwin.errors import InvalidInput
from meshtwin.foreign.destinations import Refusal

__all__ = ["GuardedTransport"]

Resolve = Callable[[str, int | None], Sequence[str]]  # addresses of a host and port; raises OSError if there are none
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class GuardedTransport(httpx.BaseTransport):
    """``inner`` for addresses of which ``refusal`` says nothing; no proxy is used, since it would do the resolving."""

    def __init__(self, inner: httpx.BaseTransport, refusal: Refusal, resolve: Resolve | None = None) -> None:
        self._inner, self._refusal = inner, refusal
        self._resolve = resolve or _ask_system

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer from the first address that can be reached.

        Raises `InvalidInput` (``ModelAddressRefused``) if any address of the host is refused, else as ``inner``.
        """
        host = request.url.raw_host.decode("ascii").strip("[]")
        port = request.url.port or DEFAULT_PORTS.get(request.url.scheme)
        try:
            addresses = self._resolve(host, port)
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        for address in addresses:
            what = self._refusal(address)
            if what is not None:
                where = host if host == address else f"{host} ({address})"
                raise InvalidInput(
                    f"a model is not asked at {where}, {what}", reason="ModelAddressRefused", place=str(request.url)
                )
        for address in addresses[:-1]:
            try:
                return self._inner.handle_request(_pinned(request, host, address))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._inner.handle_request(_pinned(request, host, addresses[-1]))

    def close(self) -> None:
        """Close ``inner``."""
        self._inner.close()


def _ask_system(host: str, port: int | None) -> Sequence[str]:
    """Without repeats, in the resolver's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _pinned(request: httpx.Request, host: str, address: str) -> httpx.Request:
    """The same request to one address. Host header and the certificate's name stay those of the URL."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
