"""Every number of `LoopMetrics` for one loop, reckoned by hand from a journal written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ralph_otel.model import LoopMetrics, ProgressMetrics, SessionMetrics, TestMetrics
from ralph_otel.state import MAX_OPEN, RunState, States
from support.tape import T0, TRACE, Tape, at, fold


def approx(value: float) -> float:
    return pytest.approx(value, rel=1e-9, abs=1e-12)  # type: ignore[return-value]  # compares as a float does


# -- nothing, and the whole -------------------------------------------------------------------------------------------


def test_without_events_every_number_is_zero() -> None:
    metrics = States().metrics(T0)
    assert metrics.rollups.keys() == {"5m", "1h", "24h", "all"}
    assert LoopMetrics(rollups=metrics.rollups) == metrics
    assert all(rollup == type(rollup)() for rollup in metrics.rollups.values())
    state = RunState()
    assert state.run_id == ""
    assert (state.total_tests, state.passing_tests, state.failing_tests, state.skipped_tests) == (0, 0, 0, 0)


def whole() -> Tape:
    """Two sessions, four iterations, a pause, a reboot, tests and progress; 100 seconds in all."""
    tape = Tape("fix-bugs", runner="ralphify", max_iterations=9)
    tape.add(1, "session.started", session="a")
    tape.add(2, "iteration.started", iteration=1, span="11" * 8)
    tape.add(8, "context.measured", percent=40.5)
    tape.add(9, "progress.measured", score=0.2, files_changed=3, span="11" * 8)
    tape.add(10, "tests.finished", passed=7, failed=2, skipped=1)
    tape.add(12, "iteration.finished", iteration=1, outcome="success", duration=10.0, span="11" * 8)
    tape.add(13, "iteration.started", iteration=2)
    tape.add(14, "progress.measured", score=0.05, files_changed=1)
    tape.add(15, "tests.finished", passed=8, failed=1, total=10)
    tape.add(17, "iteration.finished", iteration=2, outcome="failure", duration=4.0)
    tape.add(18, "reboot.started", reason="redline", context_percent=88)
    tape.add(19, "session.ended", session="a", duration=18.0)
    tape.add(20, "reboot.finished", reason="redline")
    tape.add(21, "session.started", session="b")
    tape.add(22, "iteration.started", iteration=3)
    tape.add(23, "progress.measured", score=0.0)
    tape.add(24, "iteration.finished", iteration=3, outcome="timeout", duration=2.0)
    tape.add(30, "loop.paused")
    tape.add(70, "loop.resumed")
    tape.add(71, "iteration.started", iteration=4)
    tape.add(75, "context.measured", percent=12)
    tape.add(79, "iteration.finished", iteration=4, outcome="cancelled", duration=8.0)
    tape.add(95, "session.ended", session="b")
    return tape.add(100, "loop.stopped", reason="completed")


def test_a_whole_run_gives_the_numbers_reckoned_by_hand() -> None:
    metrics = whole().metrics()
    assert metrics == LoopMetrics(
        total_iterations=4,
        successful_iterations=1,
        failed_iterations=3,
        total_reboots=1,
        total_execution_time=60.0,  # 100 less the pause of 40
        avg_iteration_duration=6.0,  # (10 + 4 + 2 + 8) ÷ 4
        context_usage_percent=12,
        tests=TestMetrics(10, 8, 1, 0.8, 2, 0),
        progress=ProgressMetrics(
            iterations_with_progress=1,
            progress_rate=0.25,
            no_progress_streak=2,  # iterations 2 and 3; of 4 nothing is known
            velocity=0.0,  # three scores: the same three at both ends
            files_changed=4,
        ),
        session=SessionMetrics(
            sessions_created=2,
            active_sessions=0,
            avg_session_duration=46.0,  # (18 + 74) ÷ 2
            context_reboots=1,
            avg_context_at_reboot=88.0,
        ),
        rollups=metrics.rollups,
    )
    everything = metrics.rollups["all"]
    assert (everything.iterations, everything.success_ratio, everything.reboots) == (4, 0.25, 1)


def test_the_same_lines_give_the_same_numbers_again() -> None:
    lines = whole().lines
    live = States()
    for number, line in enumerate(lines, 1):
        live.apply(dict(line))
        assert live.metrics() == fold(lines[:number]).metrics()


def test_metrics_survive_the_way_through_json() -> None:
    import json

    metrics = whole().metrics()
    assert LoopMetrics.from_dict(json.loads(metrics.to_json())) == metrics


# -- time -------------------------------------------------------------------------------------------------------------


def test_a_running_loop_has_run_until_now() -> None:
    tape = Tape().add(5, "iteration.started", iteration=1)
    assert tape.metrics(now=60).total_execution_time == 60.0


def test_an_unfinished_run_has_run_until_its_last_event() -> None:
    assert Tape().add(5, "iteration.started", iteration=1).metrics().total_execution_time == 5.0


def test_a_stopped_run_does_not_run_on() -> None:
    tape = Tape().add(9, "loop.stopped", reason="completed").add(12, "error.raised", error_type="Late")
    assert tape.metrics(now=5000).total_execution_time == 9.0


def test_pauses_do_not_count_and_neither_does_the_one_that_lasts() -> None:
    tape = (
        Tape()
        .add(10, "loop.paused")
        .add(15, "loop.resumed")
        .add(20, "loop.paused")
        .add(24, "context.measured", percent=1)
    )
    assert tape.metrics(now=100).total_execution_time == 15.0
    assert tape.metrics().total_execution_time == 15.0


def test_pausing_twice_is_one_pause_and_resuming_twice_changes_nothing() -> None:
    tape = Tape().add(10, "loop.paused").add(12, "loop.paused").add(20, "loop.resumed").add(30, "loop.resumed")
    assert tape.metrics(now=40).total_execution_time == 30.0


def test_a_loop_that_is_stopped_while_paused_ran_until_the_pause() -> None:
    assert (
        Tape().add(10, "loop.paused").add(50, "loop.stopped", reason="user_signal").metrics().total_execution_time
        == 10.0
    )


def test_a_run_that_goes_on_after_its_stop_leaves_the_time_between_out() -> None:
    tape = Tape().add(10, "loop.stopped", reason="completed").add(110, "loop.started", name="tape")
    tape.add(115, "loop.stopped", reason="max_cost")
    assert tape.metrics().total_execution_time == 15.0
    assert tape.state().stop_reason == "max_cost"


def test_only_the_first_stop_counts() -> None:
    tape = Tape().add(10, "loop.stopped", reason="max_cost").add(20, "loop.stopped", reason="crashed")
    state = tape.state()
    assert (state.stop_reason, state.execution_time()) == ("max_cost", 10.0)


def test_a_repeated_stop_says_nothing_new_and_makes_no_signal() -> None:
    states = fold(Tape().add(1, "loop.stopped", reason="completed").lines)
    assert states.apply({"v": 1, "type": "loop.stopped", "ts": at(2), "loop": "run-1", "reason": "error"}) is None


def test_a_clock_that_steps_back_makes_no_time_negative() -> None:
    tape = Tape().add(10, "session.started", session="a").add(4, "session.ended", session="a")
    tape.add(3, "loop.paused").add(1, "loop.resumed").add(-5, "loop.stopped", reason="completed")
    metrics = tape.metrics(now=-10)
    assert metrics.total_execution_time == 0.0
    assert metrics.session.avg_session_duration == 0.0


def test_a_line_from_before_the_beginning_does_not_move_it() -> None:
    tape = Tape().add(-5, "error.raised", error_type="E").add(10, "error.raised", error_type="E")
    assert tape.metrics().total_execution_time == 10.0


def test_a_crash_is_the_reason_and_closes_what_was_open() -> None:
    tape = Tape().add(1, "session.started", session="a").add(2, "iteration.started", iteration=1)
    tape.add(3, "agent.started", agent="claude", span="ab" * 8).add(4, "reboot.started", reason="manual")
    state = tape.state()
    assert (len(state.open_sessions), len(state.open_iterations), len(state.open_agents)) == (1, 1, 1)
    state = tape.add(9, "loop.stopped", reason="crashed").state()
    assert state.stop_reason == "crashed"
    assert not state.active
    assert (state.open_sessions, state.open_iterations, state.open_agents, state.open_reboot) == ({}, {}, {}, None)
    assert state.metrics().session.active_sessions == 0
    assert state.metrics().total_iterations == 0  # an iteration counts when it finishes


def test_what_begins_after_the_stop_is_not_going_on() -> None:
    tape = Tape().add(1, "loop.stopped", reason="error").add(2, "session.started", session="a")
    tape.add(3, "iteration.started", iteration=1).add(4, "agent.started", agent="claude")
    state = tape.state()
    assert [state.open_sessions, state.open_iterations, state.open_agents] == [{}, {}, {}]
    assert state.metrics().session == SessionMetrics(1, 0, 0.0, 0, 0.0)


# -- sessions, context, reboots ---------------------------------------------------------------------------------------


def test_the_mean_session_is_taken_over_ended_sessions_only() -> None:
    tape = Tape().add(0, "session.started", session="a").add(1, "session.started", session="b")
    tape.add(10, "session.started", session="c").add(10, "session.ended", session="a", duration=7.5)
    tape.add(31, "session.ended", session="b")
    session = tape.metrics(now=99).session
    assert session == SessionMetrics(3, 1, (7.5 + 30) / 2, 0, 0.0)


def test_a_session_nobody_saw_begin_counts_with_its_own_duration_or_not_at_all() -> None:
    tape = Tape().add(5, "session.ended", session="x")
    assert tape.metrics().session == SessionMetrics()
    assert tape.add(6, "session.ended", session="y", duration=4.0).metrics().session.avg_session_duration == 4.0


def test_a_new_session_has_an_empty_context() -> None:
    tape = Tape().add(1, "context.measured", percent=71.25)
    assert tape.metrics().context_usage_percent == 71.25
    assert tape.add(2, "session.started", session="a").metrics().context_usage_percent == 0.0
    assert tape.add(3, "context.measured", percent=130).metrics().context_usage_percent == 130


def test_the_mean_context_at_a_reboot_is_taken_over_the_reboots_that_say_it() -> None:
    tape = Tape().add(1, "reboot.started", reason="redline", context_percent=90)
    tape.add(2, "reboot.started", reason="manual").add(3, "reboot.started", reason="degradation", context_percent=60.5)
    metrics = tape.metrics()
    assert (metrics.total_reboots, metrics.session.context_reboots) == (3, 3)
    assert metrics.session.avg_context_at_reboot == 75.25


def test_a_reboot_that_says_zero_percent_counts_in_the_mean() -> None:
    tape = Tape().add(1, "reboot.started", reason="manual", context_percent=0)
    tape.add(2, "reboot.started", reason="redline", context_percent=80)
    assert tape.metrics().session.avg_context_at_reboot == 40.0


# -- the generic operations -------------------------------------------------------------------------------------------


def test_generic_operations_with_the_seeds_names_feed_the_aggregate() -> None:
    tape = Tape().iteration(1, 1).iteration(3, 2)
    for name, amount in (("files_changed", 5), ("files_changed", 2), ("iterations_with_progress", 1)):
        tape.add(5, "counter.added", name=name, value=amount)
    for name, value in (
        ("context_usage", 33), ("progress_velocity", -0.25), ("no_progress_streak", 4),
        ("test_failure_streak", 6), ("flaky_tests", 2), ("progress_score", 0.5),
    ):  # fmt: skip
        tape.add(6, "gauge.set", name=name, value=value)
    metrics = tape.metrics()
    assert metrics.context_usage_percent == 33
    assert metrics.progress == ProgressMetrics(1, 0.5, 4, -0.25, 7)
    assert (metrics.tests.failure_streak, metrics.tests.flaky_tests) == (6, 2)


def test_generic_operations_with_labels_or_other_names_leave_the_aggregate_alone() -> None:
    tape = Tape().add(1, "counter.added", name="files_changed", value=5, labels={"folder": "src"})
    tape.add(1, "counter.added", name="tickets", value=5).add(
        1, "gauge.set", name="context_usage", value=9, labels={"a": 1}
    )
    tape.add(1, "gauge.set", name="temperature", value=9).add(1, "histogram.observed", name="files_changed", value=3)
    assert tape.metrics().to_dict() == Tape().add(1, "error.raised", error_type="E").metrics().to_dict()


def test_a_measured_score_ends_a_velocity_that_was_set() -> None:
    tape = Tape().add(1, "gauge.set", name="progress_velocity", value=0.9).add(2, "progress.measured", score=0.5)
    assert tape.metrics().progress.velocity == 0.0


def test_a_count_that_is_set_below_zero_is_zero() -> None:
    tape = Tape()
    for name in ("no_progress_streak", "test_failure_streak", "flaky_tests", "context_usage"):
        tape.add(1, "gauge.set", name=name, value=-3.5)
    metrics = tape.metrics()
    assert (metrics.progress.no_progress_streak, metrics.tests.failure_streak, metrics.tests.flaky_tests) == (0, 0, 0)
    assert metrics.context_usage_percent == 0


# -- what a run says of itself -----------------------------------------------------------------------------------------


def test_a_run_is_what_its_last_beginning_says() -> None:
    told: dict[str, Any] = {
        "runner": "ralphify",
        "runner_version": "0.3.0",
        "max_iterations": 9,
        "attributes": {"team": "a"},
    }
    state = Tape("n", **told, pid=7, host="h", trace_flags=0, span="aa" * 8).state()
    assert (state.name, state.runner, state.runner_version) == ("n", "ralphify", "0.3.0")
    assert (state.max_iterations, state.attributes, state.pid, state.host) == (9, {"team": "a"}, 7, "h")
    assert (state.began, state.sampled, state.root) == (T0, False, (TRACE, "aa" * 8))
    state = Tape("n", **told).add(1, "loop.started", name="m").state()
    assert (state.name, state.runner, state.runner_version) == ("m", "", "")
    assert (state.max_iterations, state.attributes, state.pid, state.host) == (None, {}, None, None)
    assert (state.began, state.sampled, state.root) == (at(1), True, None)


@pytest.mark.parametrize("ids", [{"trace_id": TRACE}, {"span_id": "aa" * 8}])
def test_half_a_span_is_none(ids: dict[str, str]) -> None:
    assert Tape("n", **ids).state().root is None


def test_a_run_whose_beginning_is_missing_is_recorded() -> None:
    state = Tape("").iteration(1, 1).state()
    assert (state.sampled, state.active) == (True, True)


# -- durations that are reckoned, and memory --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begin", "end", "fields"),
    [
        ("session.started", "session.ended", {"session": "a"}),
        ("reboot.started", "reboot.finished", {"reason": "manual"}),
        ("agent.started", "agent.finished", {"agent": "claude"}),
    ],
)
def test_a_duration_that_is_absent_is_taken_from_the_times(begin: str, end: str, fields: dict[str, str]) -> None:
    states = States()
    tape = (
        Tape()
        .add(2, begin, **fields)
        .add(5.5, end, **fields)
        .add(8, begin, **fields)
        .add(9, end, duration=0.25, **fields)
    )
    for line in tape.lines:
        states.apply(line)
    assert [line["duration"] for line in tape.lines if line["type"] == end] == [3.5, 0.25]


def test_agents_of_one_name_that_run_at_once_each_take_their_own_time() -> None:
    tape = Tape().add(1, "agent.started", agent="claude", span="aa" * 8)
    tape.add(2, "agent.started", agent="claude", span="bb" * 8)
    for second, span in ((5, "aa" * 8), (9, "bb" * 8)):
        tape.add(second, "agent.finished", agent="claude", span=span)
    states = States()
    for line in tape.lines:
        states.apply(line)
    assert [line["duration"] for line in tape.lines[-2:]] == [4.0, 7.0]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [({}, "success"), ({"exit_code": 0}, "success"), ({"exit_code": 2}, "failure"), ({"exit_code": -9}, "failure"),
     ({"exit_code": 0, "outcome": "timeout"}, "timeout")],
)  # fmt: skip
def test_an_agents_outcome_is_taken_from_its_exit_code(said: dict[str, object], outcome: str) -> None:
    line = Tape().add(1, "agent.finished", agent="claude", **said).lines[-1]
    States().apply(line)
    assert line["outcome"] == outcome


def test_parts_that_are_never_closed_do_not_fill_the_memory() -> None:
    state = RunState()
    for number in range(MAX_OPEN + 50):
        common = {"v": 1, "ts": T0, "loop": "r", "span_id": f"{number:016x}"}
        state.apply({**common, "type": "session.started", "session": str(number)})
        state.apply({**common, "type": "iteration.started", "iteration": number})
        state.apply({**common, "type": "agent.started", "agent": "claude"})
    assert (len(state.open_sessions), len(state.open_iterations), len(state.open_agents)) == (MAX_OPEN,) * 3
    assert str(MAX_OPEN + 49) in state.open_sessions
    assert "0" not in state.open_sessions


def test_an_iterations_age_is_what_it_has_taken_less_pauses() -> None:
    tape = Tape().add(0, "iteration.started", iteration=1).add(10, "loop.paused")
    assert tape.state().iteration_age(at(500)) is None
    tape.add(60, "loop.resumed").add(70, "iteration.started", iteration=2)
    state = tape.state()
    assert state.iteration_age(at(100)) == 50.0
    fresh = state.fresh()
    assert fresh.iteration_age(at(100)) == 50.0
    for line in Tape().add(100, "loop.paused").add(140, "loop.resumed").lines[1:]:
        fresh.apply(line)
    assert fresh.iteration_age(at(150)) == 60.0
    tape.add(101, "iteration.finished", iteration=1, outcome="success", duration=51)
    assert tape.state().iteration_age(at(102)) == 32.0
    tape.add(103, "iteration.finished", iteration=2, outcome="success", duration=33)
    assert tape.state().iteration_age(at(104)) is None


def test_an_iteration_that_began_in_the_future_has_no_negative_age() -> None:
    assert Tape().add(50, "iteration.started", iteration=1).state().iteration_age(at(0)) == 0.0


def test_events_that_are_missing_add_up() -> None:
    tape = Tape().add(1, "events.dropped", count=3)
    assert tape.add(2, "events.dropped", count=2).state().dropped_events == 5


@pytest.mark.parametrize(("ahead", "seen"), [(0, 2), (300, 2), (301, 1)])
def test_windows_end_with_the_last_event_unless_that_is_more_than_five_minutes_ahead(ahead: int, seen: int) -> None:
    tape = Tape().iteration(999, 1).iteration(999 + ahead, 2)
    assert tape.metrics(1000).rollups["1h"].iterations == seen
