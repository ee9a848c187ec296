"""The recorded outputs of agents, and what every test of a parser does with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ralph_otel.agents import OutputParser, Totals, parser_for
from ralph_otel.events import Event, problem_with

FIXTURES = Path(__file__).parent / "fixtures"
OUTPUTS = tuple(sorted(path.name for path in FIXTURES.iterdir()))
"""Every recorded output. A name begins with its agent's."""
SECRET = "SECRET"
"""Stands in every prompt, answer, argument, path and message of the recorded outputs."""


class Clock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def recorded(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def agent_of(name: str) -> str:
    return name.replace(".", "_").split("_")[0]


def parser(agent: str, clock: Callable[[], float] | None = None, totals: Totals | None = None) -> OutputParser:
    found = parser_for(agent, clock or Clock(), totals)
    assert found is not None
    return found


def read(watcher: OutputParser, pieces: Iterable[bytes]) -> list[Event]:
    """All events of an output, each checked to be one that a journal may carry."""
    events = [event for piece in pieces for event in watcher.feed(piece)] + watcher.close()
    for event in events:
        assert problem_of(event) is None
    return events


def read_all(name: str) -> tuple[list[Event], OutputParser]:
    watcher = parser(agent_of(name))
    return read(watcher, [recorded(name)]), watcher


def problem_of(event: Event) -> str | None:
    line = {"v": 1, "type": event.type, "ts": 1, "loop": "l", **dataclasses.asdict(event)}
    json.dumps(line, ensure_ascii=False, allow_nan=False).encode()
    return problem_with(line)


def learnt(watcher: OutputParser) -> dict[str, Any]:
    names = ("turns", "conversation", "model", "is_error", "error_type", "dropped_lines")
    return {name: getattr(watcher, name) for name in names}


def of_type(events: Iterable[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def pieces_of(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for cut in sorted(cut % (len(data) + 1) for cut in cuts):
        yield data[start:cut]
        start = cut
    yield data[start:]
