"""The table of settings: how the value of each is read, and what it is where nobody sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ralph_otel.config import values
from ralph_otel.config.defaults import DEFAULT_PREFIX, DURATION_BUCKETS
from ralph_otel.config.values import MetricsExportFormat


class Field(NamedTuple):
    """A field of `MetricsConfig`.

    Args:
        read: makes a value of what was given, or raises ValueError with a text that says what would do.
        default: the value where nobody gives one; of `home`, None stands for the user's own state folder.
    """

    read: Callable[[Any], Any]
    default: Any


FIELDS: dict[str, Field] = {
    "enabled": Field(values.flag, True),
    "prefix": Field(values.prefix, DEFAULT_PREFIX),
    "collection_interval": Field(values.interval, 10.0),
    "enable_histograms": Field(values.flag, True),
    "duration_buckets": Field(values.buckets, DURATION_BUCKETS),
    "export_format": Field(values.formats, (MetricsExportFormat.PROMETHEUS,)),
    "export_target": Field(values.text, None),
    "journal": Field(values.flag, True),
    "home": Field(values.path, None),
    "service_name": Field(values.text, "ralph-loop"),
    "resources": Field(values.flag, True),
    "queue_size": Field(values.count, 10_000),
    "waiting_size": Field(values.size, 64 << 20),
    "waiting_age": Field(values.seconds, 72 * 3600.0),
    "journal_size": Field(values.size, 1 << 30),
    "journal_age": Field(values.seconds, 0.0),
    "trace_iterations": Field(values.most, 500),
    "capture_logging": Field(values.flag, False),
    "redact": Field(values.patterns, None),
    "web_config": Field(values.path, None),
    "web_insecure": Field(values.flag, False),
    "web_hosts": Field(values.hosts, None),
}
"""By the field's name. What each says is in `MetricsConfig`."""
