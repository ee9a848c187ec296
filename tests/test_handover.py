"""What killed recorders have left is sent, once, by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from ralph_otel.config import MetricsConfig
from ralph_otel.journal import Journal
from ralph_otel.recorder.handover import take_over
from ralph_otel.recorder.marks import Mark, recorders_folder
from ralph_otel.recorder.pipeline import Pipeline
from ralph_otel.tracecontext import host_name
from support import hosts
from support.receiver import Received, points, totals
from support.tape import Tape, lines_of
from support.watched import ago


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(60)
    return process.pid


@pytest.fixture
def config(home: Path, receiver: Received, monkeypatch: pytest.MonkeyPatch) -> MetricsConfig:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    return MetricsConfig(collection_interval=3600)  # so nothing goes out by itself


def taken_over(config: MetricsConfig) -> list[str]:
    """What a new recorder takes over; it has sent everything then."""
    pipeline = Pipeline(config, "me", list, lambda: defaultdict(int))
    try:
        return take_over(config, pipeline)
    finally:
        pipeline.shutdown(60)


def left(home: Path, pid: int, *journals: Path, **what: str) -> Path:
    """The mark of a recorder with that process id."""
    path = recorders_folder(home) / "recorder-1.jsonl"
    mark = Journal(path)
    mark.append({"pid": pid, "host": host_name(), "began": time.time_ns()})
    for line in (*({"journal": str(journal)} for journal in journals), *([what] if what else [])):
        mark.append(line)
    mark.close()
    return path


def run(home: Path, name: str, pid: int) -> Path:
    """The journal of a loop of a minute ago, with one iteration and no end; of this process, of just now."""
    tape = Tape("l", name, pid=pid, host=host_name())
    return ago(tape.iteration(1, 1), 60 if pid != os.getpid() else 0).write(home / "runs" / f"{name}.jsonl")


def iterations(received: Received) -> list[tuple[str, float]]:
    """What was said of iterations, and by whom, in order."""
    return totals(received.of("metrics"), "ralph_loop.iterations")


def test_the_figures_of_all_loops_of_a_killed_recorder_are_sent_as_its_own(
    home: Path, receiver: Received, config: MetricsConfig, dead_pid: int
) -> None:
    runs = [run(home, name, dead_pid) for name in ("r", "r-2", "r-2-other", "s")]
    mark = left(home, dead_pid, runs[3], runs=str(home / "runs" / "r"))
    assert taken_over(config) == ["recorder-1"]
    assert [lines_of(path)[-1].get("reason") for path in runs] == ["crashed", "crashed", None, "crashed"]
    assert iterations(receiver) == [("recorder-1", 3)]
    assert list(points(receiver.metrics()["ralph_loop.runs"]).values()) == [3]
    assert not mark.exists()
    assert taken_over(config) == []


def test_a_runner_that_outlives_its_recorder_is_seen_to_when_it_has_ended(
    home: Path, receiver: Received, config: MetricsConfig, dead_pid: int
) -> None:
    path = run(home, "r", os.getpid())
    mark = left(home, dead_pid, path)
    assert taken_over(config) == []
    assert mark.exists()
    tape = ago(Tape("", "r").iteration(3, 2).add(5, "loop.stopped", reason="completed"), 0)
    journal = Journal(path)
    for line in tape.lines:
        journal.append(line)
    journal.close()
    assert taken_over(config) == ["recorder-1"]
    assert iterations(receiver) == [("recorder-1", 2)]
    assert not mark.exists()


def test_more_spans_than_a_batch_holds_are_all_sent(
    home: Path, receiver: Received, config: MetricsConfig, dead_pid: int
) -> None:
    tape = Tape("l", "r", pid=dead_pid, host=host_name(), span="0" * 15 + "1")
    for number in range(1, 3001):
        tape.add(number, "iteration.started", iteration=number, span=f"{number + 9:016x}")
        tape.add(
            number + 0.5, "iteration.finished", iteration=number, outcome="success", duration=0.5,
            span=f"{number + 9:016x}",
        )  # fmt: skip
    left(home, dead_pid, ago(tape, 4000).write(home / "runs" / "r.jsonl"))
    assert taken_over(config) == ["recorder-1"]
    assert len({span.span_id for span in receiver.spans() if span.name == "iteration"}) == 3000
    assert len(receiver.logs()) == 2 * 3000 + 2


def test_the_mark_of_a_recorder_that_lives_is_left_alone(home: Path, receiver: Received, config: MetricsConfig) -> None:
    mark = Mark(home, "mine")
    mark.note(journal=str(run(home, "r", os.getpid())))
    assert taken_over(config) == []
    assert iterations(receiver) == []
    mark.remove()
    assert list(recorders_folder(home).iterdir()) == []


NO_TIME = """
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    PeriodicExportingMetricReader.collect = lambda self, timeout_millis=0: None
"""
"""A machine so busy that the SDK finds no time to collect metrics."""


def test_what_a_recorder_had_no_time_to_collect_at_its_end_is_sent_by_the_next(
    home: Path, receiver: Received, config: MetricsConfig
) -> None:
    ended = hosts.run(NO_TIME + hosts.LOOP, home.parent, env={"RALPH_OTEL_EXPORT_FORMAT": "otlp"})
    assert (ended.code, ended.stderr) == (0, "")
    spans = len(receiver.spans())
    assert iterations(receiver) == []
    [who] = taken_over(config)
    assert iterations(receiver) == [(who, 3)]
    assert len(receiver.spans()) == spans > 0
    assert list(recorders_folder(home).iterdir()) == []


def test_a_recorder_whose_metrics_nobody_wants_leaves_nothing_to_be_sent(home: Path, receiver: Received) -> None:
    spans_only = {"RALPH_OTEL_EXPORT_FORMAT": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{receiver.url}/v1/traces"}
    ended = hosts.run(hosts.LOOP, home.parent, env=spans_only)
    assert (ended.code, ended.stderr) == (0, "")
    assert len(receiver.spans()) > 0
    assert list(recorders_folder(home).iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"pid": 1}\n', b'{"pid": "x", "host": 1, "began": null}\n'])
def test_a_damaged_mark_harms_nothing(content: bytes, home: Path, config: MetricsConfig, heard: list[str]) -> None:
    path = recorders_folder(home) / "x.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert taken_over(config) == []
