"""`ralph-otel web` as a process: how it starts, tells live, and ends."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import bcrypt
import pytest
from served import Reader, reading, served

from ralph_otel.views.live_run import DEAD
from support.certificates import make_certificate
from support.ports import free_port, taken
from support.shown import put, rich
from support.waiting import until
from support.watched import loop_process

pytestmark = pytest.mark.integration


def told_of(reader: Reader, number: int) -> bool:
    """Whether a reader was told last that this iteration runs."""
    told = reader.of("run")[-1:]
    return bool(told and told[0]["iteration"] and told[0]["iteration"]["number"] == number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_without_a_word_though_readers_are_connected(number: int, home: Path) -> None:
    put(home, rich())
    with served(home) as server, reading(server) as reader:
        reader.wait("run")
        began = time.monotonic()
        code = server.stop(number)
        assert time.monotonic() - began < 50
        assert code in ((0,) if number == signal.SIGINT else (0, -signal.SIGTERM))
        until(lambda: reader.ended)
        assert server.said.count("\n") == 1, server.said


def test_what_a_loop_does_arrives_as_it_happens_and_when_it_is_killed_that_too(home: Path) -> None:
    with served(home) as server, reading(server) as reader:
        reader.wait("hello")
        with loop_process(home / "runs" / "r.jsonl", max_iterations=3) as loop:
            until(lambda: [run["name"] for run in reader.of("run")][-1:] == ["watched"])
            loop.add("iteration.started", iteration=1)
            until(lambda: (reader.of("run")[-1]["iteration"] or {}).get("number") == 1)
            loop.add("iteration.finished", iteration=1, outcome="timeout", duration=1.5)
            until(lambda: reader.of("run")[-1]["outcomes"] == ["timeout"])
            assert reader.of("run")[-1]["state"] == "running"
        until(lambda: reader.of("run")[-1]["state"] == DEAD)
        assert reader.of("run")[-1]["good"] is False


def test_a_reader_that_was_away_goes_on_and_after_a_restart_begins_anew(home: Path) -> None:
    put(home, *(rich(f"r{number}", f"loop-{number}") for number in range(5)))
    with served(home, port=free_port()) as server:
        with reading(server) as reader:
            reader.wait("run", 5)
            last = reader.last_id
        put(home, rich("r3", "loop-3", turns=14))
        with reading(server, last=last) as again:
            assert again.wait("hello")[0]["resumed"] is True
            assert [run["iterations"] for run in again.wait("run")] == [14]
        port = server.port
    with served(home, port=port) as server, reading(server, last=last) as fresh:
        fresh.wait("run", 5)
        assert fresh.of("hello")[0]["resumed"] is False


def test_a_reader_that_never_reads_holds_up_nobody(home: Path) -> None:
    with (
        served(home) as server,
        loop_process(home / "runs" / "r.jsonl") as loop,
        socket.create_connection((server.host, server.port), 60) as stuck,
        reading(server) as reader,
    ):
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(f"GET /api/events HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
        for number in range(1, 4):
            loop.add("iteration.started", iteration=number)
            until(partial(told_of, reader, number))
        assert server.get("/api/runs").status == 200


def test_two_hundred_readers_at_once_get_every_change(home: Path) -> None:
    readers: list[Reader] = []
    with served(home) as server, loop_process(home / "runs" / "r.jsonl") as loop:
        try:
            readers += [Reader(server) for _ in range(200)]
            loop.add("iteration.started", iteration=7)
            until(lambda: all(told_of(reader, 7) for reader in readers))
        finally:
            for reader in readers:
                reader.close()


def test_the_next_free_port_is_taken_and_one_that_is_asked_for_is_not_another(home: Path) -> None:
    with served(home) as server:
        words = [sys.executable, "-m", "ralph_otel", "web", "--port", str(server.port)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    said = f"ralph-otel: port {server.port} is in use on 127.0.0.1; --port takes another, 0 any free one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_an_address_that_others_reach_is_not_listened_on_without_tls_and_a_password(home: Path) -> None:
    with served(home, "--host", "0.0.0.0") as server:
        assert server.host == "127.0.0.1"
        assert "page: others could reach '0.0.0.0' without TLS and a password or token" in server.said


def test_with_certificate_and_password_only_those_get_in_who_have_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    settings = {
        "tls_server_config": {"cert_file": str(certificate), "key_file": str(key)},
        "basic_auth_users": {"ann": hashed},
    }
    (tmp_path / "web.yml").write_text(json.dumps(settings))
    monkeypatch.setenv("RALPH_OTEL_WEB_CONFIG", str(tmp_path / "web.yml"))
    put(home, rich())
    trust = ssl.create_default_context(cafile=str(certificate))
    with served(home, "--host", "0.0.0.0") as server:
        assert server.url.startswith("https://0.0.0.0:")
        for given, status in (("", 401), ("ann:wrong", 401), ("ann:open sesame", 200)):
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=trust, timeout=60)
            headers = {"Authorization": "Basic " + base64.b64encode(given.encode()).decode()} if given else {}
            connection.request("GET", "/api/runs", headers=headers)
            response = connection.getresponse()
            assert response.status == status
            assert (b"fix-bugs" in response.read()) == (status == 200)
            assert ("WWW-Authenticate" in response.headers) == (status == 401)
            connection.close()


def test_what_the_user_wants_redacted_is_not_on_the_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home, rich(name="fix-secret-42"))
    monkeypatch.setenv("RALPH_OTEL_REDACT", r"secret-\d+")
    with served(home) as server, reading(server) as reader:
        assert reader.wait("run")[0]["name"] == "fix-[redacted]"
        assert b"secret-42" not in server.get("/api/runs").body + server.get("/api/runs/latest").body


def test_where_the_extra_is_missing_one_line_names_it(home: Path, tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-m", "ralph_otel", "web"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False, env=environment)
    said = "ralph-otel: uvicorn is missing; pip install 'ralph-otel[web]' brings it\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_bytes_that_are_no_request_are_no_trouble(home: Path) -> None:
    with served(home) as server:
        for said in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"G" * 100_000, b"GET /\r\n\r\n\0\0"):
            with (
                suppress(ConnectionError),  # it may have hung up before it has all
                socket.create_connection((server.host, server.port), 60) as client,
            ):
                client.sendall(said)
        assert server.get("/api/runs").status == 200
        server.stop()
        assert server.said.count("\n") == 1, server.said


def test_what_is_sent_is_packed_where_the_browser_wants_it_but_never_events(home: Path) -> None:
    put(home, rich())
    with served(home) as server:
        packed = server.get("/api/runs/latest", Accept_Encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) < len(server.get("/api/runs/latest").body) / 3
        with reading(server) as reader:
            reader.wait("run")


def test_ports_of_ours_that_are_all_taken_are_said_to_be(home: Path) -> None:
    with taken(*range(9475, 9486)):
        words = [sys.executable, "-m", "ralph_otel", "web"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "ports 9475 to 9485 are all in use on 127.0.0.1" in done.stderr
