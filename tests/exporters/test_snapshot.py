from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from metering import Pipeline
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics.export import MetricsData, Sum
from opentelemetry.sdk.trace import TracerProvider

from ralph_otel.exporters import snapshot
from ralph_otel.exporters.snapshot import SnapshotReader, metrics_of


def value_of(data: MetricsData, name: str) -> float:
    [metric] = [each for each in metrics_of(data) if each.name == name]
    assert isinstance(metric.data, Sum)
    [point] = metric.data.data_points
    return point.value


def test_each_reading_has_the_running_total() -> None:
    pipeline = Pipeline()
    counter = pipeline.meter.create_counter("a")
    counter.add(2)
    assert value_of(pipeline.read(), "a") == 2
    counter.add(3)
    assert value_of(pipeline.read(), "a") == 5
    assert value_of(pipeline.read(), "a") == 5


def test_there_is_nothing_to_read_without_metrics() -> None:
    pipeline = Pipeline()
    assert pipeline.reader.read() is None


def test_parallel_readers_all_get_whole_data() -> None:
    pipeline = Pipeline()
    for number in range(20):
        pipeline.meter.create_counter(f"c{number}").add(1)
    with ThreadPoolExecutor(16) as pool:
        readings = list(pool.map(lambda _: pipeline.reader.read(), range(200)))
    assert all(data is not None and sum(1 for _ in metrics_of(data)) == 20 for data in readings)


def test_flushing_and_repeated_shutdown_change_nothing() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("a").add(2)
    assert pipeline.provider.force_flush()
    assert pipeline.provider.force_flush()
    pipeline.provider.shutdown()
    pipeline.reader.shutdown()
    assert value_of(pipeline.read(), "a") == 2


def test_exemplars_outlive_the_reading_that_collects_them() -> None:
    pipeline = Pipeline()
    histogram = pipeline.meter.create_histogram("d", "s", explicit_bucket_boundaries_advisory=[1.0, 10.0])
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")

    def record(value: float) -> int:
        with tracer.start_as_current_span("iteration") as span:
            histogram.record(value)
        return span.get_span_context().span_id

    def exemplars() -> dict[float, int | None]:
        [metric] = metrics_of(pipeline.read())
        [point] = metric.data.data_points
        return {each.value: each.span_id for each in point.exemplars}

    first, second = record(0.5), record(5.0)
    assert exemplars() == {0.5: first, 5.0: second}
    assert exemplars() == {0.5: first, 5.0: second}
    third = record(6.0)
    assert exemplars() == {0.5: first, 6.0: third}


def test_a_collection_that_hangs_does_not_hold_other_readers_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Pipeline()
    monkeypatch.setattr(snapshot, "_PATIENCE", 0.05)
    entered, go_on = threading.Event(), threading.Event()

    def hang(options: CallbackOptions) -> list[Observation]:
        entered.set()
        go_on.wait(100)
        return [Observation(1)]

    pipeline.meter.create_observable_gauge("slow", [hang])
    hanging = threading.Thread(target=pipeline.reader.read)
    hanging.start()
    try:
        assert entered.wait(60)
        with pytest.raises(TimeoutError, match="another collection"):
            pipeline.reader.read()
    finally:
        go_on.set()
        hanging.join(60)
    assert pipeline.reader.read() is not None


def test_a_reader_of_no_provider_has_nothing() -> None:
    assert SnapshotReader().read() is None
