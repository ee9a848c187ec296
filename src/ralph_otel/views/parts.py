"""What happened inside a run's iterations, and for how long: agents, tools, runs of the tests, reboots.

A fold beside `History`, for views that draw time. Its memory is bounded: the newest 20,000 parts are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ralph_otel.events import Line
from ralph_otel.views.records import Iteration

MAX_PARTS = 20_000
_MAX_OPEN = 1_000


@dataclass(slots=True, eq=False)
class Part:
    """A stretch of an iteration."""

    iteration: Iteration
    """The one it was in, or came after."""
    kind: str
    """`agent`, `tool`, `tests` or `reboot`."""
    name: str
    """The agent's or the tool's; of a reboot why; of tests nothing."""
    start: int
    """Unix nanoseconds."""
    end: int | None = None
    """None: it has not ended."""
    outcome: str | None = None
    """As an iteration's; None where it is not known."""


class Parts:
    """The parts of one run, the newest last."""

    def __init__(self) -> None:
        self._kept: deque[Part] = deque(maxlen=MAX_PARTS)
        self._open: dict[str, Part] = {}
        self.forgotten = 0
        """Older ones that are no longer kept."""

    def record(self, line: Line, iteration: Iteration | None) -> None:
        """Fold one completed line in; it belongs to that iteration."""
        handler = _HANDLERS.get(line["type"])
        if handler is not None and iteration is not None:
            handler(self, line, iteration)

    def of(self, iterations: Iterable[Iteration]) -> dict[int, list[Part]]:
        """The parts of some iterations, by `id` of the iteration, in the order they ended."""
        found: dict[int, list[Part]] = {id(iteration): [] for iteration in iterations}
        for part in self._kept:
            if (parts := found.get(id(part.iteration))) is not None:
                parts.append(part)
        return found

    def _agent_started(self, line: Line, iteration: Iteration) -> None:
        self._begin(_key(line), Part(iteration, "agent", line["agent"], line["ts"]))

    def _reboot_started(self, line: Line, iteration: Iteration) -> None:
        self._begin("reboot", Part(iteration, "reboot", line["reason"], line["ts"]))

    def _begin(self, key: str, part: Part) -> None:
        if len(self._open) >= _MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._open[key] = part
        self._keep(part)

    def _agent_finished(self, line: Line, iteration: Iteration) -> None:
        self._end(_key(line), "agent", line["agent"], line, iteration)

    def _reboot_finished(self, line: Line, iteration: Iteration) -> None:
        self._end("reboot", "reboot", line["reason"], line, iteration)

    def _end(self, key: str, kind: str, name: str, line: Line, iteration: Iteration) -> None:
        part = self._open.pop(key, None)
        if part is None:
            self._whole(kind, name, line, line.get("outcome"), iteration)
        else:
            part.end, part.outcome = max(line["ts"], part.start), line.get("outcome")

    def _tool_called(self, line: Line, iteration: Iteration) -> None:
        self._whole("tool", line["tool"], line, line["outcome"], iteration)

    def _tests_finished(self, line: Line, iteration: Iteration) -> None:
        self._whole("tests", "", line, "failure" if line["failed"] else "success", iteration)

    def _whole(self, kind: str, name: str, line: Line, outcome: str | None, iteration: Iteration) -> None:
        """A part that its end alone makes: it began as long ago as its duration says."""
        end = line["ts"]
        start = end - round(min(line.get("duration") or 0.0, end / 1e9) * 1e9)
        self._keep(Part(iteration, kind, name, start, end, outcome))

    def _keep(self, part: Part) -> None:
        self.forgotten += len(self._kept) == MAX_PARTS
        self._kept.append(part)

    def _loop_stopped(self, line: Line, iteration: Iteration) -> None:
        for part in self._open.values():
            part.end = max(line["ts"], part.start)
        self._open.clear()


def _key(line: Line) -> str:
    """What an agent's beginning and its end have in common: the span, else the name."""
    return f"agent {line.get('span_id') or line['agent']}"


_HANDLERS: dict[str, Callable[[Parts, Line, Iteration], None]] = {
    "agent.started": Parts._agent_started,
    "agent.finished": Parts._agent_finished,
    "tool.called": Parts._tool_called,
    "tests.finished": Parts._tests_finished,
    "reboot.started": Parts._reboot_started,
    "reboot.finished": Parts._reboot_finished,
    "loop.stopped": Parts._loop_stopped,
}
