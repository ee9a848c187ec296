"""What a reader of metrics gets: `LoopMetrics`, the aggregate of a loop, and `Metric`, one series of any kind.

Plain immutable data. Durations are seconds, as floats; ratios and rates are 0 to 1; percents 0 to 100.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TestMetrics:
    """The last run of the tests, and how the runs before it went."""

    __test__ = False

    total_tests: int = 0
    passing_tests: int = 0
    failing_tests: int = 0
    pass_rate: float = 0.0
    """Passing ÷ total; 0 without tests."""
    failure_streak: int = 0
    """Runs in a row, up to the last, with any failure."""
    flaky_tests: int = 0
    """Tests with at least 5 results among their last 20, of which more than a fifth are changes."""


@dataclass(frozen=True, slots=True)
class ProgressMetrics:
    """Whether the loop gets anywhere."""

    iterations_with_progress: int = 0
    progress_rate: float = 0.0
    """Iterations with progress ÷ all iterations."""
    no_progress_streak: int = 0
    """Iterations in a row, up to the last, known to have made no progress."""
    velocity: float = 0.0
    """Of the last 10 scores: the mean of the last 3 less the mean of the first 3; 0 with fewer than 3."""
    files_changed: int = 0


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """The context windows the loop has used."""

    sessions_created: int = 0
    active_sessions: int = 0
    avg_session_duration: float = 0.0
    """Seconds, over the sessions that have ended."""
    context_reboots: int = 0
    avg_context_at_reboot: float = 0.0
    """Percent, over the reboots that say it."""


@dataclass(frozen=True, slots=True)
class Rollup:
    """A window of time: 5m, 1h, 24h, or all of the run."""

    iterations: int = 0
    success_ratio: float = 0.0
    duration_p50: float = 0.0
    """Seconds; quantiles are within 1 % of the true value."""
    duration_p90: float = 0.0
    duration_p99: float = 0.0
    tokens: int = 0
    cost: float = 0.0
    """US dollars."""
    reboots: int = 0


@dataclass(frozen=True, slots=True)
class LoopMetrics:
    """The aggregate of a loop, or of all the loops of a collector."""

    total_iterations: int = 0
    successful_iterations: int = 0
    failed_iterations: int = 0
    total_reboots: int = 0
    total_execution_time: float = 0.0
    """Seconds from the loop's start to its end, or to now; pauses are left out."""
    avg_iteration_duration: float = 0.0
    context_usage_percent: float = 0.0
    """The last value measured; 0 when a new session starts."""
    tests: TestMetrics = field(default_factory=TestMetrics)
    progress: ProgressMetrics = field(default_factory=ProgressMetrics)
    session: SessionMetrics = field(default_factory=SessionMetrics)
    rollups: Mapping[str, Rollup] = field(default_factory=dict)
    """By window: `5m`, `1h`, `24h`, `all`."""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, lists and numbers."""
        return asdict(self)

    def to_json(self, indent: int | None = 2) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LoopMetrics:
        """The way back from `to_dict`.

        Raises:
            TypeError: a key that is not a field.
        """
        parts: dict[str, Any] = {
            "tests": TestMetrics(**data.get("tests", {})),
            "progress": ProgressMetrics(**data.get("progress", {})),
            "session": SessionMetrics(**data.get("session", {})),
            "rollups": {name: Rollup(**rollup) for name, rollup in data.get("rollups", {}).items()},
        }
        return cls(**{**data, **parts})


@dataclass(frozen=True, slots=True)
class HistogramBucket:
    """One bucket: how many observations were `le` or less."""

    le: float
    """Upper bound, inclusive; infinity in the last one."""
    count: int
    """Cumulative."""


@dataclass(frozen=True, slots=True)
class Quantile:
    """One quantile of a summary."""

    quantile: float
    """0 to 1."""
    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One series: a name, labels, and what its kind adds. Names are as Prometheus writes them."""

    name: str
    labels: Labels = field(default_factory=dict, kw_only=True)

    def with_label(self, key: str, value: str) -> Self:
        """The same metric with one label more."""
        return replace(self, labels={**self.labels, key: value})

    @staticmethod
    def counter(name: str, value: float) -> Counter:
        """A counter without labels."""
        return Counter(name, value)

    @staticmethod
    def gauge(name: str, value: float) -> Gauge:
        """A gauge without labels."""
        return Gauge(name, value)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain dicts, lists and numbers, with the kind as `type`."""
        return {"type": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True, slots=True)
class Counter(Metric):
    """A value that only grows."""

    value: float = 0


@dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """A value that goes up and down."""

    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """A distribution of values in buckets."""

    count: int = 0
    sum: float = 0.0
    buckets: tuple[HistogramBucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary(Metric):
    """A distribution of values as quantiles."""

    count: int = 0
    sum: float = 0.0
    quantiles: tuple[Quantile, ...] = ()
