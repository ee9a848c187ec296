"""What the SDK hands spans, metrics and log records to: they become a request that waits for its turn.

An export succeeds as soon as the request is on disk, or in memory where there is none; the network is the sender's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ralph_otel.catalog.attributes import RUN_ID
from ralph_otel.exporters.delivery import payload
from ralph_otel.exporters.delivery.delivered import Delivered, as_name, run_of
from ralph_otel.exporters.delivery.logged import Logged
from ralph_otel.exporters.delivery.queue import SEVERAL, DamagedError, Queue
from ralph_otel.exporters.delivery.sender import Sender


class KeptSpans(SpanExporter):
    """Spans, each of them once.

    Args:
        sender: what sends them.
        delivered: which of them need not be sent.
    """

    def __init__(self, sender: Sender, delivered: Delivered) -> None:
        self._sender, self._delivered = sender, delivered

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hand over the spans that were not delivered and are not underway."""
        fresh = self._delivered.fresh(spans)
        if fresh:
            runs = {run_of(span) for span in fresh}
            tag = tag_of(runs.pop()) if len(runs) == 1 else SEVERAL
            self._sender.put(encode_spans(fresh).SerializeToString(), len(fresh), tag)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """The sender is ended by whoever made it."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


class KeptMetrics(MetricExporter):
    """Metrics.

    Args:
        sender: what sends them.
        official: the official exporter, which has read temporality and aggregation from the variables.
    """

    def __init__(self, sender: Sender, official: Any) -> None:
        super().__init__(official._preferred_temporality, official._preferred_aggregation)
        self._sender = sender
        self.exports = 0
        """How often it has been handed what was collected."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Hand over what was collected, if there is any."""
        request = encode_metrics(metrics_data)
        if points := payload.count("metrics", request):
            self._sender.put(request.SerializeToString(), points)
        self.exports += 1
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """The sender is ended by whoever made it."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here."""
        return True


class KeptLogs(LogRecordExporter):
    """Log records.

    Args:
        sender: what sends them.
        logged: is told of them, if anything is kept.
    """

    def __init__(self, sender: Sender, logged: Logged | None) -> None:
        self._sender, self._logged = sender, logged

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Hand over the records."""
        if batch:
            self._sender.put(encode_logs(batch).SerializeToString(), len(batch))
            if self._logged is not None:
                self._logged.note(record.log_record.attributes for record in batch)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """The sender is ended by whoever made it."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


def tag_of(run: str) -> str:
    """The tag of a run in the names of the queue's files."""
    return hashlib.blake2b(run.encode(), digest_size=4).hexdigest()


def ids_by_run(body: bytes) -> dict[str, list[str]]:
    """The ids of the spans in a serialized request, by their run as a file's name."""
    ids: dict[str, list[str]] = {}
    request = payload.parsed("traces", body)
    for span in payload.items("traces", request) if request is not None else ():
        run = next((pair.value.string_value for pair in span.attributes if pair.key == RUN_ID.name), "_")
        ids.setdefault(as_name(run), []).append(span.span_id.hex())
    return ids


def ids_underway(queue: Queue, run: str) -> Iterable[str]:
    """The ids of a run's spans that wait in a queue; `run` as a file's name."""
    tag = tag_of(run)
    for entry in queue.waiting():
        if entry.run in (tag, SEVERAL):
            try:
                body = queue.read(entry)
            except DamagedError:
                continue
            yield from ids_by_run(body).get(run, ()) if body is not None else ()
