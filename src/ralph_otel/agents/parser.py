"""What the parsers of the agents' outputs have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ralph_otel.agents.lines import Record, Records
from ralph_otel.agents.values import Totals, identifier, remember, text
from ralph_otel.events import MAX_INTEGER, Event, ToolCalled, UsageMeasured

Clock = Callable[[], float]
Counts = dict[str, Any]
"""Fields of UsageMeasured: token counts as int, `cost_usd` as float. A field that the agent does not say is absent."""
Reader = Callable[[Record], Iterable[Event]]


class OutputParser:
    """Turns what an agent prints into loop events, as it prints it.

    Feed it the bytes in pieces of any size, then close it. It never raises and says only what is certain: damaged,
    half and over-long lines are passed over.

    Attributes:
        turns: turns of conversation, as the agent counts them.
        conversation: the agent's own id of its session.
        model: the model that the agent says it uses.
        is_error: whether the agent says it failed; None while it has said neither.
        error_type: the class of the failure, never a message.
    """

    def __init__(self, clock: Clock = time.monotonic, totals: Totals | None = None) -> None:
        """
        Args:
            clock: seconds, for the duration of tool calls whose output carries no times.
            totals: kept by the caller from one process of an agent to its next, it keeps the earlier usage of a
                conversation that the agent resumes from being counted again.
        """
        self.turns: int | None = None
        self.conversation: str | None = None
        self.model: str | None = None
        self.is_error: bool | None = None
        self.error_type: str | None = None
        self._calls = OpenCalls(clock)
        self._own_totals = Totals()
        self._totals = self._own_totals if totals is None else totals
        self._records = Records()
        self._readers: Mapping[str, Reader] = {}

    @property
    def dropped_lines(self) -> int:
        """Lines that were too long to be read."""
        return self._records.dropped

    def feed(self, data: bytes) -> list[Event]:
        """The events that are certain with these bytes."""
        return list(self._read(self._records.feed(data)))

    def close(self) -> list[Event]:
        """The events that only the end of the output makes certain."""
        return [*self._read(self._records.close()), *self._rest()]

    def _read(self, lines: Iterable[list[Record]]) -> Iterator[Event]:
        for records in lines:
            if len(records) > 1:
                self._calls.timed = False  # written at once: when it was read says nothing
            for record in records:
                reader = self._readers.get(identifier(record.get("type")) or "")
                if reader is not None:
                    yield from reader(record)

    def _rest(self) -> Iterable[Event]:
        return ()

    def _ended(self, is_error: bool, error_type: str | None = None) -> None:
        self.is_error = is_error
        self.error_type = error_type if is_error else None

    def _added(self, part: str, now: Mapping[str, Any]) -> dict[str, Any]:
        """What was added to a running total of the conversation."""
        totals = self._totals if self.conversation else self._own_totals
        return totals.added((self.conversation or "", part), now)


class OpenCalls:
    """Tool calls that have begun, by the agent's id of the call.

    Attributes:
        timed: whether the time between two records is the time between what they tell.
    """

    def __init__(self, clock: Clock) -> None:
        self.timed = True
        self._clock = clock
        self._open: dict[str, tuple[str, float]] = {}

    def begin(self, call: Any, tool: Any) -> None:
        """A call was announced; announced again, it is the same call."""
        key, name = identifier(call), text(tool)
        if key is not None and name is not None and key not in self._open:
            remember(self._open, key, (name, self._clock()))

    def end(self, call: Any) -> tuple[str | None, float | None]:
        """The call's tool and its seconds, as far as known."""
        tool, began = self._open.pop(identifier(call) or "", (None, None))
        if began is None or not self.timed:
            return tool, None
        return tool, max(0.0, self._clock() - began)


def tool_called(tool: str | None, outcome: str | None, duration: float | None) -> Iterator[Event]:
    """The event of a tool call, if its tool and its outcome are known."""
    if tool is not None and outcome is not None:
        yield ToolCalled(tool=tool, outcome=outcome, duration=duration)


def usage_measured(model: str | None, counts: Counts) -> Iterator[Event]:
    """The event of a usage, if any was."""
    if any(counts.values()):
        limited = {name: min(value, MAX_INTEGER) for name, value in counts.items()}
        source = "reported" if "cost_usd" in limited else None
        yield UsageMeasured(model=model, cost_source=source, **limited)
