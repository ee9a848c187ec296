"""Real processes, ended in every way, and a receiver that comes late: it gets everything, and everything once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ralph_otel.signals.logs import RecordIds
from support.hosts import FOREIGN
from support.ports import free_port, mute_server
from support.receiver import GrpcReceiver, HttpReceiver, Received, attributes, totals
from support.tape import lines_of
from support.waiting import until

pytestmark = pytest.mark.integration

LOOP = """
import sys, time
import ralph_otel

collector = ralph_otel.register()
collector.wait_ready(60)
iterations, then = int(sys.argv[1]), sys.argv[2]
with collector.loop("l", runner="r") as loop:
    for _ in range(iterations):
        with loop.session(), loop.iteration() as it, it.agent("claude"):
            it.tests(passed=1, failed=0)
    if then == "flush":
        collector.flush(20)
    if then != "at once":
        collector.flush_events(60)
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


def ended_early(process: subprocess.Popen[str]) -> None:
    """End it with ctrl-C."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAITS)


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob("*.jsonl"))


def spans_of(journals: list[Path]) -> set[str]:
    """The ids of all spans that begin in journals; those of tests have ids that are made later."""
    lines = [line for path in journals for line in lines_of(path)]
    return {str(line["span_id"]) for line in lines if str(line["type"]).endswith(".started")}


def records_of(journals: list[Path]) -> set[str]:
    """The ids of the log records of all events in journals."""
    ids = RecordIds()
    return {ids.of(line) for path in journals for line in lines_of(path)}


def spans_in(received: Received) -> Counter[str]:
    return Counter(span.span_id.hex() for span in received.spans())


def records_in(received: Received) -> Counter[str]:
    return Counter(str(attributes(record.attributes)["log.record.uid"]) for record in received.logs())


def wait_for_all(received: Received, journals: list[Path]) -> None:
    """Return once every span and record of the journals has come."""

    def all_here() -> bool:
        return spans_of(journals) <= set(spans_in(received)) and records_of(journals) <= set(records_in(received))

    until(all_here, WAITS, "for all spans and records", pause=0.1)


def iterations_of(received: Received) -> dict[str, int]:
    """By run, the total of iterations that came last."""
    return dict(totals(received.taken("metrics"), "ralph_loop.iterations"))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_ended_or_was_killed_during_an_outage_arrives_once_when_it_is_over(protocol: str, home: Path) -> None:
    port = free_port()
    variables = environment(home, port, protocol)
    finished(run(variables, 5))
    [ended] = journals(home)
    killed(run(variables, 4, "flush"))
    killed(run(variables, 3, "at once"))
    earlier = journals(home)
    for path in earlier:  # a journal that was written just now may be somebody's who lives
        old = path.stat().st_mtime - 60
        os.utime(path, (old, old))
    with HttpReceiver(port) if protocol != "grpc" else GrpcReceiver(port) as received:
        last = run(variables, 2, "flush")
        try:
            until(lambda: all(lines_of(path)[-1]["type"] == "loop.stopped" for path in earlier), WAITS, pause=0.1)
            wait_for_all(received, earlier)
            until(lambda: iterations_of(received).get(ended.stem) == 5, WAITS, pause=0.1)
        finally:
            ended_early(last)
        assert set(spans_in(received).values()) == {1}
        assert set(records_in(received).values()) == {1}
        reasons = {path: lines_of(path)[-1]["reason"] for path in earlier}
        assert reasons == {path: "completed" if path == ended else "crashed" for path in earlier}


def test_a_process_ends_in_time_though_the_receiver_takes_everything_and_never_answers(home: Path) -> None:
    with mute_server() as port:
        variables = environment(home, port, "http/protobuf")
        finished(run({**variables, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}, 3))
    earlier = journals(home)
    with HttpReceiver(port) as received:
        last = run(variables, 1, "flush")
        try:
            until(lambda: set(iterations_of(received).values()) == {1, 3}, WAITS, pause=0.1)
            wait_for_all(received, earlier)
        finally:
            ended_early(last)
        assert set(spans_in(received).values()) == {1}
        assert set(records_in(received).values()) == {1}


def test_watch_sends_what_others_have_left(home: Path) -> None:
    port = free_port()
    variables = environment(home, port, "http/protobuf")
    finished(run(variables, 3))
    with HttpReceiver(port) as received:
        command = [sys.executable, "-m", "ralph_otel", "watch"]
        watch = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_for_all(received, journals(home))
            until(lambda: list(iterations_of(received).values()) == [3], WAITS, pause=0.1)
        finally:
            ended_early(watch)
        assert watch.returncode == 0
        assert set(spans_in(received).values()) == {1}
        assert set(records_in(received).values()) == {1}
