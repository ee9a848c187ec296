"""One loop in detail."""

from __future__ import annotations

from ralph_otel.catalog.attributes import (
    AGENT,
    CHANGE,
    ERROR_TYPE,
    LOOP_NAME,
    MODEL,
    OUTCOME,
    REBOOT_REASON,
    ROLE,
    STOP_REASON,
    TEST_OUTCOME,
    TEST_STATUS,
    TOKEN_TYPE,
    TOOL,
    Attribute,
)
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
from ralph_otel.mixin.dashboards.queries import INTERVAL, ITS_RUNS, LOOP_LABEL, ONE_LOOP, Queries, or_zero
from ralph_otel.mixin.names import label

UID = "ralph-loop"
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def dashboard(config: MixinConfig) -> Dashboard:
    """The dashboard."""
    q = Queries(config, ITS_RUNS)
    running = q.names("active_runs")
    return Dashboard(
        UID,
        LINKS[UID],
        "Whether a loop moves, what it costs, and what comes of it; of all its runs, or of some.",
        (
            Variable("job", "job", f"label_values({running}, job)", several=False),
            Variable("loop", "loop", f'label_values({running}{{job="$job"}}, {LOOP_LABEL})', several=False),
            Variable("instance", "run", f"label_values({running}{{{ONE_LOOP}}}, instance)"),
        ),
        (
            Row("Now", _now(q)),
            Row("Is it moving?", _moving(q)),
            Row("Cost and tokens", _cost(q)),
            Row("Context", _context(q)),
            Row("Tests", _tests(q)),
            Row("Progress", _progress(q)),
            Row("Agents, tools, errors", _agents(q)),
            Row("Resources", _resources(q)),
            Row("Traces", (_traces(),)),
        ),
        traces=True,
    )


def _by(attribute: Attribute, expr: str) -> Query:
    """A sum by an attribute, its series called by the value."""
    name = label(attribute)
    return Query(f"sum by ({name}) ({expr})", f"{{{{{name}}}}}")


def _quantiles(q: Queries, name: str, window: str = "$__rate_interval") -> tuple[Query, ...]:
    """Quantiles of a histogram, with its exemplars."""
    buckets = f"sum by (le) ({q.grown(f'{name}_bucket', window)})"
    return tuple(
        Query(f"histogram_quantile({quantile}, {buckets})", legend, exemplars=True)
        for legend, quantile in _QUANTILES.items()
    )


def _now(q: Queries) -> tuple[Panel, ...]:
    c = q.config
    iterations = f"sum({q.grown('iterations')})"
    succeeded = f"sum({q.grown('iterations', more=_is(OUTCOME, 'success'))})"
    return (
        stat("Running", or_zero(f"sum({q('active_runs')})"), "Runs that go on now.", width=3),
        stat("In this iteration for", f"max({q('iteration_age')})", "Age of the running iteration.", "s", width=3),
        stat("Iterations", iterations, "Iterations that finished in the time shown.", width=3),
        stat(
            "Successful",
            f"{succeeded} / ({iterations} > 0)",
            "The fraction of them that succeeded.",
            "percentunit",
            better_from(0.5, 0.8),
            3,
        ),
        stat(
            "Without progress",
            f"max({q('no_progress_streak')})",
            "Iterations in a row without progress.",
            steps=streak_steps(c.no_progress_streak),
            width=3,
        ),
        stat(
            "Tests pass", f"min({q('test_pass_ratio')})", "Of the last run.", "percentunit", better_from(0.5, 0.999), 3
        ),
        stat("Cost", f"sum({q.grown('cost')})", "US dollars in the time shown.", "currencyUSD", width=3),
        stat(
            "Context",
            f"max({q('context_usage')})",
            "How full the context window is.",
            "percent",
            worse_from(60, c.context_high),
            3,
        ),
    )


def _is(attribute: Attribute, value: str) -> str:
    return f'{label(attribute)}="{value}"'


def _moving(q: Queries) -> tuple[Panel, ...]:
    c = q.config
    usual = Queries(c, ONE_LOOP).recorded("iteration_duration", "usual24h")
    return (
        lines(
            "Age of the running iteration",
            "How long the iteration has been running, and what is usual for this loop. Above the limit the alert "
            "RalphIterationStuck fires. Nothing is drawn while no iteration runs.",
            Query(f"max by (instance) ({q('iteration_age')})", "{{instance}}"),
            Query(f"max({usual})", "usual"),
            Query(f"clamp_min({c.stuck_factor} * max({usual}), {c.stuck_floor.seconds})", "limit"),
            unit="s",
        ),
        bars(
            "Iterations",
            "Iterations that finished in each interval, by how they ended.",
            _by(OUTCOME, q.grown("iterations", INTERVAL)),
        ),
        lines(
            "Duration of iterations",
            "Half, nine of ten, and 99 of 100 iterations were quicker. The marks lead to their traces.",
            *_quantiles(q, "iteration_duration"),
            unit="s",
        ),
        bars(
            "Ends of runs",
            "Runs that ended in each interval, by why.",
            _by(STOP_REASON, q.grown("runs", INTERVAL)),
        ),
        Panel(
            "All durations",
            "How many iterations took how long.",
            Kind.HEATMAP,
            (Query(f"sum by (le) ({q.grown('iteration_duration_bucket', INTERVAL)})", "{{le}}", exemplars=True),),
            "s",
        ),
        lines(
            "Open sessions and iterations",
            "A loop that is paused has a run, and no iteration.",
            *(Query(f"sum({q(name)})", name.removeprefix("active_")) for name in _ACTIVE),
        ),
    )


_ACTIVE = ("active_runs", "active_sessions", "active_iterations")


def _cost(q: Queries) -> tuple[Panel, ...]:
    per_iteration = f"sum({q.grown('cost', '1h')}) / (sum({q.grown('iterations', '1h')}) > 0)"
    return (
        bars(
            "Cost", "US dollars in each interval, by model.", _by(MODEL, q.grown("cost", INTERVAL)), unit="currencyUSD"
        ),
        bars(
            "Tokens",
            "In each interval, by what they were used for. Much `input` and little `cache_read`: no caching.",
            _by(TOKEN_TYPE, q.grown("tokens", INTERVAL)),
        ),
        lines(
            "Cost of an iteration",
            "US dollars of the last hour, for each iteration that finished in it.",
            Query(per_iteration, "cost"),
            unit="currencyUSD",
        ),
    )


def _context(q: Queries) -> tuple[Panel, ...]:
    at_reboot = (f"sum({q.grown(f'context_at_reboot_{part}', '1h')})" for part in ("sum", "count"))
    return (
        lines(
            "Context in use",
            "How full the window is. It falls to 0 when a session begins.",
            Query(f"max by (instance) ({q('context_usage')})", "{{instance}}"),
            unit="percent",
            steps=worse_from(60, q.config.context_high),
            most=100,
        ),
        bars("Reboots", "In each interval, by reason.", _by(REBOOT_REASON, q.grown("reboots", INTERVAL))),
        lines(
            "Context at reboots",
            "How full it was, on average over the last hour, when it was thrown away.",
            Query("{} / ({} > 0)".format(*at_reboot), "context"),
            unit="percent",
            most=100,
        ),
    )


def _tests(q: Queries) -> tuple[Panel, ...]:
    return (
        lines("Tests", "Tests of the last run, by how they ended.", _by(TEST_STATUS, q("tests"))),
        lines(
            "Failures in a row",
            "Test runs in a row with a failure, and tests that pass and fail by turns.",
            Query(f"max({q('test_failure_streak')})", "failure streak"),
            Query(f"max({q('flaky_tests')})", "flaky tests"),
            steps=streak_steps(q.config.test_failure_streak),
        ),
        bars("Test runs", "In each interval, by outcome.", _by(TEST_OUTCOME, q.grown("test_runs", INTERVAL))),
        lines(
            "Duration of test runs",
            "Half, nine of ten, and 99 of 100 test runs were quicker.",
            *_quantiles(q, "test_run_duration"),
            unit="s",
        ),
    )


def _progress(q: Queries) -> tuple[Panel, ...]:
    return (
        lines(
            "Score",
            "The last progress score, 0 to 1, and its velocity: the last three less the first three of the last ten.",
            Query(f"max({q('progress_score')})", "score"),
            Query(f"max({q('progress_velocity')})", "velocity"),
        ),
        lines(
            "Iterations without progress",
            "In a row; the dashed lines are where it begins to be a problem.",
            Query(f"max by (instance) ({q('no_progress_streak')})", "{{instance}}"),
            steps=streak_steps(q.config.no_progress_streak),
        ),
        bars("Lines", "Lines added and removed in each interval.", _by(CHANGE, q.grown("lines_changed", INTERVAL))),
        bars(
            "Files and commits",
            "Files changed and commits made in each interval.",
            Query(f"sum({q.grown('files_changed', INTERVAL)})", "files"),
            Query(f"sum({q.grown('commits', INTERVAL)})", "commits"),
        ),
        bars(
            "Iterations with progress",
            "In each interval.",
            Query(f"sum({q.grown('iterations_with_progress', INTERVAL)})", "with progress"),
        ),
    )


def _agents(q: Queries) -> tuple[Panel, ...]:
    return (
        lines(
            "Duration of agents",
            "Half, nine of ten, and 99 of 100 processes of agents were quicker. The marks lead to their traces.",
            *_quantiles(q, "agent_duration"),
            unit="s",
        ),
        bars("Turns", "Turns of conversation in each interval, by agent.", _by(AGENT, q.grown("turns", INTERVAL))),
        bars("Tools", "Tools used in each interval.", _by(TOOL, q.grown("tool_calls", INTERVAL))),
        bars(
            "Tools that failed",
            "In each interval, by tool.",
            _by(TOOL, q.grown("tool_calls", INTERVAL, f'{label(OUTCOME)}!="success"')),
        ),
        bars("Errors", "Errors of the loop in each interval, by class.", _by(ERROR_TYPE, q.grown("errors", INTERVAL))),
        Panel(
            "Alerts",
            "What fires for this loop now; docs/runbooks has a page for each.",
            Kind.TABLE,
            (Query(f"count by (alertname, severity) ({_alerts(q)})", "firing", "short", ANY_IS_BAD),),
            labels=(("alertname", "alert"), ("severity", "severity")),
        ),
    )


def _alerts(q: Queries) -> str:
    """Those of the loop, too, which have no instance."""
    return Queries(q.config, ONE_LOOP).alerts()


def _resources(q: Queries) -> tuple[Panel, ...]:
    return (
        lines(
            "Processor",
            "Fraction of all cores that the runner, and all below it, have in use. An agent that sleeps uses none.",
            _by(ROLE, q("process.cpu.utilization")),
            unit="percentunit",
        ),
        lines("Memory", "Physical memory in use.", _by(ROLE, q("process.memory.usage")), unit="bytes"),
        lines(
            "Processes and threads",
            "A number that only climbs: something is left behind in each iteration.",
            Query(f"sum({q('ralph.process.count')})", "processes"),
            Query(f"sum({q('process.thread.count')})", "threads"),
            Query(f"sum({q('process.unix.file_descriptor.count')})", "open files of the runner"),
        ),
        lines(
            "The machine",
            "Processor and memory of the whole machine.",
            Query(f"max({q('system.cpu.utilization')})", "processor"),
            Query(f"max({q('system.memory.utilization')})", "memory"),
            unit="percentunit",
            most=1,
        ),
    )


def _traces() -> Panel:
    return Panel(
        "Traces of this loop",
        "The newest traces with this loop's name, from a data source of Jaeger.",
        Kind.TRACES,
        (Query(f'{LOOP_NAME.name}="$loop"'),),
        width=24,
    )
