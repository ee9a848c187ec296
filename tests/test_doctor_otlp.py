"""What the doctor says of an OTLP endpoint, by what really comes back from one."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from ralph_otel.config import MetricsConfig
from ralph_otel.doctor import Finding, Level
from ralph_otel.doctor.findings import Subject
from ralph_otel.doctor.otlp import otlp
from support.ports import free_port

if TYPE_CHECKING:
    from support.receiver import Received


def found(monkeypatch: pytest.MonkeyPatch, endpoint: str, protocol: str = "http/protobuf") -> list[Finding]:
    """The findings of the check for an endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setattr(sys.modules[otlp.__module__], "TIMEOUT", 30.0)  # a busy machine's receiver takes its time
    return list(otlp(Subject(MetricsConfig())))


def only(findings: list[Finding]) -> Finding:
    """The finding for the spans; the others are alike."""
    assert len(findings) == 3
    assert len({finding.level for finding in findings}) == 1
    return findings[1]


@contextlib.contextmanager
def answering(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing on stderr for a request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def check_received(received: Received) -> None:
    """One of each signal has come, named as a test, from whom the configuration says."""
    assert sorted(request.signal for request in received.requests) == ["logs", "metrics", "traces"]
    assert [span.name for span in received.spans()] == ["ralph-otel doctor: a test"]
    assert list(received.metrics()) == ["ralph_otel.doctor.test"]
    assert [record.event_name for record in received.logs()] == ["ralph.doctor.test"]
    for signal in ("metrics", "traces", "logs"):
        resource = received.resource(signal)
        assert (resource["service.name"], resource["service.instance.id"]) == ("my-loops", "doctor")


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_SERVICE_NAME", "my-loops")


def test_one_of_each_signal_is_sent_by_http(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame")
    findings = found(monkeypatch, receiver.url)
    assert [finding.text for finding in findings] == [
        f"metrics by http/protobuf to {receiver.url}/v1/metrics: took a metric, HTTP 200",
        f"traces by http/protobuf to {receiver.url}/v1/traces: took a span, HTTP 200",
        f"logs by http/protobuf to {receiver.url}/v1/logs: took a log record, HTTP 200",
    ]
    assert {finding.level for finding in findings} == {Level.OK}
    check_received(receiver)
    assert {request.headers["authorization"] for request in receiver.requests} == {"Bearer sesame"}


def test_one_of_each_signal_is_sent_by_grpc(grpc_receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = only(found(monkeypatch, grpc_receiver.url, "grpc"))
    address = grpc_receiver.url.removeprefix("http://")
    assert (finding.level, finding.text) == (Level.OK, f"traces by grpc to {address}: took a span, gRPC OK")
    check_received(grpc_receiver)


def test_a_target_of_ours_counts_before_the_variables(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_TARGET", f"otlp={receiver.url}")
    assert only(found(monkeypatch, f"http://127.0.0.1:{free_port()}")).level is Level.OK
    check_received(receiver)


def test_a_sampler_that_drops_every_trace_does_not_drop_the_test(
    receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    found(monkeypatch, receiver.url)
    check_received(receiver)


@pytest.mark.parametrize(
    ("status", "said", "remedy"),
    [
        (307, "HTTP 307 Temporary Redirect", "redirects are not followed"),
        (400, "HTTP 400 Bad Request", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        (401, "HTTP 401 Unauthorized", "set OTEL_EXPORTER_OTLP_HEADERS=authorization=…"),
        (403, "HTTP 403 Forbidden", "OTEL_EXPORTER_OTLP_HEADERS do not suffice"),
        (404, "HTTP 404 Not Found", "OTEL_TRACES_EXPORTER=none"),
        (415, "HTTP 415 Unsupported Media Type", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        (500, "HTTP 500 Internal Server Error", "see its log"),
        (503, "HTTP 503 Service Unavailable", "see its log"),
        (418, "HTTP 418 I'm a Teapot", "see the receiver's log"),
    ],
)
def test_an_http_status_is_said_with_its_likely_remedy(
    receiver: Received, monkeypatch: pytest.MonkeyPatch, status: int, said: str, remedy: str
) -> None:
    receiver.status = status
    finding = only(found(monkeypatch, receiver.url))
    assert finding.level is Level.PROBLEM
    assert finding.text.lower() == f"traces by http/protobuf to {receiver.url}/v1/traces: {said}".lower()
    assert remedy in finding.remedy


@pytest.mark.parametrize(("status", "said"), [(400, "gRPC INVALID_ARGUMENT"), (503, "gRPC UNAVAILABLE")])
def test_a_grpc_code_is_said_with_its_details(
    grpc_receiver: Received, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    grpc_receiver.status = status
    finding = only(found(monkeypatch, grpc_receiver.url, "grpc"))
    assert finding.level is Level.PROBLEM
    assert finding.text.endswith(f": {said}: as the test wants it")
    assert finding.remedy


def test_grpc_spoken_to_a_port_of_http_is_recognised(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = only(found(monkeypatch, receiver.url, "grpc"))
    assert finding.text.endswith("it speaks HTTP, and was spoken to by gRPC")
    assert finding.remedy == "use port 4317, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"


def test_http_spoken_to_a_port_of_grpc_is_recognised(grpc_receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = only(found(monkeypatch, grpc_receiver.url))
    assert finding.text.endswith("it speaks gRPC, and was spoken to by HTTP")
    assert finding.remedy == "use port 4318, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_tls_spoken_to_a_port_without_is_recognised(
    receiver: Received, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    finding = only(found(monkeypatch, receiver.url.replace("http:", "https:"), protocol))
    assert finding.text.endswith(": it speaks no TLS")
    assert finding.remedy == "write http:// instead of https://"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    ("host", "said"), [("127.0.0.1", "nothing listens there"), ("nobody.invalid", "no machine has that name")]
)
def test_an_address_where_nobody_is(monkeypatch: pytest.MonkeyPatch, protocol: str, host: str, said: str) -> None:
    finding = only(found(monkeypatch, f"http://{host}:{free_port()}", protocol))
    assert finding.level is Level.PROBLEM
    assert finding.text.endswith(f": {said}")


def test_a_web_page_in_answer_is_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}) as url:
        finding = only(found(monkeypatch, url))
    assert finding.level is Level.WARNING
    assert finding.text.endswith("/v1/traces: HTTP 200 with text/html; charset=utf-8")
    assert "is it an OTLP receiver?" in finding.remedy


def test_what_a_receiver_refuses_in_part_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    part = ExportTracePartialSuccess(rejected_spans=1, error_message="too \x1b old")
    body = ExportTraceServiceResponse(partial_success=part).SerializeToString()
    with answering(200, body, {"Content-Type": "application/x-protobuf"}) as url:
        finding = found(monkeypatch, url)[1]
    assert finding.level is Level.WARNING
    assert finding.text.endswith("HTTP 200, but refused: 1 (too \\x1b old)")


def test_a_signal_without_an_endpoint_is_not_sent(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
    texts = [finding.text for finding in otlp(Subject(MetricsConfig()))]
    assert texts[0] == "metrics: not sent, as the OTEL_ variables want it"
    assert texts[1].endswith("took a span, HTTP 200")
    assert [request.signal for request in receiver.requests] == ["traces"]


def test_an_exporter_that_cannot_be_set_up_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "sesame")
    finding = only(found(monkeypatch, f"http://127.0.0.1:{free_port()}", "grpc"))
    assert finding.level is Level.PROBLEM
    assert "traces by grpc: cannot be set up: " in finding.text


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("RALPH_OTEL_ENABLED", "no")])
def test_where_nothing_is_recorded_nothing_is_sent(
    receiver: Received, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert found(monkeypatch, receiver.url) == []
    assert receiver.requests == []


def test_without_otlp_it_says_how_it_is_turned_on() -> None:
    (finding,) = otlp(Subject(MetricsConfig()))
    assert finding.level is Level.OK
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=" in finding.text
