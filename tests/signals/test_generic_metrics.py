"""The generic operations: metrics of one's own, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ralph_otel.events import Line
from ralph_otel.signals.metrics import MAX_GENERIC, MAX_LABELS, MAX_SERIES
from support.figures import Figures, Series
from support.tape import Tape


def generic(type_: str, name: str, value: float = 1, labels: dict[str, Any] | None = None) -> list[Line]:
    return Tape("").add(1, type_, name=name, value=value, labels=labels).lines


def unknown(value: Any, **labels: str) -> Series:
    common = {"ralph.loop.name": "unknown", "ralph.runner": "unknown"}
    return {tuple(sorted({**common, **labels}.items())): value}


def test_counters_gauges_and_histograms_of_ones_own() -> None:
    figures = Figures()
    for value in (2, 3.5):
        figures.play(generic("counter.added", "tickets", value, {"team": "a", "urgent": True, "level": 2}))
        figures.play(generic("gauge.set", "queue depth", value))
        figures.play(generic("histogram.observed", "wait", value))
    assert figures.series("ralph_loop.tickets") == unknown(5.5, team="a", urgent="true", level="2")
    assert figures.series("ralph_loop.queue_depth") == unknown(3.5)
    assert figures.series("ralph_loop.wait") == unknown((2, 5.5))


def test_a_counter_may_be_called_with_the_suffix_that_prometheus_adds() -> None:
    figures = Figures().play(generic("counter.added", "tickets_total")).play(generic("counter.added", "tickets"))
    assert figures.series("ralph_loop.tickets") == unknown(2)


@pytest.mark.parametrize(
    ("type_", "name", "value", "metric"),
    [
        ("counter.added", "files_changed", 4, "files_changed"),
        ("gauge.set", "context_usage", 33.0, "context_usage"),
        ("gauge.set", "progress_score", 0.5, "progress_score"),
        ("gauge.set", "progress_velocity", -0.5, "progress_velocity"),
        ("gauge.set", "no_progress_streak", 3, "no_progress_streak"),
        ("gauge.set", "test_failure_streak", 2, "test_failure_streak"),
        ("gauge.set", "flaky_tests", 5, "flaky_tests"),
        ("counter.added", "iterations_with_progress", 2, "iterations_with_progress"),
    ],
)
def test_the_seeds_names_feed_the_metrics_of_the_catalog(type_: str, name: str, value: float, metric: str) -> None:
    figures = Figures().play(generic(type_, name, value))
    assert figures.series(f"ralph_loop.{metric}") == unknown(value)
    assert figures.signals.refused == 0


@pytest.mark.parametrize(
    ("type_", "name", "labels", "said"),
    [
        ("counter.added", "iterations_total", None, "counter 'iterations_total': that metric is made from the loop's"),
        ("counter.added", "iterations", None, "counter 'iterations': that metric is made from the loop's events"),
        ("gauge.set", "tests_total", None, "gauge 'tests_total': that metric is made from the loop's events"),
        ("gauge.set", "test_pass_ratio", None, "gauge 'test_pass_ratio': that metric is made from the loop's events"),
        (
            "histogram.observed",
            "iteration_duration_seconds",
            None,
            "histogram 'iteration_duration_seconds': that metric",
        ),
        ("counter.added", "cost_USD", None, "counter 'cost_USD': that metric is made from the loop's events"),
        ("counter.added", "files_changed", {"a": "b"}, "counter 'files_changed': that metric is made from"),
        ("counter.added", "x" * 245, None, "a name must be 1 to 244 letters, digits and '_'"),
    ],
)
def test_a_name_that_is_taken_or_too_long_is_refused_counted_and_said_once(
    type_: str, name: str, labels: dict[str, Any] | None, said: str, heard: list[str]
) -> None:
    figures = Figures()
    for _ in range(3):
        figures.play(generic(type_, name, 1, labels))
    assert figures.signals.refused == 3
    assert set(figures.metrics()) <= {"ralph_loop.iterations_with_progress"}  # that of the catalog, at 0
    [line] = heard
    assert said in line


def test_one_name_is_one_kind(heard: list[str]) -> None:
    figures = Figures().play(generic("counter.added", "jobs")).play(generic("gauge.set", "jobs"))
    figures.play(generic("histogram.observed", "jobs")).play(generic("counter.added", "jobs"))
    assert figures.series("ralph_loop.jobs") == unknown(2)
    assert figures.signals.refused == 2
    assert "ralph-otel: gauge 'jobs': that name is a counter already; choose another name" in heard


def test_there_are_so_many_names_and_no_more(heard: list[str]) -> None:
    figures = Figures()
    for number in range(MAX_GENERIC + 10):
        figures.play(generic("counter.added", f"n{number}"))
    figures.play(generic("counter.added", "n7"))
    assert figures.signals.refused == 10
    assert sum(name.startswith("ralph_loop.n") for name in figures.metrics()) == MAX_GENERIC
    assert figures.series("ralph_loop.n7") == unknown(2)
    assert f"have {MAX_GENERIC} names; put what varies into labels" in heard[0]


def test_labels_are_limited_in_number_and_length() -> None:
    labels = {f"label{number:02}": "v" * 300 for number in range(MAX_LABELS + 5)}
    figures = Figures().play(generic("counter.added", "jobs", 1, labels))
    [key] = figures.series("ralph_loop.jobs")
    assert len(key) == MAX_LABELS + 2
    assert max(len(value) for _, value in key) == 256


def test_a_gauge_has_so_many_series_and_one_for_the_rest() -> None:
    figures = Figures()
    for number in range(MAX_SERIES + 10):
        figures.play(generic("gauge.set", "depth", number, {"queue": str(number)}))
    found = figures.series("ralph_loop.depth")
    assert len(found) == MAX_SERIES + 1
    assert found[(("otel.metric.overflow", True),)] == MAX_SERIES + 9


def test_a_long_prefix_and_a_long_name_raise_nothing(heard: list[str]) -> None:
    figures = Figures("p" * 64).play(generic("counter.added", "n" * 200)).play(generic("counter.added", "n" * 190))
    assert (figures.signals.refused, len(heard)) == (1, 1)
    assert figures.series("p" * 64 + "." + "n" * 190) == unknown(1)
