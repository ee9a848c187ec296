"""What `codex exec --json` prints: one event a line (codex-rs/exec/src/exec_events.rs in openai/codex).

`turn.completed.usage` is the running total of the thread (`total_token_usage`), in every version whose source was read.
So differences are counted. Should a version print the usage of each turn instead, that shows only when a number falls;
then the numbers are taken as they are. A thread that `codex exec resume` goes on with starts from its earlier total:
give the parsers of a loop's processes one `Totals`, or the first turn has all of the thread's past in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from ralph_otel.agents.lines import Record
from ralph_otel.agents.parser import Clock, Counts, OutputParser, tool_called, usage_measured
from ralph_otel.agents.values import Totals, code, count, mapping, text
from ralph_otel.events import Event

TOOL_ITEMS = ("command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call")
"""The items of a thread that are tool calls. Others are messages, plans and warnings."""
OUTCOMES = {"completed": "success", "failed": "failure", "declined": "cancelled", "in_progress": "cancelled"}
"""An item's `status` when it is completed. A turn that is interrupted completes items that are in progress."""
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens")


class CodexParser(OutputParser):
    """Parses the events of a Codex thread. They name no model, no price and no window."""

    def __init__(self, clock: Clock = time.monotonic, totals: Totals | None = None) -> None:
        super().__init__(clock, totals)
        self._readers = {
            "thread.started": self._thread_started,
            "turn.completed": self._turn_completed,
            "turn.failed": self._turn_failed,
            "item.started": self._item_started,
            "item.completed": self._item_completed,
            "error": self._error,
        }

    def _thread_started(self, record: Record) -> Iterable[Event]:
        self.conversation = text(record.get("thread_id")) or self.conversation
        return ()

    def _turn_completed(self, record: Record) -> Iterable[Event]:
        self.turns = (self.turns or 0) + 1
        self._ended(is_error=False)
        usage = mapping(record.get("usage"))
        total = {name: number for name in TOKENS if (number := count(usage.get(name))) is not None}
        return usage_measured(self.model, _counts(self._added("usage", total)))

    def _turn_failed(self, record: Record) -> Iterable[Event]:
        self.turns = (self.turns or 0) + 1
        self._ended(True, code(mapping(record.get("error")).get("type")) or "turn_failed")
        return ()

    def _error(self, record: Record) -> Iterable[Event]:
        # Also printed while Codex tries again, so a later turn.completed has the last word.
        self._ended(True, code(record.get("code")) or "stream_error")
        return ()

    def _item_started(self, record: Record) -> Iterable[Event]:
        item = mapping(record.get("item"))
        self._calls.begin(item.get("id"), _tool(item))
        return ()

    def _item_completed(self, record: Record) -> Iterator[Event]:
        item = mapping(record.get("item"))
        _, duration = self._calls.end(item.get("id"))
        yield from tool_called(_tool(item), _outcome(item), duration)


def _counts(usage: Counts) -> Counts:
    """Codex counts what it reads from a cache, and what it writes to one, as parts of `input_tokens`."""
    cached, written = usage.get("cached_input_tokens"), usage.get("cache_write_input_tokens")
    counts = {
        "cache_read_tokens": cached,
        "cache_creation_tokens": written,
        "output_tokens": usage.get("output_tokens"),
    }
    if "input_tokens" in usage:
        counts["input_tokens"] = max(0, usage["input_tokens"] - (cached or 0) - (written or 0))
    return {name: number for name, number in counts.items() if number is not None}


def _tool(item: Record) -> str | None:
    """The item's type; for a tool of an MCP server the name that Claude Code would give it."""
    kind = item.get("type")
    if kind not in TOOL_ITEMS:
        return None
    server, tool = text(item.get("server")), text(item.get("tool"))
    if kind == "mcp_tool_call" and server and tool:
        return text(f"mcp__{server}__{tool}")
    return str(kind)


def _outcome(item: Record) -> str | None:
    """How the item ended; web searches do not say, so they succeed. None where the status is one not known here."""
    outcome = OUTCOMES.get(text(item.get("status")) or "completed")
    exit_code = item.get("exit_code")
    failed = (type(exit_code) is int and exit_code != 0) or isinstance(item.get("error"), dict)
    return "failure" if outcome == "success" and failed else outcome
