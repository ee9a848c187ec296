"""All loops at a glance: which run, do they move, what do they cost."""

from __future__ import annotations

from ralph_otel.catalog.attributes import LOOP_NAME, OUTCOME, TEST_STATUS
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
    streak_steps,
    worse_from,
)
from ralph_otel.mixin.dashboards.queries import (
    ALL_LOOPS,
    BY_LOOP,
    INTERVAL,
    LOOP_COLUMNS,
    LOOP_LABEL,
    ROWS,
    Queries,
    or_zero,
)
from ralph_otel.mixin.names import Names, label

UID = "ralph-overview"
_SUCCESS = f'{label(OUTCOME)}="success"'
_FAILING = f'{label(TEST_STATUS)}="failing"'


def dashboard(config: MixinConfig) -> Dashboard:
    """The dashboard."""
    q = Queries(config, ALL_LOOPS)
    return Dashboard(
        UID,
        LINKS[UID],
        "Every Ralph loop: which run, whether they move, what they cost, whether the tests get better.",
        variables(q.names),
        (
            Row("Now", _now(q)),
            Row("Loops", (_table(q), _alerts(q))),
            Row("Over time", _over_time(q)),
        ),
    )


def variables(names: Names) -> tuple[Variable, ...]:
    """Jobs, and their loops."""
    running = names("active_runs")
    return (
        Variable("job", "job", f"label_values({running}, job)"),
        Variable("loop", "loop", f'label_values({running}{{job=~"$job"}}, {label(LOOP_NAME)})'),
    )


def _now(q: Queries) -> tuple[Panel, ...]:
    iterations = f"sum({q.grown('iterations')})"
    return (
        stat("Running", or_zero(f"sum({q('active_runs')})"), "Runs that go on at this moment."),
        stat("Alerts", or_zero(f"count({q.alerts()})"), "Alerts of these loops that fire now.", steps=ANY_IS_BAD),
        stat("Iterations", iterations, "Iterations that finished in the time shown."),
        stat(
            "Successful",
            f"sum({q.grown('iterations', more=_SUCCESS)}) / ({iterations} > 0)",
            "Of the iterations that finished in the time shown, the fraction that succeeded.",
            "percentunit",
            better_from(0.5, 0.8),
        ),
        stat("Cost", f"sum({q.grown('cost')})", "US dollars spent in the time shown.", "currencyUSD"),
        stat("Failing tests", f"sum({q('tests', _FAILING)})", "Failing tests of the last runs.", steps=ANY_IS_BAD),
    )


def _table(q: Queries) -> Panel:
    def worst(name: str) -> str:
        return f"max {ROWS} ({q(name)})"

    done = f"sum {ROWS} ({q.grown('iterations')})"
    succeeded = f"sum {ROWS} ({q.grown('iterations', more=_SUCCESS)})"
    return Panel(
        "Loops",
        "A row for each loop that ran in the time shown; its name leads to its own page. Without tests, progress or "
        "costs, those cells are empty.",
        Kind.TABLE,
        (
            Query(f"sum {ROWS} ({q('active_runs')})", "running"),
            Query(done, "iterations"),
            Query(f"{succeeded} / ({done} > 0)", "successful", "percentunit", better_from(0.5, 0.8)),
            Query(worst("iteration_age"), "in this iteration for", "s"),
            Query(
                worst("no_progress_streak"),
                "without progress",
                "short",
                streak_steps(q.config.no_progress_streak),
            ),
            Query(worst("context_usage"), "context", "percent", worse_from(60, q.config.context_high)),
            Query(f"sum {ROWS} ({q.grown('reboots')})", "reboots"),
            Query(f"min {ROWS} ({q('test_pass_ratio')})", "tests pass", "percentunit", better_from(0.5, 0.999)),
            Query(f"sum {ROWS} ({q.grown('tokens')})", "tokens"),
            Query(f"sum {ROWS} ({q.grown('cost')})", "cost", "currencyUSD"),
            Query(f"count {ROWS} ({q.alerts()})", "alerts", "short", ANY_IS_BAD),
        ),
        width=24,
        height=10,
        labels=LOOP_COLUMNS,
        detail=True,
    )


def _alerts(q: Queries) -> Panel:
    by = f"by (alertname, severity, {LOOP_LABEL}, instance, job)"
    return Panel(
        "Alerts",
        "What fires now; docs/runbooks has a page for each.",
        Kind.TABLE,
        (Query(f"count {by} ({q.alerts()})", "firing"),),
        width=24,
        height=6,
        labels=(
            ("alertname", "alert"),
            ("severity", "severity"),
            (LOOP_LABEL, "loop"),
            ("instance", "run"),
            ("job", "job"),
        ),
        detail=True,
    )


def _over_time(q: Queries) -> tuple[Panel, ...]:
    loop, outcome = f"{{{{{LOOP_LABEL}}}}}", label(OUTCOME)
    return (
        bars(
            "Iterations",
            "Iterations that finished in each interval, by how they ended. No bars while something runs: it is slow, "
            "or stuck.",
            Query(f"sum by ({outcome}) ({q.grown('iterations', INTERVAL)})", f"{{{{{outcome}}}}}"),
        ),
        lines(
            "Age of the running iterations",
            "How long each loop's iteration has been running. A saw is healthy; a line that only climbs is stuck.",
            Query(f"max {BY_LOOP} ({q('iteration_age')})", loop),
            unit="s",
        ),
        bars(
            "Cost",
            "US dollars spent in each interval, by loop.",
            Query(f"sum {BY_LOOP} ({q.grown('cost', INTERVAL)})", loop),
            unit="currencyUSD",
        ),
        lines(
            "Tests that pass",
            "The fraction of the last run's tests. It should rise.",
            Query(f"min {BY_LOOP} ({q('test_pass_ratio')})", loop),
            unit="percentunit",
            most=1,
        ),
        bars(
            "Reboots",
            "Times a context was thrown away in each interval, by loop.",
            Query(f"sum {BY_LOOP} ({q.grown('reboots', INTERVAL)})", loop),
        ),
        lines(
            "Iterations without progress",
            "In a row, by loop; the dashed lines are where it begins to be a problem.",
            Query(f"max {BY_LOOP} ({q('no_progress_streak')})", loop),
            steps=streak_steps(q.config.no_progress_streak),
        ),
    )
