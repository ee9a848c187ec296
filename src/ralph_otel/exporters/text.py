"""The figures as text, in each of the formats: what `MetricsCollector.export` and `ralph-otel export` give."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData

from ralph_otel.config import MetricsExportFormat
from ralph_otel.model import LoopMetrics


def text(format_: MetricsExportFormat, metrics: LoopMetrics, data: MetricsData | None) -> str:
    """The figures in a format: the aggregate as JSON, the series in the others. `none` gives nothing."""
    if format_ is MetricsExportFormat.JSON:
        return metrics.to_json()
    writer = _WRITERS.get(format_)
    return writer(data) if writer is not None and data is not None else ""


def _prometheus(data: MetricsData) -> str:
    from ralph_otel.exporters.prometheus import render

    return render(data)[0].decode()


def _statsd(data: MetricsData) -> str:
    from ralph_otel.exporters.statsd import lines

    return "".join(f"{line}\n" for line in lines(data))


def _console(data: MetricsData) -> str:
    from ralph_otel.exporters.console import text as console

    return console(data)


def _otlp(data: MetricsData) -> str:
    """OTLP in its JSON form, which writes ids in hexadecimal where protobuf's own would write base64."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

    return json.dumps(_with_hex_ids(MessageToDict(encode_metrics(data))), indent=2)


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex() if key in ("traceId", "spanId") else _with_hex_ids(item)
            for key, item in value.items()
        }
    return [_with_hex_ids(item) for item in value] if isinstance(value, list) else value


_WRITERS: dict[MetricsExportFormat, Callable[[MetricsData], str]] = {
    MetricsExportFormat.PROMETHEUS: _prometheus,
    MetricsExportFormat.STATSD: _statsd,
    MetricsExportFormat.CONSOLE: _console,
    MetricsExportFormat.OTLP: _otlp,
}
