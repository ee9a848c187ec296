"""A loop that died: its recorder lived to tell, or did not."""

from __future__ import annotations

from collections.abc import Iterator

from ralph_otel.catalog import STOP_REASON
from ralph_otel.mixin.alerts.alert import INSTANCE, NAME, Alert, Expressions, Severity, matching
from ralph_otel.mixin.names import LOOP, PROCESS, RUN, label
from ralph_otel.mixin.promql import any_of, most, on, over_time, total
from ralph_otel.mixin.recording import STEP


def alerts(e: Expressions) -> Iterator[Alert]:
    """Those of this file."""
    yield _crashed(e)
    yield _vanished(e)


def _crashed(e: Expressions) -> Alert:
    reason = label(STOP_REASON)
    ended = e.increase("runs", STEP, **matching(STOP_REASON, "=~", "crashed|error"))
    return Alert(
        "RalphLoopCrashed",
        Severity.CRITICAL,
        f"{total(over_time('max', ended, e.config.gone_window), (*LOOP, reason))} > 0",
        "it died",
        f"A run of {NAME} ended as `{{{{ $labels.{reason} }}}}`. Look at its last events (`ralph-otel report`), the "
        "runner's output, and whether the machine ran out of memory.",
        ("gone_window",),
    )


def _vanished(e: Expressions) -> Alert:
    """Each way by which figures come says otherwise that nobody is there any more.

    Scraped: the target is still listed (whoever ends well takes it back) and does not answer. By OTLP, where there is
    no target: the series end, and the last that was said is that a run goes on. As a file for node_exporter, which
    shows it for ever, or by a Collector, which shows it for some minutes: what cannot stand still does.
    """
    c, active = e.config, e.names("active_runs")
    was_running = f"{most(over_time('last', active, c.gone_window), RUN)} > 0"
    heard = most(over_time("present", active, c.gone_for), RUN)
    scraped = most(over_time("last", "up", c.gone_window), PROCESS)
    silent = f"({was_running}\n  unless {heard}\n  unless {on(PROCESS)} {scraped})"
    unanswered = f"({was_running}\n  and {on(PROCESS)} {most('up', PROCESS)} == 0)"
    iterating = f"{_still(e, 'iteration_age')} and {most(e.names('active_iterations'), PROCESS)} > 0"
    machine = f"{_still(e, 'system.cpu.utilization')} and {_still(e, 'system.memory.utilization')}"
    frozen = f"({e.running()}\n  and {on(PROCESS)} (\n    {iterating}\n    or\n    {machine}\n  ))"
    return Alert(
        "RalphLoopVanished",
        Severity.CRITICAL,
        any_of(silent, unanswered, frozen),
        "nothing is heard of it",
        f"{NAME} was running and has not been heard of since, though it never said that it stopped (run {INSTANCE}). "
        "It was killed together with its recorder, or its machine or the way to it is down. Look for its process.",
        ("gone_for", "gone_window"),
        lasting=c.gone_for,
    )


def _still(e: Expressions, name: str) -> str:
    """Processes of which a value that always moves has stood still, in several samples."""
    recent = f"{e.names(name)}[{e.config.gone_for}]"
    changes, samples = most(f"changes({recent})", PROCESS), most(f"count_over_time({recent})", PROCESS)
    return f"({changes} == 0 and {samples} > 2)"
