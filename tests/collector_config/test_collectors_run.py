"""The collector's files in the real collector, with real loops that send to them and the real backends behind."""

from __future__ import annotations

import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from real_loops import Finished, begin, end, run
from real_programs import Collector, Prometheus, page, spans
from shipped_files import ALONE, COLLECTOR, OVERLAYS, names_in, said_of_variables
from stack.backends import Jaeger
from stack.processes import Process
from stack.programs import find

from support.waiting import until

pytestmark = pytest.mark.e2e

Start = Callable[[Process], None]
Make = Callable[..., Collector]


def endpoint(collector: Collector) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp}


def ids(jaeger: Jaeger, loop: Finished) -> set[str]:
    """The ids of a loop's spans that Jaeger has."""
    return {span.span_id for trace in loop.traces for span in spans(jaeger, trace)}


def stop(process: Process, how: int) -> None:
    """End it in an orderly way, or as `kill -9` does."""
    (process.kill if how == signal.SIGKILL else process.stop)()


def all_spans(jaeger: Jaeger, loop: Finished) -> Callable[[], bool]:
    """A condition: Jaeger has each span of a loop, and no other of its traces."""
    return lambda: ids(jaeger, loop) == loop.spans


# -- each file ---------------------------------------------------------------------------------------------------------


FILES = [(name,) for name in ALONE] + [(below, over) for over, below in OVERLAYS.items()]


def needed(file: str) -> set[str]:
    """The variables that a file requires; an overlay names one below that it does without."""
    required = names_in(said_of_variables((COLLECTOR / file).read_text())[0])
    return required - ({"GATEWAY_TOKEN"} if file in OVERLAYS else set())


def whole(files: tuple[str, ...], folder: Path, certificate: tuple[Path, Path]) -> dict[str, str]:
    """An environment with everything that files require."""
    return dict.fromkeys(set[str]().union(*map(needed, files)), "127.0.0.1:1") | {
        "GATEWAY_CERT_FILE": str(certificate[0]),
        "GATEWAY_KEY_FILE": str(certificate[1]),
        "STORAGE_DIR": str(folder),
        "REMOTE_WRITE_URL": "http://127.0.0.1:1/api/v1/write",
        "METRICS_OTLP_URL": "http://127.0.0.1:1/otlp",
    }


def otelcol(files: tuple[str, ...], given: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    configs = [word for file in files for word in ("--config", str(COLLECTOR / file))]
    command = [str(find("otelcol")), *words, *configs]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("files", FILES)
def test_the_collector_takes_a_file_with_what_its_comment_requires(
    files: tuple[str, ...], tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    done = otelcol(files, whole(files, tmp_path, certificate), "validate")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("files", "lacking"), [(files, name) for files in FILES for name in sorted(needed(files[-1]))])
def test_the_collector_does_not_start_without_a_variable_and_names_it(
    files: tuple[str, ...], lacking: str, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    given = whole(files, tmp_path, certificate)
    del given[lacking]
    done = otelcol(files, given)
    assert done.returncode == 1
    assert f'unset environment variable\t{{"name": "{lacking}"}}' in done.stderr


# -- the road of a fleet -----------------------------------------------------------------------------------------------


def test_a_loop_arrives_through_agent_and_gateway(
    home: Path,
    tmp_path: Path,
    start: Start,
    gateway: Make,
    agent: Make,
    jaeger: Jaeger,
    prometheus: Callable[..., Prometheus],
) -> None:
    there = gateway(KEEP_PERCENT="100")
    here = agent(there, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test")
    start(there)
    start(here)
    store = prometheus(there)
    loop = run("fix-bugs", "reboots", home, **endpoint(here))
    own = f'job="ralph-loop",instance="{loop.run}",ralph_loop_name="fix-bugs",ralph_runner="r"'
    until(lambda: store.value(f'ralph_loop_iterations_total{{{own},ralph_outcome="success"}}') == 3)
    assert store.value(f'ralph_loop_cost_USD_total{{{own},gen_ai_request_model="m"}}') == pytest.approx(0.0375)
    assert store.value(f"ralph_loop_context_at_reboot_percent_count{{{own}}}") == 1
    assert store.value(f'target_info{{instance="{loop.run}",deployment_environment_name="test"}}') == 1
    until(all_spans(jaeger, loop))
    until(lambda: len(there.events()) == loop.events)
    until(lambda: store.value('sum(traces_span_metrics_calls_total{span_name="iteration"})') == 3)
    until(lambda: store.value('up{job="otelcol"}') == 1)


def test_a_point_of_the_span_metrics_leads_to_a_trace_that_jaeger_has(
    home: Path, start: Start, gateway: Make, agent: Make, jaeger: Jaeger, prometheus: Callable[..., Prometheus]
) -> None:
    there = gateway(KEEP_PERCENT="100")
    here = agent(there)
    start(there)
    start(here)
    store = prometheus(there)
    loop = run("fix-bugs", "fine", home, **endpoint(here))
    found: list[str] = []

    def exemplars() -> list[str]:
        found[:] = store.exemplars("traces_span_metrics_duration_seconds_bucket")
        return found

    until(exemplars)
    assert set(found) == set(loop.traces)
    until(lambda: spans(jaeger, found[0]))


def test_a_loop_that_pushes_nowhere_is_scraped_by_the_agent_and_one_that_pushes_is_not(
    home: Path, start: Start, gateway: Make, agent: Make, prometheus: Callable[..., Prometheus]
) -> None:
    there = gateway()
    here = agent(there)
    start(there)
    start(here)
    store = prometheus(there)
    quiet = begin("quiet", "waits", home, RALPH_OTEL_EXPORT_FORMAT="prometheus")
    pushing = begin("pushing", "waits", home, RALPH_OTEL_EXPORT_FORMAT="prometheus,otlp", **endpoint(here))
    try:
        until(lambda: store.value('ralph_loop_iterations_total{ralph_loop_name="quiet"}') == 2, 60)
        until(lambda: store.value('ralph_loop_iterations_total{ralph_loop_name="pushing"}') == 2)
        [series] = store.series('ralph_loop_iterations_total{ralph_loop_name="quiet"}')
        assert len(store.series('up{job="ralph-loop"}')) == 1
    finally:
        loop = end(quiet, "quiet", home)
        end(pushing, "pushing", home)
    assert (series["job"], series["instance"]) == ("ralph-loop", loop.run)


LONG_TERM = {
    "remote-write": ("REMOTE_WRITE_URL", "/api/v1/write"),
    "otlp-metrics": ("METRICS_OTLP_URL", "/api/v1/otlp"),
}
"""How a gateway gives metrics to a long-term store: by which overlay, and where to."""


def long_term(road: str, store: Prometheus) -> tuple[str, dict[str, str]]:
    """An overlay, and what it asks for."""
    variable, path = LONG_TERM[road]
    return f"overlays/gateway-{road}.yaml", {variable: store.url + path}


@pytest.mark.parametrize("road", LONG_TERM)
def test_the_gateway_gives_a_long_term_store_the_series_that_prometheus_scrapes(
    road: str, home: Path, start: Start, gateway: Make, agent: Make, prometheus: Callable[..., Prometheus]
) -> None:
    store = prometheus()
    overlay, given = long_term(road, store)
    there = gateway(overlay, **given)
    here = agent(there)
    start(there)
    start(here)
    loop = run("fix-bugs", "fine", home, **endpoint(here))
    until(lambda: store.value('ralph_loop_iterations_total{ralph_loop_name="fix-bugs"}') == 3)
    [series] = store.series("ralph_loop_iterations_total")
    assert series == {
        "__name__": "ralph_loop_iterations_total",
        "job": "ralph-loop",
        "instance": loop.run,
        "ralph_loop_name": "fix-bugs",
        "ralph_runner": "r",
        "ralph_outcome": "success",
    }


# -- who may send ------------------------------------------------------------------------------------------------------


def test_a_wrong_token_is_refused(
    home: Path, start: Start, gateway: Make, agent: Make, certificate: tuple[Path, Path]
) -> None:
    there = gateway()
    here = agent(there, GATEWAY_TOKEN="a-wrong-token")
    start(there)
    start(here)
    run("fix-bugs", "fine", home, **endpoint(here))
    until(lambda: here.own("otelcol_exporter_send_failed_spans") > 0)
    assert "Unauthenticated" in here.log.read_text(encoding="utf-8")
    assert there.own("otelcol_receiver_accepted_spans") == 0
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    for headers in ({}, {"Authorization": "Bearer a-wrong-token"}):
        url = there.otlp.replace("http:", "https:") + "/v1/metrics"
        request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json", **headers})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, context=trusted, timeout=10)
        assert refused.value.code == 401
        refused.value.close()


def test_a_name_and_a_password_do_instead_of_a_token(home: Path, start: Start, gateway: Make, agent: Make) -> None:
    made = subprocess.run(["openssl", "passwd", "-6", "the-password"], capture_output=True, text=True, check=True)
    there = gateway("overlays/gateway-basic-auth.yaml", GATEWAY_HTPASSWD=f"fleet:{made.stdout.strip()}")
    over = "overlays/agent-basic-auth.yaml"
    right = agent(there, over, GATEWAY_USER="fleet", GATEWAY_PASSWORD="the-password")
    wrong = agent(there, over, GATEWAY_USER="fleet", GATEWAY_PASSWORD="another")
    for each in (there, right, wrong):
        start(each)
    run("refused", "fine", home, **endpoint(wrong))
    until(lambda: wrong.own("otelcol_exporter_send_failed_spans") > 0)
    assert there.own("otelcol_receiver_accepted_spans") == 0
    loop = run("taken", "fine", home, **endpoint(right))
    until(lambda: there.own("otelcol_receiver_accepted_spans") >= len(loop.spans))


# -- outages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_while_the_gateway_is_away_and_the_agent_ends(
    how: int,
    home: Path,
    tmp_path: Path,
    start: Start,
    gateway: Make,
    agent: Make,
    jaeger: Jaeger,
    prometheus: Callable[..., Prometheus],
) -> None:
    there = gateway(KEEP_PERCENT="100")
    here = agent(there)
    start(here)
    loops = [run(f"loop-{number}", "fine", home, **endpoint(here)) for number in range(2)]
    until(lambda: here.own("otelcol_exporter_queue_size") > 0)
    stop(here, how)
    here.start()
    loops.append(run("loop-2", "fine", home, **endpoint(here)))
    start(there)
    store = prometheus(there)
    until(lambda: store.value("sum(ralph_loop_iterations_total)") == 9, 90)
    for loop in loops:
        until(all_spans(jaeger, loop), 60)
    until(lambda: len(there.events()) == sum(loop.events for loop in loops))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_that_the_gateway_has_taken_when_it_ends_while_jaeger_is_away(
    how: int, home: Path, start: Start, gateway: Make, agent: Make, jaeger: Jaeger
) -> None:
    there = gateway(KEEP_PERCENT="100")
    here = agent(there)
    start(there)
    start(here)
    jaeger.stop()
    loop = run("fix-bugs", "fine", home, **endpoint(here))
    until(lambda: there.own("otelcol_receiver_accepted_spans") >= len(loop.spans))
    until(lambda: there.own("otelcol_exporter_queue_size") > 0)
    stop(there, how)
    jaeger.start()
    there.start()
    until(all_spans(jaeger, loop), 60)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("road", LONG_TERM)
def test_nothing_is_lost_while_a_long_term_store_is_away_and_the_gateway_ends(
    road: str, how: int, home: Path, tmp_path: Path, start: Start, gateway: Make, agent: Make
) -> None:
    store = Prometheus(tmp_path / "store")
    overlay, given = long_term(road, store)
    there = gateway(overlay, **given)
    here = agent(there)
    start(there)
    start(here)
    loop = run("fix-bugs", "fine", home, **endpoint(here))
    until(lambda: f'instance="{loop.run}"' in page(there.metrics))
    stop(there, how)
    start(store)
    there.start()
    until(lambda: store.value("ralph_loop_iterations_total") == 3, 60)


# -- which traces are kept ---------------------------------------------------------------------------------------------


def test_loops_that_fail_are_slow_or_reboot_are_kept_and_of_the_others_none_but_the_share(
    home: Path, start: Start, gateway: Make, agent: Make, jaeger: Jaeger
) -> None:
    there = gateway(KEEP_PERCENT="0", SLOW_ITERATION="5s")
    here = agent(there)
    start(there)
    start(here)
    kinds = ("fails", "slow", "reboots", "fine", "clumsy")
    loops = {kind: run(kind, kind, home, **endpoint(here)) for kind in kinds}
    for kind in ("fails", "slow", "reboots"):
        until(all_spans(jaeger, loops[kind]), what=kind)
    until(lambda: there.own("otelcol_receiver_accepted_spans") == sum(len(each.spans) for each in loops.values()))
    assert [kind for kind in ("fine", "clumsy") if ids(jaeger, loops[kind])] == []


def test_of_a_loop_that_fails_after_the_window_the_rest_is_kept(
    home: Path, start: Start, gateway: Make, agent: Make, jaeger: Jaeger
) -> None:
    there = gateway(KEEP_PERCENT="0", SAMPLING_WINDOW="1s")
    here = agent(there)
    start(there)
    start(here)
    process = begin("late", "fails late", home, **endpoint(here))
    assert process.stdout is not None
    process.stdout.readline()
    until(lambda: there.own("otelcol_processor_tail_sampling_global_count_traces_sampled") == 1)  # let go
    loop = end(process, "late", home)
    until(lambda: {"loop late", "iteration"} <= {span.name for span in spans(jaeger, loop.traces[0])})
    numbers = [span.tags.get("ralph.iteration.number") for span in spans(jaeger, loop.traces[0])]
    assert [number for number in numbers if number is not None] == [3]


# -- one machine -------------------------------------------------------------------------------------------------------


@pytest.fixture
def laptop(tmp_path: Path, jaeger: Jaeger, start: Start) -> Collector:
    made = Collector(("laptop.yaml",), tmp_path / "laptop", {"JAEGER_ENDPOINT": jaeger.otlp_grpc})
    start(made)
    return made


def test_one_collector_does_for_one_machine(
    home: Path, tmp_path: Path, laptop: Collector, jaeger: Jaeger, prometheus: Callable[..., Prometheus]
) -> None:
    store = prometheus(laptop)
    loop = run("fix-bugs", "fine", home, **endpoint(laptop))
    until(lambda: store.value(f'ralph_loop_iterations_total{{job="ralph-loop",instance="{loop.run}"}}') == 3)
    until(all_spans(jaeger, loop))
    until(lambda: len(laptop.events()) == loop.events)
    until(lambda: store.value('sum(traces_span_metrics_calls_total{span_name="iteration"})') == 3)


def test_by_statsd_the_metrics_have_the_same_names_and_values(
    home: Path, laptop: Collector, prometheus: Callable[..., Prometheus]
) -> None:
    store = prometheus(laptop)
    run(
        "fix-bugs", "reboots", home,
        RALPH_OTEL_EXPORT_FORMAT="statsd", RALPH_OTEL_EXPORT_TARGET=laptop.statsd,
    )  # fmt: skip
    own = 'job="ralph-loop",ralph_loop_name="fix-bugs",ralph_runner="r"'
    wanted = {
        f'ralph_loop_iterations_total{{{own},ralph_outcome="success"}}': 3,
        f"ralph_loop_cost_USD_total{{{own}}}": pytest.approx(0.0375),
        f"ralph_loop_iteration_duration_seconds_count{{{own}}}": 3,
        f'ralph_loop_run_duration_seconds_bucket{{{own},le="30.0"}}': 1,
        f'ralph_loop_context_at_reboot_percent_bucket{{{own},le="90.0"}}': 1,
        f'ralph_loop_context_at_reboot_percent_bucket{{{own},le="80.0"}}': 0,
    }
    for expression, value in wanted.items():  # they may come one after another
        until(lambda: store.value(expression) == value, what=f"for {expression} = {value}")  # noqa: B023 — now
    assert 0 < (store.value(f"ralph_loop_run_duration_seconds_sum{{{own}}}") or 0) < 30


# -- Prometheus only ---------------------------------------------------------------------------------------------------


def test_prometheus_finds_a_loop_by_itself(home: Path, prometheus: Callable[..., Prometheus]) -> None:
    (home / "targets").mkdir(parents=True)
    store = prometheus(loops=home / "targets")
    process = begin("fix-bugs", "waits", home)
    try:
        until(lambda: store.value('ralph_loop_iterations_total{ralph_loop_name="fix-bugs"}') == 2, 60)
        [series] = store.series("ralph_loop_iterations_total")
    finally:
        loop = end(process, "fix-bugs", home)
    assert (series["job"], series["instance"]) == ("ralph-loop", loop.run)


def test_prometheus_takes_otlp_itself(home: Path, prometheus: Callable[..., Prometheus]) -> None:
    store = prometheus()
    loop = run(
        "fix-bugs", "fine", home,
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{store.url}/api/v1/otlp/v1/metrics",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )  # fmt: skip
    until(lambda: store.value("ralph_loop_iterations_total") == 3)
    [series] = store.series("ralph_loop_iterations_total")
    assert (series["job"], series["instance"]) == ("ralph-loop", loop.run)
    assert series["deployment_environment_name"] == "test"


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    path = COLLECTOR.parent / "prometheus" / "prometheus.yaml"
    done = subprocess.run([str(find("promtool")), "check", "config", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
