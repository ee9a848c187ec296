"""A journal that feeds every metric of the catalog, and what it comes to."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ralph_otel.events import Line

from .figures import Series
from .tape import Tape, at

Attributes = tuple[tuple[str, str], ...]
SPAN = "b7ad6b7169203331"


def script(name: str, runner: str) -> list[Line]:
    """A loop that goes on, `run-1`, with something of everything; and another of its name that has stopped, `run-2`."""
    tape = Tape(name, runner=runner)
    tape.add(1, "session.started", session="a").add(2, "iteration.started", iteration=1, span=SPAN)
    tape.add(2, "agent.started", agent="claude", model="m")
    tape.add(5, "agent.finished", agent="claude", turns=4, exit_code=0)
    tape.add(
        5, "usage.measured", model="m", input_tokens=10, output_tokens=300, cache_read_tokens=20_000,
        cache_creation_tokens=50, cost_usd=0.25,
    )  # fmt: skip
    tape.add(5, "usage.measured", model="n", output_tokens=7, cost_usd=0.5, cost_source="estimated")
    tape.add(5, "usage.measured", model="m", output_tokens=1, input_tokens=0, cost_usd=0)
    tape.add(6, "context.measured", percent=40.5)
    tape.add(7, "tests.finished", passed=7, failed=2, skipped=1, duration=1.5)
    for tool, outcome in (("Bash", "success"), ("Bash", "failure"), ("Edit", "success"), ("Bash", "success")):
        tape.add(8, "tool.called", tool=tool, outcome=outcome)
    tape.add(9, "progress.measured", score=0.2, files_changed=3, lines_added=10, lines_removed=4, commits=1)
    tape.add(10, "iteration.finished", iteration=1, outcome="success", duration=8.0, span=SPAN)
    tape.add(11, "reboot.started", reason="redline", context_percent=88)
    tape.add(11.5, "reboot.finished", reason="redline").add(12, "session.ended", session="a")
    tape.add(13, "session.started", session="b").add(14, "iteration.started", iteration=2)
    tape.add(15, "error.raised", error_type="RateLimited").add(15, "error.raised", error_type="RateLimited")
    tape.add(16, "iteration.finished", iteration=2, outcome="timeout", duration=2.0, error_type="timeout")
    tape.add(17, "tests.finished", passed=9, failed=0, total=12, duration=2.5)
    tape.add(18, "progress.measured", score=0.0, files_changed=2, lines_added=1)
    tape.add(18, "progress.measured", score=0.04).add(18, "progress.measured", score=0.08)
    tape.add(19, "iteration.started", iteration=3)
    other = Tape(name, run="run-2", runner=runner).add(1, "loop.paused").add(6, "loop.resumed")
    return [*tape.lines, *other.add(30, "loop.stopped", reason="max_cost").lines]


def common(name: str, runner: str) -> Attributes:
    """The attributes that are on all of a loop's metrics."""
    return (("ralph.loop.name", name), ("ralph.runner", runner))


def with_attributes(every: Attributes, *series: tuple[Any, dict[str, str]]) -> Series:
    """Values with their attributes, and those that every one has."""
    return {tuple(sorted((*every, *attributes.items()))): value for value, attributes in series}


def by_model(model: str, **more: str) -> dict[str, str]:
    return {"gen_ai.request.model": model, **{name.replace("_", "."): value for name, value in more.items()}}


def tokens(kind: str, model: str) -> dict[str, str]:
    return {"gen_ai.token.type": kind, "gen_ai.request.model": model}


SUCCESS, TIMEOUT = {"ralph.outcome": "success"}, {"ralph.outcome": "timeout"}
CLAUDE = {"gen_ai.agent.name": "claude", "ralph.outcome": "success"}
BASH = {"gen_ai.tool.name": "Bash"}


def expected(name: str, runner: str) -> dict[str, Series]:
    """What the script comes to, reckoned by hand: each metric of the catalog that events feed, without its prefix.

    Of a histogram it is count and sum; no series of this script has more than one value.
    """
    expect = partial(with_attributes, common(name, runner))
    return {
        "iterations": expect((1, SUCCESS), (1, TIMEOUT)),
        "iteration_duration": expect(((1, 8.0), SUCCESS), ((1, 2.0), TIMEOUT)),
        "iterations_with_progress": expect((1, {})),
        "last_iteration_timestamp": expect((at(16) / 1e9, {})),
        "active_runs": expect((1, {})),
        "active_sessions": expect((1, {})),
        "active_iterations": expect((1, {})),
        "runs": expect((1, {"ralph.stop.reason": "max_cost"})),
        "run_duration": expect(((1, 25.0), {"ralph.stop.reason": "max_cost"})),
        "sessions_created": expect((2, {})),
        "session_duration": expect(((1, 11.0), {})),
        "reboots": expect((1, {"ralph.reboot.reason": "redline"})),
        "reboot_duration": expect(((1, 0.5), {"ralph.reboot.reason": "redline"})),
        "context_at_reboot": expect(((1, 88), {"ralph.reboot.reason": "redline"})),
        "context_usage": expect((0.0, {})),
        "tests": expect(
            (9, {"ralph.test.status": "passing"}), (0, {"ralph.test.status": "failing"}),
            (3, {"ralph.test.status": "skipped"}),
        ),
        "test_pass_ratio": expect((0.75, {})),
        "test_runs": expect((1, {"ralph.test.outcome": "passed"}), (1, {"ralph.test.outcome": "failed"})),
        "test_run_duration": expect(
            ((1, 2.5), {"ralph.test.outcome": "passed"}), ((1, 1.5), {"ralph.test.outcome": "failed"})
        ),
        "test_failure_streak": expect((0, {})),
        "flaky_tests": expect((0, {})),
        "no_progress_streak": expect((1, {})),
        "progress_score": expect((0.08, {})),
        "progress_velocity": expect((pytest.approx((0.0 + 0.04 + 0.08) / 3 - (0.2 + 0.0 + 0.04) / 3), {})),
        "files_changed": expect((5, {})),
        "lines_changed": expect((11, {"ralph.change": "added"}), (4, {"ralph.change": "removed"})),
        "commits": expect((1, {})),
        "agent_duration": expect(((1, 3.0), CLAUDE)),
        "turns": expect((4, CLAUDE)),
        "tokens": expect(
            (10, tokens("input", "m")), (301, tokens("output", "m")), (20_000, tokens("cache_read", "m")),
            (50, tokens("cache_creation", "m")), (7, tokens("output", "n")),
        ),
        "cost": expect(
            (0.25, by_model("m", ralph_cost_source="reported")), (0.5, by_model("n", ralph_cost_source="estimated"))
        ),
        "tool_calls": expect(
            (2, {**BASH, **SUCCESS}), (1, {**BASH, "ralph.outcome": "failure"}),
            (1, {"gen_ai.tool.name": "Edit", **SUCCESS}),
        ),
        "errors": expect((2, {"error.type": "RateLimited"})),
    }  # fmt: skip
