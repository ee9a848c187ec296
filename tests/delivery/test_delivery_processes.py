"""Real processes, ended in every way, and a receiver that comes late: it gets everything, and everything once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ralph_otel.events import Line
from support.hosts import FOREIGN
from support.ports import free_port, mute_server
from support.receiver import GrpcReceiver, HttpReceiver, Received, attributes, points
from support.tape import lines_of
from support.waiting import until

pytestmark = pytest.mark.integration

LOOP = """
import sys, time
import ralph_otel

collector = ralph_otel.register()
iterations, then = int(sys.argv[1]), sys.argv[2]
with collector.loop("l", runner="r") as loop:
    for _ in range(iterations):
        with loop.session(), loop.iteration() as it, it.agent("claude"):
            it.tests(passed=1, failed=0)
    if then == "flush":
        collector.flush(20)
    if then != "end":
        print("ready", flush=True)
        time.sleep(600)
"""
WAITS = 60
"""Seconds that a process may take; so much longer than any exit may that a machine's troubles play no part."""


def environment(home: Path, port: int, protocol: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **inherited,
        "RALPH_OTEL_HOME": str(home),
        "RALPH_OTEL_EXPORT_FORMAT": "otlp",
        "RALPH_OTEL_RESOURCES": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
    }


def run(variables: dict[str, str], iterations: int, then: str = "end") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOOP, str(iterations), then]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    _, stderr = process.communicate(timeout=WAITS)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def killed(process: subprocess.Popen[str]) -> None:
    """Wait until it says that it is ready, and kill it."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate(timeout=WAITS)
    assert process.returncode == -signal.SIGKILL


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob("*.jsonl"))


def lines(home: Path) -> list[Line]:
    return [line for path in journals(home) for line in lines_of(path)]


def spans_in(home: Path) -> set[str]:
    """The ids of all spans that the journals speak of; those of tests have ids that are made later."""
    return {str(line["span_id"]) for line in lines(home) if str(line["type"]).endswith(".started")}


def iterations_of(received: Received) -> dict[str, int]:
    """By run, the total of iterations that came last."""
    found: dict[str, int] = {}
    for message in received.taken("metrics"):
        for resource in message.resource_metrics:
            who = attributes(resource.resource.attributes)["service.instance.id"]
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "ralph_loop.iterations":
                        found[who] = sum(points(metric).values())
    return found


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_ended_or_was_killed_during_an_outage_arrives_once_when_it_is_over(protocol: str, home: Path) -> None:
    port = free_port()
    variables = environment(home, port, protocol)
    finished(run(variables, 5))
    killed(run(variables, 4, "flush"))
    killed(run(variables, 3, "at once"))
    ended = journals(home)[0].stem
    for path in journals(home):  # a journal that was written just now may be somebody's who lives
        old = path.stat().st_mtime - 60
        os.utime(path, (old, old))
    with HttpReceiver(port) if protocol != "grpc" else GrpcReceiver(port) as received:
        last = run(variables, 2, "at once")
        until(lambda: len([line for line in lines(home) if line.get("reason") == "crashed"]) == 2, WAITS)
        try:
            until(lambda: spans_in(home) - {span.span_id.hex() for span in received.spans()} <= _open(home), WAITS)
        finally:
            last.send_signal(signal.SIGINT)
            last.communicate(timeout=WAITS)
        spans = Counter(span.span_id.hex() for span in received.spans())
        assert set(spans) >= spans_in(home)
        assert set(spans.values()) == {1}
        ids = Counter(str(attributes(record.attributes)["log.record.uid"]) for record in received.logs())
        assert set(ids.values()) == {1}
        assert len(ids) == len(lines(home))
        assert iterations_of(received)[ended] == 5


def _open(home: Path) -> set[str]:
    """The spans of the run that goes on."""
    going = [path for path in journals(home) if lines_of(path)[-1]["type"] != "loop.stopped"]
    return {str(line["span_id"]) for path in going for line in lines_of(path) if str(line["type"]).endswith(".started")}


def test_a_process_ends_in_time_though_the_receiver_takes_everything_and_never_answers(home: Path) -> None:
    with mute_server() as port:
        variables = environment(home, port, "http/protobuf")
        process = run({**variables, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}, 3)
        finished(process)
    with HttpReceiver(port) as received:
        finished(run(variables, 1))
        until(lambda: set(iterations_of(received).values()) == {1, 3}, what="for both runs")
        assert set(Counter(span.span_id.hex() for span in received.spans()).values()) == {1}
        assert len(set(received_ids(received))) == len(received_ids(received)) == len(lines(home))


def received_ids(received: Received) -> list[str]:
    return [attributes(record.attributes)["log.record.uid"] for record in received.logs()]


def test_watch_sends_what_others_have_left(home: Path) -> None:
    port = free_port()
    variables = environment(home, port, "http/protobuf")
    finished(run(variables, 3))
    with HttpReceiver(port) as received:
        command = [sys.executable, "-m", "ralph_otel", "watch"]
        watch = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: received.of("metrics") and received.of("logs") and len(received.spans()) == 13, WAITS)
        finally:
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=WAITS)
        assert watch.returncode == 0
        assert next(iter(iterations_of(received).values())) == 3
        assert set(Counter(received_ids(received)).values()) == {1}
