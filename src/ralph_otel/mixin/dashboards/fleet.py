"""Thousands of loops: totals, distributions and the worst of them, by recording rules so that it stays cheap."""

from __future__ import annotations

from ralph_otel.catalog.attributes import MODEL, OUTCOME, REBOOT_REASON, STOP_REASON, TOKEN_TYPE
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.dashboards.model import (
    ANY_IS_BAD,
    LINKS,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Variable,
    bars,
    better_from,
    lines,
    stat,
)
from ralph_otel.mixin.dashboards.queries import LOOP_COLUMNS, LOOP_LABEL, RUNNER_LABEL, Queries, or_zero
from ralph_otel.mixin.names import label

UID = "ralph-fleet"
_FILTER = f'job=~"$job", {RUNNER_LABEL}=~"$runner"'
_OF_RUNNER = f"{{{{{RUNNER_LABEL}}}}}"
_MANY = 15
"""Rows of the worst loops."""
_SPREAD = {"a tenth is below": 0.1, "half": 0.5, "nine of ten": 0.9, "99 of 100": 0.99}


def dashboard(config: MixinConfig) -> Dashboard:
    """The dashboard."""
    q = Queries(config, _FILTER)
    running = q.names.recorded("active_runs", "sum")
    return Dashboard(
        UID,
        LINKS[UID],
        "Thousands of loops: totals by runner, how they are distributed, and the worst. Needs the recording rules.",
        (
            Variable("job", "job", f"label_values({running}, job)"),
            Variable("runner", "runner", f'label_values({running}{{job=~"$job"}}, {RUNNER_LABEL})'),
        ),
        (
            Row("Now", _now(q)),
            Row("By runner", _by_runner(q)),
            Row("How they are distributed", _distributions(q)),
            Row("The worst", _worst(q)),
        ),
        since="now-6h",
    )


def _now(q: Queries) -> tuple[Panel, ...]:
    hour = f"sum({q.recorded('iterations', 'increase1h')})"
    succeeded = f"sum({q.recorded('iterations', 'increase1h', _SUCCESS)})"
    return (
        stat("Runs", or_zero(f"sum({q.recorded('active_runs', 'sum')})"), "Runs that go on now.", width=3),
        stat("Loops", or_zero(f"count({q.recorded('active_runs', 'sum')} > 0)"), "Loops with a run.", width=3),
        stat("Alerts", or_zero(f"count({q.alerts()})"), "Alerts that fire now.", steps=ANY_IS_BAD, width=3),
        stat("Iterations", hour, "Iterations that finished in the last hour.", width=3),
        stat(
            "Successful",
            f"{succeeded} / ({hour} > 0)",
            "The fraction of them that succeeded.",
            "percentunit",
            better_from(0.5, 0.8),
            3,
        ),
        stat(
            "Cost, 1 h",
            f"sum({q.recorded('cost', 'increase1h')})",
            "US dollars in the last hour.",
            "currencyUSD",
            width=3,
        ),
        stat(
            "Cost, 24 h",
            f"sum({q.recorded('cost', 'increase24h')})",
            "US dollars in the last day.",
            "currencyUSD",
            width=3,
        ),
        stat("Tokens, 24 h", f"sum({q.recorded('tokens', 'increase24h')})", "Tokens in the last day.", width=3),
    )


_SUCCESS = f'{label(OUTCOME)}="success"'


def _by_runner(q: Queries) -> tuple[Panel, ...]:
    def of(name: str, operation: str) -> Query:
        return Query(f"sum by ({RUNNER_LABEL}) ({q.recorded(name, operation)})", _OF_RUNNER)

    def by(attribute: str, name: str) -> Query:
        return Query(f"sum by ({attribute}) ({q.recorded(name, 'increase1h')})", f"{{{{{attribute}}}}}")

    return (
        lines("Runs", "Runs that go on, by runner.", of("active_runs", "sum")),
        lines("Iterations an hour", "That finished in the hour before, by runner.", of("iterations", "increase1h")),
        lines(
            "Cost an hour", "US dollars in the hour before, by runner.", of("cost", "increase1h"), unit="currencyUSD"
        ),
        lines("Cost an hour by model", "US dollars in the hour before.", by(label(MODEL), "cost"), unit="currencyUSD"),
        lines("Tokens an hour", "In the hour before, by what they were used for.", by(label(TOKEN_TYPE), "tokens")),
        lines(
            "Outcomes an hour", "Iterations in the hour before, by how they ended.", by(label(OUTCOME), "iterations")
        ),
        lines("Ends of runs an hour", "Runs that ended in the hour before, by why.", by(label(STOP_REASON), "runs")),
        lines("Reboots an hour", "In the hour before, by reason.", by(label(REBOOT_REASON), "reboots")),
        bars(
            "Alerts",
            "Alerts that fire, by name.",
            Query(f"count by (alertname) ({q.alerts()})", "{{alertname}}"),
        ),
    )


def _distributions(q: Queries) -> tuple[Panel, ...]:
    def spread(expr: str) -> tuple[Query, ...]:
        return tuple(Query(f"quantile({each}, {expr})", legend) for legend, each in _SPREAD.items())

    buckets = f"sum by (le) ({q.recorded('iteration_duration_bucket', 'increase5m')})"
    by_loop = f"by (job, {LOOP_LABEL}, {RUNNER_LABEL})"
    return (
        lines(
            "Duration of iterations",
            "Of all loops, in the five minutes before.",
            *(Query(f"histogram_quantile({each}, {buckets})", legend) for legend, each in _SPREAD.items()),
            unit="s",
        ),
        lines(
            "Age of running iterations",
            "How it is distributed over the loops.",
            *spread(q.recorded("iteration_age", "max")),
            unit="s",
        ),
        lines(
            "Cost of a loop in an hour",
            "How it is distributed over the loops, in US dollars.",
            *spread(f"sum {by_loop} ({q.recorded('cost', 'increase1h')})"),
            unit="currencyUSD",
        ),
        lines(
            "Tests that pass",
            "The fraction, and how it is distributed over the loops.",
            *spread(q.recorded("test_pass_ratio", "min")),
            unit="percentunit",
            most=1,
        ),
        lines(
            "Iterations without progress",
            "In a row, and how that is distributed over the loops.",
            *spread(q.recorded("no_progress_streak", "max")),
        ),
        lines(
            "Context in use",
            "How it is distributed over the loops.",
            *spread(q.recorded("context_usage", "max")),
            unit="percent",
            most=100,
        ),
    )


def _worst(q: Queries) -> tuple[Panel, ...]:
    by_loop = f"by (job, {LOOP_LABEL}, {RUNNER_LABEL})"
    failed = q.recorded("iterations", "increase1h", f'{label(OUTCOME)}!="success"')

    def top(title: str, description: str, expr: str, header: str, unit: str = "short") -> Panel:
        query = Query(f"topk({_MANY}, {expr} > 0)", header)
        return Panel(title, description, Kind.TABLE, (query,), unit, labels=LOOP_COLUMNS, detail=True)

    return (
        top(
            "Dearest in 24 hours",
            "US dollars, all runs of a loop together.",
            f"sum {by_loop} ({q.recorded('cost', 'increase24h')})",
            "cost",
            "currencyUSD",
        ),
        top("Longest in an iteration", "How long it has been running.", q.recorded("iteration_age", "max"), "age", "s"),
        top("Most failures in an hour", "Iterations that did not succeed.", f"sum {by_loop} ({failed})", "failed"),
        top(
            "Longest without progress",
            "Iterations in a row.",
            q.recorded("no_progress_streak", "max"),
            "without progress",
        ),
        top(
            "Longest with failing tests",
            "Test runs in a row with a failure.",
            q.recorded("test_failure_streak", "max"),
            "failure streak",
        ),
        top(
            "Most reboots in an hour",
            "Times the context was thrown away.",
            f"sum {by_loop} ({q.recorded('reboots', 'increase1h')})",
            "reboots",
        ),
    )
