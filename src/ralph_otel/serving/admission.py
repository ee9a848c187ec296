"""Which address a server listens on, and which requests it answers."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from ralph_otel.config import MetricsConfig
from ralph_otel.notices import notice, shown
from ralph_otel.serving.credentials import Credentials
from ralph_otel.serving.webconfig import Tls, WebConfig, read_web_config

LOOPBACK = "127.0.0.1"
REMEDY = "Give RALPH_OTEL_WEB_CONFIG a file with that, or set RALPH_OTEL_WEB_INSECURE=true"
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::\d{1,5})?")
"""A Host header: a name or an address, and perhaps a port (RFC 9110, section 7.2)."""


@dataclass(frozen=True)
class Refusal:
    """The answer to a request that is not let in: status, text, and headers to go with them."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """How a server is reached.

    Args:
        host: the address to listen on.
        tls: with which certificate it answers; None: without TLS.
        credentials: what a request must bring; None: nothing.
        names: the names under which it may be asked for, in lower case; addresses always will do.
    """

    host: str = LOOPBACK
    tls: Tls | None = None
    credentials: Credentials | None = None
    names: frozenset[str] = frozenset()

    def refusal(self, method: str, header: Callable[[str], str | None]) -> Refusal | None:
        """Why a request is not answered; None if it is.

        A page from elsewhere can make a browser on this machine ask us. It cannot if its name is not ours (a name that
        it has bound anew to our address is not), and the browser's own word on where a request comes from counts.

        Args:
            method: `GET` or the like.
            header: gives the request's header of a name, in whatever case; None where there is none.
        """
        host = (header("Host") or "").lower()
        if host and not self._ours(host):
            return Refusal(421, "this name is not served here; RALPH_OTEL_WEB_HOSTS adds one\n")
        if _from_elsewhere(method, host, header):
            return Refusal(403, "pages from elsewhere may not ask here\n")
        if self.credentials is not None and not self.credentials.admit(header("Authorization")):
            return Refusal(401, "password or token, please\n", {"WWW-Authenticate": self.credentials.challenge})
        return None

    def _ours(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        if parts["six"] or self.credentials is not None:  # a browser sends a password only to the name it was given for
            return True
        name = parts["name"].rstrip(".")
        return _is_address(name) or name == "localhost" or name.endswith(".localhost") or name in self.names


def _from_elsewhere(method: str, host: str, header: Callable[[str], str | None]) -> bool:
    origin = header("Origin")
    if origin is not None and (not host or _netloc(origin) != host):
        return True
    if header("Sec-Fetch-Site") not in ("cross-site", "same-site"):
        return False
    return not (header("Sec-Fetch-Mode") == "navigate" and method in ("GET", "HEAD"))  # a link may lead to us


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def admit(config: MetricsConfig, host: str, what: str) -> Admission:
    """How a server may be reached that is to listen on an address.

    One that others can reach needs TLS, and passwords, a token or clients' certificates, or `web_insecure`. Without
    them it is 127.0.0.1 instead, and a notice says so.

    Args:
        config: with `web_config`, `web_insecure` and `web_hosts`.
        host: the address, or a name.
        what: the server, for the notice: `prometheus endpoint`.

    Raises:
        WebConfigError: `web_config` cannot be used: then nothing is served rather than served to all.
    """
    web = read_web_config(config.web_config) if config.web_config is not None else WebConfig()
    if not config.web_insecure and (lacks := missing(web, host)):
        notice(f"{what}: others could reach {shown(host)} without {lacks}; it listens on {LOOPBACK} instead. {REMEDY}")
        host = LOOPBACK
    names = {host.lower(), socket.gethostname().lower(), *(config.web_hosts or ())}
    return Admission(host, web.tls, web.credentials, frozenset(names))


def missing(web: WebConfig, host: str) -> str:
    """What a server lacks that is to listen on an address: `TLS and a password or token`; "" if nothing."""
    if is_loopback(host):
        return ""
    return " and ".join((["TLS"] if web.tls is None else []) + ([] if web.guarded else ["a password or token"]))


def is_loopback(host: str) -> bool:
    """Whether an address, or all that a name stands for, is of this machine alone."""
    if _is_address(host):
        return _is_own(host)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(_is_own(str(address[0])) for *_, address in found)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_own(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inner or address).is_loopback
