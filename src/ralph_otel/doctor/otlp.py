"""OTLP: a metric, a span and a log record are really sent, and what comes back is said.

The official exporters send, as they do for a loop, so that certificates, headers, proxies and compression count. A
witness between them and the network sees the answer, which they keep to themselves.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import requests

from ralph_otel.config import MetricsExportFormat
from ralph_otel.doctor.findings import Finding, Subject, ok, problem, warning
from ralph_otel.doctor.samples import samples
from ralph_otel.exporters.otlp import Signal, arguments, protocol, wanted
from ralph_otel.notices import public_url, shown

SIGNALS: tuple[Signal, ...] = ("metrics", "traces", "logs")
TIMEOUT = 4.0
"""Seconds that an endpoint has for each signal; they are sent side by side."""
_EXPORTERS = {
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
"""Module and class below `opentelemetry.exporter.otlp.proto.http` and `.grpc`."""
_WHAT = {"metrics": "a metric", "traces": "a span", "logs": "a log record"}

_REMEDIES: tuple[tuple[str, str, str], ...] = (
    (r"HTTP 3\d\d", "", "use the address that it redirects to; redirects are not followed"),
    (r"HTTP 400", "", "is it an OTLP receiver? gRPC has port 4317 and OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    (r"HTTP 401|UNAUTHENTICATED", "", "set OTEL_EXPORTER_OTLP_HEADERS=authorization=…, as its owner says"),
    (r"HTTP 403|PERMISSION_DENIED", "", "the credentials in OTEL_EXPORTER_OTLP_HEADERS do not suffice"),
    (
        r"HTTP (404|405)", "",
        "OTEL_EXPORTER_OTLP_ENDPOINT is the base, to which /v1/… is added; OTEL_EXPORTER_OTLP_…_ENDPOINT is used as it"
        " is. A receiver without this signal: OTEL_{SIGNAL}_EXPORTER=none",
    ),
    (r"HTTP 413|RESOURCE_EXHAUSTED", "", "its limits are too low, or used up"),
    (r"HTTP 415", "", "it does not take protobuf by HTTP; try OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    (r"HTTP (429|5\d\d)", "", "it is there, but has trouble of its own; see its log"),
    (r"UNIMPLEMENTED", "", "it has no receiver for this signal: OTEL_{SIGNAL}_EXPORTER=none"),
    (r"WRONG_VERSION_NUMBER|record layer failure", "it speaks no TLS", "write http:// instead of https://"),
    (
        r"CERTIFICATE_VERIFY_FAILED|self.signed", "its certificate is not trusted",
        "set OTEL_EXPORTER_OTLP_CERTIFICATE to the file of its certificate authority",
    ),
    (r"SSLError|Tls handshake|SSL_ERROR", "TLS failed", "see OTEL_EXPORTER_OTLP_CERTIFICATE and …_CLIENT_CERTIFICATE"),
    (
        r"BadStatusLine", "it speaks gRPC, and was spoken to by HTTP",
        "use port 4318, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
    ),
    (
        r"Failed parsing HTTP/2|SETTINGS frame|[Tt]rying to connect an http1",
        "it speaks HTTP, and was spoken to by gRPC",
        "use port 4317, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    ),
    (r"[Rr]efused", "nothing listens there", "start a Collector or another receiver, or mend the address"),
    (r"NameResolution|resolv|hostname lookup", "no machine has that name", "mend the host's name in the endpoint"),
    (
        r"Timeout|timed out|DEADLINE_EXCEEDED", f"no answer within {TIMEOUT:g}s",
        "look at the address, at proxies and firewalls",
    ),
    (r"RemoteDisconnected|reset|aborted|closed", "it hung up", "does it want TLS? then write https://"),
)  # fmt: skip
"""What is to be found in what came back; what that means, "" where it says so itself; the remedy."""


@dataclass
class Answer:
    """What came back: an HTTP response, an error, or both None where that cannot be told."""

    response: Any = None
    error: BaseException | None = None


class _HttpWitness(requests.Session):
    """Sends like any session, notes the answer, and lets a failed connection not be tried again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def request(self, *arguments: Any, **options: Any) -> Any:
        try:
            self._answer.response = super().request(*arguments, **options)
        except requests.RequestException as error:
            self._answer.error = error
            raise requests.RequestException("seen by the doctor") from None
        return self._answer.response


class _GrpcWitness:
    """Sends like the exporter's client, and notes the error."""

    def __init__(self, client: Any, answer: Answer) -> None:
        self._client, self._answer = client, answer

    def Export(self, *arguments: Any, **options: Any) -> Any:
        try:
            return self._client.Export(*arguments, **options)
        except Exception as error:
            self._answer.error = error
            raise


def otlp(subject: Subject) -> Iterator[Finding]:
    """Send one of each signal to where the configuration says."""
    config = subject.config
    if MetricsExportFormat.OTLP not in config.export_format:
        yield ok("not configured; OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318 turns it on")
        return
    if not config.enabled:
        return
    target = config.target(MetricsExportFormat.OTLP)
    data = samples(config)
    found: dict[str, Finding] = {}
    threads = [
        threading.Thread(target=partial(_try, signal, target, data[signal], found), daemon=True)
        for signal in SIGNALS
        if wanted(signal, target)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for signal in SIGNALS:
        yield found.get(signal) or ok(f"{signal}: not sent, as the OTEL_ variables want it")


def _try(signal: Signal, target: str | None, data: Any, found: dict[str, Finding]) -> None:
    how = protocol(signal, target)
    answer = Answer()
    try:
        exporter = _exporter(signal, how, target, answer)
    except Exception as error:  # noqa: BLE001 — a certificate that is not there, a timeout that is none …
        found[signal] = problem(
            f"{signal} by {how}: cannot be set up: {type(error).__name__}: {shown(str(error), 120)}",
            "see the OTEL_EXPORTER_OTLP_ variables",
        )
        return
    where = f"{signal} by {how} to {public_url(str(exporter._endpoint))}"
    try:
        taken = exporter.export(data).name == "SUCCESS"
    except Exception as error:  # noqa: BLE001 — whatever an exporter raises is what came back
        taken, answer.error = False, error
    found[signal] = _judge(signal, where, taken, answer)
    exporter.shutdown()


def _exporter(signal: Signal, how: str, target: str | None, answer: Answer) -> Any:
    module, name = _EXPORTERS[signal]
    kind = "grpc" if how == "grpc" else "http"
    cls = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{kind}.{module}"), name)
    options = arguments(signal, target, how)
    cls(**options).shutdown()  # what the variables say of timeouts counts for a loop, though not here
    if kind == "http":
        return cls(timeout=TIMEOUT, session=_HttpWitness(answer), **options)
    exporter = cls(timeout=TIMEOUT, **options)
    exporter._client = _GrpcWitness(exporter._client, answer)  # its only way to say what came back is its log
    return exporter


def _judge(signal: Signal, where: str, taken: bool, answer: Answer) -> Finding:
    status = getattr(answer.response, "status_code", None)
    if taken and (status is None or status < 300):
        return _taken(signal, where, answer.response)
    evidence, said = _evidence(answer)
    for pattern, meaning, remedy in _REMEDIES:
        if re.search(pattern, evidence):
            return problem(f"{where}: {meaning or said}", remedy.replace("{SIGNAL}", signal.upper()))
    return problem(f"{where}: {said}", "see the receiver's log, and the OTEL_EXPORTER_OTLP_ variables")


def _evidence(answer: Answer) -> tuple[str, str]:
    """All that is known of a failure, which may hold secrets, and what of it may be shown."""
    if answer.response is not None:
        said = f"HTTP {answer.response.status_code} {shown(answer.response.reason or '')[1:-1]}".rstrip()
        return said, said
    error = answer.error
    if error is None:
        return "", "not taken"
    if callable(code := getattr(error, "code", None)) and callable(details := getattr(error, "details", None)):
        said = f"gRPC {code().name}: {shown(str(details()), 100)[1:-1]}"
        return f"{said} {details()}", said
    return repr(error), type(error).__name__


def _taken(signal: Signal, where: str, response: Any) -> Finding:
    if response is None:
        return ok(f"{where}: took {_WHAT[signal]}, gRPC OK")
    content_type = response.headers.get("Content-Type", "")
    if "html" in content_type:
        return warning(
            f"{where}: HTTP {response.status_code} with {shown(content_type)[1:-1]}",
            "a web page answers there; is it an OTLP receiver?",
        )
    if refusal := _refusal(signal, response):
        return warning(f"{where}: HTTP {response.status_code}, but refused: {refusal}", "see the receiver's log")
    return ok(f"{where}: took {_WHAT[signal]}, HTTP {response.status_code}")


def _refusal(signal: Signal, response: Any) -> str:
    """What an answer says of a part that was not taken; "" where all was.

    https://opentelemetry.io/docs/specs/otlp/#partial-success
    """
    if "protobuf" not in response.headers.get("Content-Type", ""):
        return ""
    folder = {"metrics": "metrics", "traces": "trace", "logs": "logs"}[signal]
    module = import_module(f"opentelemetry.proto.collector.{folder}.v1.{folder}_service_pb2")
    answer = getattr(module, f"Export{folder.title()}ServiceResponse")()
    try:
        answer.ParseFromString(response.content)
    except Exception:  # noqa: BLE001 — protobuf's own error, and no reason for alarm
        return ""
    part = answer.partial_success
    refused = sum(value for name, value in ((f.name, v) for f, v in part.ListFields()) if name.startswith("rejected"))
    return f"{refused} ({shown(part.error_message, 120)[1:-1]})" if refused else ""
