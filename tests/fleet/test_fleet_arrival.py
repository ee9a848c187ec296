"""What has arrived is compared with the journal to the last bit: nothing that is lost, changed or added goes unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.fleet.arrival import Arrival, Expected, compare_one, expected_of
from benchmarks.fleet.story import Story
from benchmarks.fleet.writing import write

ITERATIONS = "ralph_loop_iterations_total"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    write([Story("a-run", 7, 1_790_000_000 * 10**9, 3600.0)], tmp_path, speed=1e6)
    return tmp_path / "a-run.jsonl"


@pytest.fixture
def expected(journal: Path) -> Expected:
    return expected_of(journal)


def test_what_the_journal_says_is_complete(expected: Expected) -> None:
    found = compare_one("a-run", expected, expected.series)
    assert found.complete
    assert (found.series, found.wrong, found.off) == (len(expected.series), 0, 0)
    assert all(said == arrived > 0 for said, arrived in found.totals.values())


def test_a_series_that_is_missing_is_found(expected: Expected) -> None:
    for lost in expected.series:
        held = {series: value for series, value in expected.series.items() if series != lost}
        found = compare_one("a-run", expected, held)
        assert (found.complete, found.wrong) == (False, 1)
        assert found.shown[0].startswith(f"a-run: {lost[0]}")


def test_a_value_that_is_one_short_is_found_in_the_series_and_in_the_total(expected: Expected) -> None:
    series = next(series for series in expected.series if series[0] == ITERATIONS)
    found = compare_one("a-run", expected, {**expected.series, series: expected.series[series] - 1})
    assert (found.complete, found.wrong, found.off) == (False, 1, 1)
    said, arrived = found.totals["iterations"]
    assert said - arrived == 1


def test_a_series_that_nobody_made_is_found(expected: Expected) -> None:
    held = {**expected.series, ("ralph_loop_iterations_total", frozenset({("ralph_outcome", "invented")})): 0.0}
    assert compare_one("a-run", expected, held).wrong == 1


def test_a_counter_that_went_back_and_an_empty_fleet_are_not_complete(expected: Expected) -> None:
    found = compare_one("a-run", expected, expected.series)
    found.absorb(Arrival(resets=1))
    assert not found.complete
    assert not Arrival().complete


def test_what_several_comparisons_found_adds_up(expected: Expected) -> None:
    one, both = compare_one("a-run", expected, expected.series), compare_one("a-run", expected, expected.series)
    both.absorb(compare_one("a-run", expected, {}))
    assert (both.loops, both.series, both.wrong, both.off) == (2, 2 * one.series, one.series, 1)
    said, arrived = both.totals["tokens"]
    assert said == 2 * arrived == 2 * one.totals["tokens"][0]
