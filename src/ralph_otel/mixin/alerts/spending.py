"""A loop that spends too much: money, or context windows."""

from __future__ import annotations

from collections.abc import Iterator

from ralph_otel.catalog import REBOOT_REASON
from ralph_otel.mixin.alerts.alert import INSTANCE, NAME, Alert, Expressions, Severity, matching
from ralph_otel.mixin.names import LOOP, RUN
from ralph_otel.mixin.promql import total

_PLANNED = "iteration_limit|duration_limit|manual"
"""Reasons of reboots that were wanted."""


def alerts(e: Expressions) -> Iterator[Alert]:
    """Those of this file."""
    yield _run_over_budget(e)
    yield _day_over_budget(e)
    yield _cost_spike(e)
    yield _reboot_storm(e)
    yield _context_fills(e)


def _run_over_budget(e: Expressions) -> Alert:
    return Alert(
        "RalphRunOverBudget",
        Severity.CRITICAL,
        e.while_running(f"{total(e.names('cost'), RUN)} > {e.config.run_budget}"),
        "a run is over its budget",
        f'The run {INSTANCE} of {NAME} has cost {{{{ $value | printf "%.2f" }}}} USD and goes on. Look what it got '
        "for it; stop it if it is not worth more.",
        ("run_budget",),
    )


def _day_over_budget(e: Expressions) -> Alert:
    return Alert(
        "RalphDayOverBudget",
        Severity.WARNING,
        f"{total(e.increase('cost', '24h'), LOOP)} > {e.config.day_budget}",
        "over its budget of the day",
        f'All runs of {NAME} together have cost {{{{ $value | printf "%.2f" }}}} USD in 24 hours. Look which models '
        "and which runs it went to.",
        ("day_budget",),
    )


def _cost_spike(e: Expressions) -> Alert:
    """Against its usual by run, so that a second run beside the first is no spike; against the limit all together."""
    c = e.config
    dearest = e.names.recorded("cost", "max_run_increase1h")
    before = f"{dearest}[24h] offset 1h"
    recorded = c.spike_history.seconds // c.interval.seconds
    usual = f"max_over_time({before})\n    and count_over_time({before}) >= {recorded}"
    return Alert(
        "RalphCostSpike",
        Severity.CRITICAL,
        f"{total(e.increase('cost', '1h'), LOOP)} > {c.hour_limit}\nor\n"
        f"(\n  ({dearest} > {c.spike_floor})\n  > {c.spike_factor} * ({usual})\n)",
        "it spends money fast",
        f'{NAME} has cost {{{{ $value | printf "%.2f" }}}} USD in the last hour, over the limit or far more than it '
        "usually does. Look at the model, the context's size and the number of iterations.",
        ("hour_limit", "spike_factor", "spike_floor", "spike_history"),
    )


def _reboot_storm(e: Expressions) -> Alert:
    c = e.config
    reboots = total(e.increase("reboots", "1h", **matching(REBOOT_REASON, "!~", _PLANNED)), LOOP)
    iterations = total(e.increase("iterations", "1h"), LOOP)
    return Alert(
        "RalphRebootStorm",
        Severity.WARNING,
        f"{reboots} >= {c.storm_reboots}\nunless {reboots}\n  < {c.storm_per_iteration} * {iterations}",
        "one reboot after the other",
        f"{NAME} threw its context away {{{{ $value | humanize }}}} times in the last hour, about once an iteration or "
        "more, and none of it was planned. Look at the reasons, and how full the context was.",
        ("storm_reboots", "storm_per_iteration"),
        lasting=e.lasting("1m"),
    )


def _context_fills(e: Expressions) -> Alert:
    c, usage = e.config, e.names("context_usage")
    predicted = f"predict_linear({usage}[10m], {c.context_fills_within.seconds}) >= 100"
    steadily = f"resets({usage}[10m]) == 0"
    filling = e.while_running(
        f"max by ({', '.join(RUN)}) (\n  {usage} >= {c.context_high}\n  and {predicted} and {steadily}\n)"
    )
    count, sum_ = (total(e.increase(f"context_at_reboot_{part}", "1h"), LOOP) for part in ("count", "sum"))
    iterations = total(e.increase("iterations", "1h"), LOOP)
    full = f"({sum_} / ({count} >= {c.context_reboots}) >= {c.context_high})"
    return Alert(
        "RalphContextFillsFast",
        Severity.WARNING,
        f"({filling}\n)\nor\n({full}\nunless {iterations}\n  >= {c.context_iterations} * {count})",
        "the context fills too fast",
        f"The context window of {NAME} is at {{{{ $value | humanize }}}} %: it will be full soon, or is thrown away "
        "like this after an iteration or two. Look at what is read into it: large files, test output, a long prompt.",
        ("context_high", "context_fills_within", "context_reboots", "context_iterations"),
        lasting=e.lasting("3m"),
    )
