"""A measurement that comes when its iteration is long over counts for that iteration."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.tape import Tape


def spans(*finished: int) -> Tape:
    """A run of iterations that have finished, none of them measured."""
    tape = Tape()
    for number in finished:
        tape.add(number, "iteration.started", iteration=number, span=f"{number:016x}")
        tape.add(number + 0.5, "iteration.finished", iteration=number, outcome="success", duration=0.5)
    return tape


def measure(tape: Tape, number: int, score: float, seconds: float = 100) -> None:
    tape.add(seconds, "progress.measured", score=score, span=f"{number:016x}")


def test_an_earlier_iteration_may_be_measured_while_another_goes_on() -> None:
    tape = spans(1, 2)
    tape.add(3, "iteration.started", iteration=3, span=f"{3:016x}")
    measure(tape, 1, 0.5)
    tape.add(9, "iteration.finished", iteration=3, outcome="success", duration=6.0)
    state = tape.state()
    assert state.iterations_with_progress == 1
    assert state.no_progress_streak == 0
    measure(tape, 3, 0.0)
    measure(tape, 2, 0.0)
    assert tape.state().no_progress_streak == 2


def test_progress_in_the_middle_ends_the_streak_there() -> None:
    tape = spans(1, 2, 3, 4)
    for number in (4, 3, 1):
        measure(tape, number, 0.0)
    assert tape.state().no_progress_streak == 3
    measure(tape, 2, 0.5)
    assert tape.state().no_progress_streak == 2


def test_an_iteration_that_nobody_remembers_changes_nothing_of_the_others() -> None:
    tape = spans(*range(1, 100))
    measure(tape, 99, 0.5)
    state = tape.state()
    assert (state.iterations_with_progress, state.no_progress_streak) == (1, 0)


@given(st.permutations(range(1, 8)), st.lists(st.sampled_from([0.0, 0.5]), min_size=7, max_size=7))
def test_in_whatever_order_they_are_measured_the_figures_are_the_same(order: list[int], scores: list[float]) -> None:
    tape = spans(*range(1, 8))
    for number in order:
        measure(tape, number, scores[number - 1])
    streak = 0
    for score in scores:
        streak = 0 if score else streak + 1
    metrics = tape.metrics()
    assert metrics.progress.no_progress_streak == streak
    assert metrics.progress.iterations_with_progress == scores.count(0.5)
