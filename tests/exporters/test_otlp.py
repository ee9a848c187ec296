"""OTLP, seen at the receiver: by HTTP and by gRPC, as the standard variables say, and with receivers that refuse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.exporters.delivery import sender
from support.receiver import Received, attributes, points
from support.waiting import until

COMMON = {"ralph.loop.name": "l", "ralph.runner": "r"}


@pytest.fixture(params=["http/protobuf", "grpc"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A receiver, and the variables that lead to it; once for each protocol."""
    name = "receiver" if request.param == "http/protobuf" else "grpc_receiver"
    received: Received = request.getfixturevalue(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    yield received
    received.ended.set()


def collector(**fields: Any) -> MetricsCollector:
    defaults = {"export_format": "otlp", "resources": False, "collection_interval": 60}
    return MetricsCollector(MetricsConfig(**{**defaults, **fields}))


def run_a_loop(made: MetricsCollector) -> dict[str, Any]:
    """A loop with something of everything; the environment that the agent was given, and the handles."""
    with made.loop("l", runner="r", runner_version="1", max_iterations=5, attributes={"team": "a"}) as loop:
        with loop.session("s1") as session, loop.iteration() as it:
            with it.agent("claude", model="m") as agent:
                environment = agent.environment()
                agent.exit_code, agent.turns, agent.conversation = 0, 3, "c-1"
                agent.usage(model="m", input_tokens=10, output_tokens=300, cache_read_tokens=1000, cost_usd=0.5)
                agent.usage(model="m", output_tokens=5, cost_usd=0.25)
                agent.tool("Bash", duration=600)
            it.tests(passed=7, failed=1)
            it.progress(0.4, files_changed=3)
            it.context_usage(61.5)
        reboot = loop.reboot("redline", 88)
        with loop.session("s2") as second, loop.iteration() as failed:
            failed.fail("timeout")
        loop.stop("max_cost")
    return {
        "environment": environment, "loop": loop, "session": session, "it": it, "agent": agent, "reboot": reboot,
        "second": second, "failed": failed,
    }  # fmt: skip


def spans_by_name(received: Received) -> dict[str, Span]:
    """Spans by name; of several of a name the earlier is called as it is, the later with a 2."""
    found: dict[str, Span] = {}
    for span in sorted(received.spans(), key=lambda span: span.start_time_unix_nano):
        found[span.name if span.name not in found else f"{span.name} 2"] = span
    return found


# -- what arrives -----------------------------------------------------------------------------------------------------


def test_metrics_arrive_with_their_values(either: Received) -> None:
    made = collector()
    run_a_loop(made)
    made.increment("tickets", 2, {"team": "b"})
    assert made.shutdown(60)
    metrics = {name: points(metric) for name, metric in either.metrics().items()}

    def value(name: str, **more: str) -> Any:
        return metrics[f"ralph_loop.{name}"][frozenset({**COMMON, **more}.items())]

    assert value("iterations", **{"ralph.outcome": "success"}) == 1
    assert value("iterations", **{"ralph.outcome": "timeout"}) == 1
    assert value("iteration_duration", **{"ralph.outcome": "success"})[0] == 1
    assert value("tokens", **{"gen_ai.token.type": "output", "gen_ai.request.model": "m"}) == 305
    assert value("cost", **{"gen_ai.request.model": "m", "ralph.cost.source": "reported"}) == 0.75
    assert value("reboots", **{"ralph.reboot.reason": "redline"}) == 1
    assert value("context_at_reboot", **{"ralph.reboot.reason": "redline"}) == (1, 88)
    assert value("runs", **{"ralph.stop.reason": "max_cost"}) == 1
    assert [value(f"active_{part}") for part in ("runs", "sessions", "iterations")] == [0, 0, 0]
    assert value("tests", **{"ralph.test.status": "passing"}) == 7
    assert value("test_pass_ratio") == 0.875
    assert metrics["ralph_otel.events"][frozenset()] >= 20
    assert either.metrics()["ralph_loop.iteration_duration"].unit == "s"
    buckets = either.metrics()["ralph_loop.iteration_duration"].histogram.data_points[0].explicit_bounds
    assert list(buckets)[:3] == [0.01, 0.05, 0.1]


def test_spans_arrive_with_the_ids_that_the_agents_were_given(either: Received) -> None:
    made = collector()
    parts = run_a_loop(made)
    assert made.shutdown(60)
    spans = spans_by_name(either)
    assert set(spans) == {
        "loop l", "session", "session 2", "iteration", "iteration 2", "invoke_agent claude", "execute_tool Bash",
        "tests", "reboot",
    }  # fmt: skip
    _, trace_id, span_id, flags = parts["environment"]["TRACEPARENT"].split("-")
    assert flags == "01"
    assert {span.trace_id.hex() for span in spans.values()} == {trace_id}
    assert spans["invoke_agent claude"].span_id.hex() == span_id
    own = {
        "loop l": "loop", "session": "session", "iteration": "it", "invoke_agent claude": "agent", "reboot": "reboot",
        "session 2": "second", "iteration 2": "failed",
    }  # fmt: skip
    for name, part in own.items():
        assert spans[name].span_id.hex() == parts[part].span_id, name
    parents = {
        "session": "loop l", "session 2": "loop l", "reboot": "loop l", "iteration": "session",
        "iteration 2": "session 2", "invoke_agent claude": "iteration", "tests": "iteration",
        "execute_tool Bash": "invoke_agent claude",
    }  # fmt: skip
    for child, parent in parents.items():
        assert spans[child].parent_span_id == spans[parent].span_id, child
    assert spans["loop l"].parent_span_id == b""
    [link] = spans["session 2"].links
    assert link.span_id == spans["session"].span_id


def test_spans_say_what_was_measured_in_them(either: Received) -> None:
    made = collector()
    parts = run_a_loop(made)
    assert made.shutdown(60)
    spans = {name: (span, attributes(span.attributes)) for name, span in spans_by_name(either).items()}
    run = {"ralph.run.id": parts["loop"].run_id, "ralph.loop.name": "l"}
    assert spans["loop l"][1].items() >= {
        **COMMON, **run, "ralph.runner.version": "1", "ralph.max_iterations": 5, "ralph.stop.reason": "max_cost",
        "ralph.iterations": 2, "ralph.loop.attribute.team": "a",
    }.items()  # fmt: skip
    assert spans["session"][1] == {**run, "ralph.session.id": "s1"}
    assert spans["iteration"][1] == {
        **run, "ralph.iteration.number": 1, "ralph.outcome": "success", "ralph.progress.score": 0.4,
        "ralph.progress.files_changed": 3, "ralph.context.percent": 61.5, "ralph.tests.passed": 7,
        "ralph.tests.failed": 1, "ralph.tests.total": 8,
    }  # fmt: skip
    assert spans["invoke_agent claude"][1] == {
        **run, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "claude", "gen_ai.request.model": "m",
        "process.exit.code": 0, "ralph.agent.turns": 3, "gen_ai.conversation.id": "c-1", "ralph.outcome": "success",
        "gen_ai.usage.input_tokens": 1010, "gen_ai.usage.output_tokens": 305,
        "gen_ai.usage.cache_read.input_tokens": 1000, "ralph.cost.usd": 0.75,
    }  # fmt: skip
    assert spans["execute_tool Bash"][1].items() >= {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "Bash", "ralph.outcome": "success"
    }.items()  # fmt: skip
    assert spans["reboot"][1].items() >= {"ralph.reboot.reason": "redline", "ralph.context.percent": 88}.items()
    assert spans["iteration 2"][1]["error.type"] == "timeout"
    codes = {name: span.status.code for name, (span, _) in spans.items()}
    assert {name for name, code in codes.items() if code == Status.STATUS_CODE_ERROR} == {"iteration 2", "tests"}
    kinds = {name: span.kind for name, (span, _) in spans.items()}
    assert {name for name, kind in kinds.items() if kind == Span.SPAN_KIND_CLIENT} == {"invoke_agent claude"}


def test_spans_have_the_times_of_their_events(either: Received) -> None:
    made, began = collector(), time.time_ns()
    run_a_loop(made)
    ended = time.time_ns()
    assert made.shutdown(60)
    spans = spans_by_name(either)
    for span in spans.values():
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= ended
    assert began <= spans["loop l"].start_time_unix_nano
    for inner, outer in (("iteration", "session"), ("invoke_agent claude", "iteration"), ("session", "loop l")):
        assert spans[outer].start_time_unix_nano <= spans[inner].start_time_unix_nano
        assert spans[inner].end_time_unix_nano <= spans[outer].end_time_unix_nano
    # ten minutes before its end the agent did not run yet
    assert spans["execute_tool Bash"].start_time_unix_nano == spans["invoke_agent claude"].start_time_unix_nano


def test_a_log_record_for_every_event_in_its_spans_context(either: Received) -> None:
    made = collector()
    parts = run_a_loop(made)
    assert made.shutdown(60)
    records = either.logs()
    names = [record.event_name for record in records]
    assert names[0] == "ralph.loop.started"
    assert names[-1] == "ralph.loop.stopped"
    assert names.count("ralph.iteration.finished") == 2
    [agent] = [record for record in records if record.event_name == "ralph.agent.started"]
    assert (agent.trace_id.hex(), agent.span_id.hex()) == (parts["loop"].trace_id, parts["agent"].span_id)
    assert attributes(agent.attributes).items() >= {"ralph.run.id": parts["loop"].run_id, **COMMON}.items()
    [failed] = [record for record in records if attributes(record.attributes).get("ralph.outcome") == "timeout"]
    assert failed.severity_number > agent.severity_number


def test_the_resource_is_the_same_on_every_signal(either: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=team,service.instance.id=other")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    made = collector()
    run_a_loop(made)
    assert made.shutdown(60)
    for signal in ("metrics", "traces", "logs"):
        resource = either.resource(signal)
        assert resource["service.instance.id"] == made.instance_id
        assert (resource["service.name"], resource["service.namespace"]) == ("nightly", "team")
        assert resource["telemetry.distro.name"] == "ralph-otel"


def test_metrics_go_out_in_every_interval(either: Received) -> None:
    made = collector(collection_interval=0.1)
    made.record_iteration(1, True)
    either.wait_for("metrics", 3)
    made.shutdown(60)


# -- parents and sampling ---------------------------------------------------------------------------------------------


def test_a_parent_from_outside_is_the_loops_parent(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    made = collector()
    run_a_loop(made)
    assert made.shutdown(60)
    loop = spans_by_name(receiver)["loop l"]
    assert (loop.trace_id.hex(), loop.parent_span_id.hex()) == ("a" * 32, "b" * 16)


@pytest.mark.parametrize(
    "variables", [{"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-00"}, {"OTEL_TRACES_SAMPLER": "always_off"}]
)
def test_no_span_of_a_trace_that_is_not_recorded_arrives_but_everything_else(
    variables: dict[str, str], receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    made = collector()
    parts = run_a_loop(made)
    assert made.shutdown(60)
    assert parts["environment"]["TRACEPARENT"].endswith("-00")
    assert receiver.spans() == []
    assert "ralph_loop.iterations" in receiver.metrics()
    assert receiver.logs()


def test_a_long_loop_arrives_as_several_linked_traces(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    made = collector(trace_iterations=2)
    with made.loop("l") as loop:
        for _ in range(5):
            with loop.session(), loop.iteration():
                pass
    assert made.shutdown(60)
    spans = receiver.spans()
    roots = sorted((span for span in spans if span.name == "loop l"), key=lambda span: span.start_time_unix_nano)
    assert len({span.trace_id for span in roots}) == 3
    assert roots[0].parent_span_id.hex() == "b" * 16
    assert [root.parent_span_id for root in roots[1:]] == [b"", b""]
    assert [[link.span_id for link in root.links] for root in roots] == [[], [roots[0].span_id], [roots[1].span_id]]
    known = {(span.trace_id, span.span_id) for span in spans}
    for span in spans:
        assert span in roots or (span.trace_id, span.parent_span_id) in known


# -- the standard variables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/base", "/base/"])
def test_an_endpoint_with_or_without_a_path(path: str, receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url + path)
    made = collector()
    run_a_loop(made)
    made.shutdown(60)
    base = path.rstrip("/")
    assert {request.path for request in receiver.requests} == {
        f"{base}/v1/metrics", f"{base}/v1/traces", f"{base}/v1/logs"
    }  # fmt: skip


def test_an_endpoint_for_one_signal_is_taken_as_it_is_and_the_others_stay_at_home(
    receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/mine/traces")
    made = collector(export_format=None)
    assert "otlp" in made.config.export_format
    run_a_loop(made)
    made.shutdown(60)
    assert {request.path for request in receiver.requests} == {"/mine/traces"}


def test_a_target_of_ones_own_comes_before_the_variables(receiver: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    made = collector(export_target=receiver.url)
    run_a_loop(made)
    made.shutdown(60)
    assert {request.signal for request in receiver.requests} == {"metrics", "traces", "logs"}


def test_headers_compression_and_protocol_are_honoured(either: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret,x-tenant=a%20b")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-only=traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    made = collector()
    run_a_loop(made)
    assert made.shutdown(60)
    for request in either.requests:
        if request.signal == "traces":
            assert request.headers["x-only"] == "traces"
        else:
            assert (request.headers["api-key"], request.headers["x-tenant"]) == ("secret", "a b")
        encoding = (
            "grpc-encoding" if "user-agent" in request.headers and "grpc" in request.headers["user-agent"] else ""
        )
        assert encoding or request.headers["content-encoding"] == "gzip"
    assert either.spans()


def test_a_backend_that_wants_what_was_added_gets_that(either: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    made = collector()
    counts, gauges = [], []
    for _ in range(2):
        run_a_loop(made)
        made.flush(60)
        metrics = either.metrics()
        for data in (metrics["ralph_loop.iterations"].sum, metrics["ralph_loop.iteration_duration"].histogram):
            assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        counts.append(sum(points(metrics["ralph_loop.iterations"]).values()))
        gauges.append(sum(points(metrics["ralph_loop.active_runs"]).values()))
    assert made.shutdown(60)
    assert (counts, gauges) == ([2, 2], [0, 0])


def test_the_timeout_is_honoured(either: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setattr(sender, "_LONGEST", 0.1)
    either.silent = True
    made = collector(collection_interval=0.1)
    made.record_iteration(1, True)
    either.wait_for("metrics", 4, seconds=29)  # without it each would be waited for for ten seconds
    made.shutdown(0.5)


def test_the_variables_of_a_signal_choose_its_protocol(
    receiver: Received, grpc_receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", grpc_receiver.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
    made = collector()
    run_a_loop(made)
    assert made.shutdown(60)
    assert {request.signal for request in grpc_receiver.requests} == {"metrics"}
    assert {request.signal for request in receiver.requests} == {"traces"}


# -- receivers that will not ------------------------------------------------------------------------------------------


def test_a_receiver_that_is_away_for_a_while_gets_spans_and_sums_afterwards(either: Received) -> None:
    either.status = 503
    made = collector(collection_interval=0.1)
    run_a_loop(made)
    either.wait_for("metrics", 1)
    either.status = 200
    until(lambda: made.flush(5) and "loop l" in spans_by_name(either), 30)
    assert points(either.metrics()["ralph_loop.iterations"])[
        frozenset({**COMMON, "ralph.outcome": "success"}.items())
    ] == 1  # fmt: skip
    assert made.shutdown(60)


@pytest.mark.parametrize("trouble", ["400", "503", "silent"])
def test_a_receiver_that_will_not_is_said_in_a_line_or_two_and_holds_nobody_up(
    trouble: str, either: Received, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    monkeypatch.setattr(sender, "_PATIENCE", 600.0)
    either.silent, either.status = trouble == "silent", int(trouble) if trouble.isdigit() else 200
    made = collector()
    run_a_loop(made)
    began = time.monotonic()
    assert made.get_metrics().total_iterations == 2
    made.shutdown(1)
    assert time.monotonic() - began < 60
    assert len(heard) <= 6
    assert all("\n" not in line for line in heard)


def test_a_home_folder_knows_nothing_of_the_headers(
    receiver: Received, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.replace("http://", "http://user:password@"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=very-secret")
    made = collector()
    run_a_loop(made)
    made.shutdown(60)
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"very-secret" not in written
    assert b"password" not in written
