"""Folders of other runners, in memory and on disk, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ralph_otel.events import Line
from ralph_otel.model import LoopMetrics
from ralph_otel.runs import fold
from ralph_otel.watch.scribe import Scribe
from ralph_otel.watch.source import Batch, Format, record
from support.tape import T0, lines_of


class MemoryFolder:
    """A folder whose files are a dictionary."""

    def __init__(self, files: dict[str, str] | None = None, name: str = "proj") -> None:
        self.name = name
        self.now = T0
        self.files: dict[str, bytes] = {}
        self._modified: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._known: dict[str, bytes] = {}
        for file, text in (files or {}).items():
            self.put(file, text)

    def put(self, name: str, text: str | bytes | dict[str, Any], modified: int | None = None) -> None:
        """Write a file, as of the folder's time."""
        data = json.dumps(text) if isinstance(text, dict) else text
        self.files[name] = data.encode() if isinstance(data, str) else data
        self._modified[name] = self.now if modified is None else modified

    def add(self, name: str, text: str | bytes) -> None:
        """Append to a file."""
        self.put(name, self.files.get(name, b"") + (text.encode() if isinstance(text, str) else text))

    def lines(self, name: str) -> list[bytes]:
        data = self.files.get(name, b"")
        offset = self._offsets.get(name, 0)
        whole = data[offset if offset <= len(data) else 0 :].rpartition(b"\n")
        self._offsets[name] = len(data) - len(whole[2])
        return whole[0].split(b"\n") if whole[1] else []

    def document(self, name: str) -> dict[str, Any] | None:
        data = self.files.get(name)
        if data is None or self._known.get(name) == data:
            return None
        value = record(data)
        if value is not None:
            self._known[name] = data
        return value

    def content(self, name: str) -> bytes | None:
        return self.files.get(name)

    def head(self, name: str) -> bytes:
        return self.files.get(name, b"")[: 256 << 10]

    def tail(self, name: str) -> bytes:
        return self.files.get(name, b"")[-(256 << 10) :]

    def names(self, pattern: str) -> list[str]:
        parts = pattern.split("/")
        return sorted(
            name
            for name in self.files
            if len(name.split("/")) == len(parts) and all(map(fnmatchcase, name.split("/"), parts))
        )

    def modified(self, name: str) -> int | None:
        return self._modified.get(name)


class Journals:
    """The journals that a format's batches become."""

    def __init__(self, folder: Path, trace_iterations: int = 0) -> None:
        self.folder = folder
        self.scribe = Scribe(folder, "test", trace_iterations)

    def take(self, batches: Iterable[Batch]) -> Journals:
        """Write batches."""
        for batch in batches:
            self.scribe.write(batch)
        return self

    def read(self, format_: Format, folder: MemoryFolder) -> Journals:
        """Write what a format sees now."""
        return self.take(format_.read(folder))

    def paths(self) -> list[Path]:
        """The journals, the oldest run first."""
        return sorted(self.folder.glob("*.jsonl"))

    def lines(self, run: int = 0) -> list[Line]:
        """The lines of a run; every one is valid, or this fails."""
        return lines_of(self.paths()[run])

    def types(self, run: int = 0) -> list[str]:
        """The types of a run's lines."""
        return [line["type"] for line in self.lines(run)]

    def of_type(self, type_: str, run: int = 0) -> list[Line]:
        """A run's lines of a type."""
        return [line for line in self.lines(run) if line["type"] == type_]

    def metrics(self, run: int = 0) -> LoopMetrics:
        """What a run comes to."""
        return fold(self.paths()[run]).run.metrics()

    def reason(self, run: int = 0) -> str | None:
        """Why a run has stopped."""
        return fold(self.paths()[run]).run.stop_reason


def iso(seconds: float, zone: str = "+00:00", places: int = 0) -> str:
    """A moment, so many seconds after T0, as an ISO 8601 text."""
    when = datetime.fromtimestamp(T0 // 10**9 + seconds, UTC)
    fraction = f".{when.microsecond * 1000:09d}"[: places + 1] if places else ""
    return when.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def local(seconds: float, form: str) -> str:
    """A moment in local time."""
    return datetime.fromtimestamp(T0 // 10**9 + seconds).strftime(form)


def claude_result(cost: float = 0.05, error: bool = False, session: str = "s-1", model: str = "claude-x") -> str:
    """What `claude -p --output-format json` prints."""
    result = {
        "type": "result",
        "subtype": "error_during_execution" if error else "success",
        "is_error": error,
        "duration_ms": 400,
        "num_turns": 3,
        "result": "SECRET OUTPUT",
        "session_id": session,
        "total_cost_usd": cost,
        "usage": {"input_tokens": 20, "output_tokens": 10},
        "modelUsage": {
            model: {
                "inputTokens": 20,
                "outputTokens": 10,
                "cacheReadInputTokens": 2000,
                "cacheCreationInputTokens": 400,
                "costUSD": cost,
                "contextWindow": 200000,
            }
        },
    }
    return json.dumps(result)
