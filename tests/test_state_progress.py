"""The numbers of tests and progress for one loop: streaks, flaky tests, velocity, late measurements."""

from __future__ import annotations

import pytest

from ralph_otel.model import TestMetrics
from ralph_otel.state import MAX_TEST_IDS, RunState, States
from support.tape import T0, Tape


def approx(value: float) -> float:
    return pytest.approx(value, rel=1e-9, abs=1e-12)  # type: ignore[return-value]  # compares as a float does


# -- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"passed": 3, "failed": 1}, TestMetrics(4, 3, 1, 0.75, 1, 0)),
        ({"passed": 3, "failed": 1, "skipped": 4}, TestMetrics(8, 3, 1, 0.375, 1, 0)),
        ({"passed": 3, "failed": 0, "total": 12}, TestMetrics(12, 3, 0, 0.25, 0, 0)),
        ({"passed": 3, "failed": 1, "skipped": 1, "total": 6}, TestMetrics(6, 3, 1, 0.5, 1, 0)),
        ({"passed": 3, "failed": 1, "total": 2}, TestMetrics(4, 3, 1, 0.75, 1, 0)),
        ({"passed": 0, "failed": 0}, TestMetrics(0, 0, 0, 0.0, 0, 0)),
    ],
    ids=["passed and failed", "with skipped", "total said", "all said", "a total that cannot be", "no tests"],
)
def test_tests_of_the_last_run(said: dict[str, int], expected: TestMetrics) -> None:
    assert (
        Tape().add(1, "tests.finished", passed=99, failed=0).add(2, "tests.finished", **said).metrics().tests
        == expected
    )


def test_what_is_missing_of_the_tests_is_completed_in_the_line_for_everybody() -> None:
    states = States()
    line = Tape().add(1, "tests.finished", passed=3, failed=1, total=6).lines[-1]
    states.apply(line)
    assert (line["skipped"], line["total"]) == (2, 6)


def test_the_failure_streak_counts_runs_with_any_failure_and_ends_with_the_first_without() -> None:
    tape, streaks = Tape(), []
    for failed in (0, 2, 1, 5, 0, 1):
        tape.add(1, "tests.finished", passed=1, failed=failed)
        streaks.append(tape.metrics().tests.failure_streak)
    assert streaks == [0, 1, 2, 3, 0, 1]


def flaky_after(results: str, test: str = "t::a") -> int:
    tape = Tape()
    for index, letter in enumerate(results):
        tape.add(index, "tests.finished", passed=1, failed=0, results={test: letter == "+"})
    return tape.metrics().tests.flaky_tests


@pytest.mark.parametrize(
    ("results", "flaky"),
    [
        ("+-+-", 0),  # 4 results are too few, whatever they are
        ("++++-", 0),  # 5 results, 1 change: 0.2 is not more than 0.2
        ("+++-+", 1),  # 5 results, 2 changes: 0.4
        ("+++++", 0),
        ("+-+-+", 1),  # 4 changes: 0.8
        ("++++++++-+", 0),  # 10 results, 2 changes: 0.2
        ("+++++++-+-", 1),  # 10 results, 3 changes: 0.3
        ("+" * 16 + "-+-+", 0),  # 20 results, 4 changes: 0.2
        ("+" * 15 + "-+-+-", 1),  # 20 results, 5 changes: 0.25
        ("+-+-+" + "+" * 15, 0),  # 20 results, 4 changes: 0.2
        ("+-+-+-" + "+" * 14, 1),  # 20 results, 6 changes (the last to the calm): 0.3
        ("+-+-+-" + "+" * 15, 1),  # the first of 21 has gone, with it one change: 5 of 20
        ("+-+-+-" + "+" * 16, 0),  # of the last 20 only 4 changes are left
        ("-+" * 30 + "+" * 20, 0),  # nothing of what was before the last 20 is remembered
    ],
)
def test_a_test_is_flaky_by_its_last_twenty_results(results: str, flaky: int) -> None:
    assert flaky_after(results) == flaky


def test_each_test_has_a_history_of_its_own() -> None:
    tape = Tape()
    for index in range(6):
        odd = index % 2 == 1
        results = {"calm": True, "flaky": odd, "also": not odd} | ({"seldom": odd} if index < 4 else {})
        tape.add(index, "tests.finished", passed=2, failed=1, results=results)
    assert tape.state().flakiness.flaky == {"flaky", "also"}


def test_histories_are_kept_of_so_many_tests_only_and_of_the_beginning_of_their_ids() -> None:
    state = RunState()
    many = {f"t{number}": True for number in range(MAX_TEST_IDS)}
    for results in (many, {"one more": True}, {"x" * 5000: True}):
        state.apply(
            {"v": 1, "type": "tests.finished", "ts": T0, "loop": "r", "passed": 1, "failed": 0, "results": results}
        )
    assert len(state.flakiness._histories) == MAX_TEST_IDS
    small = RunState()
    small.apply(
        {
            "v": 1,
            "type": "tests.finished",
            "ts": T0,
            "loop": "r",
            "passed": 1,
            "failed": 0,
            "results": {"x" * 5000: True},
        }
    )
    assert [len(name) for name in small.flakiness._histories] == [256]


# -- progress ---------------------------------------------------------------------------------------------------------


def progress(tape: Tape) -> tuple[int, int]:
    """Iterations with progress, and the streak without."""
    found = tape.metrics().progress
    return found.iterations_with_progress, found.no_progress_streak


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({"score": 0.1}, True),
        ({"score": 0.0999}, False),
        ({"score": 0.0, "made_progress": True}, True),
        ({"score": 1.0, "made_progress": False}, False),
        ({"score": 0.5, "made_progress": None}, True),
    ],
)
def test_a_measurement_is_progress_by_its_word_or_else_by_its_score(said: dict[str, object], made: bool) -> None:
    tape = Tape().add(1, "iteration.started", iteration=1).add(2, "progress.measured", **said)
    assert progress(tape) == (0, 0)
    tape.add(3, "iteration.finished", iteration=1, outcome="success", duration=2)
    assert progress(tape) == ((1, 0) if made else (0, 1))


def test_one_measurement_with_progress_is_enough_for_an_iteration() -> None:
    for scores in ((0.0, 0.5, 0.0), (0.5, 0.0), (0.0, 0.5), (0.9, 0.9)):
        tape = Tape().add(1, "iteration.started", iteration=1)
        for score in scores:
            tape.add(2, "progress.measured", score=score)
        tape.add(3, "iteration.finished", iteration=1, outcome="success", duration=2)
        assert progress(tape) == (1, 0)


def test_unknown_progress_neither_counts_nor_breaks_a_streak() -> None:
    tape, seen = Tape(), []
    for number, score in enumerate((0.0, None, 0.0, 0.5, None, 0.0), 1):
        tape.add(number, "iteration.started", iteration=number)
        if score is not None:
            tape.add(number, "progress.measured", score=score)
        tape.add(number, "iteration.finished", iteration=number, outcome="success", duration=1)
        seen.append(progress(tape))
    assert seen == [(0, 1), (0, 1), (0, 2), (1, 0), (1, 0), (1, 1)]
    assert tape.metrics().progress.progress_rate == approx(1 / 6)


def test_progress_that_comes_after_the_iteration_belongs_to_it() -> None:
    tape = Tape().iteration(1, 1)
    tape.add(3, "progress.measured", score=0.0)
    assert progress(tape) == (0, 1)
    tape.iteration(4, 2).add(6, "progress.measured", score=0.7)
    assert progress(tape) == (1, 0)


@pytest.mark.parametrize(
    ("pending", "own", "with_progress", "streak"),
    [(True, None, 2, 0), (True, False, 2, 0), (False, True, 2, 0), (False, None, 1, 1), (False, False, 1, 1)],
)
def test_progress_between_iterations_is_the_next_ones_to_finish_though_another_runs(
    pending: bool, own: bool | None, with_progress: int, streak: int
) -> None:
    tape = Tape().iteration(1, 1)
    tape.lines.insert(-1, Tape("").add(1.5, "progress.measured", score=0.9, made_progress=True).lines[0])
    tape.add(3, "progress.measured", score=0.5, made_progress=pending)  # none runs, and the last has its own
    for number in (2, 3):
        tape.add(3 + number, "iteration.started", iteration=number, span=f"{number:016x}")
    if own is not None:
        tape.add(7, "progress.measured", score=0.5, made_progress=own, span=f"{2:016x}")
    tape.add(8, "iteration.finished", iteration=2, outcome="success", duration=3.0)
    progress = tape.metrics().progress
    assert (tape.state().iterations_with_progress, tape.state().no_progress_streak) == (with_progress, streak)
    assert progress.progress_rate == approx(with_progress / 2)
    tape.add(9, "iteration.finished", iteration=3, outcome="success", duration=3.0)  # it has no part of it
    assert (tape.state().iterations_with_progress, tape.state().no_progress_streak) == (with_progress, streak)


def test_late_progress_finds_its_iteration_by_the_span_while_the_next_one_runs() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1, span="aa" * 8)
    tape.add(2, "iteration.finished", iteration=1, outcome="success", duration=1, span="aa" * 8)
    tape.add(3, "iteration.started", iteration=2, span="bb" * 8)
    tape.add(4, "progress.measured", score=0.9, span="aa" * 8)
    assert progress(tape) == (1, 0)
    tape.add(5, "progress.measured", score=0.0, span="bb" * 8)
    tape.add(6, "iteration.finished", iteration=2, outcome="success", duration=3, span="bb" * 8)
    assert progress(tape) == (1, 1)


def test_late_progress_corrects_an_iteration_that_seemed_to_make_none() -> None:
    tape = Tape()
    for number in (1, 2):
        tape.iteration(number * 10, number).add(number * 10 + 2, "progress.measured", score=0.0)
    assert progress(tape) == (0, 2)
    tape.add(30, "iteration.started", iteration=3, span="cc" * 8)
    tape.add(31, "progress.measured", score=0.0, span="cc" * 8)
    tape.add(32, "iteration.finished", iteration=3, outcome="success", duration=2, span="cc" * 8)
    assert progress(tape) == (0, 3)
    tape.add(33, "progress.measured", score=0.4, span="cc" * 8)
    assert progress(tape) == (1, 0)
    tape.add(34, "progress.measured", score=0.4, span="cc" * 8)
    assert progress(tape) == (1, 0)


def test_two_iterations_at_once_each_have_their_own_progress() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1, span="aa" * 8)
    tape.add(1, "iteration.started", iteration=2, span="bb" * 8)
    tape.add(2, "progress.measured", score=0.9, span="aa" * 8).add(2, "progress.measured", score=0.0, span="bb" * 8)
    tape.add(3, "iteration.finished", iteration=1, outcome="success", duration=2, span="aa" * 8)
    assert progress(tape) == (1, 0)
    tape.add(4, "iteration.finished", iteration=2, outcome="success", duration=3, span="bb" * 8)
    assert progress(tape) == (1, 1)


def test_progress_before_any_iteration_belongs_to_the_first() -> None:
    tape = Tape().add(1, "progress.measured", score=0.8)
    assert progress(tape) == (0, 0)
    assert progress(tape.iteration(2, 1)) == (1, 0)
    assert progress(tape.iteration(5, 2)) == (1, 0)


@pytest.mark.parametrize(
    ("scores", "velocity"),
    [
        ([], 0.0),
        ([0.5], 0.0),
        ([0.0, 1.0], 0.0),
        ([0.1, 0.2, 0.9], 0.0),
        ([0.0, 0.3, 0.6, 0.9], 0.3),  # (0.3 + 0.6 + 0.9) ÷ 3 − (0 + 0.3 + 0.6) ÷ 3
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 0.7),  # 0.9 − 0.2
        ([1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 0.7),  # the eleventh pushes the first out
        ([0.9, 0.8, 0.7, 0.1, 0.0, 0.2], -0.7),  # 0.1 − 0.8
    ],
)
def test_velocity_compares_both_ends_of_the_last_ten_scores(scores: list[float], velocity: float) -> None:
    tape = Tape()
    for score in scores:
        tape.add(1, "progress.measured", score=score)
    assert tape.metrics().progress.velocity == approx(velocity)


def test_files_changed_add_up() -> None:
    tape = Tape()
    for files in (3, None, 0, 4):
        tape.add(1, "progress.measured", score=0.1, files_changed=files)
    assert tape.metrics().progress.files_changed == 7


def test_iterations_that_share_a_span_are_told_apart_by_the_order() -> None:
    """So it is with `record_iteration`, which writes in the loop's span."""
    tape = Tape()
    for number, score in ((1, 0.6), (2, 0.05), (3, 0.0)):
        tape.add(number, "iteration.finished", iteration=number, outcome="success", duration=1, span="aa" * 8)
        tape.add(number, "progress.measured", score=score, span="aa" * 8)
    assert progress(tape) == (1, 2)


@pytest.mark.parametrize(
    ("scores", "late", "expected"),
    [
        ((None, 0.0, 0.0), 0.0, (0, 3)),  # one more without progress, before the others
        ((None, 0.0, 0.0), 0.9, (1, 2)),
        ((0.0, 0.0, 0.0), 0.9, (1, 2)),  # it had made progress after all: the streak began after it
        ((0.0, 0.9, 0.0), 0.9, (2, 1)),
        ((None, 0.9, 0.0), 0.0, (1, 1)),
        ((0.9, 0.0, 0.0), 0.0, (1, 2)),
        ((0.9, 0.0, 0.0), 0.9, (1, 2)),  # nothing new
        ((0.0, 0.0, 0.0), 0.0, (0, 3)),
        ((None, None, 0.0), 0.0, (0, 2)),
    ],
)
def test_what_becomes_known_of_an_earlier_iteration_counts_there(
    scores: tuple[float | None, ...], late: float, expected: tuple[int, int]
) -> None:
    tape = Tape()
    for number, score in enumerate(scores, 1):
        span = f"{number:016x}"
        tape.add(number, "iteration.started", iteration=number, span=span)
        if score is not None:
            tape.add(number, "progress.measured", score=score, span=span)
        tape.add(number, "iteration.finished", iteration=number, outcome="success", duration=1, span=span)
    assert progress(tape.add(9, "progress.measured", score=late, span=f"{1:016x}")) == expected


@pytest.mark.parametrize(
    ("scores", "late", "expected"),
    [
        ((None, None), 0.0, (0, 2)),  # two without
        ((None, 0.0, None), 0.9, (1, 2)),  # one with, then two without
    ],
)
def test_the_last_iteration_goes_on_with_a_streak_that_became_known_late(
    scores: tuple[float | None, ...], late: float, expected: tuple[int, int]
) -> None:
    tape = Tape()
    for number, score in enumerate(scores, 1):
        span = f"{number:016x}"
        tape.add(number, "iteration.finished", iteration=number, outcome="success", duration=1, span=span)
        if score is not None:
            tape.add(number, "progress.measured", score=score, span=span)
    tape.add(8, "progress.measured", score=late, span=f"{1:016x}")
    tape.add(9, "progress.measured", score=0.0, span=f"{len(scores):016x}")
    assert progress(tape) == expected


def test_a_measurement_that_says_nothing_new_leaves_a_streak_that_was_set() -> None:
    tape = Tape().add(1, "iteration.finished", iteration=1, outcome="success", duration=1, span="aa" * 8)
    tape.add(2, "progress.measured", score=0.0, span="aa" * 8).add(3, "gauge.set", name="no_progress_streak", value=7)
    assert progress(tape.add(4, "progress.measured", score=0.0, span="aa" * 8)) == (0, 7)
