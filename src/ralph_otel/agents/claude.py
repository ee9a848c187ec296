"""What Claude Code prints: `--output-format stream-json`, a message a line, and `json`, the `result` message alone
(with `--verbose`, an array of all messages).

A `result` restates the totals of the process in `modelUsage` and `total_cost_usd`, and there may be several in one
stream, one a turn, so differences are counted; `num_turns` is that turn's own. `usage` of a `result` is read only where
no result has `modelUsage`. The usage of messages is a part of the result's, and is reported only where no result came.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ralph_otel.agents.lines import Record
from ralph_otel.agents.parser import Clock, Counts, OutputParser, tool_called, usage_measured
from ralph_otel.agents.values import Totals, amount, code, count, identifier, mapping, records, remember, text
from ralph_otel.events import MAX_INTEGER, ContextMeasured, Event

MESSAGE_FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_creation_tokens",
}
"""The fields of `usage`, and what they are called in an event."""
MODEL_FIELDS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_tokens",
    "cacheCreationInputTokens": "cache_creation_tokens",
}
"""The fields of an entry of `modelUsage`."""
CONTEXT_FIELDS = ("input_tokens", "cache_read_tokens", "cache_creation_tokens")
"""What a request read: together they fill the context window."""
SYNTHETIC = "<synthetic>"
"""The model of messages that Claude Code writes itself, such as an API error; their usage is 0."""
MAX_MODELS = 64
"""The most models of one result."""
MAX_OPEN_MESSAGES = 256
"""The most messages that may still grow; older ones are complete."""


class ClaudeParser(OutputParser):
    """Parses both formats of Claude Code."""

    def __init__(self, clock: Clock = time.monotonic, totals: Totals | None = None) -> None:
        super().__init__(clock, totals)
        self._unreported = MessageUsage()
        self._says_models = False
        self._windows: dict[str, int] = {}
        self._context: tuple[int, str | None] | None = None
        self._api_error: str | None = None
        self._readers = {
            "system": self._system,
            "assistant": self._assistant,
            "user": self._user,
            "result": self._result,
        }

    def _system(self, record: Record) -> Iterable[Event]:
        if record.get("subtype") == "init":
            self.conversation = text(record.get("session_id")) or self.conversation
            self.model = text(record.get("model")) or self.model
        return ()

    def _assistant(self, record: Record) -> Iterable[Event]:
        message = mapping(record.get("message"))
        for block in records(message.get("content")):
            if block.get("type") == "tool_use":
                self._calls.begin(block.get("id"), block.get("name"))
        is_main = record.get("parent_tool_use_id") is None
        if is_main:
            self._api_error = code(record.get("error"))
        model = text(message.get("model"))
        if model == SYNTHETIC:
            return ()
        usage = _counts(message.get("usage"), MESSAGE_FIELDS)
        self._unreported.note(identifier(message.get("id")) or "", model, usage)
        if is_main:
            self.conversation = self.conversation or text(record.get("session_id"))
            self.model = self.model or model
            context = sum(usage.get(field, 0) for field in CONTEXT_FIELDS)
            self._context = (min(context, MAX_INTEGER), model) if context else self._context
        return ()

    def _user(self, record: Record) -> Iterator[Event]:
        for block in records(mapping(record.get("message")).get("content")):
            if block.get("type") == "tool_result":
                tool, duration = self._calls.end(block.get("tool_use_id"))
                outcome = "failure" if block.get("is_error") is True else "success"
                yield from tool_called(tool, outcome, duration)

    def _result(self, record: Record) -> Iterator[Event]:
        self.conversation = text(record.get("session_id")) or self.conversation
        turns = count(record.get("num_turns"))
        if turns is not None:
            self.turns = min((self.turns or 0) + turns, MAX_INTEGER)
        self._judge(record)
        models = mapping(record.get("modelUsage"))
        if self.model is None and len(models) == 1:
            self.model = text(next(iter(models)))
        for name, entry in islice(models.items(), MAX_MODELS):
            self._learn_window(name, mapping(entry))
        for model, counts in self._usage(record):
            yield from usage_measured(model, counts)
        yield from self._context_measured()

    def _judge(self, record: Record) -> None:
        subtype = code(record.get("subtype")) or ""
        stopped = subtype.startswith("error")
        if not stopped and not isinstance(record.get("is_error"), bool):
            if subtype == "success":
                self._ended(is_error=False)
            return
        status = count(record.get("api_error_status"))
        reasons = (
            subtype if stopped else None,
            code(record.get("api_error_code")),
            self._api_error,
            f"api_error_{status}" if status else None,
            "error",
        )
        self._ended(stopped or record["is_error"], next(filter(None, reasons)))

    def _usage(self, record: Record) -> list[tuple[str | None, Counts]]:
        """What was used since the last result: by model, or of all models where the result says no more."""
        entries = list(islice(mapping(record.get("modelUsage")).items(), MAX_MODELS))
        totals = [(text(name), _counts(entry, MODEL_FIELDS, "costUSD")) for name, entry in entries]
        said_by_model = any(any(counts.values()) for _, counts in totals)
        self._says_models = self._says_models or said_by_model
        if not self._says_models:
            totals = [(self.model, _counts(record.get("usage"), MESSAGE_FIELDS))]
        if any(any(counts.values()) for _, counts in totals):
            self._unreported = MessageUsage()
        # The totals are those of this process: a resumed session starts again from 0.
        usage = [(model, self._own_totals.added(("usage", model or ""), counts)) for model, counts in totals]
        return self._with_cost(usage, record)

    def _with_cost(self, usage: list[tuple[str | None, Counts]], record: Record) -> list[tuple[str | None, Counts]]:
        """Add the growth of the total cost, where no model has a cost of its own."""
        total = amount(record.get("total_cost_usd"))
        cost = self._own_totals.added(("cost",), {"cost_usd": total})["cost_usd"] if total is not None else 0.0
        if not cost or any("cost_usd" in counts for _, counts in usage):
            return usage
        if len(usage) == 1:
            return [(usage[0][0], {**usage[0][1], "cost_usd": cost})]
        return [*usage, (None, {"cost_usd": cost})]

    def _learn_window(self, name: str, entry: Record) -> None:
        window = count(entry.get("contextWindow"))
        if window:
            remember(self._windows, name, window, MAX_MODELS)
            canonical = identifier(entry.get("canonicalModel"))
            if canonical and canonical not in self._windows:
                remember(self._windows, canonical, window, MAX_MODELS)

    def _window_of(self, model: str | None) -> int | None:
        """A model's window. A message says `name` where the session and the result say `name[1m]`."""
        asked = self.model if self.model and model and _base(self.model) == _base(model) else None
        for name in (asked, model):
            if name in self._windows:
                return self._windows[name]
        same = {window for name, window in self._windows.items() if model and _base(name) == _base(model)}
        candidates = same or set(self._windows.values())
        return candidates.pop() if len(candidates) == 1 else None

    def _context_measured(self) -> Iterator[Event]:
        if self._context is None:
            return
        tokens, model = self._context
        window = self._window_of(model)
        if window is not None:
            self._context = None
            yield ContextMeasured(percent=100.0 * tokens / window, tokens=tokens, window=window)

    def _rest(self) -> Iterator[Event]:
        usage, self._unreported = self._unreported, MessageUsage()
        for model, counts in usage.by_model().items():
            yield from usage_measured(model, counts)
        yield from self._context_measured()


class MessageUsage:
    """The usage of messages, each counted once: a message comes in several records, and the last one is right."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str | None, Counts]] = {}
        self._complete: dict[str | None, Counts] = {}

    def note(self, message: str, model: str | None, usage: Counts) -> None:
        """A record of a message, with the message's usage so far."""
        if not usage:
            return
        oldest = remember(self._open, message, (model, usage), MAX_OPEN_MESSAGES)
        if oldest is not None:
            _add(self._complete, *oldest[1])

    def by_model(self) -> dict[str | None, Counts]:
        """The sums."""
        sums = {model: dict(counts) for model, counts in self._complete.items()}
        for model, usage in self._open.values():
            _add(sums, model, usage)
        return sums


def _add(sums: dict[str | None, Counts], model: str | None, usage: Counts) -> None:
    known = model if model in sums or len(sums) < MAX_MODELS else None
    counts = sums.setdefault(known, {})
    for name, number in usage.items():
        counts[name] = counts.get(name, 0) + number


def _counts(source: Any, fields: dict[str, str], cost: str | None = None) -> Counts:
    """The numbers of a usage under their names in an event; those that are missing or no counts are left out."""
    given = mapping(source)
    counts: Counts = {name: number for key, name in fields.items() if (number := count(given.get(key))) is not None}
    price = amount(given.get(cost)) if cost else None
    return counts if price is None else {**counts, "cost_usd": price}


def _base(model: str) -> str:
    return model.partition("[")[0]
