from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metering import Pipeline
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View

from ralph_otel.exporters.console import ConsoleExporter, text
from ralph_otel.wording import duration, printable, size

LOOP = {"ralph.loop.name": "fix-bugs", "ralph.runner": "ralphify"}


def body(pipeline: Pipeline, title: str = "") -> list[str]:
    """The lines below the heading, which begins with the title."""
    heading, _, *rows = text(pipeline.read()).splitlines()
    assert heading.startswith(f"{title}20")
    assert heading.endswith(" UTC")
    return rows


def test_metrics_are_grouped_aligned_and_in_units_that_people_read() -> None:
    pipeline = Pipeline()
    iterations = pipeline.meter.create_counter("ralph_loop.iterations", "{iteration}")
    iterations.add(1204, {**LOOP, "ralph.outcome": "success"})
    iterations.add(1, {**LOOP, "ralph.outcome": "failure"})
    pipeline.meter.create_gauge("ralph_loop.context_usage", "%").set(61.04, LOOP)
    pipeline.meter.create_counter("ralph_loop.cost", "USD").add(12.5, LOOP)
    pipeline.meter.create_gauge("process.memory.usage", "By").set(12.3 * 2**20)
    pipeline.meter.create_gauge("process.cpu.utilization", "1").set(0.125)
    histogram = pipeline.meter.create_histogram("d", "s", explicit_bucket_boundaries_advisory=[60.0, 120.0])
    for value in (70.0, 80.0, 90.0, 110.0):
        histogram.record(value, LOOP)
    assert body(pipeline, "fix-bugs · ralphify · ") == [
        "d                         4, mean 1m28s, p50 1m30s, p90 1m46s",
        "process.cpu.utilization   12.5 %",
        "process.memory.usage      12.3 MiB",
        "ralph_loop.context_usage  61 %",
        "ralph_loop.cost           $12.50",
        "ralph_loop.iterations     1,204                                ralph.outcome=success",
        "                          1                                    ralph.outcome=failure",
    ]


def test_an_attribute_that_differs_is_said_with_each_series() -> None:
    pipeline = Pipeline()
    counter = pipeline.meter.create_counter("c")
    counter.add(1, {"ralph.loop.name": "one", "ralph.runner": "r"})
    counter.add(2, {"ralph.loop.name": "two", "ralph.runner": "r"})
    assert body(pipeline, "r · ") == ["c  1  ralph.loop.name=one", "   2  ralph.loop.name=two"]


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected"),
    [
        ("a.last_timestamp", "s", 1795000000.5, "2026-11-18 11:06:40 UTC"),
        ("a.last_timestamp", "s", 1e300, "1e+300"),
        ("a.age", "s", 3725.4, "1h2m5s"),
        ("a.age", "ms", 12.0, "12ms"),
        ("a.rate", "By/s", 2048.0, "2 KiB/s"),
        ("a.rate", "{iteration}/h", 12.0, "12/h"),
        ("a.mean", "{score}/{iteration}", -0.25, "-0.25"),
        ("a.count", "{test}", 1234567, "1,234,567"),
        ("a.count", "", 1234.567, "1,234.57"),
        ("a.cost", "USD", 0.0123, "$0.0123"),
    ],
)
def test_a_gauge_is_written_by_its_unit(name: str, unit: str, value: float, expected: str) -> None:
    pipeline = Pipeline()
    pipeline.meter.create_gauge(name, unit).set(value)
    assert body(pipeline) == [f"{name}  {expected}"]


def test_an_exponential_histogram_has_count_and_mean() -> None:
    pipeline = Pipeline(views=(View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation()),))
    pipeline.meter.create_histogram("e", "s").record(4)
    assert body(pipeline) == ["e  1, mean 4s"]


def test_without_metrics_it_says_so() -> None:
    assert text(None) == "No metrics yet.\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0"),
        (0.0004, "400us"),
        (0.25, "250ms"),
        (1.2345, "1.23s"),
        (59.96, "1m"),
        (90.4, "1m30s"),
        (183845, "2d3h4m5s"),
        (-5, "-5s"),
        (1e300, "1e+300s"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, "0 B"), (512, "512 B"), (1536, "1.5 KiB"), (3 * 2**30, "3 GiB"), (2**52, "4,096.0 TiB")],
)
def test_sizes(amount: float, expected: str) -> None:
    assert size(amount) == expected


def test_a_label_cannot_speak_to_the_terminal() -> None:
    pipeline = Pipeline()
    attributes = {"k\x07": "\x1b[31mred\r\n\x9b2J\u202eevil\ud800", "long": "x" * 100}
    pipeline.meter.create_counter("c").add(1, {**attributes, "ralph.loop.name": "\x1b]0;title\x07"})
    written = text(pipeline.read())
    assert written.startswith(r"\x1b]0;title\x07 · ")
    assert r"k\x07=\x1b[31mred\r\n\x9b2J\u202eevil?  " in written
    assert f"long={'x' * 59}…" in written


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_printed_is_printable(value: str) -> None:
    assert printable(value).isprintable()
    assert not value.isprintable() or printable(value) == value


def test_it_prints_to_the_stderr_of_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("c").add(1)
    data = pipeline.read()
    assert ConsoleExporter().export(data) is MetricExportResult.SUCCESS
    assert capsys.readouterr() == ("", text(data) + "\n")


def test_a_stream_that_cannot_take_it_is_a_failure_and_no_error() -> None:
    pipeline = Pipeline()
    pipeline.meter.create_counter("c").add(1, {"ralph.loop.name": "é"})
    closed, narrow = io.StringIO(), io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    closed.close()
    for stream in (closed, narrow):
        assert ConsoleExporter(stream).export(pipeline.read()) is MetricExportResult.FAILURE
    assert sys.stderr is not None


def test_flush_and_shutdown_are_harmless() -> None:
    exporter = ConsoleExporter(io.StringIO())
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.force_flush()
