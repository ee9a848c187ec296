"""The Prometheus endpoint as a hostile or a careful network finds it: sockets, TLS, real collectors."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import bcrypt
import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from ralph_otel import MetricsCollector
from ralph_otel.config import MetricsConfig
from ralph_otel.doctor import endpoints
from ralph_otel.doctor.findings import Level, Subject
from ralph_otel.exporters.prometheus import PrometheusServer, server
from ralph_otel.serving import Admission, bounded, read_web_config
from support.certificates import make_certificate
from support.ports import free_port
from support.waiting import until

PASSWORD = "the-password-canary"


@pytest.fixture
def running() -> Iterator[PrometheusServer]:
    with closing(PrometheusServer(lambda: None, port=0)) as endpoint:
        yield endpoint


def status(connection: http.client.HTTPConnection, **headers: str) -> int:
    with closing(connection):
        connection.request("GET", "/metrics", headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        response.read()
        return response.status


def plain(endpoint: PrometheusServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*endpoint.address, timeout=60)


def scraping() -> int:
    return sum(thread.name == "ralph-otel-scrape" for thread in threading.enumerate())


def test_a_page_that_has_bound_its_name_to_us_gets_nothing(running: PrometheusServer) -> None:
    assert status(plain(running)) == 200
    assert status(plain(running), Host="evil.example") == 421
    assert status(plain(running), Origin="https://evil.example") == 403


def test_five_hundred_scrapes_at_once_are_answered_on_bounded_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_ASKING_IN_A_CROWD", "_WHOLE_IN_A_CROWD"):  # these clients are no slower than the machine
        monkeypatch.setattr(bounded, name, 60.0)
    collections: list[int] = []

    def read() -> MetricsData | None:
        collections.append(scraping())
        return None

    with closing(PrometheusServer(read, port=0)) as endpoint, ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: status(plain(endpoint)), range(500)))
    assert answers == [200] * 500
    assert max(collections) <= bounded.MOST


def test_scrapes_that_wait_share_the_collection_that_begins_after_they_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PATIENCE", 100.0)
    collections, go = [], threading.Event()

    def read() -> MetricsData | None:
        collections.append(1)
        assert go.wait(100)
        return None

    with closing(PrometheusServer(read, port=0)) as endpoint, ThreadPoolExecutor(20) as pool:
        first = pool.submit(status, plain(endpoint))
        until(lambda: collections)
        others = [pool.submit(status, plain(endpoint)) for _ in range(19)]
        until(lambda: waiting() == 19)
        go.set()
        assert [each.result(100) for each in (first, *others)] == [200] * 20
    assert len(collections) <= 3  # two, but for one that has got there in this very moment


def waiting() -> int:
    """How many threads wait for another's collection."""
    return sum(frame.f_code.co_qualname == "_Scrapes.get" for frame in sys._current_frames().values())


SLOW: dict[str, Callable[[socket.socket], None]] = {
    "say nothing": lambda client: None,
    "begin to ask": lambda client: client.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc"),
    "never end their headers": lambda client: client.sendall(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 50),
}


@pytest.mark.parametrize("how", SLOW)
def test_three_hundred_connections_of_clients_that_do_not_finish_leave_room_for_a_scrape(
    how: str, running: PrometheusServer
) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            SLOW[how](stack.enter_context(closing(socket.create_connection(running.address, timeout=60))))
        assert status(plain(running)) == 200
        assert scraping() <= bounded.MOST


def test_who_sends_a_byte_now_and_then_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_ASKING", 0.5)
    with closing(PrometheusServer(lambda: None, port=0)) as endpoint:
        with closing(socket.create_connection(endpoint.address, timeout=0.05)) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")

            def hung_up() -> bool:
                try:
                    client.sendall(b"x")
                    return client.recv(1) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True

            until(hung_up)
        until(lambda: scraping() == 0)


def test_a_request_without_end_is_not_read_to_its_end(running: PrometheusServer) -> None:
    with closing(socket.create_connection(running.address, timeout=60)) as client:
        sent = 0
        with pytest.raises(OSError):  # noqa: PT012  # it hangs up somewhere in the midst
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
            while sent < 50_000_000:
                client.sendall(b"X-%d: " % sent + b"y" * 60_000 + b"\r\n")
                sent += 60_000
        assert sent < 50_000_000
    assert status(plain(running)) == 200


@pytest.fixture
def guarded_folder(tmp_path: Path) -> Path:
    """The folder of a web.yml with a certificate, a password and a token."""
    make_certificate(tmp_path)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "token").write_text("token-canary-0123456789\n")
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\nbearer_token_file: token\n"
    )
    return tmp_path


def test_with_certificate_and_password_others_are_answered_who_know_it(guarded_folder: Path) -> None:
    web = read_web_config(guarded_folder / "web.yml")
    context = ssl.create_default_context(cafile=str(guarded_folder / "server.crt"))
    with closing(PrometheusServer(lambda: None, Admission("0.0.0.0", web.tls, web.credentials), 0)) as endpoint:

        def secured() -> http.client.HTTPSConnection:
            return http.client.HTTPSConnection("127.0.0.1", endpoint.address[1], timeout=30, context=context)

        right = base64.b64encode(f"prometheus:{PASSWORD}".encode()).decode()
        wrong = base64.b64encode(b"prometheus:guess").decode()
        assert status(secured(), Authorization=f"Basic {right}") == 200
        assert status(secured(), Authorization="Bearer token-canary-0123456789") == 200
        assert status(secured(), Authorization=f"Basic {wrong}") == 401
        assert status(secured()) == 401
        with pytest.raises((OSError, http.client.HTTPException)):
            status(http.client.HTTPConnection("127.0.0.1", endpoint.address[1], timeout=60))
        with ExitStack() as stack:  # none of these says anything of TLS
            for _ in range(100):
                stack.enter_context(closing(socket.create_connection(("127.0.0.1", endpoint.address[1]), timeout=60)))
            assert status(secured(), Authorization=f"Basic {right}") == 200
    until(lambda: scraping() == 0)


# -- through a collector -----------------------------------------------------------------------------------------------


def collector_address(make_collector: Callable[..., MetricsCollector], **fields: object) -> tuple[str, int] | None:
    collector = make_collector(export_format="prometheus", **fields)
    with collector.loop("n") as loop, loop.iteration():
        pass
    assert collector.flush(60)
    return collector.prometheus_address


def test_a_loop_that_asks_for_all_addresses_goes_on_with_its_own_machines(
    make_collector: Callable[..., MetricsCollector], heard: list[str]
) -> None:
    port = free_port()
    assert collector_address(make_collector, export_target=f"0.0.0.0:{port}") == ("127.0.0.1", port)
    assert [line for line in heard if "RALPH_OTEL_WEB_INSECURE=true" in line] == heard
    assert len(heard) == 1


def test_a_loop_is_open_to_all_where_that_is_said(
    make_collector: Callable[..., MetricsCollector], heard: list[str]
) -> None:
    port = free_port()
    address = collector_address(make_collector, export_target=f"0.0.0.0:{port}", web_insecure=True)
    assert address == ("0.0.0.0", port)
    assert heard == []


def test_a_loop_whose_passwords_cannot_be_read_is_not_served_at_all(
    make_collector: Callable[..., MetricsCollector], heard: list[str], tmp_path: Path
) -> None:
    assert collector_address(make_collector, web_config=tmp_path / "web.yml") is None
    assert heard == [
        f"ralph-otel: prometheus endpoint: '{tmp_path}/web.yml': No such file or directory; there is none until then"
    ]


def test_a_loop_with_certificate_and_password_is_served_to_all(
    make_collector: Callable[..., MetricsCollector], heard: list[str], guarded_folder: Path
) -> None:
    port = free_port()
    path = guarded_folder / "web.yml"
    assert collector_address(make_collector, export_target=f"0.0.0.0:{port}", web_config=path) == ("0.0.0.0", port)
    context = ssl.create_default_context(cafile=str(guarded_folder / "server.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
    assert status(connection, Authorization="Bearer token-canary-0123456789") == 200
    assert heard == []


def test_such_a_loop_says_that_it_speaks_tls(
    make_collector: Callable[..., MetricsCollector], home: Path, guarded_folder: Path
) -> None:
    collector = make_collector(
        export_format="prometheus", export_target="prometheus=127.0.0.1:0", web_config=guarded_folder / "web.yml"
    )
    with collector.loop("n"):
        assert collector.wait_ready(60)
        assert collector.prometheus_address is not None
        assert collector.prometheus_url == f"https://127.0.0.1:{collector.prometheus_address[1]}/metrics"
        [target] = json.loads(next((home / "targets").iterdir()).read_text())
    assert target["labels"]["__scheme__"] == "https"


# -- what doctor says of it --------------------------------------------------------------------------------------------


def findings(**fields: object) -> list[tuple[Level, str, str]]:
    config = MetricsConfig(**fields)  # type: ignore[arg-type]  # as given
    return [(each.level, each.text, each.remedy) for each in endpoints.prometheus(Subject(config))]


def test_doctor_says_what_an_open_address_lacks(guarded_folder: Path) -> None:
    open_to_all = {"export_target": "0.0.0.0:0"}
    refused, port = findings(**open_to_all)
    assert refused[0] is Level.PROBLEM
    assert refused[1].startswith("others could reach '0.0.0.0' without TLS and a password or token; it will listen on")
    assert "RALPH_OTEL_WEB_CONFIG" in refused[2]
    assert port[1] == "any free port on 127.0.0.1"
    assert [each[0] for each in findings(**open_to_all, web_insecure=True)] == [Level.WARNING, Level.OK]
    assert [each[0] for each in findings(**open_to_all, web_config=guarded_folder / "web.yml")] == [Level.OK]
    (guarded_folder / "token").unlink()
    [broken] = findings(**open_to_all, web_config=guarded_folder / "web.yml")
    assert broken[0] is Level.PROBLEM
    assert "token': No such file or directory" in broken[1]
