"""`MetricsCollector` from its configuration to its end, and what it makes of nonsense."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ralph_otel
from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.model import LoopMetrics
from ralph_otel.probe import Loop
from support.collecting import Make, journals, use_every_operation
from support.ports import taken
from support.tape import lines_of
from support.waiting import until

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
def test_wrong_values_raise_nothing_and_the_rest_goes_on(odd: Any, make_collector: Make, heard: list[str]) -> None:
    collector = make_collector()
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
    assert found.load() is ralph_otel.plugin


def test_a_loops_handle_is_the_probes(make_collector: Make) -> None:
    assert isinstance(make_collector().loop("l"), Loop)


# -- not enabled ------------------------------------------------------------------------------------------------------


def test_what_is_not_enabled_does_nothing_at_all(make_collector: Make, home: Path, heard: list[str]) -> None:
    threads = threading.active_count()
    collector = make_collector(enabled=False, export_format="prometheus,json,console")
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


def test_the_endpoint_shows_what_was_recorded_before_and_after_a_reset(make_collector: Make, home: Path) -> None:
    collector = make_collector(export_format="prometheus", export_target="127.0.0.1:0")
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


def test_a_port_in_use_leaves_the_next_one(make_collector: Make) -> None:
    with taken(9464, 9465, 9466):
        collector = make_collector(export_format="prometheus")
        assert collector.wait_ready(30)
        address = collector.prometheus_address
    assert address is None or address[0] == "127.0.0.1"
    assert address is None or 9467 <= address[1] <= 9474


def test_when_all_ports_are_in_use_one_line_says_so_and_everything_else_works(
    make_collector: Make, heard: list[str]
) -> None:
    with taken(*range(9464, 9475)):
        collector = make_collector(export_format="prometheus")
        collector.record_iteration(1, True)
        assert collector.wait_ready(30)
        assert collector.get_metrics().total_iterations == 1
    assert collector.prometheus_address is None
    assert heard == [
        "ralph-otel: prometheus endpoint: ports 9464 to 9474 are all in use on 127.0.0.1; "
        "set RALPH_OTEL_EXPORT_TARGET=prometheus=HOST:PORT"
    ]


def test_a_file_for_node_exporter_is_written_instead(make_collector: Make, tmp_path: Path) -> None:
    target = tmp_path / "ralph.prom"
    collector = make_collector(export_format="prometheus", export_target=str(target), collection_interval=0.05)
    collector.record_iteration(1, True)
    until(lambda: target.exists() and "ralph_loop_iterations_total{" in target.read_text())
    assert collector.prometheus_address is None
    assert list(text_string_to_metric_families(target.read_text()))


def test_json_is_written_to_its_file_whole_every_time(make_collector: Make, tmp_path: Path) -> None:
    target = tmp_path / "ralph.json"
    collector = make_collector(export_format="json", export_target=str(target), collection_interval=0.05)
    collector.record_iteration(1, True)
    until(lambda: target.exists() and json.loads(target.read_text())["total_iterations"] == 1)
    assert target.stat().st_mode & 0o777 == 0o600
    collector.shutdown()
    assert [path.name for path in tmp_path.glob("ralph.json*")] == ["ralph.json"]


@pytest.mark.parametrize("target", ["127.0.0.1:99999", "127.0.0.1:abc", "http://127.0.0.1:9500", "localhost"])
def test_a_prometheus_target_that_is_no_address_and_no_file_is_said(
    target: str, make_collector: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    collector = make_collector(export_format="prometheus", export_target=target, collection_interval=0.05)
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
    variable: str, expected: dict[str, str], make_collector: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", variable)
    collector = make_collector()
    assert collector.wait_ready(30)
    assert collector._recorder is not None
    assert collector._recorder.pipeline is not None
    attributes = dict(collector._recorder.pipeline.resource.attributes)
    assert {name: attributes.get(name) for name in expected} == expected
    assert attributes["service.instance.id"] == collector.instance_id
    assert attributes["telemetry.distro.name"] == "ralph-otel"


# -- its end ----------------------------------------------------------------------------------------------------------


def test_the_end_stops_what_is_open_and_nothing_after_it_raises(make_collector: Make, home: Path) -> None:
    collector = make_collector()
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


def test_an_end_before_everything_is_set_up_leaves_nothing_behind(make_collector: Make, home: Path) -> None:
    for _ in range(5):
        collector = make_collector(export_format="prometheus", export_target="127.0.0.1:0", resources=True)
        reader = collector.subscribe()
        collector.start()
        assert collector.shutdown()
        assert len(list(reader)) <= 1  # one, where the set-up came first
    until(lambda: not {"ralph-otel", "ralph-otel-prometheus", "ralph-otel-resources"} & thread_names())
    assert not list((home / "targets").glob("*"))


def test_what_the_process_uses_is_shown_under_its_loops_name_also_after_the_end(make_collector: Make) -> None:
    collector = make_collector(resources=True, collection_interval=0.05, export_format="console")

    def loops() -> list[str]:
        families = text_string_to_metric_families(collector.export("prometheus"))
        samples = [sample for family in families for sample in family.samples]
        return [
            sample.labels.get("ralph_loop_name", "")
            for sample in samples
            if sample.name == "process_memory_usage_bytes" and sample.labels["ralph_process_role"] == "runner"
        ]

    collector.start()
    assert loops() == []
    with collector.loop("fix"):
        until(lambda: loops() == ["fix"], what="for a sample")
    assert loops() == ["fix"]


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("export_format", ["prometheus", "console"])
def test_every_thread_and_file_is_given_back(export_format: str, make_collector: Make) -> None:
    def resources() -> tuple[set[str], int]:
        names = {name for name in thread_names() if name.startswith("ralph-otel")}
        return names - {"ralph-otel-exit"}, len(list(Path("/proc/self/fd").iterdir()))

    first = make_collector()
    assert first.wait_ready(30)  # else its thread might go on for a moment
    first.shutdown()  # what it has loaded stays
    before = resources()
    collector = make_collector(export_format=export_format, export_target="prometheus=127.0.0.1:0,console=/dev/null")
    with collector.loop("l") as loop, loop.iteration():
        pass
    assert collector.wait_ready(30)
    collector.shutdown()
    until(lambda: resources()[0] == before[0])
    assert resources()[1] <= before[1]


def test_the_hosts_logging_is_left_as_it_is(make_collector: Make) -> None:
    root = list(logging.getLogger().handlers)
    collector = make_collector()
    use_every_operation(collector)
    collector.shutdown()
    assert list(logging.getLogger().handlers) == root
    assert logging.getLogger("ralph_otel").handlers == []
    assert logging.getLogger("ralph_otel").level == logging.NOTSET
