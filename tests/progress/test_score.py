"""The progress score of an iteration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import TestsFinished
from ralph_otel.progress.score import made_progress, score
from ralph_otel.progress.worktree import Changes

MODIFIED = Changes(files_changed=1)
CREATED = Changes(files_changed=1, files_created=1)


def ran(passed: int, failed: int = 0, skipped: int = 0) -> TestsFinished:
    return TestsFinished(passed=passed, failed=failed, skipped=skipped)


@pytest.mark.parametrize(
    ("changes", "before", "after", "weights"),
    [
        (MODIFIED, None, None, 0.3),
        (CREATED, None, None, 0.2),
        (Changes(files_changed=3, files_created=1), None, None, 0.3 + 0.2),
        (MODIFIED, ran(3, 1), ran(4, 0), 0.3 + 0.4),
        (MODIFIED, ran(3), ran(3, 0, 2), 0.3 + 0.2),
        (MODIFIED, ran(3), ran(5), 0.3 + 0.4 + 0.2),
        (MODIFIED, ran(0, 1), ran(1), 0.3 + 0.4 + 0.5),
        (MODIFIED, ran(0, 1), ran(40, 2), 0.3 + 0.4 + 0.5),
        (CREATED, ran(0), ran(1), 0.2 + 0.4 + 0.2),
        (None, ran(0, 3), ran(3), 0.4 + 0.5),
    ],
)
def test_the_score_is_the_weights_that_were_seen_over_all_weights(
    changes: Changes | None, before: TestsFinished | None, after: TestsFinished | None, weights: float
) -> None:
    assert score(changes, before, after) == pytest.approx(weights / 1.9, abs=1e-4)
    assert made_progress(score(changes, before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ran(3, 2), ran(3)),  # the failing tests are gone
        (ran(3), ran(3, 1)),  # the command broke, which counts as a failure
        (ran(3), ran(0, 1)),
        (ran(3), ran(3)),
        (ran(0), ran(0)),
        (None, ran(3)),
        (ran(3), None),
    ],
)
def test_tests_that_are_no_better_add_nothing(before: TestsFinished | None, after: TestsFinished | None) -> None:
    assert score(None, before, after) == 0.0
    assert score(MODIFIED, before, after) == score(MODIFIED, None, None)


def test_an_iteration_that_changes_nothing_makes_no_progress_even_with_flaky_tests() -> None:
    assert score(Changes(), ran(0, 3), ran(9)) == 0.0
    assert score(Changes(commits=2), None, None) == 0.0
    assert not made_progress(0.0)


def test_a_deleted_file_is_a_modified_one() -> None:
    assert score(Changes(files_changed=1, lines_removed=5), None, None) == score(MODIFIED, None, None)


def test_nothing_known_is_no_progress() -> None:
    assert score(None, None, None) == 0.0


COUNT = st.integers(0, 5)
TESTS = st.one_of(st.none(), st.builds(ran, COUNT, COUNT, COUNT))


@given(st.one_of(st.none(), st.builds(Changes, COUNT, COUNT)), TESTS, TESTS)
def test_a_score_is_from_0_to_1(
    changes: Changes | None, before: TestsFinished | None, after: TestsFinished | None
) -> None:
    value = score(changes, before, after)
    assert 0 <= value <= 1
    assert value == 0 or made_progress(value)
