"""A loop that died: its recorder lived to tell, or did not."""

from __future__ import annotations

from collections.abc import Iterator

from ralph_otel.catalog import STOP_REASON
from ralph_otel.mixin.alerts.alert import INSTANCE, NAME, Alert, Expressions, Severity, matching
from ralph_otel.mixin.names import LOOP, PROCESS, RUN, TARGET, label
from ralph_otel.mixin.promql import any_of, most, on, over_time, total
from ralph_otel.mixin.recording import STEP

_UNHEARD = 0.6
"""The part of `gone_for` in which nothing was heard, before the alert is pending for the rest of it."""
_NEVER_STILL = ("iteration_age", "system.cpu.utilization", "system.memory.utilization")
"""What moves while a recorder lives: the first while an iteration runs, unless it pauses; the others always."""


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

    Each must have been so for a part of `gone_for`, and then lasts for the rest of it. What a Collector shows stands
    still first and then ends, so what a run was last seen to do is asked, not what it does: one way follows the other.
    Not so of a target that was taken back.
    """
    c, active = e.config, e.names("active_runs")
    recent = c.gone_for.part(_UNHEARD)
    was_running = f"{most(over_time('last', active, c.gone_window), RUN)} > 0"
    heard = most(over_time("present", active, recent), RUN)
    scraped = most(over_time("last", "up", c.gone_window), TARGET)
    answered = most(over_time("max", "up", recent), TARGET)
    iterating = f"{most(over_time('last', e.names('active_iterations'), c.gone_window), PROCESS)} > 0"
    shown = f"({_shown(e, 'iteration_age')} and {iterating} or {_shown(e, 'system.cpu.utilization')})"
    moved = "\n    or ".join(f"{most(f'changes({e.names(name)}[{recent}])', PROCESS)} > 0" for name in _NEVER_STILL)
    silent = f"({was_running}\n  unless {heard}\n  unless {on(TARGET)} {scraped})"
    unanswered = f"({was_running}\n  and {on(TARGET)} {answered} == 0)"
    still = (
        f"({was_running}\n  and {on(PROCESS)} {shown}\n  unless {on(PROCESS)} ({moved})"
        f"\n  unless {on(TARGET)} ({scraped} unless {most('up', TARGET)}))"
    )
    return Alert(
        "RalphLoopVanished",
        Severity.CRITICAL,
        any_of(silent, unanswered, still),
        "nothing is heard of it",
        f"{NAME} was running and has not been heard of since, though it never said that it stopped (run {INSTANCE}). "
        "It was killed together with its recorder, or its machine or the way to it is down. Look for its process.",
        ("gone_for", "gone_window"),
        lasting=c.gone_for.part(1 - _UNHEARD),
    )


def _shown(e: Expressions, name: str) -> str:
    """Processes of which a value is seen often enough to say whether it stands still."""
    return f"{most(f'count_over_time({e.names(name)}[{e.config.gone_for}])', PROCESS)} > 2"
