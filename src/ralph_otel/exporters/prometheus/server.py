"""The endpoint that Prometheus scrapes.

Python's own HTTP server, for three things that prometheus_client's `start_http_server` does not do: it closes at once,
it hangs up on a client that says nothing, and it does not ask the name service for its own name when it starts.
"""

from __future__ import annotations

import errno
import gzip
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client.exposition import gzip_accepted

from ralph_otel.exporters.prometheus.families import render
from ralph_otel.notices import notice, shown

_TEXT = "text/plain; charset=utf-8"
_PAGE = b'<!doctype html><title>ralph-otel</title><p>Metrics for Prometheus: <a href="/metrics">/metrics</a>\n'
_CLIENT_TIMEOUT = 10.0
"""Seconds that a client may take to send or to receive anything."""
_POLL = 0.25
"""Seconds after which the server's thread looks whether it is to close."""
_CLOSING = 0.4
"""Seconds that answers still under way have when the server closes."""

Read = Callable[[], MetricsData | None]


class EndpointError(OSError):
    """The endpoint cannot be opened; the text says where and why: `ports 9464 to 9474 are all in use on 127.0.0.1`."""


class PrometheusServer:
    """An HTTP server on threads of its own with `/metrics`, and a page at `/` that leads there.

    Args:
        read: gives the metrics, as `SnapshotReader.read` does; called at every scrape. It may be replaced while the
            server runs. If it raises, that scrape is answered with 500 and the next one tries again.
        host: the address to listen on.
        port: the first port to try; 0: any free one.
        last_port: the last port to try where those before it are in use; only `port` is tried if it is greater.

    Raises:
        EndpointError: no port is free, or the address cannot be had.
    """

    def __init__(self, read: Read, host: str = "127.0.0.1", port: int = 9464, last_port: int = 9474) -> None:
        self.read = read
        self._server: _Server | None = _listen(self, host, port, last_port)
        self.address: tuple[str, int] = self._server.server_address[:2]  # type: ignore[assignment]  # (str, int, …)
        """Host and port it listens on; what they were, once it is closed."""
        self._closing = threading.Lock()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="ralph-otel-prometheus", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end all connections, within a second. Harmless when it is already closed."""
        with self._closing:
            server, self._server = self._server, None
        if server is None:
            return
        if self._thread.is_alive():  # not so in a process that was forked off; shutdown() would wait for ever there
            server.shutdown()
            self._thread.join(_CLOSING)
        server.server_close()
        server.hang_up(_CLOSING)


def _listen(endpoint: PrometheusServer, host: str, port: int, last_port: int) -> _Server:
    ports = [port] if port == 0 else range(port, max(port, min(last_port, 65535)) + 1)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        for each in ports:
            try:
                return _Server(endpoint, family, (host, each))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EndpointError(f"cannot listen on {host}, port {port}: {reason}") from error
    tried = f"port {port} is" if len(ports) == 1 else f"ports {ports[0]} to {ports[-1]} are all"
    raise EndpointError(f"{tried} in use on {host}")


class _Server(ThreadingMixIn, HTTPServer):
    """One daemon thread a connection, each with its socket in `clients` as long as it runs."""

    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers have the same port
    request_queue_size = 64

    def __init__(self, endpoint: PrometheusServer, family: int, address: tuple[str, int]) -> None:
        self.endpoint = endpoint
        self.address_family = family
        self.clients: dict[threading.Thread, socket.socket] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the name service, which can take many seconds
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # (str, int, …)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="ralph-otel-scrape", daemon=True
        )
        self.clients[thread] = request
        thread.start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self.clients.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nobody need know that a client has gone away; the base class prints a traceback."""
        error = sys.exception()
        if not isinstance(error, OSError):
            notice(f"Prometheus: a request failed, {type(error).__name__}: {shown(str(error))}")

    def hang_up(self, patience: float) -> None:
        """End all connections: those that wait for a request at once, those that answer after `patience` seconds."""
        clients = list(self.clients.items())
        deadline = time.monotonic() + patience
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            for thread, client in clients:
                if thread.is_alive():
                    with suppress(OSError):
                        client.shutdown(how)
            for thread, _ in filter(lambda each: each[0].is_alive(), clients):
                thread.join(max(0.0, deadline - time.monotonic()))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_TIMEOUT
    server_version, sys_version = "ralph-otel", ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/":
            self._answer(200, "text/html; charset=utf-8", _PAGE)
        else:
            self._answer(404, _TEXT, b"not found; the metrics are at /metrics\n")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        try:
            body, content_type = render(self.server.endpoint.read(), self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001  # the host's callbacks raise what they like
            notice(f"Prometheus: a scrape failed, {type(error).__name__}: {shown(str(error))}")
            self._answer(500, _TEXT, f"no metrics this time: {type(error).__name__}\n".encode())
        else:
            self._answer(200, content_type, body)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if gzip_accepted(self.headers.get("Accept-Encoding", "")):
            body = gzip.compress(body, compresslevel=1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Nothing on stderr for a request."""
