"""The runner's own logging as log records, when it is asked for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.recorder.pipeline import Host


class Logs:
    """A host's pipeline whose log records are kept."""

    def __init__(self) -> None:
        self.exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))
        meters, tracers = MeterProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
        self.host = Host(meters, lambda: tracers, lambda: provider)

    def of(self, body: str) -> list[tuple[str | None, int | None, int | None]]:
        """Severity, trace id and span id of the records with this body."""
        records = [data.log_record for data in self.exporter.get_finished_logs()]
        return [(each.severity_text, each.trace_id, each.span_id) for each in records if each.body == body]


def collector_on(logs: Logs, home: Path, capture: bool) -> MetricsCollector:
    config = MetricsConfig(home=home, capture_logging=capture, resources=False)
    collector = MetricsCollector(config, logs.host)
    collector.start()
    assert collector.wait_ready()
    return collector


def test_a_message_goes_out_in_the_span_that_is_current(tmp_path: Path) -> None:
    logs = Logs()
    collector = collector_on(logs, tmp_path, capture=True)
    with collector.loop("fix-bugs") as loop, loop.iteration() as iteration:
        logging.getLogger("the.runner").warning("short of %s", "time")
    collector.shutdown()
    [(severity, trace_id, span_id)] = logs.of("short of time")
    assert severity == "WARNING"
    assert (trace_id, span_id) == (int(iteration.trace_id, 16), int(iteration.span_id, 16))


def test_messages_stay_at_home_unless_they_are_asked_for(tmp_path: Path) -> None:
    logs = Logs()
    collector = collector_on(logs, tmp_path, capture=False)
    logging.getLogger("the.runner").warning("a secret")
    collector.shutdown()
    assert logs.of("a secret") == []


@pytest.mark.parametrize("name", ["opentelemetry.sdk", "urllib3.connectionpool", "ralph_otel"])
def test_what_the_export_itself_logs_is_not_exported(tmp_path: Path, name: str) -> None:
    logs = Logs()
    collector = collector_on(logs, tmp_path, capture=True)
    logging.getLogger(name).warning("about the export")
    collector.shutdown()
    assert logs.of("about the export") == []


def test_nothing_is_left_on_the_root_logger(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)
    collector = collector_on(Logs(), tmp_path, capture=True)
    assert logging.getLogger().handlers != before
    collector.shutdown()
    assert logging.getLogger().handlers == before
