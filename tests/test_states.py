"""Several runs of one collector: their totals, what is kept of them, and counting from nothing."""

from __future__ import annotations

import pytest

from ralph_otel.model import ProgressMetrics, SessionMetrics, TestMetrics
from ralph_otel.state import GENERIC_GAUGES, RunState, States
from support.tape import T0, Tape, at, fold


def run(number: int, start: float, iterations: int = 1) -> Tape:
    """A finished run of 10 seconds with so many successful iterations of `number` seconds."""
    tape = Tape("", run=f"run-{number}").add(start, "loop.started", name="tape")
    for index in range(iterations):
        tape.iteration(start + 1, index + 1, duration=number)
    return tape.add(start + 10, "loop.stopped", reason="completed")


def test_totals_add_up_and_means_are_over_everything() -> None:
    first, second = Tape(run="a"), Tape(run="b")
    first.add(1, "session.started", session="s").iteration(2, 1, duration=3.0).iteration(6, 2, "failure", duration=5.0)
    first.add(11, "progress.measured", score=0.5, files_changed=2).add(12, "session.ended", session="s", duration=11.0)
    first.add(13, "reboot.started", reason="redline", context_percent=80).add(20, "loop.stopped", reason="max_cost")
    second.add(3, "session.started", session="s").iteration(4, 1, duration=1.0).add(6, "session.started", session="t")
    second.add(7, "session.ended", session="s", duration=4.0).add(
        8, "reboot.started", reason="redline", context_percent=90
    )
    second.add(9, "reboot.started", reason="manual").add(10, "loop.paused")
    metrics = fold([*first.lines, *second.lines]).metrics(at(60))
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.failed_iterations) == (3, 2, 1)
    assert metrics.avg_iteration_duration == 3.0  # (3 + 5 + 1) ÷ 3
    assert metrics.total_execution_time == 30.0  # 20, and 10 until the pause
    assert metrics.session == SessionMetrics(3, 1, 7.5, 3, 85.0)
    assert metrics.progress == ProgressMetrics(1, 1 / 3, 0, 0.0, 2)
    assert metrics.rollups["all"].reboots == 3


def test_loops_that_run_both_take_time_until_now() -> None:
    both = fold([*Tape(run="a").lines, *Tape("", run="b").add(10, "loop.started", name="b").lines])
    assert both.metrics(at(100)).total_execution_time == 190.0
    assert both.metrics().total_execution_time == 0.0


def test_last_values_are_those_of_the_run_that_spoke_last_each_for_itself() -> None:
    first, second = Tape(run="a"), Tape(run="b")
    first.add(1, "tests.finished", passed=1, failed=1).add(2, "context.measured", percent=10)
    second.add(3, "tests.finished", passed=4, failed=0).add(4, "context.measured", percent=20)
    first.add(5, "tests.finished", passed=0, failed=2).add(1, "progress.measured", score=0.9)
    second.add(6, "progress.measured", score=0.0).iteration(7, 1)
    lines = sorted([*first.lines, *second.lines], key=lambda line: int(line["ts"]))
    metrics = fold(lines).metrics()
    assert metrics.tests == TestMetrics(2, 0, 2, 0.0, 2, 0)  # of a, at 5
    assert metrics.context_usage_percent == 20  # of b, at 4
    assert metrics.progress.no_progress_streak == 1  # of b, at 8


def test_two_runs_that_have_a_session_of_the_same_name_have_two_sessions() -> None:
    tapes = [Tape(run=run).add(1, "session.started", session="main") for run in ("a", "b", "c")]
    assert fold([line for tape in tapes for line in tape.lines]).metrics().session.active_sessions == 3


def test_flaky_tests_of_all_runs_are_counted() -> None:
    lines = []
    for name in ("a", "b"):
        tape = Tape(run=name)
        for index in range(6):
            tape.add(index, "tests.finished", passed=1, failed=1, results={"t": index % 2 == 0})
        lines += tape.lines
    assert fold(lines).metrics().tests.flaky_tests == 2


def test_old_runs_are_forgotten_one_by_one_but_stay_in_the_totals() -> None:
    states, everything = States(keep=5), States(keep=1000)
    for number in range(1, 31):
        for line in run(number, start=number * 100, iterations=2).lines:
            states.apply(dict(line))
            everything.apply(dict(line))
    assert len(states.by_run) == 5
    assert list(states.by_run) == [f"run-{number}" for number in range(26, 31)]
    assert states.metrics() == everything.metrics()
    metrics = states.metrics(at(100_000))
    assert (metrics.total_iterations, metrics.total_execution_time) == (60, 300.0)
    assert metrics.avg_iteration_duration == 15.5


def test_a_running_run_is_kept_while_there_is_a_finished_one_to_forget() -> None:
    states = States(keep=3)
    for line in Tape(run="running").lines:
        states.apply(line)
    for number in range(1, 10):
        for line in run(number, start=number * 100).lines:
            states.apply(line)
    assert "running" in states.by_run
    assert len(states.by_run) == 3


def test_after_a_reset_everything_is_counted_from_nothing() -> None:
    states = fold(
        [*run(1, 0).lines, *Tape(run="b").iteration(5, 1).add(20, "tests.finished", passed=1, failed=1).lines]
    )
    states.reset()
    metrics = states.metrics(at(50))
    assert metrics.to_dict() | {"total_execution_time": 0} == States().metrics(T0).to_dict()
    assert metrics.total_execution_time == 30.0  # from its last event, at 20, until now
    assert [run_id for run_id, state in states.by_run.items() if state.active] == ["b"]


def test_after_a_reset_what_is_open_goes_on() -> None:
    tape = Tape().add(1, "session.started", session="a").add(2, "iteration.started", iteration=7).add(10, "loop.paused")
    states = fold(tape.lines)
    states.reset()
    assert states.metrics().session == SessionMetrics(0, 1, 0.0, 0, 0.0)
    later = Tape("").add(30, "loop.resumed").add(35, "progress.measured", score=0.4)
    later.add(36, "iteration.finished", iteration=7, outcome="success", duration=34.0).add(
        40, "session.ended", session="a"
    )
    for line in later.lines:
        states.apply(line)
    metrics = states.metrics()
    assert (metrics.total_iterations, metrics.progress.iterations_with_progress) == (1, 1)
    assert metrics.session == SessionMetrics(0, 0, 39.0, 0, 0.0)
    assert metrics.total_execution_time == 10.0  # from the resumption on


def test_a_stopped_run_that_is_heard_of_after_a_reset_is_not_running() -> None:
    states = fold(run(1, 0).lines)
    states.reset()
    for line in Tape("", run="run-1").add(11, "error.raised", error_type="Late").lines:
        states.apply(line)
    assert states.metrics(at(1000)).total_execution_time == 0.0
    assert not any(state.active for state in states.by_run.values())


def test_a_run_that_has_not_begun_has_not_after_a_reset_either() -> None:
    fresh = RunState("run-1").fresh()
    assert not fresh.active
    assert fresh.started is None


@pytest.mark.parametrize("name", sorted(GENERIC_GAUGES.keys() - {"flaky_tests"}))  # of these there is a sum
def test_a_value_that_was_set_is_that_of_the_run_that_set_it_last(name: str) -> None:
    total = RunState()
    for run_id, second, value in (("a", 5, 7), ("b", 3, 9)):
        total.absorb(Tape(run=run_id).add(second, "gauge.set", name=name, value=value).state())
    assert getattr(total, GENERIC_GAUGES[name][0]) == 7
