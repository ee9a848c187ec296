"""OTLP: the official exporters, chosen by the standard variables.

Everything the specification names is honoured, most of it by the exporters themselves (endpoints, headers, timeouts,
compression, certificates, temporality). Chosen here: the protocol, per signal, and an endpoint from `export_target`.
https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from ralph_otel.notices import notice, shown

if TYPE_CHECKING:
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from ralph_otel.exporters.delivery.delivered import DeliveredOnce

Signal = Literal["metrics", "traces", "logs"]
_PROTOCOLS = ("grpc", "http/protobuf")
_PORTS: dict[int | None, str] = {4317: "grpc", 4318: "http/protobuf"}


def wanted(signal: Signal, target: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a signal goes out by OTLP, once the otlp format is on.

    A signal stays at home when `OTEL_<SIGNAL>_EXPORTER` names exporters without otlp among them, or when only other
    signals have been given an endpoint.
    """
    chosen = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").lower().split(",")
    if target:
        return True
    if chosen != [""] and "otlp" not in [word.strip() for word in chosen]:
        return False
    if _said(environment, "ENDPOINT") or _said(environment, f"{signal.upper()}_ENDPOINT"):
        return True
    return not any(_said(environment, f"{other}_ENDPOINT") for other in ("METRICS", "TRACES", "LOGS"))


def _said(environment: Mapping[str, str], name: str) -> str:
    return environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def protocol(signal: Signal, endpoint: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """`grpc` or `http/protobuf`.

    An endpoint that was asked for says it by its port, if that is one of the two that OTLP has; else the variables say
    it, else the port of the endpoint that they name, and where nothing does it is HTTP.
    """
    if by_port := _PORTS.get(_port(endpoint or "")):
        return by_port
    said = _said(environment, f"{signal.upper()}_PROTOCOL") or _said(environment, "PROTOCOL")
    if said in _PROTOCOLS:
        return said
    if said:
        notice(f"OTEL_EXPORTER_OTLP_PROTOCOL: {shown(said)} will not do; it must be one of {', '.join(_PROTOCOLS)}")
    named = _said(environment, f"{signal.upper()}_ENDPOINT") or _said(environment, "ENDPOINT")
    return _PORTS.get(_port(named), _PROTOCOLS[1])


def _port(endpoint: str) -> int | None:
    try:
        return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").port
    except ValueError:
        return None


def arguments(signal: Signal, target: str | None, how: str) -> dict[str, Any]:
    """The endpoint as the exporter wants it; by HTTP each signal has a path of its own below the target."""
    if target is None:
        return {}
    if how == "grpc":
        return {"endpoint": target if "//" in target else f"http://{target}"}
    base = target if "//" in target else f"http://{target}"
    path = f"/v1/{signal}"
    return {"endpoint": base if base.rstrip("/").endswith(path) else base.rstrip("/") + path}


def metric_exporter(target: str | None = None) -> MetricExporter:
    """The exporter for metrics; `target` is a URL or `host:port`, and where it is None the variables say."""
    how = protocol("metrics", target)
    if how == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        return GrpcExporter(**arguments("metrics", target, how))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**arguments("metrics", target, how))


def span_exporter(home: Path, target: str | None = None, again: bool = False) -> DeliveredOnce:
    """The exporter for spans, likewise; what it has delivered it notes in the home folder, and sends once."""
    from ralph_otel.exporters.delivery.delivered import Delivered, DeliveredOnce

    how = protocol("traces", target)
    exporter: SpanExporter
    if how == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        exporter = GrpcExporter(**arguments("traces", target, how))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(**arguments("traces", target, how))
    return DeliveredOnce(exporter, Delivered(str(getattr(exporter, "_endpoint", target)), home), again)


def log_exporter(target: str | None = None) -> LogRecordExporter:
    """The exporter for log records, likewise."""
    how = protocol("logs", target)
    if how == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcExporter

        return GrpcExporter(**arguments("logs", target, how))
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(**arguments("logs", target, how))
