"""What can be said of the single values behind a histogram's buckets.

StatsD wants values, a person wants quantiles; a data point has only counts between bounds, and the sum, the least and
the greatest value.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from opentelemetry.sdk.metrics.export import HistogramDataPoint


class Bucket(NamedTuple):
    """`size` values, each from `low` to `high`."""

    low: float
    high: float
    size: int


def buckets(point: HistogramDataPoint) -> list[Bucket]:
    """The buckets that hold any value, in order, drawn in to the least and greatest value where those are known.

    Where they are not, the first bucket begins at 0 (or its bound, if that is less) and the last one has no width.
    """
    bounds = point.explicit_bounds
    least, greatest = extremes(point) or (-math.inf, math.inf)
    mean = point.sum / point.count if point.count else 0.0
    first = least if math.isfinite(least) else min(0.0, bounds[0]) if bounds else mean
    last = greatest if math.isfinite(greatest) else bounds[-1] if bounds else mean
    return [
        Bucket(max(low, least), min(high, greatest), size)
        for (low, high), size in zip(pairwise((first, *bounds, last)), point.bucket_counts, strict=False)
        if size
    ]


def extremes(point: HistogramDataPoint) -> tuple[float, float] | None:
    """The least and the greatest value; None where there is no value, or a view has turned them off."""
    if point.count and math.isfinite(point.min) and math.isfinite(point.max):
        return point.min, point.max
    return None


def quantile(point: HistogramDataPoint, q: float) -> float:
    """An estimate of the value that a share `q` (0 to 1) of the values does not exceed; 0 without values.

    Linear within a bucket, as in Prometheus's `histogram_quantile`, so it can be wrong by the bucket's width.
    """
    rank, value = q * point.count, 0.0
    for low, high, size in buckets(point):
        value = low + (high - low) * min(1.0, rank / size)
        if rank <= size:
            break
        rank -= size
    return value


def observations(point: HistogramDataPoint) -> list[tuple[float, int]]:
    """Values, and how often each occurs, that make the same histogram again.

    Count, sum, least and greatest value are the same (the sum to within rounding), and as many values lie in each
    bucket. The least and the greatest are taken out first; the others lie in their buckets all at the same share of
    the width, the one that gives the sum.
    """
    if point.count == 1:
        return [(point.sum, 1)]
    rest, total = buckets(point), point.sum
    known = extremes(point) or ()
    if known:
        rest[0] = rest[0]._replace(size=rest[0].size - 1)
        rest[-1] = rest[-1]._replace(size=rest[-1].size - 1)
        total -= sum(known)
    width = sum((high - low) * size for low, high, size in rest)
    share = (total - sum(low * size for low, _, size in rest)) / width if width > 0 else 0.0
    return [*((value, 1) for value in known), *((low + share * (high - low), size) for low, high, size in rest if size)]
