"""What a loop does, as the measurements have it: an iteration with its usual events, and where its signals end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.probe import Loop

EVENTS = 15
"""Events of `iterate`."""
_TOOLS = ("Bash", "Read", "Edit", "Grep", "Write")
TOOLS = len(_TOOLS)
SPANS = 4 + TOOLS
"""Spans of `iterate`."""
_RESULTS = {f"tests/test_queue.py::test_{number}": True for number in range(8)}


def iterate(loop: Loop) -> None:
    """One turn of a usual loop: a session, an agent that uses five tools, its tokens, the tests, the progress."""
    with loop.session(), loop.iteration() as iteration:
        with iteration.agent("claude", model="claude-opus") as agent:
            for tool in _TOOLS:
                agent.tool(tool, "success", 0.25)
            agent.usage("claude-opus", 10, 300, 20_000, 120, 0.0123)
            agent.context_usage(61.0, 122_000, 200_000)
            agent.turns, agent.exit_code = 7, 0
        iteration.tests(41, 1, results=_RESULTS)
        iteration.progress(0.4, True, 3, 40, 12, 1)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk that goes away."""
    with tempfile.TemporaryDirectory(prefix="ralph-otel-bench-") as name:
        yield Path(name)


def write_journal(path: Path, iterations: int) -> int:
    """Write the journal of a loop of so many turns. Returns its events."""
    journal = Journal(path)

    def into_journal(line: Line) -> None:
        journal.append(line)

    loop = Loop("fix-bugs", into_journal, runner="ralphify").start()
    for _ in range(iterations):
        iterate(loop)
    loop.stop()
    journal.close()
    return EVENTS * iterations + 3


class Discard(SpanExporter):
    """Counts spans and throws them away."""

    def __init__(self) -> None:
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Throw them away."""
        self.spans += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is held."""


class Providers:
    """A host's SDK with one reader, and a batch processor whose spans end in `exporter`."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.exporter = Discard()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(BatchSpanProcessor(self.exporter))

    def shutdown(self) -> None:
        """End their threads."""
        self.meters.shutdown()
        self.tracers.shutdown()
