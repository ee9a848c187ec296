"""What `opencode run --format json` prints: one event a line, `{type, timestamp, sessionID, part}`.

Read in packages/opencode/src/cli/cmd/run.ts and session/message-v2.ts of anomalyco/opencode. The events name no model
and leave out the sessions of subagents. Tokens and cost are those of a step (one request to the model), never totals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from ralph_otel.agents.lines import Record
from ralph_otel.agents.parser import Clock, Counts, OutputParser, tool_called, usage_measured
from ralph_otel.agents.values import Totals, amount, code, count, identifier, mapping, remember, text
from ralph_otel.events import Event

OUTCOMES = {"completed": "success", "error": "failure"}
"""The `status` of a tool's state once it has ended."""


class OpencodeParser(OutputParser):
    """Parses the events of an opencode session. A turn is a step."""

    def __init__(self, clock: Clock = time.monotonic, totals: Totals | None = None) -> None:
        super().__init__(clock, totals)
        self._parts: dict[str, None] = {}
        self._readers = {
            "step_start": self._session,
            "step_finish": self._step_finish,
            "tool_use": self._tool_use,
            "text": self._session,
            "error": self._error,
            "done": self._done,
        }

    def _session(self, record: Record) -> Iterable[Event]:
        self.conversation = text(record.get("sessionID")) or self.conversation
        return ()

    def _step_finish(self, record: Record) -> Iterator[Event]:
        self._session(record)
        part = mapping(record.get("part"))
        if not self._is_new(part):
            return
        self.turns = (self.turns or 0) + 1
        if part.get("reason") == "stop" and self.is_error is None:
            self._ended(is_error=False)
        yield from usage_measured(self.model, _counts(part))

    def _tool_use(self, record: Record) -> Iterator[Event]:
        self._session(record)
        part = mapping(record.get("part"))
        state = mapping(part.get("state"))
        outcome = OUTCOMES.get(text(state.get("status")) or "")
        if outcome is None or not self._is_new(part):
            return
        exit_code = mapping(state.get("metadata")).get("exit")  # of a shell command, whose status is completed
        if type(exit_code) is int and exit_code != 0:
            outcome = "failure"
        yield from tool_called(text(part.get("tool")), outcome, _seconds(mapping(state.get("time"))))

    def _error(self, record: Record) -> Iterable[Event]:
        self._ended(True, code(mapping(record.get("error")).get("name")) or "error")
        return self._session(record)

    def _done(self, record: Record) -> Iterable[Event]:
        if self.is_error is None:
            self._ended(is_error=False)
        return self._session(record)

    def _is_new(self, part: Record) -> bool:
        """Whether this is the first record of a part: opencode prints a part again when it changes it afterwards."""
        part_id = identifier(part.get("id"))
        if part_id is None:
            return True
        known = part_id in self._parts
        remember(self._parts, part_id, None)
        return not known


def _counts(part: Record) -> Counts:
    tokens = mapping(part.get("tokens"))
    cache = mapping(tokens.get("cache"))
    counts = {
        "input_tokens": count(tokens.get("input")),
        "output_tokens": _output(tokens, cache),
        "cache_read_tokens": count(cache.get("read")),
        "cache_creation_tokens": count(cache.get("write")),
        "cost_usd": amount(part.get("cost")),
    }
    return {name: number for name, number in counts.items() if number is not None}


def _output(tokens: Record, cache: Record) -> int | None:
    """Output with reasoning. Older versions count reasoning into `output` as well; then `total` shows it."""
    output, reasoning = count(tokens.get("output")), count(tokens.get("reasoning"))
    if output is None or reasoning is None:
        return output
    parts = (output, *(count(part) or 0 for part in (tokens.get("input"), cache.get("read"), cache.get("write"))))
    return output if tokens.get("total") == sum(parts) else output + reasoning


def _seconds(times: Record) -> float | None:
    start, end = amount(times.get("start")), amount(times.get("end"))
    if start is None or end is None or end < start:
        return None
    return (end - start) / 1000
