"""What holds for every sequence of events, however odd."""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import fields, is_dataclass

from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import IterationFinished, IterationStarted, Line, ProgressMeasured, problem_with
from ralph_otel.journal import BadLine, decode, encode
from ralph_otel.model import LoopMetrics
from ralph_otel.state import States
from support.strategies import half_valid_line, valid_line
from support.tape import T0, fold

lines_of_two_runs = st.lists(valid_line(runs=2), max_size=40)


def numbers(value: object) -> Iterable[float]:
    """Every number in an aggregate except the velocity, which may be below zero."""
    if is_dataclass(value):
        for field in fields(value):
            if field.name != "velocity":
                yield from numbers(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    else:
        assert isinstance(value, int | float)
        yield value


def check_sound(metrics: LoopMetrics) -> None:
    assert all(number >= 0 and not math.isnan(number) for number in numbers(metrics))
    assert metrics.successful_iterations + metrics.failed_iterations == metrics.total_iterations
    assert metrics.total_reboots == metrics.session.context_reboots == metrics.rollups["all"].reboots
    assert metrics.rollups["all"].iterations == metrics.total_iterations
    assert 0 <= metrics.tests.pass_rate <= 1
    for window in ("5m", "1h", "24h"):
        assert metrics.rollups[window].iterations <= metrics.total_iterations


@given(lines_of_two_runs, st.integers(0, 2**63))
def test_any_valid_lines_fold_into_sound_numbers(lines: list[Line], now: int) -> None:
    states = States()
    for line in lines:
        assert problem_with(line) is None
        states.apply(line)
        check_sound(states.metrics())
    check_sound(states.metrics(now))


@given(st.lists(half_valid_line(), max_size=25))
def test_whatever_gets_through_the_check_can_be_folded(lines: list[Line]) -> None:
    states = States()
    for line in lines:
        try:
            checked = decode(encode(line))
        except BadLine:
            continue
        states.apply(checked)
    check_sound(states.metrics())


@given(lines_of_two_runs)
def test_a_replay_gives_the_same_as_the_run_itself(lines: list[Line]) -> None:
    live = States()
    for line in deepcopy(lines):
        live.apply(line)
    once, twice = fold(lines), fold(lines)
    assert live.metrics() == once.metrics() == twice.metrics()
    for run_id, state in once.by_run.items():
        assert state.metrics() == twice.by_run[run_id].metrics() == live.by_run[run_id].metrics()


@given(lines_of_two_runs)
def test_completed_lines_can_be_folded_again_with_the_same_result(lines: list[Line]) -> None:
    first, second = States(), States()
    said = [line["ts"] for line in lines]
    for line in lines:
        first.apply(line)
    for line, ts in zip(lines, said, strict=True):
        second.apply({**line, "ts": ts})  # what it says of the time itself is judged anew
    assert first.metrics() == second.metrics()


@given(
    st.lists(
        st.one_of([valid_line(cls) for cls in (IterationStarted, IterationFinished, ProgressMeasured)]), max_size=40
    )
)
def test_no_more_iterations_make_progress_than_there_are(lines: list[Line]) -> None:
    states = States()
    for line in lines:
        states.apply(line)
        progress = states.metrics().progress
        assert progress.iterations_with_progress <= states.metrics().total_iterations
        assert progress.no_progress_streak <= states.metrics().total_iterations
        assert 0 <= progress.progress_rate <= 1


@given(lines_of_two_runs)
def test_nothing_is_open_once_the_loop_has_stopped(lines: list[Line]) -> None:
    states = fold(lines)
    for run_id, state in states.by_run.items():
        state.apply({"v": 1, "type": "loop.stopped", "ts": T0, "loop": run_id, "reason": "crashed"})
        assert [state.active, state.open_sessions, state.open_iterations, state.open_agents] == [False, {}, {}, {}]
    assert states.metrics().session.active_sessions == 0


@given(lines_of_two_runs)
def test_the_totals_of_several_runs_are_the_sums_of_the_runs(lines: list[Line]) -> None:
    states = fold(lines)
    total, runs = states.metrics(), [state.metrics() for state in states.by_run.values()]
    for name in ("total_iterations", "successful_iterations", "failed_iterations", "total_reboots"):
        assert getattr(total, name) == sum(getattr(run, name) for run in runs)
    assert total.session.sessions_created == sum(run.session.sessions_created for run in runs)
    assert total.session.active_sessions == sum(run.session.active_sessions for run in runs)
    assert total.progress.files_changed == sum(run.progress.files_changed for run in runs)
