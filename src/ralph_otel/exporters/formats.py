"""What each format does: three tables, by format. What a row needs is imported when it is used.

`PUSHED` formats get the metrics from the SDK in every collection interval. `REWRITTEN` ones are files, written anew in
every interval. `TEXTS` are what `MetricsCollector.export` and `ralph-otel export` give. Two take more than a row: the
Prometheus endpoint (`prometheus/endpoint.py`) and OTLP (`delivery/`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData

from ralph_otel.config import MetricsExportFormat, is_textfile
from ralph_otel.model import LoopMetrics

Format = MetricsExportFormat

# -- pushed ------------------------------------------------------------------------------------------------------------


def _to_console(target: str | None) -> MetricExporter:
    from ralph_otel.exporters.console import ConsoleExporter

    return ConsoleExporter.to_file(Path(target).expanduser()) if target is not None else ConsoleExporter()


def _to_statsd(target: str | None) -> MetricExporter:
    from ralph_otel.exporters.statsd import DEFAULT_PORT, StatsdExporter

    return StatsdExporter(target or f"127.0.0.1:{DEFAULT_PORT}")


PUSHED: dict[Format, Callable[[str | None], MetricExporter]] = {
    Format.CONSOLE: _to_console,
    Format.STATSD: _to_statsd,
}
"""Makes an exporter for a target; None is the format's own default.

Raises OSError or ValueError where it will not do.
"""


# -- rewritten ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What there is to be written.

    Args:
        metrics: the aggregate.
        read: gives the figures of all instruments; None where they are a host's.
        resource: the resource's attributes.
    """

    metrics: LoopMetrics
    read: Callable[[], MetricsData | None]
    resource: Mapping[str, Any]


def _into_textfile(target: str | None, figures: Figures) -> None:
    if target is None or not is_textfile(target):  # an endpoint
        return
    from ralph_otel.exporters.prometheus import target_labels, write_textfile

    if (data := figures.read()) is not None:
        write_textfile(Path(target).expanduser(), data, target_labels(figures.resource))


def _into_json(target: str | None, figures: Figures) -> None:
    from ralph_otel.exporters.json_file import write_json

    write_json(target, figures.metrics)


REWRITTEN: dict[Format, Callable[[str | None, Figures], None]] = {
    Format.PROMETHEUS: _into_textfile,
    Format.JSON: _into_json,
}
"""Writes the figures to a target. Raises OSError where it cannot be written."""


# -- text --------------------------------------------------------------------------------------------------------------


def text(format_: Format, metrics: LoopMetrics, data: MetricsData | None) -> str:
    """The figures in a format: the aggregate as JSON, the series in the others. `none` gives nothing."""
    if format_ is Format.JSON:
        return metrics.to_json()
    writer = TEXTS.get(format_)
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


TEXTS: dict[MetricsExportFormat, Callable[[MetricsData], str]] = {
    Format.PROMETHEUS: _prometheus,
    Format.STATSD: _statsd,
    Format.CONSOLE: _console,
    Format.OTLP: _otlp,
}
"""Writes the figures of all instruments as text."""
