"""Requests as they wait: log records, spans and metrics that are told apart by a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ralph_otel.exporters.delivery import payload


def logs(*numbers: int, text: str = "") -> bytes:
    """A serialized request with a log record for each number, which is its time."""
    request = payload.request_class("logs")()
    scope = request.resource_logs.add().scope_logs.add()
    for number in numbers:
        scope.log_records.add(time_unix_nano=number).body.string_value = text
    return bytes(request.SerializeToString())


def spans(*numbers: int, run: str = "r") -> bytes:
    """A serialized request with a span for each number, which is its id."""
    request = payload.request_class("traces")()
    scope = request.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add(span_id=number.to_bytes(8, "big"), trace_id=bytes(16))
        span.attributes.add(key="ralph.run.id").value.string_value = run
    return bytes(request.SerializeToString())


def metrics(*values: int) -> bytes:
    """A serialized request with a metric of one point for each value, which is also its name."""
    request = payload.request_class("metrics")()
    scope = request.resource_metrics.add().scope_metrics.add()
    for value in values:
        scope.metrics.add(name=str(value)).sum.data_points.add(as_int=value)
    return bytes(request.SerializeToString())


def numbers_of(messages: Sequence[Any]) -> list[int]:
    """The numbers in requests of log records, in order."""
    return [record.time_unix_nano for message in messages for record in payload.items("logs", message)]
