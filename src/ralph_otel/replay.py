"""A journal to an OTLP endpoint: every span and log record with its own times and ids, and the metrics as they ended.

The signals are made by the same code as those of a running loop. They are sent here and now, in batches, by the
exporters themselves, so that what a receiver refuses is known.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from ralph_otel.config import MetricsConfig
from ralph_otel.events import Line
from ralph_otel.exporters import otlp
from ralph_otel.exporters.delivery.deliveries import Deliveries, queues
from ralph_otel.exporters.times import at_times
from ralph_otel.recorder.pipeline import Pipeline
from ralph_otel.recorder.recovery import end_of
from ralph_otel.recorder.sdk_logging import tame_sdk_logging
from ralph_otel.runs import fold
from ralph_otel.signals.logs import LogSignals
from ralph_otel.signals.spans import OwnSpans
from ralph_otel.signals.traces import TraceSignals
from ralph_otel.state import RunState

_BATCH = 512


class Replay:
    """A run's signals on their way to an endpoint.

    Args:
        run_id: the run.
        endpoint: a URL or `host:port`.
        config: what the metrics are called and how they are cut into buckets.
        timeout: seconds for all of it.
        again: whether spans that the endpoint has taken before are sent, too.

    Attributes:
        problems: what went wrong, a line each; [] when the receiver has taken everything.
    """

    def __init__(self, run_id: str, endpoint: str, config: MetricsConfig, timeout: float, again: bool) -> None:
        self.problems: list[str] = []
        tame_sdk_logging()
        self._deadline = time.monotonic() + timeout
        self._endpoint = endpoint
        self._pipeline = Pipeline(config, run_id, list, dict, export=False)
        self._spans: list[ReadableSpan] = []
        self._records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own
        loggers = LoggerProvider(resource=self._pipeline.resource, shutdown_on_exit=False)
        loggers.add_log_record_processor(SimpleLogRecordProcessor(self._records))
        self._traces = TraceSignals(OwnSpans(self._spans.append, self._pipeline.resource))
        self._logs = LogSignals(lambda: loggers)
        self._span_exporter = otlp.span_exporter(config.home, endpoint, again)
        self._log_exporter = otlp.log_exporter(endpoint)

    @property
    def skipped(self) -> int:
        """Spans that were left out because the endpoint has taken them before."""
        return self._span_exporter.skipped

    def record(self, line: Line, state: RunState) -> None:
        """Take in a completed line, and its run's state after it."""
        self._pipeline.record(line, state)
        self._traces.record(line, state)
        self._logs.record(line, state)
        if len(self._records.get_finished_logs()) >= _BATCH:
            self.send()

    def send(self) -> None:
        """Send the spans and log records that have gathered."""
        spans, records = self._spans[:], self._records.get_finished_logs()
        self._spans.clear()
        self._records.clear()
        for start in range(0, len(spans), _BATCH):
            self._send_spans(spans[start : start + _BATCH])
        if records and self._in_time():
            sent = self._log_exporter.export(records)
            self._judge("log records", sent is LogRecordExportResult.SUCCESS, len(records))

    def _send_spans(self, spans: Sequence[ReadableSpan]) -> None:
        if self._in_time():
            self._judge("spans", self._span_exporter.export(spans) is SpanExportResult.SUCCESS, len(spans))

    def send_metrics(self, state: RunState) -> None:
        """Send the metrics as they were at the run's end."""
        self._pipeline.end_batch()
        data = self._pipeline.snapshot()
        if data is not None and self._in_time():
            exporter = otlp.metric_exporter(self._endpoint)
            sent = exporter.export(at_times(data, state.started or 0, state.stopped or state.last))
            self._judge("metrics", sent is MetricExportResult.SUCCESS, 1)

    def _judge(self, what: str, sent: bool, count: int) -> None:
        if not sent:
            self._say(f"{self._endpoint} did not take {what} ({count}); is an OTLP receiver listening there?")

    def _in_time(self) -> bool:
        if time.monotonic() < self._deadline:
            return True
        self._say(f"{self._endpoint} was too slow; what is missing can be sent again, with a longer --timeout")
        return False

    def _say(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def replay(path: Path, endpoint: str, config: MetricsConfig, timeout: float = 60.0, again: bool = False) -> Replay:
    """Send a journal's signals to an endpoint.

    Returns:
        What became of it.

    Raises:
        OSError: the journal cannot be read.
    """
    began = time.monotonic()
    _send_what_waits(endpoint, config, timeout)
    run = Replay(path.stem, endpoint, config, timeout - (time.monotonic() - began), again)
    folded = fold(path, run.record)
    for state in folded.states.by_run.values():
        if state.active:
            run.record(end_of(state), state)  # for its spans; it is not written anywhere
    run.send()
    run.send_metrics(folded.run)
    run.problems += [f"a line is skipped: {problem}" for problem in folded.bad]
    return run


def _send_what_waits(endpoint: str, config: MetricsConfig, timeout: float) -> None:
    """Send what waits on disk for this endpoint: else the spans among it would be sent once more later."""
    if not queues(config.home).is_dir():
        return
    waiting = Deliveries(config, endpoint)
    waiting.spans()
    waiting.metrics()
    waiting.logs()
    waiting.stop(timeout)
