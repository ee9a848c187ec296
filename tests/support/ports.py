"""Ports on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

_SHARE = 1024
"""Ports of each of the processes that run tests side by side."""
_FIRST = 16_384 + _SHARE * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 16)
"""The first of ours. All are below those that systems give to connections and to whoever asks for any port, so one that
is found free stays so until it is used."""


def free_port() -> int:
    """A port that nobody listens on, and nobody will but who is told it."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of so many consecutive ones."""
    for first in random.sample(range(_FIRST, _FIRST + _SHARE - count), _SHARE - count):
        if all(map(_is_free, range(first, first + count))):
            return first
    raise AssertionError("no port is free")


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just been closed is free
        tcp.bind(("127.0.0.1", port))
        udp.bind(("127.0.0.1", port))
        return True
    return False


@contextlib.contextmanager
def taken(*ports: int) -> Iterator[None]:
    """Somebody else listens on these ports; those that are in use anyway stay as they are."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            other = stack.enter_context(socket.socket())
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", port))
                other.listen()
        yield


@contextlib.contextmanager
def mute_server() -> Iterator[int]:
    """The port of a server that takes connections and whatever is sent, and never answers."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", free_port()))
        server.listen(64)
        yield server.getsockname()[1]
