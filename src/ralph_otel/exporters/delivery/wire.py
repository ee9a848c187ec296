"""One request to a receiver, once, and what came back.

The official exporters send: endpoints, headers, certificates, proxies, compression and timeouts are theirs to know.
They are given nothing to send, and that nothing is exchanged on its way for the request that is meant; so they neither
try again nor throw the answer away. All it takes of them is, by HTTP, a session of one's own, and by gRPC, a stub.
"""

from __future__ import annotations

import gzip
import os
import zlib
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import requests

from ralph_otel.exporters import otlp
from ralph_otel.exporters.delivery import payload
from ralph_otel.exporters.delivery.answers import NO_REQUEST, Verdict, by_grpc, by_http, oversized, unreachable
from ralph_otel.exporters.delivery.delivered import address
from ralph_otel.exporters.otlp import Signal

_MODULES = {
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
"""Module and class below `opentelemetry.exporter.otlp.proto.http` and `.grpc`."""
_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""
_MIB = 1 << 20


def wire(signal: Signal, target: str | None) -> Wire:
    """The wire for a signal; `target` is a URL or `host:port`, and where it is None the variables say.

    Raises:
        Exception: whatever the official exporter raises where a variable will not do.
    """
    return (GrpcWire if otlp.protocol(signal, target) == "grpc" else HttpWire)(signal, target)


class Wire(ABC):
    """Sends one request at a time. Belongs to one thread.

    Args:
        signal: what is sent.
        target: where to; None: the variables say.
    """

    protocol: str
    limit: int
    """Bytes of a request before compression: what the specification recommends as the most."""

    def __init__(self, signal: Signal, target: str | None) -> None:
        self.signal = signal
        self._target = target
        self._body = b""
        self._timeout = 0.0
        self._verdict: Verdict | None = None
        self.exporter: Any = self._make()
        self.endpoint = str(self.exporter._endpoint)
        self.name = f"{signal} to {address(self.endpoint)}"
        """For a person: what goes where."""

    def send(self, body: bytes, timeout: float) -> Verdict:
        """Send a serialized request; the answer is waited for as the exporter is set, and at most `timeout` seconds."""
        if len(body) > self.limit:
            return oversized(self.limit)
        self._body, self._timeout, self._verdict = body, timeout, None
        try:
            if self.exporter is None:
                self.exporter = self._make()
            self.exporter.export(_nothing(self.signal))
        except Exception as error:  # noqa: BLE001 — whatever an exporter raises, no answer came
            return unreachable(error)
        return self._verdict if self._verdict is not None else unreachable(ConnectionError())

    def close(self) -> None:
        """Give the connection back."""
        exporter, self.exporter = self.exporter, None
        if exporter is not None:
            with suppress(Exception):  # of some versions, on a channel that has failed
                exporter.shutdown()

    @abstractmethod
    def _make(self) -> Any:
        """The official exporter, whose sending is ours."""

    def _official(self, package: str, **options: Any) -> Any:
        module, name = _MODULES[self.signal]
        cls = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{package}.{module}"), name)
        return cls(**otlp.arguments(self.signal, self._target, self.protocol), **options)


def _nothing(signal: Signal) -> Any:
    """What an exporter is given to send, in the place of which the request goes."""
    if signal != "metrics":
        return ()
    from opentelemetry.sdk.metrics.export import MetricsData

    return MetricsData([])


class HttpWire(Wire):
    """By HTTP, with protobuf."""

    protocol = "http"
    limit = 20 * _MIB

    def _make(self) -> Any:
        session = _provided_session(self.signal) or requests.Session()
        self._request = session.request
        session.request = self._exchanged  # type: ignore[assignment, method-assign]
        return self._official("http", session=session)

    def _exchanged(self, method: str, url: str, **options: Any) -> requests.Response:
        headers = {**_session_headers(self._request), **(options.get("headers") or {})}
        compression = next((value for name, value in headers.items() if name.lower() == "content-encoding"), "")
        options["data"] = _compressed(self._body, str(compression).lower())
        options["timeout"] = min(options.get("timeout") or self._timeout, self._timeout)
        options["allow_redirects"] = False
        try:
            with self._request(method, url, **{**options, "stream": True}) as response:
                self._verdict = self._judge(response)
        except (requests.RequestException, OSError, ValueError) as error:
            self._verdict = unreachable(error)
        return _accepted()

    def _judge(self, response: requests.Response) -> Verdict:
        rejected = 0
        if response.status_code < 300:
            # An answer that breaks off has said with its status that the request was taken.
            with suppress(Exception):
                answer = response.raw.read(_ANSWER, decode_content=True)
                if "protobuf" in response.headers.get("Content-Type", ""):
                    rejected = payload.rejected(self.signal, payload.response_class(self.signal).FromString(answer))
        return by_http(response.status_code, response.headers.get("Retry-After"), rejected)


def _session_headers(request: Any) -> dict[str, str]:
    return dict(request.__self__.headers)


def _compressed(body: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(body, mtime=0)
    return zlib.compress(body) if compression == "deflate" else body


def _accepted() -> requests.Response:
    """What the exporter is told, whatever came: it has nothing to try again."""
    response = requests.Response()
    response.status_code, response.reason = 200, "OK"
    response._content = b""
    return response


def _provided_session(signal: Signal) -> requests.Session | None:
    """The session of a credential provider, which the exporter would take where it is given none."""
    names = ("HTTP_CREDENTIAL_PROVIDER", f"HTTP_{signal.upper()}_CREDENTIAL_PROVIDER")
    chosen = next(filter(None, (os.environ.get(f"OTEL_PYTHON_EXPORTER_OTLP_{name}") for name in names)), None)
    if chosen is None:
        return None
    found = entry_points(group="opentelemetry_otlp_credential_provider", name=chosen)
    session = next(iter(found)).load()() if found else None
    if not isinstance(session, requests.Session):
        raise ValueError(f"OTEL_PYTHON_EXPORTER_OTLP_{names[0]}: {chosen} gives no session")
    return session


class GrpcWire(Wire):
    """By gRPC."""

    protocol = "grpc"
    limit = 4 * _MIB
    _message: Any = None

    def _make(self) -> Any:
        for name in ("error_details", "status"):
            import_module(f"google.rpc.{name}_pb2")  # now: a process that is forked during an import cannot end it
        exporter = self._official("grpc")
        self._stub, exporter._client = exporter._client, self
        return exporter

    def Export(self, request: Any, metadata: Any = None, timeout: float | None = None) -> Any:
        """Called by the exporter in the place of the stub's: send the request that is meant."""
        import grpc  # type: ignore[import-untyped]  # grpcio has no types

        try:
            answer = self._stub.Export(
                request=self._message, metadata=metadata, timeout=min(timeout or self._timeout, self._timeout)
            )
            self._verdict = by_grpc("OK", rejected=payload.rejected(self.signal, answer))
        except grpc.RpcError as error:
            code = error.code().name
            self._verdict = by_grpc(code, error.details() or "", _delay(error.trailing_metadata()))
        return payload.response_class(self.signal)()

    def send(self, body: bytes, timeout: float) -> Verdict:
        """As of any wire; after a failure the next one connects anew: a channel may take minutes to try again."""
        self._message = payload.parsed(self.signal, body)
        if self._message is None:
            return NO_REQUEST
        verdict = super().send(body, timeout)
        if verdict.said == "gRPC UNAVAILABLE":
            self.close()
        return verdict


def _delay(metadata: Any) -> float | None:
    """The seconds of a `RetryInfo`, in the details of the status, or by itself as some servers send it."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    info = RetryInfo()
    for name, value in metadata or ():
        with suppress(DecodeError):
            if name == "google.rpc.retryinfo-bin":
                return _seconds(RetryInfo.FromString(value))
            if name == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    if detail.Unpack(info):
                        return _seconds(info)
    return None


def _seconds(info: Any) -> float:
    return float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9
