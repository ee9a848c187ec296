"""A receiver of OTLP on 127.0.0.1, by HTTP or gRPC, that keeps what comes and answers as it is told.

Assert here what was sent: the SDK's own `force_flush` says True even when the receiver has said 400.
"""

from __future__ import annotations

import gzip
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]  # grpcio has no types
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .waiting import until

_SIGNALS: dict[str, tuple[str, Any, Any]] = {
    "metrics": (
        "metrics.v1.MetricsService", metrics_pb.ExportMetricsServiceRequest, metrics_pb.ExportMetricsServiceResponse
    ),
    "traces": ("trace.v1.TraceService", trace_pb.ExportTraceServiceRequest, trace_pb.ExportTraceServiceResponse),
    "logs": ("logs.v1.LogsService", logs_pb.ExportLogsServiceRequest, logs_pb.ExportLogsServiceResponse),
}  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """What a request is answered with.

    Args:
        status: by HTTP 200, 400, 503 …; by gRPC the status that means the same, unless `code` says which.
        code: by gRPC, the name of the status.
        headers: by HTTP, further headers.
        rejected: how many items a partial success says were left out.
        delay: by gRPC, the seconds of a `RetryInfo`.
        details: by gRPC, the text of the status.
        cut: by HTTP, where the connection breaks off: `answer`, before it, or `body`, in the middle of its body.
        hang: take the request and never answer.
    """

    status: int = 200
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rejected: int = 0
    delay: float | None = None
    details: str = "as the test wants it"
    cut: str = ""
    hang: bool = False

    @property
    def taken(self) -> bool:
        """Whether the sender is told that the request was taken."""
        return self.status == 200 and self.code in ("", "OK") and self.cut != "answer" and not self.hang


@dataclass
class Request:
    """One export as it came."""

    signal: str
    """`metrics`, `traces` or `logs`."""
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    message: Any
    """The decoded request."""
    reply: Reply = field(default_factory=Reply)
    """What it was answered with."""


@dataclass
class Received:
    """What has come, and how the next request is answered."""

    url: str = ""
    """What OTEL_EXPORTER_OTLP_ENDPOINT must be."""
    status: int = 200
    """200, 400, 503 …; by gRPC the status that means the same."""
    silent: bool = False
    """Take requests and never answer."""
    requests: list[Request] = field(default_factory=list)
    """Every request, those that were answered with an error too."""
    script: list[Reply] = field(default_factory=list)
    """How the next requests are answered, before `status` and `silent` count again."""
    ended: threading.Event = field(default_factory=threading.Event)

    def reply(self) -> Reply:
        """How a request that has just come is answered."""
        return self.script.pop(0) if self.script else Reply(self.status, hang=self.silent)

    def of(self, signal: str) -> list[Any]:
        """The decoded requests of a signal, in order."""
        return [request.message for request in list(self.requests) if request.signal == signal]

    def taken(self, signal: str) -> list[Any]:
        """Those of them whose sender was told that they were taken."""
        return [each.message for each in list(self.requests) if each.signal == signal and each.reply.taken]

    def wait_for(self, signal: str, count: int = 1, seconds: float = 60) -> None:
        """Return once so many requests of a signal have come."""
        until(lambda: len(self.of(signal)) >= count, seconds, f"for {count} requests with {signal}")

    def spans(self) -> list[Span]:
        """All spans, in the order they came."""
        return [
            span
            for message in self.of("traces")
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self) -> list[LogRecord]:
        """All log records, in the order they came."""
        return [
            record
            for message in self.of("logs")
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metrics(self) -> dict[str, Metric]:
        """Every metric by its name, as it came last."""
        return {
            metric.name: metric
            for message in self.of("metrics")
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def resource(self, signal: str) -> dict[str, Any]:
        """The attributes of the resource in the last request of a signal."""
        return attributes(next(_resources(self.of(signal)[-1])).attributes)


def _resources(message: Any) -> Iterator[Resource]:
    for name in ("resource_metrics", "resource_spans", "resource_logs"):
        for each in getattr(message, name, ()):
            yield each.resource


def attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Attributes as a dict of Python values."""
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None


def totals(messages: Iterable[Any], *names: str) -> list[tuple[str, Any]]:
    """What requests of metrics say of those by these names, in order: the sender's instance id, and all points' sum."""
    return [
        (attributes(resource.resource.attributes)["service.instance.id"], sum(points(metric).values()))
        for message in messages
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name in names
    ]


def points(metric: Metric) -> dict[frozenset[tuple[str, Any]], Any]:
    """A metric's data points by their attributes: numbers, and histograms as (count, sum)."""
    data = getattr(metric, metric.WhichOneof("data") or "sum")
    found = {}
    for point in data.data_points:
        key = frozenset(attributes(point.attributes).items())
        if hasattr(point, "bucket_counts"):
            found[key] = (point.count, point.sum)
        else:
            found[key] = getattr(point, point.WhichOneof("value"))
    return found


def _answer(signal: str, reply: Reply) -> Any:
    answer = _SIGNALS[signal][2]()
    if reply.rejected:
        name = {"metrics": "data_points", "traces": "spans", "logs": "log_records"}[signal]
        setattr(answer.partial_success, f"rejected_{name}", reply.rejected)
        answer.partial_success.error_message = "as the test wants it"
    return answer


class HttpReceiver:
    """OTLP/HTTP with protobuf. Use with `with`; gives a `Received`.

    Args:
        port: where it listens; 0: anywhere.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def __enter__(self) -> Received:
        received = Received()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                elif self.headers.get("Content-Encoding") == "deflate":
                    body = zlib.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                signal = self.path.rpartition("/")[2]
                known = _SIGNALS.get(signal)
                try:
                    message = known[1].FromString(body) if known else None
                except DecodeError:
                    self.send_error(400)
                    return
                reply = received.reply() if known else Reply(404)
                received.requests.append(Request(signal, self.path, headers, message, reply))
                if reply.hang:
                    received.ended.wait(60)
                if reply.hang or reply.cut == "answer":
                    self.close_connection = True
                    return
                answer = _answer(signal, reply).SerializeToString() if known else b""
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer) + 100 * (reply.cut == "body")))
                self.end_headers()
                self.wfile.write(answer)
                self.close_connection = self.close_connection or reply.cut == "body"

            def log_message(self, *args: Any) -> None:
                """Nothing on stderr for a request."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing on stderr for a client that has not waited for its answer: some other test may look there."""
                if not isinstance(sys.exception(), OSError):
                    super().handle_error(request, client_address)

        self._received = received
        self._server = Server(("127.0.0.1", self._port), Handler)
        received.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return received

    def __exit__(self, *error: object) -> None:
        self._received.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


_GRPC_STATUS = {400: grpc.StatusCode.INVALID_ARGUMENT, 503: grpc.StatusCode.UNAVAILABLE}


class GrpcReceiver:
    """OTLP/gRPC, likewise."""

    def __init__(self, port: int = 0) -> None:
        self._port = port

    def __enter__(self) -> Received:
        received = self._received = Received()
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers(tuple(_service(received, signal) for signal in _SIGNALS))
        port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self._server.start()
        received.url = f"http://127.0.0.1:{port}"
        return received

    def __exit__(self, *error: object) -> None:
        self._received.ended.set()
        self._server.stop(0).wait(10)
        self._pool.shutdown(wait=False)


def _retry_info(seconds: float) -> bytes:
    """A status with a `RetryInfo` in its details, as servers send it."""
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(round(seconds * 1e9))
    status = Status()
    status.details.add().Pack(info)
    return bytes(status.SerializeToString())


def _service(received: Received, signal: str) -> Any:
    name, request_type, _ = _SIGNALS[signal]

    def export(message: Any, context: Any) -> Any:
        headers = {each.key.lower(): each.value for each in context.invocation_metadata()}
        reply = received.reply()
        received.requests.append(Request(signal, f"/{name}/Export", headers, message, reply))
        if reply.hang:
            received.ended.wait(60)
        if not reply.taken:
            if reply.delay is not None:
                context.set_trailing_metadata((("grpc-status-details-bin", _retry_info(reply.delay)),))
            code = grpc.StatusCode[reply.code] if reply.code else _GRPC_STATUS.get(reply.status)
            context.abort(code or grpc.StatusCode.UNKNOWN, reply.details)
        return _answer(signal, reply)

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=request_type.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )
    return grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{name}", {"Export": handler})
