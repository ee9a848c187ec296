"""Ports on 127.0.0.1."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterable

HOST = "127.0.0.1"
_NEXT = 100
"""Ports that are tried from the preferred one on."""
_OURS = range(16_384, 32_768)
"""Below those that systems give to connections and to whoever asks for any port: one found free here stays so."""
_given: set[int] = set()


def free_port(preferred: int = 0) -> int:
    """A port that is free for TCP and UDP, and has not been given before: the preferred one, else the next; 0: any.

    Raises:
        OSError: there is none.
    """
    for port in _candidates(preferred):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise OSError(f"no port from {preferred or _OURS.start} on is free on {HOST}")


def _candidates(preferred: int) -> Iterable[int]:
    return range(preferred, preferred + _NEXT) if preferred else random.sample(_OURS, len(_OURS))


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just been closed is free
        tcp.bind((HOST, port))
        udp.bind((HOST, port))
        return True
    return False
