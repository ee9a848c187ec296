"""ralph-otel itself, and the way of its signals: what is lost, refused, or not heard of."""

from __future__ import annotations

from ralph_otel.mixin.alerts.telemetry import COLLECTOR_SIGNALS, collector_failures
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.dashboards.model import (
    ANY_IS_BAD,
    LINKS,
    Dashboard,
    Panel,
    Query,
    Row,
    Variable,
    bars,
    lines,
    stat,
)
from ralph_otel.mixin.dashboards.queries import INTERVAL, PROCESSES, Queries, or_zero

UID = "ralph-health"
_LOST = {
    "ralph_otel.dropped_events": "dropped",
    "ralph_otel.journal_errors": "not written to the journal",
    "ralph_otel.bad_lines": "unusable journal lines",
    "ralph_otel.refused_series": "refused measurements",
}


def dashboard(config: MixinConfig) -> Dashboard:
    """The dashboard."""
    q = Queries(config, PROCESSES)
    events = q.names("ralph_otel.events")
    return Dashboard(
        UID,
        LINKS[UID],
        "Whether the figures are complete: events that were lost, endpoints that do not answer, Collectors.",
        (
            Variable("job", "job", f"label_values({events}, job)"),
            Variable("instance", "run", f'label_values({events}{{job=~"$job"}}, instance)'),
        ),
        (
            Row("ralph-otel", (*_now(q), *_events(q))),
            Row("Delivery by OTLP", _delivery(q)),
            Row("Scrapes", _scrapes(q)),
            Row("Collectors", _collectors()),
            Row("Rules", _rules()),
        ),
    )


def _now(q: Queries) -> tuple[Panel, ...]:
    return (
        stat("Recorders", or_zero(f"count({q('ralph_otel.events')})"), "Processes that record loops now."),
        stat("Events", f"sum({q.grown('ralph_otel.events')})", "Events recorded in the time shown."),
        *(
            stat(legend.capitalize(), f"sum({q.grown(name)})", f"In the time shown: {legend}.", steps=ANY_IS_BAD)
            for name, legend in _LOST.items()
        ),
    )


def _events(q: Queries) -> tuple[Panel, ...]:
    return (
        bars(
            "Events",
            "Events recorded in each interval.",
            Query(f"sum({q.grown('ralph_otel.events', INTERVAL)})", "events"),
            width=12,
        ),
        bars(
            "Losses",
            "What could not be recorded in each interval, which makes figures too small; and times not believed.",
            *(Query(f"sum({q.grown(name, INTERVAL)})", legend) for name, legend in _LOST.items()),
            Query(f"sum({q.grown('ralph_otel.doubted_times', INTERVAL)})", "times not believed"),
            width=12,
        ),
    )


def _delivery(q: Queries) -> tuple[Panel, ...]:
    """Loops of one home folder share what waits, and each says the same: hence the greatest."""
    by = "by (ralph_signal)"
    return (
        lines(
            "Waiting requests",
            "What could not be sent yet. It falls when the receiver answers again.",
            Query(f"max {by} ({q('ralph_otel.waiting_requests')})", "{{ralph_signal}}"),
        ),
        lines(
            "Room that they take",
            "On disk, packed. At `waiting_size` the oldest are given up.",
            Query(f"max {by} ({q('ralph_otel.waiting_size')})", "{{ralph_signal}}"),
            unit="bytes",
        ),
        bars(
            "Given up",
            "Spans, data points and log records that will not reach the receiver. Zero is good.",
            Query(
                f"sum by (ralph_signal, ralph_drop_reason) ({q.grown('ralph_otel.undelivered', INTERVAL)})"
                " or vector(0)",  # it has no series before the first one
                "{{ralph_signal}} {{ralph_drop_reason}}",
            ),
        ),
    )


def _scrapes(q: Queries) -> tuple[Panel, ...]:
    return (
        lines(
            "Targets that answer",
            "1 for each endpoint that is scraped and answers, 0 where it does not. By OTLP there is none.",
            Query(f"up{{{q.filter}}}", "{{job}} {{instance}}"),
            most=1,
        ),
        lines(
            "Duration of scrapes",
            "Seconds.",
            Query(f"scrape_duration_seconds{{{q.filter}}}", "{{job}} {{instance}}"),
            unit="s",
        ),
        lines(
            "Samples of a scrape",
            "Series of each endpoint: they should not grow without bound.",
            Query(f"scrape_samples_scraped{{{q.filter}}}", "{{job}} {{instance}}"),
        ),
    )


def _collectors() -> tuple[Panel, ...]:
    """By the Collector's own metrics, whose names end in `_total` or not, by version and settings."""
    by = "by (instance, exporter, data_type)"
    queue = f"sum {by} (otelcol_exporter_queue_size) / (sum {by} (otelcol_exporter_queue_capacity) > 0)"

    def passed(step: str) -> tuple[Query, ...]:
        return tuple(
            Query(
                f'sum by (instance) (rate({{__name__=~"otelcol_{step}_{signal}(_total)?"}}[$__rate_interval]))',
                f"{signal} {{{{instance}}}}",
            )
            for signal in COLLECTOR_SIGNALS
        )

    return (
        lines("Received", "A second, by signal and Collector.", *passed("receiver_accepted"), width=6),
        lines("Sent on", "A second, by signal and Collector.", *passed("exporter_sent"), width=6),
        bars(
            "Refused or failed",
            "What a Collector did not take or could not send on. Empty is good.",
            Query(f"({collector_failures(INTERVAL)}) > 0", "{{lost}} {{instance}}"),
            width=6,
        ),
        lines(
            "Sending queues",
            "How full they are. When one is full, signals are lost.",
            Query(queue, "{{exporter}} {{instance}}"),
            unit="percentunit",
            width=6,
            most=1,
        ),
    )


def _rules() -> tuple[Panel, ...]:
    group = 'rule_group=~".*;ralph-.+"'
    return (
        lines(
            "Evaluation of the rules",
            "Seconds that each group takes. Near the interval of a minute there are too many loops for one Prometheus.",
            Query(f"prometheus_rule_group_last_duration_seconds{{{group}}}", "{{rule_group}}"),
            unit="s",
            width=12,
        ),
        bars(
            "Evaluations that failed or were missed",
            "Anything here makes recorded figures and alerts wrong.",
            Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{group}}}[{INTERVAL}]))", "failed"),
            Query(f"sum(increase(prometheus_rule_group_iterations_missed_total{{{group}}}[{INTERVAL}]))", "missed"),
            width=12,
        ),
    )
