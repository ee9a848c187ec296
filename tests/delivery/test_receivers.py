"""Delivery to real receivers by HTTP and gRPC that answer by script: what they were sent, and what they have taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.client import parse_headers
from pathlib import Path
from typing import Any

import pytest
from bodies import logs, metrics, numbers_of, spans

from ralph_otel import MetricsConfig
from ralph_otel.exporters.delivery import deliveries, payload, sender, wire
from ralph_otel.exporters.delivery.dropped import Dropped
from ralph_otel.exporters.delivery.queue import Queue
from ralph_otel.exporters.delivery.sender import Sender
from ralph_otel.exporters.otlp import Signal
from support.ports import free_port
from support.receiver import GrpcReceiver, HttpReceiver, Received, Reply
from support.waiting import until

Make = Callable[..., Sender]
TOO_LARGE = "grpc: received message larger than max (9 vs. 8)"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a sender of log records, or of another signal, to a URL. The waits between attempts are short."""
    monkeypatch.setattr(sender, "_FIRST", 0.002)
    monkeypatch.setattr(sender, "_LONGEST", 0.05)
    made: list[Sender] = []

    def one(url: str, protocol: str = "http/protobuf", signal: Signal = "logs") -> Sender:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        folder = tmp_path / signal
        own = wire.wire(signal, url)
        made.append(Sender(own, Queue(folder, 1 << 24), Dropped(folder), 86_400))
        return made[-1]

    yield one
    for each in made:
        each.stop(5)


@pytest.fixture(params=["http/protobuf", "grpc"])
def either(request: pytest.FixtureRequest, make: Make) -> Iterator[tuple[Received, Make]]:
    """A receiver, and what makes senders to it; once for each protocol."""
    with HttpReceiver() if request.param == "http/protobuf" else GrpcReceiver() as received:
        yield received, lambda signal="logs": make(received.url, request.param, signal)
        received.ended.set()


def dropped(made: Sender) -> dict[str, int]:
    """What a sender has given up, by reason."""
    return {reason.value: items for reason, items in made._dropped.counts.items()}


def taken(received: Received) -> list[int]:
    """The numbers of the log records that the receiver has taken, in order."""
    return numbers_of(received.taken("logs"))


EACH = {"logs": logs(1, 2, 3), "traces": spans(1, 2, 3), "metrics": metrics(1, 2, 3)}


@pytest.mark.parametrize("signal", EACH)
def test_every_signal_arrives_as_it_was(either: tuple[Received, Make], signal: Signal) -> None:
    received, make = either
    made = make(signal)
    made.put(EACH[signal], 3)
    assert made.flush(60)
    assert [message.SerializeToString() for message in received.of(signal)] == [EACH[signal]]


def test_an_outage_costs_nothing_and_the_order_holds(either: tuple[Received, Make]) -> None:
    received, make = either
    received.status = 503
    made = make()
    for number in range(1, 11):
        made.put(logs(number), 1)
    received.wait_for("logs", 3)
    received.status = 200
    until(lambda: taken(received) == list(range(1, 11)), what="for ten records")
    assert dropped(made) == {}


@pytest.mark.parametrize("refusal", [Reply(400), Reply(401, code="UNAUTHENTICATED"), Reply(404, code="UNIMPLEMENTED")])
def test_what_is_refused_is_not_sent_again(either: tuple[Received, Make], refusal: Reply) -> None:
    received, make = either
    received.script = [refusal]
    made = make()
    made.put(logs(1, 2), 2)
    made.put(logs(3), 1)
    assert made.flush(60)
    assert numbers_of(received.of("logs")) == [1, 2, 3]
    assert taken(received) == [3]
    assert dropped(made) == {"refused": 2}


@pytest.mark.parametrize("signal", EACH)
def test_a_partial_success_is_not_sent_again_and_what_it_left_out_is_counted(
    either: tuple[Received, Make], signal: Signal
) -> None:
    received, make = either
    received.script = [Reply(rejected=2)]
    made = make(signal)
    made.put(EACH[signal], 3)
    made.put(EACH[signal], 3)
    assert made.flush(60)
    assert len(received.requests) == 2
    assert dropped(made) == {"rejected": 2}


def test_what_is_too_large_is_sent_in_halves(either: tuple[Received, Make]) -> None:
    received, make = either
    received.script = [Reply(413, code="RESOURCE_EXHAUSTED", details=TOO_LARGE)] * 2
    made = make()
    made.put(logs(1, 2, 3, 4), 4)
    assert made.flush(60)
    assert [numbers_of([message]) for message in received.of("logs")] == [[1, 2, 3, 4], [1, 2], [1], [2], [3, 4]]
    assert dropped(made) == {}


def test_what_a_client_may_not_send_is_cut_before(either: tuple[Received, Make]) -> None:
    received, make = either
    made = make()
    made._wire.limit = len(logs(1, 2))
    made.put(logs(1, 2, 3, 4), 4)
    assert made.flush(60)
    assert [numbers_of([message]) for message in received.of("logs")] == [[1, 2], [3, 4]]


def test_a_receiver_that_asks_for_time_is_given_it(either: tuple[Received, Make]) -> None:
    received, make = either
    received.script = [Reply(429, code="RESOURCE_EXHAUSTED", delay=3600, headers={"Retry-After": "3600"})]
    made = make()
    made.put(logs(1), 1)
    received.wait_for("logs")
    until(lambda: made._throttled, what="for the answer to be understood")
    assert not made.flush(0.1)
    made.put(logs(2), 1)
    assert not made.stop(0.5)
    assert len(received.requests) == 1
    state = made._queue.state() if made._queue is not None else None
    assert state is not None
    assert (state.asked, state.said) in [(True, "HTTP 429"), (True, "gRPC RESOURCE_EXHAUSTED")]


def test_a_short_wait_passes_and_it_is_sent(either: tuple[Received, Make]) -> None:
    received, make = either
    received.script = [Reply(503, delay=0.1, headers={"Retry-After": "0.1"})]
    made = make()
    made.put(logs(1), 1)
    until(lambda: taken(received) == [1], what="for the record")


@pytest.mark.parametrize("code", ["CANCELLED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"])
def test_grpc_codes_that_pass_are_tried_again(make: Make, code: str) -> None:
    with GrpcReceiver() as received:
        received.script = [Reply(503, code=code)]
        made = make(received.url, "grpc")
        made.put(logs(1), 1)
        until(lambda: taken(received) == [1], what="for the record")
        assert numbers_of(received.of("logs")) == [1, 1]


def test_a_connection_that_breaks_off_before_the_answer_is_tried_again(make: Make, receiver: Received) -> None:
    receiver.script = [Reply(cut="answer"), Reply(cut="answer")]
    made = make(receiver.url)
    made.put(logs(1), 1)
    until(lambda: taken(receiver) == [1], what="for the record")
    assert numbers_of(receiver.of("logs")) == [1, 1, 1]


def test_an_answer_that_breaks_off_after_its_status_is_an_answer(make: Make, receiver: Received) -> None:
    receiver.script = [Reply(cut="body")]
    made = make(receiver.url)
    made.put(logs(1), 1)
    made.put(logs(2), 1)
    assert made.flush(60)
    assert numbers_of(receiver.of("logs")) == [1, 2]


def test_a_receiver_that_never_answers_is_tried_again_after_the_exporters_timeout(
    either: tuple[Received, Make], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    received, make = either
    received.script = [Reply(hang=True)]
    made = make()
    made.put(logs(1), 1)
    until(lambda: made.waiting()[0] == 0, what="for an attempt that is answered in time")
    assert set(taken(received)) == {1}
    assert len(received.of("logs")) >= 2


@pytest.mark.parametrize("kind", [HttpReceiver, GrpcReceiver])
def test_a_receiver_that_starts_late_gets_everything(make: Make, kind: Callable[[int], Any]) -> None:
    port = free_port()
    made = make(f"http://127.0.0.1:{port}", "grpc" if kind is GrpcReceiver else "http/protobuf")
    for number in range(1, 6):
        made.put(logs(number), 1)
    until(lambda: made._failures > 2, what="for some failures")
    with kind(port) as received:
        until(lambda: taken(received) == [1, 2, 3, 4, 5], what="for five records")


def test_what_is_no_request_holds_up_nothing(either: tuple[Received, Make]) -> None:
    received, make = either
    made = make("traces")
    made.put(b"\xff\xff no request", 1)
    made.put(EACH["traces"], 3)
    assert made.flush(60)
    assert [message.SerializeToString() for message in received.taken("traces")] == [EACH["traces"]]
    assert dropped(made) == {"refused": 1}


def test_an_answer_that_is_no_otlp_is_an_answer_all_the_same(make: Make) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 6\r\n\r\n\xff<html"
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as request:
                request.readline()
                size = int(parse_headers(request)["Content-Length"])
                request.read(size)  # or the end of the connection would be a reset
                connection.sendall(page)
                seen.set()

        threading.Thread(target=serve, daemon=True).start()
        made = make(f"http://127.0.0.1:{server.getsockname()[1]}")
        made.put(logs(1), 1)
        assert made.flush(60)
        assert seen.wait(60)
        assert dropped(made) == {}


@pytest.mark.parametrize("compression", ["gzip", "deflate", "none"])
def test_headers_and_compression_of_the_variables_count(
    make: Make, receiver: Received, monkeypatch: pytest.MonkeyPatch, compression: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush")
    made = make(receiver.url)
    receiver.script = [Reply(503)]
    made.put(logs(1), 1)
    until(lambda: len(receiver.requests) == 2, what="for two attempts")
    for request in receiver.requests:
        assert request.headers["authorization"] == "Bearer hush"
        assert request.headers.get("content-encoding", "none") == compression
        assert numbers_of([request.message]) == [1]
    until(lambda: made.waiting()[0] == 0, what="for an empty queue")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hush" not in kept


def test_grpc_metadata_of_the_variables_counts(
    make: Make, grpc_receiver: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hush")
    made = make(grpc_receiver.url, "grpc")
    made.put(logs(1), 1)
    assert made.flush(60)
    assert grpc_receiver.requests[0].headers["authorization"] == "Bearer hush"


def test_the_folder_tells_receivers_signals_and_tenants_apart_and_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(signal: Signal, url: str, headers: str = "") -> str:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
        return deliveries.folder_for(tmp_path, wire.wire(signal, url)).name

    url = "http://user:secret@h:1/path-secret"
    names = [
        folder("logs", url), folder("traces", url), folder("logs", "http://h:2/path-secret"),
        folder("logs", url + "/other"), folder("logs", url, "x-tenant=secret"), folder("logs", "http://h:4317"),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert not any("secret" in name for name in names)
    assert folder("logs", url) == names[0]
    assert names[0].startswith("h_1-http-logs-")


def test_halves_keep_resource_scope_and_every_item() -> None:
    request = payload.request_class("traces")()
    for name in ("a", "b"):
        resource = request.resource_spans.add(schema_url=f"{name}-schema")
        resource.resource.attributes.add(key="name").value.string_value = name
        for number in range(2):
            scope = resource.scope_spans.add(schema_url="s")
            scope.scope.name = f"{name}{number}"
            for item in range(number * 2 + 1):
                scope.spans.add(name=f"{name}{number}{item}")
    first, second = payload.halves("traces", request)

    def seen(message: Any) -> list[tuple[str, str, str]]:
        return [
            (resource.resource.attributes[0].value.string_value, scope.scope.name, span.name)
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    assert seen(first) + seen(second) == seen(request)
    assert len(seen(first)) == len(seen(second)) == 4
    assert {resource.schema_url for resource in first.resource_spans} == {"a-schema"}
    assert all(scope.spans for part in (first, second) for r in part.resource_spans for scope in r.scope_spans)


def test_without_journals_nothing_is_kept_on_disk(
    receiver: Received, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fields in ({"journal": False}, {"waiting_size": 0}):
        config = MetricsConfig(home=tmp_path / "home", export_format="otlp", export_target=receiver.url, **fields)
        made = deliveries.Deliveries(config)
        made.logs()
        [own] = made._senders.values()
        receiver.script = [Reply(503)]
        own.put(logs(1), 1)
        made.flush(60)
        until(lambda: taken(receiver) == [1], what="for the record")
        receiver.requests.clear()
        made.stop(5)
        assert not (tmp_path / "home" / "queue").exists()
