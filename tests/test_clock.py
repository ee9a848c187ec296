"""The clock is set, or the machine sleeps, while a loop runs: durations stay right and are never negative."""

from __future__ import annotations

import pytest

from support.tape import Tape, fold


@pytest.mark.parametrize("jump", [-86_400, -2, 2, 86_400])
def test_what_says_how_long_it_took_lasted_that_long_by_the_clock_of_nobody(jump: float) -> None:
    tape = Tape("l").add(1, "session.started", session="s").add(2, "iteration.started", iteration=1)
    tape.add(5 + jump, "iteration.finished", iteration=1, outcome="success", duration=3.0)
    tape.add(6 + jump, "session.ended", session="s", duration=5.0)
    metrics = fold(tape.add(7 + jump, "loop.stopped", reason="completed", duration=7.0).lines).metrics()
    assert metrics.total_execution_time == 7
    assert (metrics.avg_iteration_duration, metrics.session.avg_session_duration) == (3, 5)


def test_pauses_do_not_count_when_the_clock_was_set() -> None:
    tape = Tape("l").add(1, "loop.paused").add(3, "loop.resumed")
    metrics = fold(tape.add(1000, "loop.stopped", reason="completed", duration=10.0).lines).metrics()
    assert metrics.total_execution_time == 8


def test_a_run_that_goes_on_counts_both_of_its_stretches() -> None:
    tape = Tape("l").add(10, "loop.stopped", reason="completed", duration=10.0)
    tape.add(100, "loop.started", name="l").add(3600, "loop.stopped", reason="completed", duration=20.0)
    assert fold(tape.lines).metrics().total_execution_time == 30


def test_a_difference_within_a_second_is_no_jump() -> None:
    tape = Tape("l").add(10, "loop.stopped", reason="completed", duration=9.5)
    assert fold(tape.lines).metrics().total_execution_time == 10


@pytest.mark.parametrize("duration", [0, 1e300])
def test_a_duration_beyond_reason_breaks_nothing(duration: float) -> None:
    tape = Tape("l").add(10, "loop.stopped", reason="completed", duration=duration)
    assert fold(tape.lines).metrics().total_execution_time >= 0
