"""A loop that does not move: it hangs, fails, or goes round and round."""

from __future__ import annotations

from collections.abc import Iterator

from ralph_otel.catalog import OUTCOME
from ralph_otel.mixin.alerts.alert import INSTANCE, NAME, Alert, Expressions, Severity, matching
from ralph_otel.mixin.names import LOOP, RUN
from ralph_otel.mixin.promql import any_of, most, on, over_time, total

_FAILED = matching(OUTCOME, "=~", "failure|timeout")
"""Not `cancelled`: somebody wanted that."""
_SUCCESS = matching(OUTCOME, "=", "success")


def alerts(e: Expressions) -> Iterator[Alert]:
    """Those of this file."""
    yield _stuck(e)
    yield _no_progress(e)
    yield _spinning(e)
    yield _failing(e)
    yield _tests_failing(e)


def _stuck(e: Expressions) -> Alert:
    c = e.config
    age, usual = e.latest("iteration_age"), e.names.recorded("iteration_duration", "usual24h")
    # Where the last age is all that a backend has, it stays for some minutes after the iteration has finished.
    goes_on = f"and {e.latest('active_iterations')} > 0"
    limit = f"clamp_min({c.stuck_factor} * {usual}, {c.stuck_floor.seconds})"
    return Alert(
        "RalphIterationStuck",
        Severity.CRITICAL,
        f"(\n  {age}\n  > {on(LOOP)} group_left () {limit}\n"
        f"  or\n  ({age}\n  unless {on(LOOP)} {usual}) > {c.stuck_without_history.seconds}\n)\n{goes_on}",
        "the iteration hangs",
        f"An iteration of {NAME} has been running for {{{{ $value | humanizeDuration }}}}, far longer than usual (run "
        f"{INSTANCE}). Look whether its agent still does anything: tools, tokens, processor.",
        ("stuck_factor", "stuck_floor", "stuck_without_history", "stuck_history", "stuck_quantile"),
        lasting=e.lasting("1m"),
    )


def _no_progress(e: Expressions) -> Alert:
    c = e.config
    return Alert(
        "RalphNoProgress",
        Severity.WARNING,
        e.while_running(f"{e.latest('no_progress_streak')} >= {c.no_progress_streak}"),
        "no progress",
        f"{{{{ $value }}}} iterations of {NAME} in a row made no progress (run {INSTANCE}), and each costs money. Look "
        "at what the agent says, and whether the goal can be reached at all.",
        ("no_progress_streak",),
        lasting=e.lasting("1m"),
    )


def _spinning(e: Expressions) -> Alert:
    """By loop, so that it sees what a streak cannot: many short runs, each of which begins its streak anew."""
    measured = most(over_time("max", e.names("progress_score"), "1h"), LOOP)
    changed = "\n".join(f"unless {total(e.increase(name, '1h'), LOOP)} > 0" for name in _CHANGES)
    return Alert(
        "RalphLoopSpinning",
        Severity.WARNING,
        f"{total(e.increase('iterations', '1h'), LOOP)} >= {e.config.spinning_iterations}\n"
        f"and {measured} >= 0\n{changed}\nand {e.lately()}",
        "it spins and changes nothing",
        f"{NAME} finished {{{{ $value | humanize }}}} iterations in the last hour, and no file, line or commit came of "
        "them. Look whether the agent can write, and whether it starts at all: a refused key ends it at once.",
        ("spinning_iterations",),
        lasting=e.lasting("10m"),
    )


_CHANGES = ("iterations_with_progress", "files_changed", "lines_changed", "commits")


def _failing(e: Expressions) -> Alert:
    """In the last minutes of a quick loop, the last hours of a slow one."""
    recovered = f"{total(e.increase('iterations', '1h', **_SUCCESS), LOOP)} > 0"
    long = f"({_mostly_failed(e, '6h')}\nunless {recovered})"
    return Alert(
        "RalphIterationsFailing",
        Severity.CRITICAL,
        f"(\n{any_of(_mostly_failed(e, '5m'), _mostly_failed(e, '1h'), long)}\n)\nand {e.lately()}",
        "iterations fail",
        f"{{{{ $value | humanize }}}} iterations of {NAME} failed or timed out, nearly all there were. Look at the "
        "errors and the agent's exit codes: a spent quota, a refused key, a broken tool.",
        ("failing_iterations", "failing_ratio"),
        lasting=e.lasting("1m"),
    )


def _mostly_failed(e: Expressions, window: str) -> str:
    failed = total(e.increase("iterations", window, **_FAILED), LOOP)
    every = total(e.increase("iterations", window), LOOP)
    enough = f"{failed} >= {e.config.failing_iterations}"
    return f"({enough}\n  and {failed}\n    / {every} >= {e.config.failing_ratio})"


def _tests_failing(e: Expressions) -> Alert:
    """Tests that fail are a loop's daily bread; that they do not get fewer is not.

    Better than at worst in the last hour, not than at its beginning: tests written before what they test turn a green
    suite red, and from then on it counts that they turn green one by one.
    """
    passing = e.names("test_pass_ratio")
    risen = most(f"{passing} > min_over_time({passing}[1h])", RUN)
    streak = f"{e.latest('test_failure_streak')} >= {e.config.test_failure_streak}"
    return Alert(
        "RalphTestsFailing",
        Severity.WARNING,
        e.while_running(f"{streak}\nunless {risen}"),
        "the tests keep failing",
        f"{{{{ $value }}}} test runs of {NAME} in a row had failures, and the fraction that passes has not risen in an "
        f"hour (run {INSTANCE}). Look whether it is always the same test, and whether the loop can mend it.",
        ("test_failure_streak",),
        lasting=e.lasting("1m"),
    )
