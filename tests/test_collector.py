"""`MetricsCollector` in one process: the seed's operations, reading, exporting, subscribing, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ralph_otel
from ralph_otel import MetricsCollector, MetricsConfig, events
from ralph_otel import collector as collector_module
from ralph_otel.model import Counter, Gauge, Histogram, HistogramBucket, LoopMetrics, Metric, Summary
from ralph_otel.probe import Loop
from support.ports import taken
from support.tape import lines_of
from support.waiting import until

Make = Callable[..., MetricsCollector]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a collector, without exporters unless told otherwise; all end with the test."""
    made: list[MetricsCollector] = []

    def make_one(**fields: Any) -> MetricsCollector:
        defaults = {"export_format": "none", "resources": False, "collection_interval": 60}
        made.append(MetricsCollector(MetricsConfig(**{**defaults, **fields})))
        return made[-1]

    yield make_one
    for collector in made:
        collector.shutdown(5)


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob("*.jsonl"), key=lambda path: path.stem)


def value(collector: MetricsCollector, name: str, **labels: str) -> float:
    """The value of the one counter or gauge with these labels among its own."""
    found = [
        metric
        for metric in collector.collect()
        if metric.name == name and labels.items() <= dict(metric.labels).items()
    ]
    [metric] = found
    assert isinstance(metric, Counter | Gauge)
    return metric.value


# -- the seed's requirements ------------------------------------------------------------------------------------------


def test_counters_increment(make: Make) -> None:
    collector = make()
    collector.increment("tickets")
    collector.increment("tickets", 4)
    collector.increment("tickets", 2, {"team": "a"})
    assert value(collector, "ralph_loop_tickets_total", team="a") == 2
    plain = [metric for metric in collector.collect() if metric.name == "ralph_loop_tickets_total"]
    assert sorted(metric.value for metric in plain if isinstance(metric, Counter)) == [2, 5]


def test_gauges_are_set(make: Make) -> None:
    collector = make()
    for number in (5, -2.5):
        collector.set_gauge("depth", number)
    assert value(collector, "ralph_loop_depth") == -2.5


def test_histogram_buckets_fill(make: Make) -> None:
    collector = make(duration_buckets=[1, 10])
    for seconds in (0.5, 1, 5, 50):
        collector.observe("wait", seconds)
    [histogram] = [metric for metric in collector.collect() if metric.name == "ralph_loop_wait"]
    assert isinstance(histogram, Histogram)
    assert (histogram.count, histogram.sum) == (4, 56.5)
    assert histogram.buckets == (HistogramBucket(1, 2), HistogramBucket(10, 3), HistogramBucket(float("inf"), 4))


def use_every_operation(collector: MetricsCollector) -> None:
    collector.record_session_created()
    collector.record_iteration(10, True)
    collector.record_progress(True, 0.6)
    twenty_seconds: Any = timedelta(seconds=20)  # the seed's durations are no plain numbers
    collector.record_iteration(twenty_seconds, False)
    collector.record_progress(False, 0.05)
    collector.record_reboot(88)
    collector.record_reboot(66, "degradation")
    collector.record_tests(7, 2, 10)
    collector.record_tests(8, 1)
    collector.increment("files_changed", 3)
    collector.set_gauge("context_usage", 42)


def test_the_aggregate_is_right(make: Make) -> None:
    collector = make()
    use_every_operation(collector)
    metrics = collector.get_metrics()
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.failed_iterations) == (2, 1, 1)
    assert (metrics.avg_iteration_duration, metrics.total_reboots, metrics.context_usage_percent) == (15.0, 2, 42)
    assert metrics.tests == ralph_otel.TestMetrics(9, 8, 1, 8 / 9, 2, 0)
    assert metrics.progress == ralph_otel.ProgressMetrics(1, 0.5, 1, 0.0, 3)
    assert metrics.session == ralph_otel.SessionMetrics(1, 1, 0.0, 2, 77.0)
    assert 0 <= metrics.total_execution_time < 60


def test_the_prometheus_export_is_valid(make: Make) -> None:
    collector = make()
    use_every_operation(collector)
    families = {family.name: family for family in text_string_to_metric_families(collector.export("prometheus"))}
    assert families["ralph_loop_iterations"].type == "counter"
    assert families["ralph_loop_iteration_duration_seconds"].type == "histogram"
    assert families["ralph_loop_context_usage_percent"].type == "gauge"
    assert all(family.documentation for family in families.values())


def test_the_json_export_is_the_aggregate(make: Make) -> None:
    collector = make()
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
def test_every_format_shows_what_was_emitted_before(format_: str, part: str, make: Make) -> None:
    collector = make()
    with collector.loop("l") as loop, loop.iteration():
        pass
    assert part in collector.export(format_)
    assert part in collector.export(ralph_otel.MetricsExportFormat(format_))


def test_without_a_format_the_configured_one_is_exported_and_none_is_empty(make: Make, heard: list[str]) -> None:
    assert make(export_format="none").export() == ""
    assert json.loads(make(export_format="json", export_target="/dev/null").export())["total_iterations"] == 0
    with pytest.raises(ValueError, match="yaml"):
        make().export("yaml")
    assert heard == []


def test_a_broadcast_reaches_every_subscriber(make: Make) -> None:
    collector = make()
    readers = [collector.subscribe() for _ in range(3)]
    collector.record_iteration(1, True)
    collector.broadcast()
    for reader in readers:
        found = reader.get(10)
        assert found is not None
        assert found.total_iterations == 1


def test_subscribers_hear_in_every_interval_and_of_the_end(make: Make) -> None:
    collector = make(collection_interval=0.05)
    reader = collector.subscribe()
    collector.record_iteration(1, True)
    until(lambda: (found := reader.get(5)) is not None and found.total_iterations == 1)
    collector.shutdown()
    list(reader)
    assert reader.get() is None


def test_subscribers_in_asyncio_hear_too(make: Make) -> None:
    collector = make(collection_interval=0.05)

    async def first_with_an_iteration() -> int:
        async for metrics in collector.subscribe():
            if metrics.total_iterations:
                return metrics.total_iterations
        return 0

    collector.record_iteration(1, True)
    assert asyncio.run(asyncio.wait_for(first_with_an_iteration(), 20)) == 1


def test_a_reset_clears_everything(make: Make) -> None:
    collector = make()
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


def test_collect_gives_series_of_every_kind(make: Make) -> None:
    collector = make()
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


def test_a_loop_has_a_journal_of_its_own_from_which_the_same_numbers_come(make: Make, home: Path) -> None:
    collector = make()
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


def test_an_operation_belongs_to_the_running_part_or_the_latest_loop(make: Make, home: Path) -> None:
    collector = make()
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
    make: Make, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my-project").mkdir()
    monkeypatch.chdir(tmp_path / "my-project")
    collector = make()
    use_every_operation(collector)
    [journal] = journals(home)
    assert lines_of(journal)[0]["name"] == "my-project"


def test_threads_that_meet_no_loop_make_only_one(make: Make, home: Path) -> None:
    collector, barrier = make(), threading.Barrier(20)

    def count(_: int) -> None:
        barrier.wait(20)
        for _ in range(10):
            collector.increment("jobs")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(20)))
    assert value(collector, "ralph_loop_jobs_total") == 200
    assert value(collector, "ralph_loop_active_runs") == 1
    assert len(journals(home)) == 1


def test_record_iteration_numbers_go_on_with_the_loops(make: Make, home: Path) -> None:
    collector = make()
    with collector.loop("l") as loop:
        with loop.iteration():
            pass
        collector.record_iteration(1, True)
        with loop.iteration():
            pass
    [journal] = journals(home)
    numbers = [line["iteration"] for line in lines_of(journal) if line["type"] == "iteration.finished"]
    assert numbers == [1, 2, 3]


def test_every_reading_sees_everything_emitted_before_it(make: Make) -> None:
    collector = make()

    def work(_: int) -> None:
        for _ in range(200):
            collector.record_iteration(1, True)

    with collector.loop("l"):
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(20)))
        assert collector.get_metrics().total_iterations == 4000
        assert "ralph_loop_iterations_total" in collector.export("prometheus")
        assert value(collector, "ralph_loop_iterations_total") == 4000


def test_one_loop_of_several_can_be_asked_for(make: Make) -> None:
    collector = make()
    loops = [collector.loop(name).start() for name in "ab"]
    with loops[1].iteration():
        pass
    assert collector.get_metrics(loops[0].run_id).total_iterations == 0
    assert collector.get_metrics(loops[1].run_id).total_iterations == 1
    assert collector.get_metrics().total_iterations == 1


def test_an_asked_for_run_that_is_unknown_has_no_numbers(make: Make) -> None:
    collector = make()
    collector.record_iteration(1, True)
    assert collector.get_metrics("no-such-run").total_iterations == 0


def test_without_a_journal_everything_is_counted_and_nothing_is_written(make: Make, home: Path) -> None:
    collector = make(journal=False)
    use_every_operation(collector)
    assert collector.get_metrics().total_iterations == 2
    assert not home.exists()


@pytest.mark.parametrize("run_id", ["../escaped", "a/b", "/tmp/x", "a\x00b", "x" * 400, "\ud800", ".", 7])
def test_a_run_id_that_is_no_file_name_does_no_harm(run_id: Any, make: Make, home: Path, heard: list[str]) -> None:
    collector = make()
    with collector.loop("l", run_id=run_id) as loop, loop.iteration():
        pass
    assert collector.get_metrics().total_iterations == 1
    assert all(path.parent == home / "runs" for path in home.parent.rglob("*.jsonl"))
    assert len(heard) == 1


def test_a_home_that_cannot_be_written_leaves_numbers_and_one_line(
    make: Make, tmp_path: Path, heard: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    collector = make(home=tmp_path / "file")
    use_every_operation(collector)
    assert collector.get_metrics().total_iterations == 2
    [line] = heard
    assert line.startswith(f"ralph-otel: no journal in {tmp_path / 'file' / 'runs'}: ")
    assert line.endswith("; set RALPH_OTEL_HOME to a folder that can be written")


def test_a_working_directory_that_is_gone_is_no_matter(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")  # noqa: PTH106 — the working directory itself
    collector = make()
    collector.increment("jobs")
    assert value(collector, "ralph_loop_jobs_total") == 1


# -- bad input --------------------------------------------------------------------------------------------------------


class Hostile:
    """Raises whatever one does with it."""

    def __float__(self) -> float:
        raise RuntimeError("hostile")

    def __str__(self) -> str:
        return "hostile"


@pytest.mark.parametrize(
    "odd",
    [None, "text", -1, float("nan"), float("inf"), 10**400, [1], {"a": 1}, b"x", Hostile(), "\ud800"],
    ids=lambda odd: type(odd).__name__,
)
def test_wrong_values_raise_nothing_and_the_rest_goes_on(odd: Any, make: Make, heard: list[str]) -> None:
    collector = make()
    collector.increment(odd, odd, odd)
    collector.observe("labels too", 1, odd)
    collector.set_gauge(odd, odd)
    collector.observe(odd, odd)
    collector.increment("labels", 1, {"odd": odd, odd if isinstance(odd, str) else "b": 1})
    collector.record_iteration(odd, odd)
    collector.record_reboot(odd, odd)
    collector.record_tests(odd, odd, odd)
    collector.record_progress(odd, odd)
    collector.record_iteration(1, True)
    assert collector.get_metrics().total_iterations in (1, 2)
    assert list(text_string_to_metric_families(collector.export("prometheus")))
    assert json.loads(collector.export("json"))
    assert all(len(line) < 400 and "\n" not in line for line in heard)


@pytest.mark.parametrize("config", ["prometheus", 7, [], object()])
def test_a_configuration_that_is_none_is_said_and_the_usual_one_taken(
    config: Any, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    collector = ralph_otel.register(config)
    collector.record_iteration(1, True)
    assert collector.get_metrics().total_iterations == 1
    [line] = heard
    assert line.endswith("will not do; it must be a MetricsConfig or a mapping of its fields")


# -- registering ------------------------------------------------------------------------------------------------------


def test_registering_again_gives_the_same_collector_until_that_has_ended() -> None:
    first = ralph_otel.register(export_format="none")
    assert ralph_otel.register(export_format="json", prefix="other") is first
    assert ralph_otel.plugin() is first
    first.shutdown()
    second = ralph_otel.register(export_format="none")
    assert second is not first
    assert second.enabled


def test_twenty_threads_register_one_collector() -> None:
    barrier = threading.Barrier(20)

    def register(_: int) -> MetricsCollector:
        barrier.wait(20)
        return ralph_otel.register(export_format="none")

    with ThreadPoolExecutor(20) as pool:
        assert len({id(collector) for collector in pool.map(register, range(20))}) == 1


def test_an_unknown_field_is_said_and_the_known_ones_are_taken(heard: list[str]) -> None:
    collector = ralph_otel.register(prefx="a", sources="b", prefix="mine", export_format="none")
    assert collector.config.prefix == "mine"
    assert len(heard) == 2
    assert all("unknown field" in line and "known ones: enabled, prefix," in line for line in heard)


@pytest.mark.parametrize("config", [None, {"prefix": "mine", 7: 8}, MetricsConfig()])
def test_the_plugin_takes_a_configuration_a_mapping_or_nothing(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    collector = ralph_otel.plugin(config)
    assert isinstance(collector, MetricsCollector)
    assert collector.config.prefix == ("mine" if isinstance(config, dict) else "ralph_loop")


def test_the_plugin_is_what_the_entry_point_names() -> None:
    from importlib.metadata import entry_points

    [found] = [point for point in entry_points(group="ralph_loop.plugins") if point.name == "ralph_otel"]
    assert found.load() is collector_module.plugin


def test_a_loops_handle_is_the_probes(make: Make) -> None:
    assert isinstance(make().loop("l"), Loop)


# -- not enabled ------------------------------------------------------------------------------------------------------


def test_what_is_not_enabled_does_nothing_at_all(make: Make, home: Path, heard: list[str]) -> None:
    threads = threading.active_count()
    collector = make(enabled=False, export_format="prometheus,json,console")
    use_every_operation(collector)
    with collector.loop("l") as loop, loop.session(), loop.iteration() as it, it.agent("claude") as agent:
        assert "TRACEPARENT" in agent.environment()
        it.tests(1, 0)
    assert collector.get_metrics() == LoopMetrics()
    assert (collector.collect(), collector.export("prometheus")) == ([], "")
    assert json.loads(collector.export("json"))["total_iterations"] == 0
    collector.reset()
    collector.broadcast()
    assert (collector.flush(), collector.wait_ready(), collector.shutdown()) == (True, True, True)
    assert threading.active_count() == threads
    assert not home.exists()
    assert collector.prometheus_address is None
    assert heard == []


# -- the Prometheus endpoint ------------------------------------------------------------------------------------------


def scrape(collector: MetricsCollector) -> str:
    assert collector.wait_ready(30)
    assert collector.prometheus_address is not None
    host, port = collector.prometheus_address
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_the_endpoint_shows_what_was_recorded_before_and_after_a_reset(make: Make, home: Path) -> None:
    collector = make(export_format="prometheus", export_target="127.0.0.1:0")
    collector.record_iteration(1, True)
    collector.flush_events()
    assert "ralph_loop_iterations_total{" in scrape(collector)
    assert f'service_instance_id="{collector.instance_id}"' in scrape(collector)
    assert "ralph_otel_events_total 2.0" in scrape(collector)  # loop.started and iteration.finished
    collector.reset()
    assert "ralph_loop_iterations_total{" not in scrape(collector)
    [target] = (home / "targets").glob("*.json")
    assert collector.prometheus_address is not None
    assert json.loads(target.read_text())[0]["targets"] == [f"127.0.0.1:{collector.prometheus_address[1]}"]
    collector.shutdown()
    assert list((home / "targets").glob("*.json")) == []
    with pytest.raises(OSError, match="refused"):
        scrape(collector)


def test_a_port_in_use_leaves_the_next_one(make: Make) -> None:
    with taken(9464, 9465, 9466):
        collector = make(export_format="prometheus")
        assert collector.wait_ready(30)
        address = collector.prometheus_address
    assert address is None or address[0] == "127.0.0.1"
    assert address is None or 9467 <= address[1] <= 9474


def test_when_all_ports_are_in_use_one_line_says_so_and_everything_else_works(make: Make, heard: list[str]) -> None:
    with taken(*range(9464, 9475)):
        collector = make(export_format="prometheus")
        collector.record_iteration(1, True)
        assert collector.wait_ready(30)
        assert collector.get_metrics().total_iterations == 1
    assert collector.prometheus_address is None
    assert heard == [
        "ralph-otel: prometheus endpoint: ports 9464 to 9474 are all in use on 127.0.0.1; "
        "set RALPH_OTEL_EXPORT_TARGET=prometheus=HOST:PORT"
    ]


def test_a_file_for_node_exporter_is_written_instead(make: Make, tmp_path: Path) -> None:
    target = tmp_path / "ralph.prom"
    collector = make(export_format="prometheus", export_target=str(target), collection_interval=0.05)
    collector.record_iteration(1, True)
    until(lambda: target.exists() and "ralph_loop_iterations_total{" in target.read_text())
    assert collector.prometheus_address is None
    assert list(text_string_to_metric_families(target.read_text()))


def test_json_is_written_to_its_file_whole_every_time(make: Make, tmp_path: Path) -> None:
    target = tmp_path / "ralph.json"
    collector = make(export_format="json", export_target=str(target), collection_interval=0.05)
    collector.record_iteration(1, True)
    until(lambda: target.exists() and json.loads(target.read_text())["total_iterations"] == 1)
    assert target.stat().st_mode & 0o777 == 0o600
    collector.shutdown()
    assert [path.name for path in tmp_path.glob("ralph.json*")] == ["ralph.json"]


@pytest.mark.parametrize("target", ["127.0.0.1:99999", "127.0.0.1:abc", "http://127.0.0.1:9500", "localhost"])
def test_a_prometheus_target_that_is_no_address_and_no_file_is_said(
    target: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    collector = make(export_format="prometheus", export_target=target, collection_interval=0.05)
    ticks = collector.subscribe()
    collector.record_iteration(1, True)
    assert ticks.get(20) is not None
    assert ticks.get(20) is not None
    assert [path.name for path in tmp_path.iterdir()] == ["ralph-otel"]
    assert len(heard) == 1


# -- the resource -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", {"service.name": "ralph-loop"}),
        ("service.namespace=team,deployment.environment=ci",
         {"service.name": "ralph-loop", "service.namespace": "team", "deployment.environment": "ci"}),
        ("service.name=mine", {"service.name": "mine"}),
        ("service.instance.id=other", {"service.name": "ralph-loop"}),
    ],
)  # fmt: skip
def test_the_resource_says_which_service_and_which_run(
    variable: str, expected: dict[str, str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", variable)
    collector = make()
    assert collector.wait_ready(30)
    assert collector._recorder is not None
    assert collector._recorder.pipeline is not None
    attributes = dict(collector._recorder.pipeline.resource.attributes)
    assert {name: attributes.get(name) for name in expected} == expected
    assert attributes["service.instance.id"] == collector.instance_id
    assert attributes["telemetry.distro.name"] == "ralph-otel"


# -- its end ----------------------------------------------------------------------------------------------------------


def test_the_end_stops_what_is_open_and_nothing_after_it_raises(make: Make, home: Path) -> None:
    collector = make()
    loop = collector.loop("l").start()
    iteration = loop.iteration().start()
    assert collector.shutdown()
    assert collector.shutdown()
    iteration.progress(0.5)
    use_every_operation(collector)
    with collector.loop("later") as later, later.iteration():
        pass
    collector.broadcast()
    collector.reset()
    assert collector.flush()
    assert collector.get_metrics().total_iterations == 1
    assert collector.collect()
    [journal] = journals(home)
    types = [line["type"] for line in lines_of(journal)]
    assert types[-4:] == ["stop_condition.triggered", "iteration.finished", "loop.stopped", "progress.measured"]
    assert list(collector.subscribe()) == []


def test_an_end_before_everything_is_set_up_leaves_nothing_behind(make: Make, home: Path) -> None:
    for _ in range(5):
        collector = make(export_format="prometheus", export_target="127.0.0.1:0", resources=True)
        reader = collector.subscribe()
        collector.start()
        assert collector.shutdown()
        assert list(reader) == []
    until(lambda: not {"ralph-otel", "ralph-otel-prometheus", "ralph-otel-resources"} & thread_names())
    assert not list((home / "targets").glob("*"))


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("export_format", ["prometheus", "console"])
def test_every_thread_and_file_is_given_back(export_format: str, make: Make) -> None:
    def resources() -> tuple[set[str], int]:
        names = {name for name in thread_names() if name.startswith("ralph-otel")}
        return names - {"ralph-otel-exit"}, len(list(Path("/proc/self/fd").iterdir()))

    make().shutdown()  # what the first one loads stays
    before = resources()
    collector = make(export_format=export_format, export_target="prometheus=127.0.0.1:0,console=/dev/null")
    with collector.loop("l") as loop, loop.iteration():
        pass
    assert collector.wait_ready(30)
    collector.shutdown()
    until(lambda: resources()[0] == before[0])
    assert resources()[1] <= before[1]


def test_the_hosts_logging_is_left_as_it_is(make: Make) -> None:
    root = list(logging.getLogger().handlers)
    collector = make()
    use_every_operation(collector)
    collector.shutdown()
    assert list(logging.getLogger().handlers) == root
    assert logging.getLogger("ralph_otel").handlers == []
    assert logging.getLogger("ralph_otel").level == logging.NOTSET
