"""What stands before every route: who may ask, and what every answer says to the browser.

The page needs nothing from elsewhere, so its policy allows nothing else: no inline script or style, no frame, no form.
A page from elsewhere can make a browser on this machine ask us; it cannot if the name it used is not ours, and what the
browser says of where a request comes from counts.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::\d{1,5})?")
_METHODS = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    """Whether all that an address or a name stands for is of this machine alone."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


class Guard:
    """The outermost layer of the application.

    Args:
        app: the rest of it.
        names: the names it may be asked for by, besides any address and `localhost`.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in (*names, "localhost"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
            await send(message)

        refused = self._refusal(scope["method"], Headers(scope=scope).get)
        if refused is None:
            await self._app(scope, receive, with_headers)
        else:
            await _refuse(*refused, with_headers)

    def _refusal(self, method: str, header: Callable[[str], str | None]) -> tuple[int, str] | None:
        """Status and text for a request that is not answered; None if it is."""
        host = (header("Host") or "").lower()
        if not self._ours(host):
            return 421, "this name is not served here; ask for 127.0.0.1 or localhost"
        if method not in _METHODS:
            return 405, "only GET and HEAD: this page changes nothing"
        origin = header("Origin")
        if (origin is not None and origin.lower().partition("://")[2] != host) or _elsewhere(header):
            return 403, "pages from elsewhere may not ask here"
        return None

    def _ours(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        name = (parts["six"] or parts["name"]).rstrip(".")
        try:
            ip_address(name)
        except ValueError:
            return parts["six"] is None and name in self._names
        return True


def _elsewhere(header: Callable[[str], str | None]) -> bool:
    """Whether the browser says that a page from elsewhere asks; a link that leads here may."""
    return header("Sec-Fetch-Site") in ("cross-site", "same-site") and header("Sec-Fetch-Mode") != "navigate"


async def _refuse(status: int, text: str, send: Callable[[Message], Awaitable[None]]) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"allow", b"GET, HEAD")] if status == 405 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
