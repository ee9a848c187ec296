"""Ports on 127.0.0.1."""

from __future__ import annotations

import contextlib
import socket

HOST = "127.0.0.1"
_TRIED = 100


def free_port(preferred: int = 0) -> int:
    """A port that is free just now for TCP and UDP: the preferred one, else the next that is; 0: any."""
    for port in range(preferred, preferred + _TRIED if preferred else 1):
        with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just been closed is free
            tcp.bind((HOST, port))
            found: int = tcp.getsockname()[1]
            udp.bind((HOST, found))
            return found
    return free_port()
