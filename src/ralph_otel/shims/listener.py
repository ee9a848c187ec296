"""Takes what the agents' stand-ins tell, on a thread of its own. The format is that of `observer`."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ralph_otel.notices import notice

_CHUNK = 1 << 18
_LONGEST_HEADER = 64
_FLUSH = 1.0
"""Seconds in which a stand-in that has ended may have told everything."""
_UNHURRIED = 0.5
"""Seconds of these in which output is looked at; then only when agents started and ended, which must not be lost."""


@dataclass(frozen=True)
class Frame:
    """Something that a stand-in tells.

    Args:
        kind: `started`, `output`, `ended` or `killed`.
        ts: when, in Unix nanoseconds.
        payload: see `observer`.
    """

    kind: str
    ts: int
    payload: bytes

    def values(self) -> list[str]:
        """The payload as texts."""
        return self.payload.decode(errors="surrogateescape").split("\0")


class Told(Protocol):
    """Takes what one stand-in tells, from its first word to its last."""

    def take(self, frame: Frame) -> None:
        """It tells something."""

    def gone(self) -> None:
        """It will tell no more."""

    def lives(self) -> bool:
        """Whether it may still tell something: its agent goes on."""


class _Connection:
    def __init__(self, connection: socket.socket, told: Told) -> None:
        self.socket = connection
        self.told = told
        self._data = bytearray()

    def read(self, hurried: bool) -> bool:
        """Take what is there, and if there is no time without looking at output. Returns False at its end."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._data += data
        while (frame := self._next()) is not None:
            if not hurried or frame.kind != "output":
                self.told.take(frame)
        return bool(data)

    def _next(self) -> Frame | None:
        end = self._data.find(b"\n", 0, _LONGEST_HEADER)
        if end < 0:
            return None
        kind, ts, length = self._data[:end].decode().split()
        whole = end + 1 + int(length)
        if len(self._data) < whole:
            return None
        payload = bytes(self._data[end + 1 : whole])
        del self._data[:whole]
        return Frame(kind, int(ts), payload)


class Listener:
    """Listens on a Unix socket.

    Args:
        path: the socket's; it must be short.
        meet: makes what takes the words of a new stand-in.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, path: Path, meet: Callable[[], Told]) -> None:
        self._meet = meet
        self._stopping = False
        self._patience = 0.0
        self._hurried = False
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.setblocking(False)
        self._server.bind(os.fspath(path))
        self._server.listen(1024)
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="ralph-otel-agents", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self, patience: float = 0.0) -> None:
        """Take what has been told so far, and end. What agents that go on still tell is lost.

        Args:
            patience: seconds in which agents that go on may end yet, up to 1.
        """
        self._patience = patience
        if self._thread.is_alive():
            self._stopping = True
            self._waker.send(b"\0")
            self._thread.join(2 * _FLUSH)
        for open_ in (self._server, self._wake, self._waker):
            open_.close()

    def _run(self) -> None:
        while not self._stopping:
            self._round(None)
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _FLUSH and (
            self._round(0.0) or any(not each.told.lives() or waited < self._patience for each in self._connections())
        ):
            self._hurried = waited > _UNHURRIED
            self._round(0.01)
        for connection in self._connections():
            self._end(connection)
        self._selector.close()

    def _connections(self) -> list[_Connection]:
        return [key.data for key in self._selector.get_map().values() if key.data is not None]

    def _round(self, timeout: float | None) -> bool:
        """Take what there is. Returns whether there was anything."""
        busy = False
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                self._hear(key.data)
                busy = True
            elif key.fileobj is self._server:
                busy = self._accept() or busy
            else:
                self._wake.recv(16)
        return busy

    def _accept(self) -> bool:
        try:
            connection, _ = self._server.accept()
        except OSError:
            return False
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, _Connection(connection, self._meet()))
        return True

    def _hear(self, connection: _Connection) -> None:
        try:
            if connection.read(self._hurried):
                return
            connection.told.gone()
        except Exception as error:  # noqa: BLE001 — one agent must not cost the others
            notice(f"an agent is not seen on: {type(error).__name__}: {error}; please report this")
        self._end(connection)

    def _end(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
