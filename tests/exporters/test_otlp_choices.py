"""Which signals go out by OTLP, and by which protocol: as the standard variables say."""

from __future__ import annotations

import pytest

from ralph_otel.exporters import otlp


@pytest.mark.parametrize(
    ("signal", "target", "environment", "expected"),
    [
        ("metrics", None, {}, True),
        ("traces", None, {}, True),
        ("traces", None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True),
        ("traces", None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, False),
        ("metrics", None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}, True),
        ("metrics", None, {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c"}, False),
        ("logs", "http://c", {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://d"}, True),
        ("traces", None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ("traces", None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ("metrics", None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "prometheus"}, False),
        ("traces", "http://c", {"OTEL_TRACES_EXPORTER": "none"}, True),
    ],
)
def test_which_signals_go_out(
    signal: otlp.Signal, target: str | None, environment: dict[str, str], expected: bool
) -> None:
    assert otlp.wanted(signal, target, environment) is expected


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        (None, {}, "http/protobuf"),
        (None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        (None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
         "http/protobuf"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "grpc"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, "grpc"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http/protobuf"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
         "http/protobuf"),
        ("http://c:4317", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "grpc"),
        ("c:9999", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ("http://[broken", {}, "http/protobuf"),
        ("http://c:port", {}, "http/protobuf"),
    ],
)  # fmt: skip
def test_which_protocol_is_spoken(endpoint: str | None, environment: dict[str, str], expected: str) -> None:
    assert otlp.protocol("traces", endpoint, environment) == expected


def test_an_unknown_protocol_is_said(heard: list[str]) -> None:
    assert otlp.protocol("traces", None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}) == "http/protobuf"
    assert heard == [
        "ralph-otel: OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' will not do; it must be one of grpc, http/protobuf"
    ]
