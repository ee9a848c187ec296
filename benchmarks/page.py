"""What the page costs: a long journal opened, and a change told to 1,000 readers at once.

`ralph-otel web` in a process of its own, and real connections. `open`: processor time of the server from the first
question for a run of 100,000 events until the whole answer is there, nothing of the journal having been read before;
against `json.loads` of its lines and nothing else. `readers`: processor time of the server for a change of a run, per
reader, with 1,000 readers of its server-sent events against one; `told` is the wall time until the last of them has it,
of which up to 100 ms are the server's pause between two looks.
"""

from __future__ import annotations

import http.client
import json
import re
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from benchmarks.processes import clean
from benchmarks.rounds import alternate, middle, ratio, timed
from benchmarks.workload import EVENTS, folder, write_journal

_PATIENCE = 60.0
_RUN = "20261126T000000Z-abcdef"


class Server:
    """A server that answers."""

    def __init__(self, home: Path) -> None:
        words = [sys.executable, "-m", "ralph_otel", "web", "--port", "0", "--interval", "0.1", "--most", "0"]
        environment = {**clean(), "RALPH_OTEL_HOME": str(home)}
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        found = re.search(r":(\d+)/", self.process.stderr.readline())
        if found is None:
            raise RuntimeError("the server does not start")
        self.port = int(found[1])

    def get(self, path: str) -> bytes:
        """The whole answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return body

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(_PATIENCE)
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """A server that ends with the block."""
    server = Server(home)
    try:
        yield server
    finally:
        server.close()


class Readers:
    """Connections that read the events of a server, and look for a text in them."""

    def __init__(self, server: Server, how_many: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}
        for _ in range(how_many):
            client = socket.create_connection(("127.0.0.1", server.port), _PATIENCE)
            client.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            client.setblocking(False)
            self._selector.register(client, selectors.EVENT_READ)
            self._tails[client] = b""

    def wait(self, text: bytes) -> None:
        """Read until every one of them has got that text."""
        waiting, deadline = set(self._tails), time.monotonic() + _PATIENCE
        while waiting:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(waiting)} readers have not got {text!r}")
            for key, _ in self._selector.select(1.0):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                seen = self._tails[client] + client.recv(65_536)
                if text in seen:
                    waiting.discard(client)
                self._tails[client] = seen[-200:]

    def close(self) -> None:
        """Hang up."""
        for client in self._tails:
            client.close()
        self._selector.close()


def _open(path: str, iterations: int) -> float:
    """Processor time of the first answer of a server that has just begun, which is about so many iterations."""
    with serving(Path(path)) as server:
        server.get("/api/openapi.json")
        before = server.cpu()
        answer = json.loads(server.get(f"/api/runs/{_RUN}"))
        took = max(server.cpu() - before, 1e-6)
    if answer["run"]["iterations"] != iterations:
        raise RuntimeError(f"the page has lost iterations: {answer['run']['iterations']} of {iterations}")
    return took


def _tell(how_many: int, changes: int) -> tuple[float, float]:
    """A change told to so many readers: seconds of the server's processor time, and of wall time until all have it."""
    with folder() as home, serving(home) as server:
        (home / "runs").mkdir()
        journal = home / "runs" / f"{_RUN}.jsonl"
        line = {"v": 1, "type": "loop.started", "loop": _RUN, "name": "told"}
        _append(journal, line)
        readers = Readers(server, how_many)
        readers.wait(b'"name":"told"')
        cpu, took = server.cpu(), list[float]()
        for number in range(1, changes + 1):
            began = time.perf_counter()
            _append(journal, {**line, "type": "iteration.started", "iteration": number})
            readers.wait(b'"iteration":{"number":%d,' % number)
            took.append(time.perf_counter() - began)
        spent = (server.cpu() - cpu) / changes
        readers.close()
    return spent, median(took)


def _append(journal: Path, line: dict[str, object]) -> None:
    with journal.open("ab") as file:
        file.write(json.dumps({**line, "ts": time.time_ns()}).encode() + b"\n")


def measure(quick: bool = False) -> dict[str, float]:
    """Open a journal, and tell readers.

    Returns:
        `open_s` and `open`, its ratio to `json.loads`; `readers`, `told_ms`, and the milliseconds behind them.
    """
    events, rounds, many, changes = (300, 1, 20, 3) if quick else (100_000, 5, 1000, 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with folder() as home:
        (home / "runs").mkdir()
        path = home / "runs" / f"{_RUN}.jsonl"
        iterations = events // EVENTS + 1
        write_journal(path, iterations)
        lines = path.read_bytes().splitlines()
        took = alternate(
            {
                "open": partial(_open, str(home), iterations),
                "loads": partial(timed, [lambda: [json.loads(line) for line in lines]]),
            },
            rounds,
        )
    one, _ = _tell(1, changes)
    all_, told = _tell(many, changes)
    return {
        "open_s": middle(took, "open"),
        "open": ratio(took, "open", "loads"),
        "readers": max(all_, 1e-6) / many / max(one, 1e-6),
        "told_ms": told * 1e3,
        "one_ms": max(one, 1e-6) * 1e3,
        "many_ms": max(all_, 1e-6) * 1e3,
    }
