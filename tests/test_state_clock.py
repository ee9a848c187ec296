"""Lines whose times are far from all others: a broken writer, a clock that was wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel import MetricsCollector
from ralph_otel.state import RunState
from ralph_otel.state.clock import FAR, Clock
from support.tape import T0, Tape, at

FUTURE = float(10**9)
"""Seconds from a tape's start: some thirty years."""


def day_of(tape: Tape, now: float | None = None) -> int:
    """The iterations of the last 24 hours."""
    return tape.metrics(now=now).rollups["24h"].iterations


@pytest.mark.parametrize("now", [100, None])
def test_a_line_from_far_in_the_future_does_not_freeze_the_windows(now: float | None) -> None:
    tape = Tape().iteration(1, 1).add(5, "error.raised", error_type="x")
    tape.add(FUTURE, "error.raised", error_type="x").iteration(10, 2).iteration(20, 3)
    assert day_of(tape, now) == 3
    assert tape.metrics().total_execution_time == 21.0
    assert tape.state().doubted_times == 1


def test_a_clock_that_was_wrong_for_a_while_is_believed_again_when_it_is_right() -> None:
    tape = Tape().iteration(1, 1).iteration(FUTURE, 2, duration=3.0).iteration(9, 3)
    state = tape.state()
    assert (state.total_iterations, day_of(tape, 10), state.last) == (3, 2, at(10))
    assert state.doubted_times == 2  # the first line of either time; the second one agreed


def test_signals_of_such_a_line_have_the_time_it_counts_as_of() -> None:
    tape = Tape().add(5, "error.raised", error_type="x").add(FUTURE, "error.raised", error_type="y")
    state = RunState()
    for line in tape.lines:
        state.apply(line)
    assert tape.lines[-1]["ts"] == at(5)


def test_a_first_line_from_the_future_makes_no_run_that_never_began() -> None:
    tape = Tape(name="").add(FUTURE, "loop.started", name="n").iteration(1, 1).iteration(5, 2)
    assert tape.metrics().total_execution_time == pytest.approx(5.0, abs=2)
    assert day_of(tape) == 2


def test_a_machine_that_slept_for_a_week_costs_one_line_its_time() -> None:
    week = 7 * 86_400
    tape = Tape().iteration(1, 1).iteration(week, 2).iteration(week + 10, 3)
    assert tape.state().last == at(week + 11)
    assert day_of(tape) == 2
    assert tape.state().doubted_times == 1


def test_a_run_that_goes_on_after_a_month_does_so_at_once() -> None:
    month = 30 * 86_400
    tape = Tape().iteration(1, 1).add(3, "loop.stopped", reason="completed")
    tape.add(month, "loop.started", name="tape").iteration(month + 1, 2)
    assert tape.state().doubted_times == 0
    assert tape.metrics().total_execution_time == 5.0


@given(st.lists(st.integers(0, 2**63 - 1), max_size=50))
def test_after_two_lines_that_agree_the_clock_is_near_them(times: list[int]) -> None:
    clock = Clock()
    for ts in times:
        assert clock.read(ts) <= max(ts, clock.now)
    for _ in range(2):
        clock.read(T0)
    assert abs(clock.now - T0) <= FAR


def test_it_is_counted_where_our_own_health_is(make_collector: Callable[..., MetricsCollector]) -> None:
    collector = make_collector()
    with collector.loop("n") as loop:
        assert collector.flush(20)
        loop._sink({"v": 1, "type": "error.raised", "ts": 2**62, "loop": loop.run_id, "error_type": "x"})
        loop.error("y")
        assert collector.flush(20)
        assert collector._recorder is not None
        assert collector._recorder.health()["doubted_times"] == 1
        collector.reset()
        assert collector._recorder.health()["doubted_times"] == 0


@pytest.mark.parametrize(("ts", "counts_as", "doubted"), [
    (T0 + FAR, T0 + FAR, 0), (T0 + FAR + 1, T0, 1), (T0 - FAR, T0 - FAR, 0), (T0 - FAR - 1, T0 - FAR - 1, 1),
])  # fmt: skip
def test_a_day_from_the_rest_is_believed_and_more_is_not(ts: int, counts_as: int, doubted: int) -> None:
    clock = Clock()
    assert clock.read(T0) == T0
    assert clock.read(ts) == counts_as
    assert (clock.now, clock.doubted) == (max(T0, counts_as), doubted)


@pytest.mark.parametrize(("apart", "believed"), [(FAR, True), (-FAR, True), (FAR + 1, False), (-FAR - 1, False)])
def test_two_doubted_lines_agree_that_are_a_day_apart_at_most(apart: int, believed: bool) -> None:
    clock, first = Clock(), T0 + 10 * FAR
    clock.read(T0)
    clock.read(first)
    clock.read(first + apart)
    assert (clock.now, clock.doubted) == ((first + apart, 1) if believed else (T0, 2))
