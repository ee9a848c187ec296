"""`MetricsCollector` in one process: the seed's operations, loops, reading, exporting, subscribing."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ralph_otel
from ralph_otel import events
from ralph_otel.model import Counter, Gauge, Histogram, HistogramBucket, LoopMetrics, Metric, Summary
from support.collecting import Make, journals, use_every_operation, value
from support.tape import lines_of
from support.waiting import until

# -- the seed's requirements ------------------------------------------------------------------------------------------


def test_counters_increment(make_collector: Make) -> None:
    collector = make_collector()
    collector.increment("tickets")
    collector.increment("tickets", 4)
    collector.increment("tickets", 2, {"team": "a"})
    assert value(collector, "ralph_loop_tickets_total", team="a") == 2
    plain = [metric for metric in collector.collect() if metric.name == "ralph_loop_tickets_total"]
    assert sorted(metric.value for metric in plain if isinstance(metric, Counter)) == [2, 5]


def test_gauges_are_set(make_collector: Make) -> None:
    collector = make_collector()
    for number in (5, -2.5):
        collector.set_gauge("depth", number)
    assert value(collector, "ralph_loop_depth") == -2.5


def test_histogram_buckets_fill(make_collector: Make) -> None:
    collector = make_collector(duration_buckets=[1, 10])
    for seconds in (0.5, 1, 5, 50):
        collector.observe("wait", seconds)
    [histogram] = [metric for metric in collector.collect() if metric.name == "ralph_loop_wait"]
    assert isinstance(histogram, Histogram)
    assert (histogram.count, histogram.sum) == (4, 56.5)
    assert histogram.buckets == (HistogramBucket(1, 2), HistogramBucket(10, 3), HistogramBucket(float("inf"), 4))


def test_the_aggregate_is_right(make_collector: Make) -> None:
    collector = make_collector()
    use_every_operation(collector)
    metrics = collector.get_metrics()
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.failed_iterations) == (2, 1, 1)
    assert (metrics.avg_iteration_duration, metrics.total_reboots, metrics.context_usage_percent) == (15.0, 2, 42)
    assert metrics.tests == ralph_otel.TestMetrics(9, 8, 1, 8 / 9, 2, 0)
    assert metrics.progress == ralph_otel.ProgressMetrics(1, 0.5, 1, 0.0, 3)
    assert metrics.session == ralph_otel.SessionMetrics(1, 1, 0.0, 2, 77.0)
    assert 0 <= metrics.total_execution_time < 60


def test_the_prometheus_export_is_valid(make_collector: Make) -> None:
    collector = make_collector()
    use_every_operation(collector)
    families = {family.name: family for family in text_string_to_metric_families(collector.export("prometheus"))}
    assert families["ralph_loop_iterations"].type == "counter"
    assert families["ralph_loop_iteration_duration_seconds"].type == "histogram"
    assert families["ralph_loop_context_usage_percent"].type == "gauge"
    assert all(family.documentation for family in families.values())


def test_the_json_export_is_the_aggregate(make_collector: Make) -> None:
    collector = make_collector()
    use_every_operation(collector)
    exported = LoopMetrics.from_dict(json.loads(collector.export("json")))
    again = collector.get_metrics()
    assert exported.tests == again.tests
    assert (exported.total_iterations, exported.session) == (2, again.session)


@pytest.mark.parametrize(
    ("format_", "part"),
    [
        (
            "prometheus",
            'ralph_loop_iterations_total{ralph_loop_name="l",ralph_outcome="success",ralph_runner="unknown"} 1.0',
        ),
        ("json", '"total_iterations": 1'),
        ("statsd", "ralph_loop.iterations:1|c|#"),
        ("console", "iterations"),
        ("otlp", '"asInt": "1"'),
    ],
)
def test_every_format_shows_what_was_emitted_before(format_: str, part: str, make_collector: Make) -> None:
    collector = make_collector()
    with collector.loop("l") as loop, loop.iteration():
        pass
    assert part in collector.export(format_)
    assert part in collector.export(ralph_otel.MetricsExportFormat(format_))


def test_without_a_format_the_configured_one_is_exported_and_none_is_empty(
    make_collector: Make, heard: list[str]
) -> None:
    assert make_collector(export_format="none").export() == ""
    assert json.loads(make_collector(export_format="json", export_target="/dev/null").export())["total_iterations"] == 0
    with pytest.raises(ValueError, match="yaml"):
        make_collector().export("yaml")
    assert heard == []


def test_a_broadcast_reaches_every_subscriber(make_collector: Make) -> None:
    collector = make_collector()
    readers = [collector.subscribe() for _ in range(3)]
    collector.record_iteration(1, True)
    collector.broadcast()
    for reader in readers:
        found = reader.get(60)
        assert found is not None
        assert found.total_iterations == 1


def test_subscribers_hear_in_every_interval_and_of_the_end(make_collector: Make) -> None:
    collector = make_collector(collection_interval=0.05)
    reader = collector.subscribe()
    collector.record_iteration(1, True)
    until(lambda: (found := reader.get(5)) is not None and found.total_iterations == 1)
    collector.shutdown(60)
    list(reader)
    assert reader.get() is None


def test_subscribers_in_asyncio_hear_too(make_collector: Make) -> None:
    collector = make_collector(collection_interval=0.05)

    async def first_with_an_iteration() -> int:
        async for metrics in collector.subscribe():
            if metrics.total_iterations:
                return metrics.total_iterations
        return 0

    collector.record_iteration(1, True)
    assert asyncio.run(asyncio.wait_for(first_with_an_iteration(), 60)) == 1


def test_a_reset_clears_everything(make_collector: Make) -> None:
    collector = make_collector()
    use_every_operation(collector)
    collector.increment("tickets")
    collector.reset()
    metrics = collector.get_metrics()
    assert (metrics.total_iterations, metrics.total_reboots, metrics.tests) == (0, 0, ralph_otel.TestMetrics())
    assert metrics.progress == ralph_otel.ProgressMetrics()
    assert metrics.rollups["all"] == ralph_otel.Rollup()
    names = {metric.name for metric in collector.collect() if not isinstance(metric, Summary)}
    assert "ralph_loop_tickets_total" not in names
    assert "ralph_loop_iterations_total" not in names
    collector.record_iteration(3, True)
    assert collector.get_metrics().avg_iteration_duration == 3.0


def test_collect_gives_series_of_every_kind(make_collector: Make) -> None:
    collector = make_collector()
    use_every_operation(collector)
    found = collector.collect()
    assert {type(metric) for metric in found} == {Counter, Gauge, Histogram, Summary}
    assert all(isinstance(metric, Metric) for metric in found)
    summaries = {metric.labels["window"]: metric for metric in found if isinstance(metric, Summary)}
    assert list(summaries) == ["5m", "1h", "24h", "all"]
    assert (summaries["all"].count, summaries["all"].sum) == (2, 30.0)
    assert [each.quantile for each in summaries["all"].quantiles] == [0.5, 0.9, 0.99]
    assert summaries["all"].quantiles[0].value == pytest.approx(10, rel=0.02)
    counter = next(metric for metric in found if metric.name == "ralph_loop_reboots_total")
    assert counter.with_label("a", "b").labels["a"] == "b"
    assert counter.to_dict()["type"] == "counter"


# -- loops and where operations belong --------------------------------------------------------------------------------


def test_a_loop_has_a_journal_of_its_own_from_which_the_same_numbers_come(make_collector: Make, home: Path) -> None:
    collector = make_collector()
    for name in ("first", "second"):
        with collector.loop(name, runner="r", max_iterations=3) as loop, loop.iteration() as it:
            it.tests(1, 0)
    assert collector.get_metrics().total_iterations == 2
    first, second = journals(home)
    assert [first.stem, second.stem] == [collector.instance_id, f"{collector.instance_id}-2"]
    assert [line["type"] for line in lines_of(second)] == [
        "loop.started", "iteration.started", "tests.finished", "iteration.finished", "loop.stopped"
    ]  # fmt: skip
    assert lines_of(first)[0]["runner"] == "r"
    assert collector.get_metrics(second.stem).total_iterations == 1


def test_an_operation_belongs_to_the_running_part_or_the_latest_loop(make_collector: Make, home: Path) -> None:
    collector = make_collector()
    with collector.loop("outer") as outer, outer.iteration() as it:
        collector.record_tests(1, 0)
        collector.emit(events.ToolCalled("Bash", "success"))
        inner = collector.loop("inner").start()
        collector.record_tests(2, 0)  # the running block comes first
    collector.record_tests(3, 0)
    inner.finish()
    by_run = {path.stem: lines_of(path) for path in journals(home)}
    tests = {line["passed"]: line for lines in by_run.values() for line in lines if line["type"] == "tests.finished"}
    assert [tests[number]["loop"] for number in (1, 2, 3)] == [outer.run_id, outer.run_id, inner.run_id]
    assert it.span_id in (tests[1]["span_id"], tests[1].get("parent_span_id"))
    assert len(by_run) == 2


def test_without_a_loop_one_is_made_with_the_folders_name(
    make_collector: Make, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-project").mkdir()
    monkeypatch.chdir(tmp_path / "my-project")
    collector = make_collector()
    use_every_operation(collector)
    [journal] = journals(home)
    assert lines_of(journal)[0]["name"] == "my-project"


def test_threads_that_meet_no_loop_make_only_one(make_collector: Make, home: Path) -> None:
    collector, barrier = make_collector(), threading.Barrier(20)

    def count(_: int) -> None:
        barrier.wait(60)
        for _ in range(10):
            collector.increment("jobs")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(20)))
    assert value(collector, "ralph_loop_jobs_total") == 200
    assert value(collector, "ralph_loop_active_runs") == 1
    assert len(journals(home)) == 1


def test_record_iteration_numbers_go_on_with_the_loops(make_collector: Make, home: Path) -> None:
    collector = make_collector()
    with collector.loop("l") as loop:
        with loop.iteration():
            pass
        collector.record_iteration(1, True)
        with loop.iteration():
            pass
    [journal] = journals(home)
    numbers = [line["iteration"] for line in lines_of(journal) if line["type"] == "iteration.finished"]
    assert numbers == [1, 2, 3]


def test_every_reading_sees_everything_emitted_before_it(make_collector: Make) -> None:
    collector = make_collector()

    def work(_: int) -> None:
        for _ in range(200):
            collector.record_iteration(1, True)

    with collector.loop("l"):
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(20)))
        assert collector.get_metrics().total_iterations == 4000
        assert "ralph_loop_iterations_total" in collector.export("prometheus")
        assert value(collector, "ralph_loop_iterations_total") == 4000


def test_one_loop_of_several_can_be_asked_for(make_collector: Make) -> None:
    collector = make_collector()
    loops = [collector.loop(name).start() for name in "ab"]
    with loops[1].iteration():
        pass
    assert collector.get_metrics(loops[0].run_id).total_iterations == 0
    assert collector.get_metrics(loops[1].run_id).total_iterations == 1
    assert collector.get_metrics().total_iterations == 1


def test_an_asked_for_run_that_is_unknown_has_no_numbers(make_collector: Make) -> None:
    collector = make_collector()
    collector.record_iteration(1, True)
    assert collector.get_metrics("no-such-run").total_iterations == 0


def test_a_run_that_goes_on_has_the_numbers_of_all_its_parts(make_collector: Make, home: Path) -> None:
    for number, collector in enumerate(
        (first := make_collector(), first, make_collector()), 1
    ):  # the last as in another process
        with collector.loop("l", run_id="nightly") as loop, loop.iteration(number):
            pass
        assert collector.get_metrics().total_iterations == number
        assert value(collector, "ralph_loop_iterations_total") == number
        assert value(collector, "ralph_loop_active_runs") == 0
    [journal] = journals(home)
    assert [line["type"] for line in lines_of(journal)].count("loop.started") == 3


def test_without_a_journal_everything_is_counted_and_nothing_is_written(make_collector: Make, home: Path) -> None:
    collector = make_collector(journal=False)
    use_every_operation(collector)
    assert collector.get_metrics().total_iterations == 2
    assert not home.exists()


@pytest.mark.parametrize("run_id", ["../escaped", "a/b", "/tmp/x", "a\x00b", "x" * 400, "\ud800", ".", 7])
def test_a_run_id_that_is_no_file_name_does_no_harm(
    run_id: Any, make_collector: Make, home: Path, heard: list[str]
) -> None:
    collector = make_collector()
    with collector.loop("l", run_id=run_id) as loop, loop.iteration():
        pass
    assert collector.get_metrics().total_iterations == 1
    assert all(path.parent == home / "runs" for path in home.parent.rglob("*.jsonl"))
    assert len(heard) == 1


def test_a_home_that_cannot_be_written_leaves_numbers_and_one_line(
    make_collector: Make, tmp_path: Path, heard: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    collector = make_collector(home=tmp_path / "file")
    use_every_operation(collector)
    assert collector.get_metrics().total_iterations == 2
    [line] = heard
    assert line.startswith(f"ralph-otel: no journal in {tmp_path / 'file' / 'runs'}: ")
    assert line.endswith("; set RALPH_OTEL_HOME to a folder that can be written")


def test_a_working_directory_that_is_gone_is_no_matter(
    make_collector: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")  # noqa: PTH106 — the working directory itself
    collector = make_collector()
    collector.increment("jobs")
    assert value(collector, "ralph_loop_jobs_total") == 1
