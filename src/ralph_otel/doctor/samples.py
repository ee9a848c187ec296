"""One of each signal, for a receiver to be tried with. Each says by its name that it is a test of the doctor's."""

from __future__ import annotations

import time
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from ralph_otel.config import MetricsConfig
from ralph_otel.exporters.snapshot import SnapshotReader
from ralph_otel.recorder.pipeline import Pipeline

METRIC, SPAN, EVENT = "ralph_otel.doctor.test", "ralph-otel doctor: a test", "ralph.doctor.test"


def samples(config: MetricsConfig) -> dict[str, Any]:
    """By signal what its exporter takes: metrics, spans, log records."""
    resource = Pipeline(config, "doctor", list, dict, export=False).resource
    reader, spans = SnapshotReader(), InMemorySpanExporter()
    records = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own

    meters = MeterProvider([reader], resource, shutdown_on_exit=False)
    meters.get_meter("ralph_otel").create_counter(METRIC, description="A test by ralph-otel doctor.").add(1)

    tracers = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    tracers.get_tracer("ralph_otel").start_span(SPAN).end()

    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(records))
    loggers.get_logger("ralph_otel").emit(
        LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body=SPAN, event_name=EVENT)
    )
    return {"metrics": reader.read(), "traces": spans.get_finished_spans(), "logs": records.get_finished_logs()}
