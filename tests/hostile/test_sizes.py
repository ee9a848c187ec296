"""Input without end: time grows as the input does, and memory does not."""

from __future__ import annotations

import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ralph_otel import agents
from ralph_otel.config import MetricsConfig
from ralph_otel.escapes import spelled_out
from ralph_otel.hooks import LIMIT
from ralph_otel.hooks.handling import handle
from ralph_otel.hooks.reading import parse
from ralph_otel.journal import BadLine, Follower, decode
from ralph_otel.notices import public
from ralph_otel.runs import fold
from ralph_otel.tracecontext import from_environment
from ralph_otel.watch.files import DiskFolder
from ralph_otel.watch.source import record
from support.tape import T0

MB = 1 << 20
PIECE = 64 * 1024

NESTED: dict[str, Callable[[int], bytes]] = {
    "lists": lambda n: b"[" * n,
    "objects": lambda n: b'{"a":' * n,
    "a whole one": lambda n: b'{"a":' + b"[" * (n // 2) + b"]" * (n // 2) + b"}",
}
NUMBERS = (b"9" * 100_000, b"-" + b"9" * 5000, b"1e999999999", b"NaN", b"-Infinity", b"0." + b"1" * 100_000)


def feed(agent: str, data: bytes) -> None:
    parser = agents.PARSERS[agent]()
    for at in range(0, len(data), PIECE):
        parser.feed(data[at : at + PIECE])
    parser.close()


def try_decode(raw: bytes) -> None:
    with suppress(BadLine):
        decode(raw)


def line(**fields: object) -> bytes:
    return json.dumps({"v": 1, "ts": T0, "loop": "r", **fields}).encode()


def tool_lines(n: int) -> bytes:
    """Calls of Claude's tools, never answered."""
    content = [{"type": "tool_use", "id": "ID", "name": "Bash", "input": {}}]
    one = json.dumps({"type": "assistant", "message": {"id": "ID", "content": content, "usage": {"input_tokens": 1}}})
    return b"".join(one.replace("ID", f"t{each}").encode() + b"\n" for each in range(n // 200))


def results(n: int) -> bytes:
    return line(type="tests.finished", passed=1, failed=0, results={f"t{each}": True for each in range(n // 20)})


def follow(data: bytes) -> None:
    """Read a file in small pieces, as a line comes that somebody writes slowly."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        path.write_bytes(data)
        follower = Follower(path)
        while follower.read(256) or not follower.at_end:
            pass
        assert follower.torn == data
        follower.close()


def of_agent(agent: str) -> Callable[[bytes], object]:
    return lambda data: feed(agent, data)


OUTPUTS: dict[str, Callable[[int], bytes]] = {
    "text": lambda n: b"x" * n,
    "empty lines": lambda n: b"\n" * n,
    "records": tool_lines,
    "an indented document": lambda n: b"{\n" + b'  "a": 1,\n' * (n // 10),
    "opened again and again": lambda n: b"{\n" * (n // 2),
}
WORK: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "a journal's line that has no end yet": (lambda n: b"x" * n, follow),
    "a journal's line of results": (results, try_decode),
    "a journal's line of escapes": (lambda n: line(type="x", a="\x1b" * (n // 6)), try_decode),
    "spelling out": (lambda n: "\x1b" * n, spelled_out),
    "an address in a notice": (lambda n: "http://" + "a:" * n, public),
    "a notice": (lambda n: "a" * n + " b@" * n, public),
    "TRACEPARENT": (
        lambda n: "00-" + "0" * n, lambda text: from_environment({"TRACEPARENT": text, "BAGGAGE": text}),
    ),
    "a hook's input": (lambda n: b'{"a":"' + b"x" * n + b'"}', lambda raw: parse(raw, LIMIT)),
    **{
        f"{agent}: {what}": (make, of_agent(agent))
        for agent in sorted(agents.PARSERS) for what, make in OUTPUTS.items()
    },
}  # fmt: skip
"""What is read: what makes an input of about so many bytes, and what reads it."""


def cost(read: Callable[[Any], object], given: Any) -> float:
    """Processor seconds, at the least."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        read(given)
        taken.append(time.process_time() - begun)
    return min(taken)


@pytest.mark.parametrize("what", WORK)
def test_sixteen_times_the_input_takes_no_sixty_times_the_work(what: str) -> None:
    """What takes quadratic time takes 256 times as much; the processor's own moods stay far below four."""
    make, read = WORK[what]
    size = 20_000
    little, much = cost(read, make(size)), cost(read, make(16 * size))
    assert much < 60 * max(little, 0.0005), f"{size} bytes: {little:.4f} s; {16 * size} bytes: {much:.4f} s"


@pytest.mark.parametrize("make", NESTED.values(), ids=NESTED)
def test_depth_costs_one_line(make: Callable[[int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make(1_000_000)
    try_decode(raw)
    record(raw)
    parse(raw, LIMIT)
    handle(raw[:LIMIT], {})
    for agent in agents.PARSERS:
        feed(agent, raw + b"\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ralph-otel.toml").write_bytes(b"home = " + raw[:200_000])
    assert MetricsConfig().home


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:9].decode())
def test_numbers_that_are_none_cost_one_line(
    number: bytes, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    for field in (b"ts", b"value", b"v"):
        raw = b'{"v":1,"type":"gauge.set","name":"g","ts":1,"loop":"r","value":1,"%b":%b}' % (field, number)
        try_decode(raw)
        record(raw)
        hook = (
            b'{"session_id":"s","hook_event_name":"PostToolUse","cwd":"/x","duration_ms":%b,"tool_name":"T"}' % number
        )
        handle(hook, {**os.environ, "RALPH_OTEL_HOME": str(home)})
        for agent in agents.PARSERS:
            feed(agent, raw + b"\n" + raw.replace(b"gauge.set", b"result") + b"\n")
    monkeypatch.chdir(tmp_path)
    for name in ("queue_size", "collection_interval", "duration_buckets", "enabled"):
        monkeypatch.setenv(f"RALPH_OTEL_{name.upper()}", number.decode())
        assert getattr(MetricsConfig(), name) is not None
    assert all(len(each) < 400 for each in heard)


HUNDRED_MB = 100 * MB


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python's objects took while it ran, beyond what there was."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("agent", agents.PARSERS)
def test_a_line_of_a_hundred_megabytes_of_an_agent_takes_a_few(agent: str) -> None:
    piece = b"x" * MB

    def run() -> None:
        parser = agents.PARSERS[agent]()
        parser.feed(b'{"type":"')
        for _ in range(100):
            parser.feed(piece)
        parser.feed(b'"}\n')
        parser.close()

    assert peak(run) < 40 * MB


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a good line, one of 100 MB, and another good one."""
    path = tmp_path_factory.mktemp("long") / "r.jsonl"
    with path.open("wb") as file:
        file.write(line(type="loop.started", name="n") + b"\n" + b'{"v":1,"type":"')
        for _ in range(100):
            file.write(b"x" * MB)
        file.write(b'"}\n' + line(type="loop.stopped", reason="completed") + b"\n")
    return path


def test_a_line_of_a_hundred_megabytes_of_a_journal_is_skipped_and_counted(long_line: Path) -> None:
    folded = []
    assert peak(lambda: folded.append(fold(long_line))) < 60 * MB
    assert (folded[0].bad_lines, folded[0].lines) == (1, 2)
    assert folded[0].run.stop_reason == "completed"


def test_a_long_file_of_a_runner_is_worked_off_in_parts(tmp_path: Path) -> None:
    """Thirty megabytes of short lines: not all of them are held at once."""
    one = b'{"a":"' + b"x" * 90 + b'"}\n'
    with (tmp_path / "events.jsonl").open("wb") as file:
        for _ in range(30):
            file.write(one * (MB // len(one)))
    seen = []

    def run() -> None:
        seen.append(sum(1 for _ in DiskFolder(tmp_path).lines("events.jsonl")))

    assert peak(run) < 12 * MB
    assert seen == [30 * (MB // len(one))]
