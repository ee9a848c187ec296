"""The one table: every metric, span, log record and attribute, and the events they come from.

Instruments, `docs/`, `ralph-otel catalog`, dashboards and alert rules come out of it; a test fails when they differ.
The events and their fields are declared in `ralph_otel.events`.
"""

from ralph_otel.catalog.attributes import (
    AGENT,
    COMMON,
    ERROR_TYPE,
    LOOP_NAME,
    MODEL,
    OUTCOME,
    REBOOT_REASON,
    ROLE,
    RUNNER,
    STOP_REASON,
    TOOL,
    Attribute,
)
from ralph_otel.catalog.logs import LOGS, Log, Severity
from ralph_otel.catalog.metrics import (
    BY_NAME,
    HEALTH,
    METRICS,
    PERCENT_BUCKETS,
    RESOURCES,
    Feed,
    Kind,
    Metric,
)
from ralph_otel.catalog.spans import SPANS, Span
from ralph_otel.config.defaults import DEFAULT_PREFIX, DURATION_BUCKETS

__all__ = [
    "AGENT",
    "BY_NAME",
    "COMMON",
    "DEFAULT_PREFIX",
    "DURATION_BUCKETS",
    "ERROR_TYPE",
    "HEALTH",
    "LOGS",
    "LOOP_NAME",
    "METRICS",
    "MODEL",
    "OUTCOME",
    "PERCENT_BUCKETS",
    "REBOOT_REASON",
    "RESOURCES",
    "ROLE",
    "RUNNER",
    "SPANS",
    "STOP_REASON",
    "TOOL",
    "Attribute",
    "Feed",
    "Kind",
    "Log",
    "Metric",
    "Severity",
    "Span",
]
