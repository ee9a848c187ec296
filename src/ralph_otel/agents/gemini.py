"""What Gemini CLI prints: `--output-format stream-json`, an event a line, and `json`, one indented document.

Read in packages/core/src/output/types.ts, telemetry/uiTelemetry.ts and packages/cli/src/nonInteractiveCli.ts of
google-gemini/gemini-cli. Its numbers are totals of the session, which a resumed session starts with. They come only at
the end, without a price and without a window.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice

from ralph_otel.agents.lines import Record
from ralph_otel.agents.parser import Clock, Counts, OutputParser, tool_called, usage_measured
from ralph_otel.agents.values import Totals, code, count, mapping, text
from ralph_otel.events import Event

OUTCOMES = {"success": "success", "error": "failure"}
MAX_MODELS = 64
"""The most models, and the most tools, that are read from a document."""
MAX_CALLS = 1000
"""The most calls of one tool and outcome that a document is believed."""


class GeminiParser(OutputParser):
    """Parses both formats of Gemini CLI. It counts no turns."""

    def __init__(self, clock: Clock = time.monotonic, totals: Totals | None = None) -> None:
        super().__init__(clock, totals)
        self._waiting = 0
        self._batch = 0
        self._readers = {
            "init": self._init,
            "tool_use": self._tool_use,
            "tool_result": self._tool_result,
            "error": self._error,
            "result": self._result,
            "": self._document,
        }

    def _init(self, record: Record) -> Iterable[Event]:
        self.conversation = text(record.get("session_id")) or self.conversation
        self.model = text(record.get("model")) or self.model
        return ()

    def _tool_use(self, record: Record) -> Iterable[Event]:
        self._batch = self._batch + 1 if self._waiting else 1
        self._waiting += 1
        self._calls.begin(record.get("tool_id"), record.get("tool_name"))
        return ()

    def _tool_result(self, record: Record) -> Iterator[Event]:
        self._waiting = max(0, self._waiting - 1)
        tool, duration = self._calls.end(record.get("tool_id"))
        if self._batch > 1:
            duration = None  # the results of calls made together are printed when the last of them is there
        yield from tool_called(tool, OUTCOMES.get(text(record.get("status")) or ""), duration)

    def _error(self, record: Record) -> Iterable[Event]:
        if record.get("severity") == "error":
            self._ended(True, "error")
        return ()

    def _result(self, record: Record) -> Iterator[Event]:
        status = record.get("status")
        if status in ("success", "error"):
            self._ended(status == "error", code(mapping(record.get("error")).get("type")) or "error")
        stats = mapping(record.get("stats"))
        models = mapping(stats.get("models"))
        if not models:  # older versions give the sum only
            yield from self._usage(self.model, _stream_tokens(stats))
        for name, tokens in islice(models.items(), MAX_MODELS):
            yield from self._usage(text(name), _stream_tokens(mapping(tokens)))

    def _document(self, record: Record) -> Iterator[Event]:
        error = mapping(record.get("error"))
        stats = mapping(record.get("stats"))
        if not stats and not (isinstance(error.get("type"), str) and isinstance(error.get("message"), str)):
            return
        self.conversation = text(record.get("session_id")) or self.conversation
        self._ended(bool(error), code(error.get("type")) or "error")
        models = mapping(stats.get("models"))
        if len(models) == 1:
            self.model = text(next(iter(models)))
        for name, entry in islice(models.items(), MAX_MODELS):
            yield from self._usage(text(name), _document_tokens(mapping(mapping(entry).get("tokens"))))
        tools = mapping(mapping(stats.get("tools")).get("byName"))
        for name, entry in islice(tools.items(), MAX_MODELS):
            yield from self._tools(text(name), mapping(entry))

    def _usage(self, model: str | None, total: Counts) -> Iterator[Event]:
        added = self._added(f"model {model}", total)
        counts = {"cache_read_tokens": added.get("cached"), "output_tokens": added.get("output")}
        if "prompt" in added:
            counts["input_tokens"] = max(0, added["prompt"] - added.get("cached", 0)) + added.get("tool", 0)
        yield from usage_measured(model, {name: number for name, number in counts.items() if number is not None})

    def _tools(self, tool: str | None, entry: Record) -> Iterator[Event]:
        total = {name: count(entry.get(name)) or 0 for name in ("success", "fail", "durationMs")}
        added = self._added(f"tool {tool}", total)
        alone = added["success"] + added["fail"] == 1
        for name, outcome in (("success", "success"), ("fail", "failure")):
            for _ in range(min(added[name], MAX_CALLS)):
                yield from tool_called(tool, outcome, added["durationMs"] / 1000 if alone else None)


def _stream_tokens(stats: Record) -> Counts:
    """`output_tokens` leaves out what the model thought; the difference to the total has it."""
    prompt, total = count(stats.get("input_tokens")), count(stats.get("total_tokens"))
    output = count(stats.get("output_tokens"))
    if output is not None and prompt is not None and total is not None:
        output = max(output, total - prompt)
    counts = {"prompt": prompt, "cached": count(stats.get("cached")), "output": output}
    return {name: number for name, number in counts.items() if number is not None}


def _document_tokens(tokens: Record) -> Counts:
    """`prompt` has the cached tokens in it; `thoughts` and `tool` (prompts of the model's own tools) stand beside."""
    output = count(tokens.get("candidates"))
    if output is not None:
        output += count(tokens.get("thoughts")) or 0
    counts = {name: count(tokens.get(name)) for name in ("prompt", "cached", "tool")}
    return {name: number for name, number in {**counts, "output": output}.items() if number is not None}
