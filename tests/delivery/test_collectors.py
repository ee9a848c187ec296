"""Whole collectors and a receiver that is away: what one leaves the next one sends, each span and record once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bodies import logs

from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.doctor import delivery
from ralph_otel.doctor.findings import Level, Subject
from ralph_otel.exporters.delivery import deliveries, sender
from ralph_otel.exporters.delivery.deliveries import queues
from ralph_otel.exporters.delivery.dropped import Dropped, Reason, read
from ralph_otel.exporters.delivery.queue import Queue, State
from ralph_otel.exporters.delivery.wire import Wire
from ralph_otel.replay import replay
from ralph_otel.signals.logs import RecordIds
from support.ports import free_port, mute_server
from support.receiver import GrpcReceiver, HttpReceiver, Received, attributes, totals
from support.tape import lines_of
from support.waiting import until

Receiver = Callable[[int], Any]


@pytest.fixture(params=[HttpReceiver, GrpcReceiver], ids=["http", "grpc"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """Makes a receiver on a port; once for each protocol. Attempts come quickly."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc" if request.param is GrpcReceiver else "http/protobuf")
    monkeypatch.setattr(sender, "_LONGEST", 0.1)
    receiver: Receiver = request.param
    return receiver


def collector(port: int, **fields: Any) -> MetricsCollector:
    defaults = {"export_format": "otlp", "export_target": f"http://127.0.0.1:{port}", "resources": False}
    return MetricsCollector(MetricsConfig(**{**defaults, "collection_interval": 60, **fields}))


def run_a_loop(made: MetricsCollector, iterations: int = 3) -> str:
    """A loop with so many iterations; its run id."""
    with made.loop("l", runner="r") as loop:
        for _ in range(iterations):
            with loop.session(), loop.iteration() as it, it.agent("claude"):
                pass
    return loop.run_id


def waiting(home: Path) -> Counter[str]:
    """How many requests wait, by signal."""
    folders = queues(home).iterdir() if queues(home).exists() else []
    return Counter({folder.name.split("-")[-2]: len(Queue(folder, 0).waiting()) for folder in folders})


def uids(received: Received) -> list[str]:
    return [attributes(record.attributes)["log.record.uid"] for record in received.logs()]


def test_what_an_outage_left_the_next_collector_delivers_each_once(kind: Receiver, home: Path) -> None:
    port = free_port()
    runs = []
    for _ in range(2):
        made = collector(port)
        runs.append(run_a_loop(made))
        assert made.shutdown(60)
    assert set(waiting(home)) == {"metrics", "traces", "logs"}
    assert not list((home / "delivered").glob("*/*")), "nothing was delivered yet"
    with kind(port) as received:
        made = collector(port)
        made.start()
        until(lambda: not waiting(home).total(), what="for empty queues")
        runs.append(run_a_loop(made))
        assert made.shutdown(60)
        spans = Counter(span.span_id.hex() for span in received.spans())
        noted = Counter(line for path in (home / "delivered").glob("*/*") for line in path.read_text().split())
        lines = [line for run in runs for line in lines_of(home / "runs" / f"{run}.jsonl")]
        assert spans == noted
        assert set(spans.values()) == {1}
        assert len(spans) == 3 * (1 + 3 * 3)
        assert len(set(uids(received))) == len(uids(received)) == len(lines)
        assert dict(totals(received.taken("metrics"), "ralph_loop.iterations")) == dict.fromkeys(runs, 3)
        assert not waiting(home).total()


def test_metrics_go_out_where_an_attempt_fails_before_their_exporter_is_made(
    kind: Receiver, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's thread begins at once with what an earlier process has left, and nobody answers."""

    class Quick(sender.Sender):
        def __init__(self, wire: Wire, *rest: Any) -> None:
            super().__init__(wire, *rest)
            wire.close()

    monkeypatch.setattr(deliveries, "Sender", Quick)
    port = free_port()
    with kind(port) as received:
        made = collector(port)
        run = run_a_loop(made)
        assert made.shutdown(60)
        assert dict(totals(received.taken("metrics"), "ralph_loop.iterations")) == {run: 3}


def killed(journal: Path, *further: str) -> None:
    """Make a journal that of a run that was killed: without its end, with lines that nobody has recorded."""
    lines = [line for line in journal.read_text().splitlines() if '"loop.stopped"' not in line]
    lines[0] = json.dumps({**json.loads(lines[0]), "pid": 2**22 + 1})  # nobody's
    journal.write_text("".join(f"{line}\n" for line in (*lines, *further)))
    old = time.time() - 60
    os.utime(journal, (old, old))


def test_a_dead_runs_spans_that_wait_already_are_not_sent_twice(kind: Receiver, home: Path) -> None:
    port = free_port()
    made = collector(port)
    run = run_a_loop(made)
    assert made.shutdown(60)
    journal = home / "runs" / f"{run}.jsonl"
    killed(journal)
    with kind(port) as received:
        made = collector(port)
        made.start()
        until(lambda: "crashed" in journal.read_text(), what="for the end of the dead run")
        assert made.shutdown(60)
        spans = Counter(span.span_id.hex() for span in received.spans())
        assert set(spans.values()) == {1}
        assert len(spans) == 1 + 3 * 3


def test_of_a_dead_run_the_records_are_made_that_were_not_handed_over(home: Path) -> None:
    port = free_port()
    made = collector(port)
    run = run_a_loop(made)
    assert made.shutdown(60)
    journal = home / "runs" / f"{run}.jsonl"
    handed = home / "logged" / f"127.0.0.1_{port}" / run
    last = lines_of(journal)[-1]
    late = {**last, "type": "iteration.started", "iteration": 9, "ts": last["ts"] + 5}
    killed(journal, json.dumps(late), json.dumps({**late, "type": "error.raised", "error_type": "E"}))
    ids = RecordIds()
    *_, before = [ids.of(line) for line in lines_of(journal) if line["ts"] < late["ts"]]
    handed.write_text(before)
    with HttpReceiver(port) as received:
        made = collector(port)
        made.start()
        until(lambda: "crashed" in journal.read_text(), what="for the end of the dead run")
        assert made.shutdown(60)
        names = [record.event_name for record in received.logs()]
        assert names[-3:] == ["ralph.iteration.started", "ralph.error.raised", "ralph.loop.stopped"]
        assert len(names) == len(lines_of(journal)) + 1, "and the former end"
        assert len(set(uids(received))) == len(names)


def test_the_end_is_in_time_though_the_receiver_hangs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    monkeypatch.setattr(sender, "_PATIENCE", 600.0)
    with mute_server() as port:
        made = collector(port)
        run_a_loop(made)
        assert made.flush_events(60)
        end = threading.Thread(target=made.shutdown, args=(2,), daemon=True)
        end.start()
        end.join(60)
        assert not end.is_alive(), "the exporter's own timeout is ten minutes"
    assert set(waiting(home)) == {"metrics", "traces", "logs"}


def test_our_own_metrics_say_what_waits_and_what_was_given_up(receiver: Received) -> None:
    made = collector(int(receiver.url.rpartition(":")[2]))
    receiver.status = 400
    run_a_loop(made)
    made.flush(60)
    receiver.status = 503
    made.increment("one_more")
    made.flush(60)
    text = made.export("prometheus")
    made.shutdown(60)
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures['ralph_otel_undelivered_total{ralph_drop_reason="refused",ralph_signal="traces"}']) == 10
    assert float(figures['ralph_otel_waiting_requests{ralph_signal="logs"}']) == 1
    assert float(figures['ralph_otel_waiting_size_bytes{ralph_signal="logs"}']) > 0
    assert float(figures['ralph_otel_waiting_requests{ralph_signal="traces"}']) == 0


def test_a_record_has_the_same_id_live_and_in_a_replay(receiver: Received, home: Path) -> None:
    made = collector(int(receiver.url.rpartition(":")[2]))
    run = run_a_loop(made)
    assert made.shutdown(60)
    live = uids(receiver)
    receiver.requests.clear()
    sent = replay(home / "runs" / f"{run}.jsonl", receiver.url, MetricsConfig())
    assert sent.problems == []
    assert sorted(uids(receiver)) == sorted(live)
    assert receiver.spans() == []


def test_a_replay_sends_first_what_waits_for_its_endpoint(kind: Receiver, home: Path) -> None:
    port = free_port()
    made = collector(port)
    run = run_a_loop(made)
    assert made.shutdown(60)
    with kind(port) as received:
        sent = replay(home / "runs" / f"{run}.jsonl", f"http://127.0.0.1:{port}", MetricsConfig())
        assert sent.problems == []
        assert set(Counter(span.span_id for span in received.spans()).values()) == {1}
        assert len(received.spans()) == 10
        assert not waiting(home).total()


def test_what_nobody_sends_any_more_is_given_up_when_it_is_too_old(
    home: Path, receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = Queue(queues(home) / "collector_4318-http-logs-00c0ffee", 1 << 20)
    now = time.time_ns()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: now - 73 * 3600 * 10**9)
        orphan.append(logs(1, 2), 2)
    orphan.append(logs(3, 4, 5), 3)
    made = collector(int(receiver.url.rpartition(":")[2]))
    made.start()
    until(lambda: len(orphan.waiting()) == 1, what="for the old one to go")
    assert made.shutdown(60)
    assert orphan.waiting()[0].items == 3
    [entry] = read(orphan.folder)
    assert (entry.reason, entry.items) == ("too_old", 2)


def test_the_doctor_says_what_waits_since_when_and_what_was_given_up_and_why(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [finding.level for finding in delivery.delivery(Subject(MetricsConfig()))] == [Level.OK]
    queue = Queue(queues(home) / "collector_4318-http-logs-00c0ffee", 1 << 20)
    for number in range(3):
        queue.append(logs(number, number + 10), 2)
    assert queue.lock()
    queue.note(State("HTTP 503", time.time() + 30, False))
    dropped = Dropped(queue.folder)
    dropped.add(Reason.REFUSED, 7, "HTTP 400")
    dropped.add(Reason.REFUSED, 5, "HTTP 400")
    dropped.add(Reason.TOO_OLD, 1)
    before = Queue(queue.folder, 0).waiting()
    findings = list(delivery.delivery(Subject(MetricsConfig())))
    assert [finding.level for finding in findings] == [Level.WARNING] * 3
    assert "logs by http to collector:4318: 3 requests with 6 items" in findings[0].text
    assert "the last attempt: HTTP 503" in findings[0].text
    assert "12 items given up" in findings[1].text
    assert "refused (HTTP 400)" in findings[1].text
    assert "too_old" in findings[2].text
    assert "RALPH_OTEL_WAITING_AGE" in findings[2].remedy
    assert Queue(queue.folder, 0).waiting() == before


def test_the_doctor_knows_what_the_next_loop_will_send(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    made = collector(port)
    run_a_loop(made)
    assert made.shutdown(60)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    ours = list(delivery.delivery(Subject(MetricsConfig())))
    assert len(ours) == 3
    assert all("the next loop sends them" in finding.remedy for finding in ours)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=another")
    others = list(delivery.delivery(Subject(MetricsConfig())))
    assert all("the same OTEL_EXPORTER_OTLP_HEADERS" in finding.remedy for finding in others)
