"""Networks that do not work."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from support.ports import free_port, mute_server

_NAMES = """
import os, socket, time
_known = socket.getaddrinfo

def getaddrinfo(host, *arguments, **more):
    if host == "collector.test":
        time.sleep(float(os.environ["FAULT_NAMES"]))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _known(host, *arguments, **more)

socket.getaddrinfo = getaddrinfo
"""
"""A resolver that takes so many seconds and finds nothing, as a `sitecustomize`."""


@dataclass(frozen=True)
class Network:
    """A way in which a receiver cannot be reached.

    Args:
        name: the row.
        done: what was done.
        url: gives the endpoint while it lasts.
        names: seconds that names take to be looked up, in vain.
    """

    name: str
    done: str
    url: Callable[[], AbstractContextManager[str]]
    names: float | None = None

    def variables(self, folder: Path) -> dict[str, str]:
        """What programs need in their environment; a file for them goes into the folder."""
        if self.names is None:
            return {}
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(_NAMES)
        return {"PYTHONPATH": str(folder), "FAULT_NAMES": str(self.names)}


@contextlib.contextmanager
def refused() -> Iterator[str]:
    """Nobody listens."""
    yield f"http://127.0.0.1:{free_port()}"


@contextlib.contextmanager
def mute() -> Iterator[str]:
    """Somebody takes whatever is sent, and never answers."""
    with mute_server() as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def mute_tls() -> Iterator[str]:
    """The same where TLS is expected."""
    with mute_server() as port:
        yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def full() -> Iterator[str]:
    """Somebody listens and takes no connection: the kernel answers no SYN, as a firewall that drops packets."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.5)
            try:
                waiting.connect(server.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def unknown() -> Iterator[str]:
    """A name that cannot be found."""
    yield "http://collector.test:4318"


NETWORKS = (
    Network("connection refused", "nobody listens", refused),
    Network("black hole", "connections and requests are taken, never answered", mute),
    Network("packets dropped", "no SYN is answered", full),
    Network("TLS handshake hangs", "the server hello never comes", mute_tls),
    Network("unknown name", "the resolver knows no such host", unknown, names=0),
    Network("slow resolver", "the resolver takes 5 s to say so", unknown, names=5),
)


class Gate:
    """A port of 127.0.0.1 that is closed, and once opened passes everything on to another.

    Args:
        to: that port.
    """

    def __init__(self, to: int) -> None:
        self._server = socket.socket()  # bound from now on, so nobody else has the port; who connects is refused
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._to = to
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen."""
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, args=(self._server,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        if self._thread is not None:
            self._server.shutdown(socket.SHUT_RDWR)
            self._thread.join(60)
        self._server.close()

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # that is its end
            while True:
                client, behind = server.accept()[0], socket.create_connection(("127.0.0.1", self._to))
                ways = [
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True)
                    for one, other in ((client, behind), (behind, client))
                ]
                threading.Thread(target=_close_after, args=(ways, client, behind), daemon=True).start()


def _close_after(ways: list[threading.Thread], *sockets: socket.socket) -> None:
    for way in ways:
        way.start()
    for way in ways:
        way.join()
    for each in sockets:
        each.close()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
