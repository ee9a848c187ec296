"""The figures of a collection, moved to other times."""

from __future__ import annotations

from dataclasses import replace as altered
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData


def at_times(data: MetricsData, start: int, end: int) -> MetricsData:
    """The same figures with the run's times, in Unix nanoseconds."""

    def moved(point: Any) -> Any:
        began = {"start_time_unix_nano": start} if getattr(point, "start_time_unix_nano", None) is not None else {}
        return altered(point, time_unix_nano=end, **began)

    def metric(one: Any) -> Any:
        return altered(one, data=altered(one.data, data_points=[moved(point) for point in one.data.data_points]))

    return MetricsData(
        [
            altered(
                resource,
                scope_metrics=[
                    altered(scope, metrics=[metric(one) for one in scope.metrics]) for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ]
    )
