"""Signals that get lost: in ralph-otel itself, or in a Collector on their way."""

from __future__ import annotations

from collections.abc import Iterator

from ralph_otel.mixin.alerts.alert import INSTANCE, About, Alert, Expressions, Severity
from ralph_otel.mixin.names import PROCESS, TARGET
from ralph_otel.mixin.promql import any_of, grown, marked, total

_WINDOW = "15m"
_LOST = (
    "ralph_otel.dropped_events",
    "ralph_otel.journal_errors",
    "ralph_otel.refused_series",
    "ralph_otel.undelivered",
    "ralph_otel.bad_lines",
)
COLLECTOR_FAILURES = (
    "otelcol_receiver_refused",
    "otelcol_receiver_failed",
    "otelcol_processor_refused",
    "otelcol_exporter_enqueue_failed",
    "otelcol_exporter_send_failed",
)
"""The Collector's own counters of what it did not take or could not send on, each once a signal."""
COLLECTOR_SIGNALS = ("spans", "metric_points", "log_records")


def alerts(e: Expressions) -> Iterator[Alert]:
    """Those of this file."""
    yield _dropping(e)
    yield _collector_dropping(e)
    yield _collector_queue(e)


def _dropping(e: Expressions) -> Alert:
    least = {"ralph_otel.bad_lines": e.config.bad_lines}
    return Alert(
        "RalphTelemetryDropping",
        Severity.WARNING,
        any_of(
            *(
                marked(
                    f"{total(grown(e.names(name), _WINDOW, e.config.gap), PROCESS)} > {least.get(name, 0)}",
                    "lost",
                    name.removeprefix("ralph_otel."),
                )
                for name in _LOST
            )
        ),
        "ralph-otel loses events",
        "{{ $value | humanize }} {{ $labels.lost }} in 15 minutes (job {{ $labels.job }}, run "
        f"{INSTANCE}): its figures are incomplete. Look whether the disk of the journals is full or not writable, and "
        "ask ralph-otel doctor what was given up and why.",
        ("bad_lines",),
        about=About.RECORDER,
    )


def collector_failures(window: str) -> str:
    """What Collectors lost in a window, by process, signal and kind of failure.

    The counters' names end in `_total` or not, as the Collector's version and settings have it.
    """
    return any_of(
        *(
            marked(
                total(f'increase({{__name__=~"{failure}_{signal}(_total)?"}}[{window}])', TARGET),
                "lost",
                f"{failure.removeprefix('otelcol_')}_{signal}",
            )
            for failure in COLLECTOR_FAILURES
            for signal in COLLECTOR_SIGNALS
        )
    )


def _collector_dropping(e: Expressions) -> Alert:
    return Alert(
        "RalphCollectorDropping",
        Severity.WARNING,
        f"(\n{collector_failures(_WINDOW)}\n) > 0",
        "a Collector loses signals",
        "{{ $value | humanize }} {{ $labels.lost }} in 15 minutes in the Collector {{ $labels.instance }}. Look at its "
        "log, at the backend it sends to, and at its memory limit.",
        (),
        lasting=e.lasting("5m"),
        about=About.COLLECTOR,
    )


def _collector_queue(e: Expressions) -> Alert:
    by = (*TARGET, "exporter", "data_type")
    size, capacity = (total(f"otelcol_exporter_queue_{what}", by) for what in ("size", "capacity"))
    return Alert(
        "RalphCollectorQueueFull",
        Severity.WARNING,
        f"{size} / ({capacity} > 0) > {e.config.queue_ratio}",
        "a Collector's queue fills up",
        "The sending queue of {{ $labels.exporter }} in the Collector {{ $labels.instance }} is "
        "{{ $value | humanizePercentage }} full; when it is full, signals are lost. Look at the backend it sends to.",
        ("queue_ratio",),
        lasting=e.lasting("5m"),
        about=About.COLLECTOR,
    )
