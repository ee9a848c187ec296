"""The endpoint that Prometheus scrapes."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qsl

from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client.exposition import gzip_accepted

from ralph_otel.exporters.prometheus.families import render
from ralph_otel.notices import notice, shown
from ralph_otel.serving import Admission
from ralph_otel.serving.bounded import BoundedServer, EndpointError, Handler, listen

__all__ = ["EndpointError", "PrometheusServer"]

_TEXT = "text/plain; charset=utf-8"
_PAGE = b'<!doctype html><title>ralph-otel</title><p>Metrics for Prometheus: <a href="/metrics">/metrics</a>\n'
_CLOSING = 0.4
"""Seconds that answers still under way have when the server closes."""
_PATIENCE = 10.0
"""Seconds that one scrape waits for another."""

Read = Callable[[], MetricsData | None]
Rendered = tuple[bytes, str]
"""The text of a scrape, and its content type."""


class PrometheusServer:
    """An HTTP server on threads of its own with `/metrics`, and a page at `/` that leads there.

    Args:
        read: gives the metrics, as `SnapshotReader.read` does; called for a scrape, or for all those that wait when it
            begins. It may be replaced while the server runs. If it raises, that scrape is answered with 500 and the
            next one tries again.
        admission: the address to listen on, and who is let in.
        port: the first port to try; 0: any free one.
        last_port: the last port to try where those before it are in use; only `port` is tried if it is greater.
        instance: whose metrics they are. Who asks for another's, `/metrics?instance=RUN`, is answered with 410: that
            one had this port before, and is gone.

    Raises:
        EndpointError: no port is free, or the address cannot be had.
    """

    def __init__(
        self,
        read: Read,
        admission: Admission | None = None,
        port: int = 9464,
        last_port: int = 9474,
        instance: str = "",
    ) -> None:
        self.read = read
        ports = range(port, port + 1 if port == 0 else max(port, min(last_port, 65535)) + 1)
        handler = type("_Scraped", (_Handler,), {"scrapes": _Scrapes(self), "instance": instance})
        self._server: BoundedServer | None = listen(handler, admission or Admission(), ports, "ralph-otel-prometheus")
        self.address: tuple[str, int] = self._server.server_address[:2]  # type: ignore[assignment]  # (str, int, …)
        """Host and port it listens on; what they were, once it is closed."""
        self.scheme = "http" if admission is None or admission.tls is None else "https"
        self._closing = threading.Lock()

    @property
    def url(self) -> str:
        """Where the metrics are."""
        host, port = self.address
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    def close(self) -> None:
        """Stop listening and end all connections, within a second. Harmless when it is already closed."""
        with self._closing:
            server, self._server = self._server, None
        if server is not None:
            server.close(_CLOSING)


class _Scrapes:
    """Scrapes that wait at the same time share one collection: it began after the last of them had asked."""

    def __init__(self, endpoint: PrometheusServer) -> None:
        self._endpoint = endpoint
        self._turn = threading.Lock()
        self._began = float("-inf")
        self._data: MetricsData | None = None
        self._rendered: dict[tuple[str, bool], Rendered] = {}

    def get(self, accept: str, zipped: bool) -> Rendered:
        """What a scrape is answered with.

        Raises:
            TimeoutError: another scrape does not end.
            Exception: whatever the endpoint's `read` raises.
        """
        asked = time.monotonic()
        if not self._turn.acquire(timeout=_PATIENCE):
            raise TimeoutError(f"another scrape has been collecting for {_PATIENCE:g} seconds")
        try:
            if self._began <= asked:
                self._rendered.clear()
                began = time.monotonic()
                self._data = self._endpoint.read()
                self._began = began
            elif (accept, zipped) in self._rendered:
                return self._rendered[accept, zipped]
            text, content_type = render(self._data, accept)
            rendered = (gzip.compress(text, compresslevel=1) if zipped else text), content_type
            if len(self._rendered) < 4:
                self._rendered[accept, zipped] = rendered
            return rendered
        finally:
            self._turn.release()


class _Handler(Handler):
    scrapes: _Scrapes
    instance: str

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/metrics" and self._is_meant(query):
            self._metrics()
        elif path == "/metrics":
            self.answer(410, _TEXT, b"gone; another loop has this port now\n")
        elif path == "/":
            self.answer(200, "text/html; charset=utf-8", _PAGE)
        else:
            self.answer(404, _TEXT, b"not found; the metrics are at /metrics\n")

    do_HEAD = do_GET

    def _is_meant(self, query: str) -> bool:
        """Whether we are asked for, or whoever is here."""
        asked = [text for name, text in parse_qsl(query, encoding="utf-8") if name == "instance"]
        return not (asked and self.instance) or self.instance in asked

    def _metrics(self) -> None:
        zipped = bool(gzip_accepted(self.headers.get("Accept-Encoding", "")))
        try:
            body, content_type = self.scrapes.get(self.headers.get("Accept", ""), zipped)
        except Exception as error:  # noqa: BLE001  # the host's callbacks raise what they like
            notice(f"Prometheus: a scrape failed, {type(error).__name__}: {shown(str(error))}")
            self.answer(500, _TEXT, f"no metrics this time: {type(error).__name__}\n".encode())
        else:
            self.answer(200, content_type, body, {"Content-Encoding": "gzip"} if zipped else None)
