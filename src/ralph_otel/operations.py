"""The operations that need no handle: one call, one event, in the part of the loop that runs here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from ralph_otel import events, probe
from ralph_otel.events import Event
from ralph_otel.tracecontext import new_span_id

Labels = Mapping[str, str | int | float | bool]


class Operations(ABC):
    """What `MetricsCollector` offers besides handles."""

    @property
    @abstractmethod
    def enabled(self) -> bool:
        """Whether anything is recorded."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Write an event: into the part whose `with` runs here, else into the latest loop."""

    @abstractmethod
    def _here(self) -> probe.Span:
        """The part that an operation belongs to."""

    def increment(self, name: str, value: float = 1, labels: Labels | None = None) -> None:
        """Add to a counter of your own: a value of 0 or more."""
        if self.enabled:
            self.emit(events.CounterAdded(name, value, probe.labels_of(labels, "labels")))

    def set_gauge(self, name: str, value: float, labels: Labels | None = None) -> None:
        """Set a gauge of your own."""
        if self.enabled:
            self.emit(events.GaugeSet(name, value, probe.labels_of(labels, "labels")))

    def observe(self, name: str, value: float, labels: Labels | None = None) -> None:
        """Put a value into a histogram of your own, with the duration buckets."""
        if self.enabled:
            self.emit(events.HistogramObserved(name, value, probe.labels_of(labels, "labels")))

    def record_iteration(self, duration: float, success: bool) -> None:
        """An iteration has finished: its seconds, and whether it succeeded."""
        if self.enabled:
            loop = self._here().loop
            loop.iterations += 1
            outcome = "success" if success else "failure"
            loop.emit(events.IterationFinished(loop.iterations, outcome, _seconds(duration)))

    def record_reboot(self, context_usage: float, reason: str = "redline") -> None:
        """The context was thrown away, at that percent of the window."""
        if self.enabled:
            self.emit(events.RebootStarted(reason, context_usage))

    def record_session_created(self) -> None:
        """A fresh context window begins."""
        if self.enabled:
            self.emit(events.SessionStarted(new_span_id()))

    def record_tests(self, passed: int, failed: int, total: int | None = None) -> None:
        """The tests were run."""
        if self.enabled:
            self.emit(events.TestsFinished(passed, failed, None, total))

    def record_progress(self, made_progress: bool, score: float) -> None:
        """The running iteration, or the last one, made progress or did not; the score is 0 to 1."""
        if self.enabled:
            self.emit(events.ProgressMeasured(score, made_progress))


def _seconds(duration: Any) -> Any:
    """Seconds, also from a `timedelta`."""
    return duration.total_seconds() if hasattr(duration, "total_seconds") else duration
