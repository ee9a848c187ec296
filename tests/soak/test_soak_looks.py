"""What counts as growing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from benchmarks.soak.looks import WATCHED, Look, Trend, trend

MEMORY, THREADS, HANDLES = WATCHED


def trend_of(handles: Callable[[int], int], looks: int = 400) -> Trend:
    """The trend of the open files, one look every three seconds."""
    return trend(HANDLES, [Look(3.0 * n, 0, 0, handles(n), 0, 0, 0.0, 0.0) for n in range(looks)])


def test_what_stays_or_falls_is_flat() -> None:
    assert trend_of(lambda n: 40).flat
    assert trend_of(lambda n: 400 - n).flat


def test_what_only_grows_at_first_is_flat() -> None:
    assert trend_of(lambda n: min(n, 100)).flat


def test_a_saw_is_flat_wherever_it_is_cut() -> None:
    assert all(trend_of(lambda n, shift=shift: 128 + (n + shift) % 60).flat for shift in range(60))  # type: ignore[misc]


def test_a_steady_leak_is_not() -> None:
    found = trend_of(lambda n: 20 + n // 4)
    assert not found.flat
    assert found.slope == pytest.approx(3600 / 12, rel=0.02)


def test_the_units_are_those_of_the_names() -> None:
    looks = [Look(n, 50_000_000, 14, 20, 0, 0, 0.0, 0.0) for n in range(8)]
    assert [trend(each, looks).last for each in (MEMORY, THREADS)] == [50.0, 14]
