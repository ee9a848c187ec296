"""OpenTelemetry for every Ralph loop.

    import ralph_otel

    collector = ralph_otel.register()
    with collector.loop("fix-bugs") as loop, loop.iteration() as it:
        it.tests(passed=41, failed=1)

This module is the public face and nothing else. Names are looked up when they are used, so that the probe's side runs
on the standard library alone, inside any runner's own environment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ralph_otel.collector import MetricsCollector as MetricsCollector
    from ralph_otel.config import MetricsConfig as MetricsConfig
    from ralph_otel.config import MetricsExportFormat as MetricsExportFormat
    from ralph_otel.instrumentor import RalphInstrumentor as RalphInstrumentor
    from ralph_otel.model import Counter as Counter
    from ralph_otel.model import Gauge as Gauge
    from ralph_otel.model import Histogram as Histogram
    from ralph_otel.model import HistogramBucket as HistogramBucket
    from ralph_otel.model import LoopMetrics as LoopMetrics
    from ralph_otel.model import Metric as Metric
    from ralph_otel.model import ProgressMetrics as ProgressMetrics
    from ralph_otel.model import Quantile as Quantile
    from ralph_otel.model import Rollup as Rollup
    from ralph_otel.model import SessionMetrics as SessionMetrics
    from ralph_otel.model import Summary as Summary
    from ralph_otel.model import TestMetrics as TestMetrics
    from ralph_otel.registration import plugin as plugin
    from ralph_otel.registration import register as register
    from ralph_otel.subscription import Subscription as Subscription
    from ralph_otel.version import __version__ as __version__

_HOMES = {
    "collector": ("MetricsCollector",),
    "config": ("MetricsConfig", "MetricsExportFormat"),
    "instrumentor": ("RalphInstrumentor",),
    "model": (
        "Counter",
        "Gauge",
        "Histogram",
        "HistogramBucket",
        "LoopMetrics",
        "Metric",
        "ProgressMetrics",
        "Quantile",
        "Rollup",
        "SessionMetrics",
        "Summary",
        "TestMetrics",
    ),
    "registration": ("plugin", "register"),
    "subscription": ("Subscription",),
    "version": ("__version__",),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
