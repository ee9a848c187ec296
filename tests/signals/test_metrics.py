"""The instruments: every row of the catalog gets the right value, type and attributes from a hand-written journal."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import Gauge, Histogram, HistogramDataPoint, Sum
from prometheus_client.parser import text_string_to_metric_families

from ralph_otel.catalog import BY_NAME, DURATION_BUCKETS, HEALTH, METRICS, PERCENT_BUCKETS, Kind, Metric
from ralph_otel.events import Line
from ralph_otel.exporters.prometheus import render
from ralph_otel.signals.observed import observe_age, observe_health
from support.everything import SPAN, common, expected, script, with_attributes
from support.figures import Figures, Series, series_of
from support.strategies import valid_line
from support.tape import TRACE, Tape

COMMON = common("fix", "r")
EXPECTED = expected("fix", "r")


def expect(*series: tuple[Any, dict[str, str]]) -> Series:
    return with_attributes(COMMON, *series)


def test_the_script_has_a_value_for_every_row_of_the_catalog() -> None:
    assert set(EXPECTED) == {metric.name for metric in METRICS if metric.feeds}
    assert {metric.name for metric in METRICS if not metric.feeds} == {"iteration_age"}


@pytest.fixture(scope="module")
def played() -> Figures:
    return Figures().play(script("fix", "r"))


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.feeds], ids=lambda metric: metric.name)
def test_every_metric_has_the_value_reckoned_by_hand(metric: Metric, played: Figures) -> None:
    assert played.series(f"ralph_loop.{metric.name}") == EXPECTED[metric.name]


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.feeds], ids=lambda metric: metric.name)
def test_every_metric_is_of_its_kind_with_its_unit_and_description(metric: Metric, played: Figures) -> None:
    found = played.metrics()[metric.full_name()]
    assert (found.unit, found.description) == (metric.unit, metric.description)
    kinds = {Kind.COUNTER: Sum, Kind.UPDOWN: Sum, Kind.HISTOGRAM: Histogram, Kind.GAUGE: Gauge}
    assert type(found.data) is kinds[metric.kind]
    if isinstance(found.data, Sum):
        assert found.data.is_monotonic is (metric.kind is Kind.COUNTER)
    for point in found.data.data_points:
        attributes = point.attributes or {}
        assert set(attributes) == {"ralph.loop.name", "ralph.runner", *(each.name for each in metric.attributes)}
        assert all(type(value) is str for value in attributes.values())
        if isinstance(point, HistogramDataPoint):
            assert tuple(point.explicit_bounds) == (metric.buckets or DURATION_BUCKETS)
        elif metric.unit.startswith("{") and metric.unit != "{score}":
            assert type(getattr(point, "value", None)) is int


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_it_does_not_matter_where_the_batches_end(batch: int, played: Figures) -> None:
    metrics = Figures().play(script("fix", "r"), batch).metrics()
    assert {name: series_of(metric) for name, metric in metrics.items()} == {
        name: series_of(metric) for name, metric in played.metrics().items()
    }


@pytest.mark.parametrize("batch", [1, 1000])
def test_of_several_loops_of_one_name_a_gauge_shows_what_was_said_last(batch: int) -> None:
    lines = []
    for second, run in enumerate("abcb"):
        tape = Tape("", run=run).add(second, "loop.started", name="fix", runner="r")
        tape.add(second, "context.measured", percent=second * 10).add(second, "gauge.set", name="depth", value=second)
        lines += tape.add(second, "tests.finished", passed=second, failed=0).lines
    figures = Figures().play(lines, batch)
    assert figures.series("ralph_loop.context_usage") == expect((30, {}))
    assert figures.series("ralph_loop.depth") == expect((3, {}))
    assert figures.series("ralph_loop.tests")[expect_key(**{"ralph.test.status": "passing"})] == 3


def expect_key(**attributes: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((*COMMON, *attributes.items())))


def test_prometheus_shows_the_same_values(played: Figures) -> None:
    text = render(played.read())[0].decode()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    common = {"ralph_loop_name": "fix", "ralph_runner": "r"}

    def sample(name: str, **labels: str) -> float:
        return samples[(name, tuple(sorted({**common, **labels}.items())))]

    assert sample("ralph_loop_iterations_total", ralph_outcome="success") == 1
    assert sample("ralph_loop_iteration_duration_seconds_bucket", ralph_outcome="success", le="5.0") == 0
    assert sample("ralph_loop_iteration_duration_seconds_bucket", ralph_outcome="success", le="10.0") == 1
    assert sample("ralph_loop_iteration_duration_seconds_sum", ralph_outcome="timeout") == 2
    assert sample("ralph_loop_active_sessions") == 1
    assert sample("ralph_loop_context_at_reboot_percent_bucket", ralph_reboot_reason="redline", le="80.0") == 0
    assert sample("ralph_loop_context_at_reboot_percent_bucket", ralph_reboot_reason="redline", le="90.0") == 1
    assert sample("ralph_loop_tokens_total", gen_ai_token_type="output", gen_ai_request_model="m") == 301
    assert sample("ralph_loop_cost_USD_total", gen_ai_request_model="n", ralph_cost_source="estimated") == 0.5
    assert sample("ralph_loop_test_pass_ratio") == 0.75


# -- what follows the state -------------------------------------------------------------------------------------------


def active(figures: Figures) -> list[Any]:
    return [
        next(iter(figures.series(f"ralph_loop.active_{part}").values()), None)
        for part in ("runs", "sessions", "iterations")
    ]


def test_what_is_active_goes_up_and_down_and_is_none_after_a_crash() -> None:
    tape, figures = Tape("fix", runner="r"), Figures()
    tape.add(1, "session.started", session="a").add(1, "session.started", session="b")
    tape.add(2, "iteration.started", iteration=1).add(2, "iteration.started", iteration=2)
    assert active(figures.play(tape.lines)) == [1, 2, 2]
    more = Tape("").add(3, "iteration.finished", iteration=1, outcome="success", duration=1)
    assert active(figures.play(more.lines)) == [1, 2, 1]
    assert active(figures.play(Tape("").add(4, "loop.stopped", reason="crashed").lines)) == [0, 0, 0]
    assert figures.series("ralph_loop.runs") == expect((1, {"ralph.stop.reason": "crashed"}))
    assert active(figures.play(Tape("").add(5, "loop.stopped", reason="error").lines)) == [0, 0, 0]
    assert active(figures.play(Tape("fix", runner="r").lines)) == [1, 0, 0]


def test_several_loops_of_one_name_add_up() -> None:
    lines = [
        line for run in "abc" for line in Tape("fix", run=run, runner="r").add(1, "session.started", session="s").lines
    ]
    figures = Figures().play(lines)
    assert active(figures) == [3, 3, None]
    figures.play(Tape("", run="b").add(2, "loop.stopped", reason="completed").lines)
    assert active(figures) == [2, 2, 0]


def test_late_progress_counts_once() -> None:
    tape = Tape("fix", runner="r").iteration(1, 1).add(3, "progress.measured", score=0.5)
    tape.iteration(5, 2).add(7, "progress.measured", score=0.0)
    figures = Figures().play(tape.lines, batch=1)
    assert figures.series("ralph_loop.iterations_with_progress") == expect((1, {}))
    assert figures.series("ralph_loop.no_progress_streak") == expect((1, {}))


def test_a_loop_without_runner_is_of_an_unknown_one() -> None:
    figures = Figures().play(Tape("fix").iteration(1, 1).lines)
    [key] = figures.series("ralph_loop.iterations")
    assert ("ralph.runner", "unknown") in key


def test_an_unknown_model_is_left_out() -> None:
    figures = Figures().play(Tape("fix", runner="r").add(1, "usage.measured", output_tokens=4).lines)
    assert figures.series("ralph_loop.tokens") == expect((4, {"gen_ai.token.type": "output"}))


@given(st.lists(valid_line(runs=2), max_size=30))
def test_any_valid_lines_can_be_recorded_and_shown(lines: list[Line]) -> None:
    figures = Figures().play([*Tape().lines, *Tape(run="run-2").lines, *lines])
    for run in ("run-1", "run-2"):
        figures.play(Tape("", run=run).add(10**9, "loop.stopped", reason="crashed").lines)
    text = render(figures.read())[0].decode()
    list(text_string_to_metric_families(text))
    if {line["name"] for line in lines if line["type"] == "loop.started"} <= {"tape"}:
        for part in ("runs", "sessions", "iterations"):
            assert set(figures.series(f"ralph_loop.active_{part}").values()) <= {0}


# -- settings ---------------------------------------------------------------------------------------------------------


def test_without_histograms_there_is_none_and_everything_else_is_there() -> None:
    lines = [*script("fix", "r"), *Tape("").add(40, "histogram.observed", name="wait", value=1).lines]
    figures = Figures(histograms=False).play(lines)
    expected = {f"ralph_loop.{metric.name}" for metric in METRICS if metric.feeds and metric.kind is not Kind.HISTOGRAM}
    assert set(figures.metrics()) == expected
    assert figures.signals.refused == 0


def test_prefix_and_buckets_are_the_configured_ones_but_percents_keep_theirs() -> None:
    lines = [*script("fix", "r"), *Tape("").add(40, "histogram.observed", name="wait", value=2).lines]
    metrics = Figures("my.loop", (0.5, 2.0, 9.0)).play(lines).metrics()
    assert all(name.startswith("my.loop.") for name in metrics)
    bounds: dict[str, tuple[float, ...]] = {}
    for name, metric in metrics.items():
        for point in metric.data.data_points:
            if isinstance(point, HistogramDataPoint):
                bounds[name.removeprefix("my.loop.")] = tuple(point.explicit_bounds)
    assert bounds.pop("context_at_reboot") == PERCENT_BUCKETS
    assert set(bounds) == {
        metric.name for metric in METRICS if metric.unit == "s" and metric.kind is Kind.HISTOGRAM
    } | {"wait"}
    assert set(bounds.values()) == {(0.5, 2.0, 9.0)}


def test_a_value_on_a_bound_is_in_that_bucket() -> None:
    figures = Figures(buckets=(1.0, 2.0, 3.0))
    for value in (0.5, 1.0, 1.5, 3.0, 99.0):
        figures.play(Tape("").add(1, "histogram.observed", name="wait", value=value).lines)
    [point] = figures.metrics()["ralph_loop.wait"].data.data_points
    assert isinstance(point, HistogramDataPoint)
    assert (list(point.bucket_counts), point.count, point.sum) == ([2, 1, 1, 1], 5, 105.0)


def test_a_sum_may_become_greater_than_what_otlp_can_carry_as_an_integer() -> None:
    tape = Tape("fix", runner="r")
    for _ in range(4):
        tape.add(1, "usage.measured", input_tokens=2**63 - 1)
    figures = Figures().play(tape.lines, batch=2)
    [total] = figures.series("ralph_loop.tokens").values()
    assert (type(total), total) == (float, 4.0 * 2**63)
    assert encode_metrics(figures.read()).ByteSize() > 0


# -- exemplars --------------------------------------------------------------------------------------------------------


def test_exemplars_lead_to_the_span_of_the_line(played: Figures) -> None:
    for name in ("iterations", "iteration_duration"):
        points = played.metrics()[f"ralph_loop.{name}"].data.data_points
        [point] = [point for point in points if (point.attributes or {})["ralph.outcome"] == "success"]
        [exemplar] = point.exemplars
        assert (f"{exemplar.trace_id or 0:032x}", f"{exemplar.span_id or 0:016x}") == (TRACE, SPAN)
        [without] = [point for point in points if (point.attributes or {})["ralph.outcome"] == "timeout"]
        assert list(without.exemplars) == []


def test_a_trace_that_is_not_recorded_has_no_exemplars() -> None:
    tape = Tape("fix", trace_flags=0)
    tape.add(2, "iteration.finished", iteration=1, outcome="success", duration=8.0, span=SPAN)
    figures = Figures().play(tape.lines)
    for name in ("iterations", "iteration_duration"):
        [point] = figures.metrics()[f"ralph_loop.{name}"].data.data_points
        assert list(point.exemplars) == []


# -- what is observed -------------------------------------------------------------------------------------------------


def test_the_age_of_the_running_iteration_is_that_of_the_oldest_of_each_loop() -> None:
    figures, now = Figures(), time.time_ns()

    def running(run: str, name: str, *ages: float, stopped: bool = False) -> list[Line]:
        tape = Tape(name, run=run, runner="r")
        tape.lines[0]["ts"] = now - 1000 * 10**9
        for number, age in enumerate(ages):
            tape.add(0, "iteration.started", iteration=number)
            tape.lines[-1]["ts"] = now - round(age * 1e9)
        return tape.lines + ([{**tape.lines[0], "type": "loop.stopped", "reason": "error"}] if stopped else [])

    observe_age(figures.meter, "ralph_loop", lambda: list(figures.states.by_run.values()))
    assert figures.metrics() == {}
    figures.play(running("a", "fix", 100, 40)).play(running("b", "fix", 70)).play(running("c", "other", 5))
    figures.play(running("d", "stopped", 500, stopped=True)).play(running("e", "idle"))
    found = figures.series("ralph_loop.iteration_age")
    elapsed = (time.time_ns() - now) / 1e9
    assert {dict(key)["ralph.loop.name"] for key in found} == {"fix", "other"}
    assert 100 <= found[COMMON] <= 100 + elapsed
    assert figures.metrics()["ralph_loop.iteration_age"].unit == "s"


def test_our_own_health_is_shown_whatever_the_prefix() -> None:
    figures = Figures("mine")
    counts = {metric.name.removeprefix("ralph_otel."): number for number, metric in enumerate(HEALTH)}
    observe_health(figures.meter, counts.__getitem__)
    assert {metric.name: figures.series(metric.name) for metric in HEALTH} == {
        metric.name: {(): number} for number, metric in enumerate(HEALTH)
    }
    for metric in HEALTH:
        data = figures.metrics()[metric.name].data
        assert isinstance(data, Sum) is (metric.kind is Kind.OBSERVABLE_COUNTER)
        assert getattr(data, "is_monotonic", False) is (metric.kind is Kind.OBSERVABLE_COUNTER)
        assert figures.metrics()[metric.name].unit == BY_NAME[metric.name].unit


def test_a_counter_of_a_host_goes_on_after_a_reset() -> None:
    tape = Tape("fix", runner="r")
    for number in (1, 2, 3):
        tape.iteration(number, 1).add(number, "progress.measured", score=0.5)
    figures = Figures().play(tape.lines)
    figures.states.reset()
    figures.play([line for line in Tape("fix", runner="r").iteration(4, 1).lines if line["type"] != "loop.started"])
    more = Tape("fix", runner="r").add(60, "progress.measured", score=0.5).lines[1:]
    figures.play(more)
    [made_progress] = figures.series("ralph_loop.iterations_with_progress").values()
    assert made_progress == 4
