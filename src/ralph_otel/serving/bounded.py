"""An HTTP server on threads that bad clients cannot hurt: bounded connections, each for a bounded time.

Python's own HTTP server, for what it does not do: it closes at once, it hangs up on a client that is slow or says
nothing, it has a greatest number of connections, and it does not ask the name service for its own name when it starts.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BufferedIOBase
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from ralph_otel.notices import notice, shown
from ralph_otel.serving.admission import Admission

MOST = 64
"""Connections at once. More wait in the system's queue."""
_QUEUE = 512
"""Connections that the system holds until it is their turn; it may hold fewer."""
_ASKING, _WHOLE = 10.0, 60.0
"""Seconds that a client has to send its request; and to have received the answer."""
_ASKING_IN_A_CROWD, _WHOLE_IN_A_CROWD = 0.25, 5.0
"""The same, for the client that came first, while others wait for its place."""
_BIGGEST_REQUEST = 65_536
"""Bytes of a request's line and headers together."""
_POLL = 0.25
"""Seconds after which the server looks at its clients, and whether it is to close."""


class EndpointError(OSError):
    """The endpoint cannot be opened; the text says where and why: `ports 9464 to 9474 are all in use on 127.0.0.1`."""


@dataclass
class _Client:
    connection: socket.socket
    thread: threading.Thread
    since: float = field(default_factory=time.monotonic)
    """When it came, by the monotonic clock."""
    has_asked: bool = False

    def is_late(self, now: float, asking: float, whole: float) -> bool:
        return now - self.since > (whole if self.has_asked else asking)

    def hang_up(self, how: int = socket.SHUT_RDWR) -> None:
        with suppress(OSError):
            socket.socket.shutdown(self.connection, how)  # not SSLSocket's, which takes TLS off under its reader


class Handler(BaseHTTPRequestHandler):
    """Answers one request a connection, if it is let in. A subclass has `do_GET()`."""

    server: BoundedServer
    timeout = _ASKING
    server_version, sys_version = "ralph-otel", ""

    def setup(self) -> None:
        """Read no more than a request may have."""
        super().setup()
        self.rfile = _Limited(self.rfile, _BIGGEST_REQUEST)

    def parse_request(self) -> bool:
        """Read the request, and answer it at once if it is not let in."""
        if not super().parse_request():
            return False
        self.server.has_asked()
        refusal = self.server.admission.refusal(self.command, self.headers.get)
        if refusal is not None:
            self.answer(refusal.status, "text/plain; charset=utf-8", refusal.text.encode(), refusal.headers)
        return refusal is None

    def answer(self, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Nothing on stderr for a request."""


class _Limited(BufferedIOBase):
    """What a client sends, as long as it is not too much; after that, nothing."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._left = stream, most

    def readline(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        line: bytes = self._stream.readline(wanted)
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()
        super().close()


class BoundedServer(ThreadingMixIn, HTTPServer):
    """Listens, on a daemon thread of its own, and answers every connection on another.

    Args:
        handler: what answers.
        admission: where it listens, and who is let in.
        port: the port; 0: any free one.
        name: its thread's name.

    Raises:
        OSError, OverflowError, UnicodeError: the address or the port cannot be had, or the certificate not be read.
    """

    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers have the same port
    request_queue_size = _QUEUE
    daemon_threads = True

    def __init__(self, handler: type[Handler], admission: Admission, port: int, name: str) -> None:
        self.admission = admission
        self.address_family = _family(admission.host, port)
        self._tls = admission.tls.context() if admission.tls is not None else None
        self._clients: dict[threading.Thread, _Client] = {}
        self._room = threading.Condition()
        self._closing = False
        super().__init__((admission.host, port), handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), name=name, daemon=True)
        self._thread.start()

    def close(self, patience: float) -> None:
        """Stop listening, and end all connections: those under way after `patience` seconds."""
        self._closing = True
        if self._thread.is_alive():  # not so in a process that was forked off; shutdown() would wait for ever there
            with self._room:
                self._room.notify_all()
            self.shutdown()
            self._thread.join(patience)
        self.server_close()
        self._hang_up(patience)

    def has_asked(self) -> None:
        """The client of this thread has sent its request."""
        if client := self._clients.get(threading.current_thread()):
            client.has_asked = True

    # -- what the base classes call ------------------------------------------------------------------------------------

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the name service, which can take many seconds
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # (str, int, …)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:  # the handshake itself is for the client's own thread
            return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
        except OSError:
            connection.close()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, as soon as there is room."""
        with self._room:
            while len(self._clients) >= MOST and not self._closing:
                self._hang_up_on_the_late(_ASKING_IN_A_CROWD, _WHOLE_IN_A_CROWD)
                self._room.wait(_POLL)
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="ralph-otel-scrape", daemon=True
        )
        self._clients[thread] = _Client(request, thread)
        thread.start()

    def service_actions(self) -> None:
        self._hang_up_on_the_late(_ASKING, _WHOLE)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nobody need know that a client has gone away; the base class prints a traceback."""
        error = sys.exception()
        if not isinstance(error, OSError):
            notice(f"a request failed, {type(error).__name__}: {shown(str(error))}")

    # -- clients -------------------------------------------------------------------------------------------------------

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(_ASKING)
            if isinstance(request, ssl.SSLSocket):
                with suppress(OSError):  # what is left to read of it is the end
                    request.do_handshake()
            self.process_request_thread(request, client_address)
        finally:
            with self._room:
                self._clients.pop(threading.current_thread(), None)
                self._room.notify()

    def _hang_up_on_the_late(self, asking: float, whole: float) -> None:
        now = time.monotonic()
        for client in list(self._clients.values()):
            if client.is_late(now, asking, whole):
                client.hang_up()

    def _hang_up(self, patience: float) -> None:
        """End all connections: those that wait for a request at once, those that answer after `patience` seconds."""
        clients = list(self._clients.values())
        deadline = time.monotonic() + patience
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            for client in clients:
                if client.thread.is_alive():
                    client.hang_up(how)
            for client in filter(lambda each: each.thread.is_alive(), clients):
                client.thread.join(max(0.0, deadline - time.monotonic()))


def listen(handler: type[Handler], admission: Admission, ports: range, name: str) -> BoundedServer:
    """A server on the first of these ports that is free; port 0 is any free one.

    Raises:
        EndpointError: no port is free, the address cannot be had, or the certificate cannot be read.
    """
    host = admission.host
    try:
        for port in ports:
            try:
                return BoundedServer(handler, admission, port, name)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EndpointError(f"cannot listen on {host}, port {ports[0]}: {reason}") from error
    tried = f"port {ports[0]} is" if len(ports) == 1 else f"ports {ports[0]} to {ports[-1]} are all"
    raise EndpointError(f"{tried} in use on {host}")


def _family(host: str, port: int) -> int:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
