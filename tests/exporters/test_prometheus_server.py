from __future__ import annotations

import gzip
import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from metering import Pipeline, hear_notices
from opentelemetry.sdk.metrics.export import MetricsData

from ralph_otel.exporters.prometheus import EndpointError, PrometheusServer, server
from ralph_otel.serving import Admission, bounded
from support.ports import free_ports
from support.waiting import until

GAUGE = b"# HELP g G.\n# TYPE g gauge\ng 1.0\n"


def gauge() -> Pipeline:
    pipeline = Pipeline()
    pipeline.meter.create_up_down_counter("g", description="G.").add(1)
    return pipeline


@pytest.fixture
def running() -> Iterator[PrometheusServer]:
    endpoint = PrometheusServer(gauge().reader.read, port=0)
    yield endpoint
    endpoint.close()


def get(
    endpoint: PrometheusServer, path: str = "/metrics", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection(*endpoint.address, timeout=60)) as connection:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def ours() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name in ("ralph-otel-prometheus", "ralph-otel-scrape")]


def listener(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def test_the_metrics_are_at_their_path_only(running: PrometheusServer) -> None:
    status, headers, body = get(running)
    assert (status, body) == (200, GAUGE)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert int(headers["Content-Length"]) == len(GAUGE)
    assert get(running, "/metrics?x=1")[2] == GAUGE
    assert b'href="/metrics"' in get(running, "/")[2]
    assert [get(running, path)[0] for path in ("/metrics/", "/favicon.ico", "//[", "/etc/passwd")] == [404] * 4


def test_it_listens_on_the_own_machine_only(running: PrometheusServer) -> None:
    assert running.address[0] == "127.0.0.1"


def test_openmetrics_and_gzip_are_given_when_asked_for(running: PrometheusServer) -> None:
    asked = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}
    _, headers, body = get(running, headers=asked)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == GAUGE + b"# EOF\n"


def test_head_has_no_body_and_other_methods_are_refused(running: PrometheusServer) -> None:
    status, headers, body = get(running, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(GAUGE)), b"")
    assert get(running, method="POST")[0] == 501


def test_fifty_scrapes_at_once_all_get_the_whole(running: PrometheusServer) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: get(running), range(50)))
    assert all(status == 200 and body == GAUGE for status, _, body in answers)


def test_a_failing_collection_is_answered_and_the_next_scrape_works(
    running: PrometheusServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = hear_notices(monkeypatch)
    good = running.read

    def bad() -> MetricsData | None:
        raise RuntimeError("the host's\ncallback")

    running.read = bad
    for _ in range(2):
        status, _, body = get(running)
        assert (status, body) == (500, b"no metrics this time: RuntimeError\n")
    running.read = good
    assert get(running)[0] == 200
    assert heard == ['ralph-otel: Prometheus: a scrape failed, RuntimeError: "the host\'s\\ncallback"']
    assert capfd.readouterr() == ("", "")


def test_without_any_metric_a_scrape_is_empty(running: PrometheusServer) -> None:
    running.read = lambda: None
    assert get(running)[::2] == (200, b"")


def test_the_next_free_port_is_taken() -> None:
    first = free_ports(3)
    with closing(listener(first)), closing(PrometheusServer(gauge().reader.read, port=first, last_port=first + 2)) as a:
        assert a.address == ("127.0.0.1", first + 1)
        with closing(PrometheusServer(gauge().reader.read, port=first, last_port=first + 2)) as b:
            assert b.address == ("127.0.0.1", first + 2)
            assert get(a)[2] == get(b)[2] == GAUGE


def test_without_a_free_port_the_error_names_those_tried() -> None:
    first = free_ports(2)
    with closing(listener(first)), closing(listener(first + 1)):
        with pytest.raises(EndpointError, match=f"ports {first} to {first + 1} are all in use on 127.0.0.1"):
            PrometheusServer(gauge().reader.read, port=first, last_port=first + 1)
        with pytest.raises(OSError, match=f"port {first} is in use on 127.0.0.1"):
            PrometheusServer(gauge().reader.read, port=first, last_port=first - 1)


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1), ("a" * 70, 0)]
)
def test_an_address_that_cannot_be_had_is_a_clear_error(host: str, port: int) -> None:
    with pytest.raises(EndpointError, match=f"cannot listen on {host}, port {port}: .+"):
        PrometheusServer(gauge().reader.read, Admission(host), port=port, last_port=port)


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_it_can_listen_on_ipv6() -> None:
    with closing(PrometheusServer(gauge().reader.read, Admission("::1"), port=0)) as endpoint:
        assert endpoint.address[0] == "::1"
        assert get(endpoint)[2] == GAUGE


def test_closing_leaves_no_thread_and_no_port(running: PrometheusServer) -> None:
    assert get(running)[0] == 200
    running.close()
    running.close()
    until(lambda: ours() == [])
    listener(running.address[1]).close()


def test_closing_does_not_wait_for_clients_that_say_nothing(
    running: PrometheusServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bounded, "_ASKING", 600.0)
    silent, half = socket.create_connection(running.address), socket.create_connection(running.address)
    with closing(silent), closing(half):
        half.sendall(b"GET /metrics HTTP/1.1\r\nHos")
        until(lambda: len(ours()) == 3)
        begun = time.monotonic()
        running.close()
        until(lambda: ours() == [])
        assert time.monotonic() - begun < 60
    assert capfd.readouterr() == ("", "")


def test_closing_does_not_wait_for_a_client_that_does_not_read(
    running: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "_ASKING", 600.0)
    pipeline = Pipeline()
    for number in range(2000):
        pipeline.meter.create_gauge(f"g{number}", description="x" * 5000).set(1)
    running.read = pipeline.reader.read
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(running.address)
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert client.recv(1)
        begun = time.monotonic()
        running.close()
        until(lambda: ours() == [])
        assert time.monotonic() - begun < 60


def test_an_answer_under_way_is_finished_when_the_server_closes(
    running: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CLOSING", 60.0)
    entered, pipeline = threading.Event(), gauge()

    def slow() -> MetricsData | None:
        entered.set()
        until(lambda: running._server is None)
        return pipeline.reader.read()

    running.read = slow
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, running)
        assert entered.wait(60)
        running.close()
        assert answer.result(60)[::2] == (200, GAUGE)


def test_a_silent_client_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bounded, "_ASKING", 0.1)
    with closing(PrometheusServer(gauge().reader.read, port=0)) as endpoint:
        with closing(socket.create_connection(endpoint.address, timeout=60)) as client:
            assert client.recv(1) == b""
        until(lambda: len(ours()) == 1)
        monkeypatch.setattr(bounded, "_ASKING", 60.0)
        assert get(endpoint)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_clients_that_go_away_or_talk_nonsense_disturb_nobody(
    running: PrometheusServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for request in (
        b"",
        b"\r\n\r\n",
        b"\x00\xff\n",
        b"GET\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET " + b"x" * 70_000,
    ):
        with closing(socket.create_connection(running.address)) as client:
            client.sendall(request)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    until(lambda: len(ours()) == 1)
    assert get(running)[2] == GAUGE
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_can_close_its_copy(running: PrometheusServer) -> None:
    child = os.fork()
    if child == 0:
        running.close()
        os._exit(0)
    until(lambda: os.waitpid(child, os.WNOHANG)[0] == child)
    assert get(running)[2] == GAUGE
