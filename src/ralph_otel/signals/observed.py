"""Metrics that no event makes: they are looked up when somebody collects, as the catalog says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ralph_otel.catalog import BY_NAME, HEALTH, LOOP_NAME, RUNNER, Kind, Metric
from ralph_otel.signals.metrics import common_attributes
from ralph_otel.state import RunState

Figure = int | Mapping[tuple[str, ...], int]
"""What a metric of our own health comes to: a number, or one for each of its attributes' values."""


def observe_age(meter: Meter, prefix: str, runs: Callable[[], Iterable[RunState]]) -> None:
    """Make the gauge of how long the running iteration has taken; of several of one loop, the oldest."""
    metric = BY_NAME["iteration_age"]

    def ages(options: CallbackOptions) -> Iterable[Observation]:
        now, oldest = time.time_ns(), dict[tuple[str, ...], float]()
        for state in runs():
            if (age := state.iteration_age(now)) is not None:
                loop = tuple(common_attributes(state).values())
                oldest[loop] = max(age, oldest.get(loop, 0.0))
        for loop, age in oldest.items():
            yield Observation(age, dict(zip((LOOP_NAME.name, RUNNER.name), loop, strict=True)))

    meter.create_observable_gauge(metric.full_name(prefix), [ages], metric.unit, metric.description)


def observe_health(meter: Meter, figure: Callable[[str], Figure]) -> None:
    """Make the metrics of our own health.

    Args:
        meter: where they are made.
        figure: gives each by its name in the catalog without `ralph_otel.`.
    """
    for metric in HEALTH:

        def observe(options: CallbackOptions, metric: Metric = metric) -> Iterable[Observation]:
            found = figure(metric.name.removeprefix("ralph_otel."))
            if isinstance(found, int):
                return [Observation(found)]
            names = [attribute.name for attribute in metric.attributes]
            return [Observation(value, dict(zip(names, key, strict=True))) for key, value in found.items()]

        gauge = metric.kind is Kind.OBSERVABLE_GAUGE
        create = meter.create_observable_gauge if gauge else meter.create_observable_counter
        create(metric.name, [observe], metric.unit, metric.description)
