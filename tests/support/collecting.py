"""What tests of the collector have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from ralph_otel import MetricsCollector
from ralph_otel.model import Counter, Gauge

Make = Callable[..., MetricsCollector]


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob("*.jsonl"), key=lambda path: path.stem)


def value(collector: MetricsCollector, name: str, **labels: str) -> float:
    """The value of the one counter or gauge with these labels among its own."""
    found = [
        metric
        for metric in collector.collect()
        if metric.name == name and labels.items() <= dict(metric.labels).items()
    ]
    [metric] = found
    assert isinstance(metric, Counter | Gauge)
    return metric.value


def use_every_operation(collector: MetricsCollector) -> None:
    collector.record_session_created()
    collector.record_iteration(10, True)
    collector.record_progress(True, 0.6)
    twenty_seconds: Any = timedelta(seconds=20)  # the seed's durations are no plain numbers
    collector.record_iteration(twenty_seconds, False)
    collector.record_progress(False, 0.05)
    collector.record_reboot(88)
    collector.record_reboot(66, "degradation")
    collector.record_tests(7, 2, 10)
    collector.record_tests(8, 1)
    collector.increment("files_changed", 3)
    collector.set_gauge("context_usage", 42)
