from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import HistogramDataPoint

from ralph_otel.exporters.histograms import buckets, observations, quantile


def histogram(values: list[float], bounds: list[float], extremes: bool = True) -> HistogramDataPoint:
    counts = Counter(bisect_left(bounds, value) for value in values)
    return HistogramDataPoint(
        attributes={},
        start_time_unix_nano=0,
        time_unix_nano=1,
        count=len(values),
        sum=sum(values),
        bucket_counts=[counts[index] for index in range(len(bounds) + 1)],
        explicit_bounds=bounds,
        min=min(values) if values and extremes else math.inf,
        max=max(values) if values and extremes else -math.inf,
    )


BOUNDS = [0.5, 1.0, 5.0, 60.0, 600.0]
amounts = st.floats(-100, 10_000).map(lambda value: round(value, 3))
bounds = st.lists(amounts, unique=True, max_size=6).map(sorted)


@given(st.lists(amounts, max_size=30), bounds)
def test_observations_make_the_same_histogram_again(values: list[float], bounds: list[float]) -> None:
    again = [value for value, times in observations(histogram(values, bounds)) for _ in range(times)]
    assert len(again) == len(values)
    assert sum(again) == pytest.approx(sum(values), rel=1e-9, abs=1e-6)
    if values:
        assert min(again) == pytest.approx(min(values), rel=1e-9, abs=1e-9)
        assert max(again) == pytest.approx(max(values), rel=1e-9, abs=1e-9)
    for bound in bounds:
        at_most = sum(value <= bound + 1e-6 for value in again)
        below = sum(value < bound - 1e-6 for value in again)
        assert below <= sum(value <= bound for value in values) <= at_most


@given(st.lists(amounts, min_size=1, max_size=2), bounds)
def test_one_or_two_values_come_back_as_they_were(values: list[float], bounds: list[float]) -> None:
    again = [value for value, times in observations(histogram(values, bounds)) for _ in range(times)]
    assert sorted(again) == sorted(values)


@given(st.lists(amounts, min_size=1, max_size=30), bounds, st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], bounds: list[float], q: float) -> None:
    point = histogram(values, bounds)
    true = sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]
    [(low, high)] = [
        (b.low, b.high) for b in buckets(point) if bisect_left(bounds, b.high) == bisect_left(bounds, true)
    ]
    assert low - 1e-9 <= quantile(point, q) <= high + 1e-9


def test_quantiles_are_linear_within_a_bucket() -> None:
    point = histogram([1.5, 2.0, 3.0, 4.0, 5.0], BOUNDS)
    assert quantile(point, 0.5) == pytest.approx(1.5 + 3.5 / 2)
    assert quantile(point, 1.0) == 5.0


def test_without_extremes_values_stay_within_the_bounds_and_keep_the_sum() -> None:
    point = histogram([0.2, 0.4, 30.0], BOUNDS, extremes=False)
    assert [bucket.size for bucket in buckets(point)] == [2, 1]
    again = [value for value, times in observations(point) for _ in range(times)]
    assert sum(again) == pytest.approx(30.6)
    assert quantile(point, 0.5) == pytest.approx(0.375)


def test_without_bounds_there_is_only_the_mean() -> None:
    point = histogram([1.0, 2.0, 6.0], [], extremes=False)
    assert observations(point) == [(3.0, 3)]
    assert quantile(point, 0.9) == 3.0


def test_an_empty_histogram_has_nothing() -> None:
    assert buckets(histogram([], BOUNDS)) == []
    assert observations(histogram([], BOUNDS)) == []
    assert quantile(histogram([], BOUNDS), 0.5) == 0.0
