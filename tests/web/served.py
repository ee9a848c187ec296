"""A `ralph-otel web` in a process of its own, and readers of its events."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from support.waiting import until

_URL = re.compile(r"https?://\S+/")


class Served:
    """The server; it answers when this is made.

    Attributes:
        url: where it is, with a slash at the end.
        said: what it has written, stdout and stderr together.
    """

    def __init__(self, home: Path, *arguments: str, port: int = 0) -> None:
        words = [sys.executable, "-m", "ralph_otel", "web", "--port", str(port), "--interval", "0.1", *arguments]
        environment = {**os.environ, "RALPH_OTEL_HOME": str(home)}
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.said = ""
        while (found := _URL.search(self.said)) is None and (line := self.process.stdout.readline()):
            self.said += line
        if found is None:
            self.stop()
        self.url = found[0] if found else ""
        assert self.url, self.said
        self.host, self.port = urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """What it answers. Underlines in the names of headers are hyphens."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def stop(self, number: int = signal.SIGINT) -> int:
        """Tell it to end, and wait for that. Returns the exit code; once more does no harm."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.said += self.process.stdout.read()
            self.process.stdout.close()
        return code


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@contextlib.contextmanager
def served(home: Path, *arguments: str, port: int = 0) -> Iterator[Served]:
    """A server that ends with the block."""
    server = Served(home, *arguments, port=port)
    try:
        yield server
    finally:
        server.stop()


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    id: str
    data: Any


class Reader:
    """Somebody who reads the events, on a thread.

    Attributes:
        events: those that have come.
        ended: whether the stream has ended.
    """

    def __init__(self, server: Served, path: str = "/api/events", last: str = "") -> None:
        self.events: list[Event] = []
        self.ended = False
        self._socket = socket.create_connection((server.host, server.port), 60)
        self._socket.settimeout(None)
        host = f"{server.host}:{server.port}"
        header = f"Last-Event-ID: {last}\r\n" if last else ""
        self._socket.sendall(f"GET {quote(path, '/?=&')} HTTP/1.0\r\nHost: {host}\r\n{header}\r\n".encode())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._socket.makefile("rb") as lines:
            while lines.readline().strip():  # status and headers
                pass
            fields: dict[str, str] = {}
            for raw in lines:
                name, _, text = raw.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = text
                elif "data" in fields:
                    self.events.append(Event(fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                    fields = {}
        self.ended = True

    def of(self, name: str) -> list[Any]:
        """The data of all events of a name so far."""
        return [event.data for event in list(self.events) if event.name == name]

    def wait(self, name: str, how_many: int = 1) -> list[Any]:
        """The same, once there are so many."""
        until(lambda: len(self.of(name)) >= how_many, what=f"for {how_many} {name}: {self.events}")
        return self.of(name)

    @property
    def last_id(self) -> str:
        """The id of the last event that has one."""
        return [event.id for event in self.events if event.id][-1]

    def close(self) -> None:
        """Go away."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)


@contextlib.contextmanager
def reading(server: Served, path: str = "/api/events", last: str = "") -> Iterator[Reader]:
    """A reader that goes away with the block."""
    reader = Reader(server, path, last)
    try:
        yield reader
    finally:
        reader.close()
