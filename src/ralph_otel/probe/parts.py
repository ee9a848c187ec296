"""The parts of a loop: sessions, iterations, agents, reboots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ralph_otel import events
from ralph_otel.events import MAX_TEXT, REBOOT_REASONS, Event
from ralph_otel.notices import notice, shown
from ralph_otel.probe.span import Span

if TYPE_CHECKING:
    from ralph_otel.probe.loop import Loop


class Session(Span):
    """One context window. Made by `Loop.session`."""

    def __init__(self, loop: Loop, parent: Span, session: str | None) -> None:
        super().__init__(loop, parent)
        self.session = str(session)[:MAX_TEXT] if session else self.span_id

    def iteration(self, number: int | None = None) -> Iteration:
        """The next turn of the loop, or the one with that number, in this session."""
        self.loop._continue_trace()
        return Iteration(self.loop, self if self.trace_id == self.loop.trace_id else self.loop, number)

    def _started_event(self) -> Event:
        return events.SessionStarted(self.session)

    def _finished_event(self, duration: float) -> Event:
        return events.SessionEnded(self.session, duration)


class Iteration(Span):
    """One turn of the loop. Made by `Loop.iteration`."""

    def __init__(self, loop: Loop, parent: Span, number: int | None) -> None:
        super().__init__(loop, parent)
        self.number = number if number is not None else loop.iterations + 1
        self.exit_code: int | None = None
        """The agent's exit code, if you set it; a negative one is the signal that ended it."""
        if type(self.number) is int:
            loop.iterations = max(loop.iterations, self.number)

    def agent(self, agent: str, model: str | None = None, pid: int | None = None) -> Agent:
        """An agent's process in this iteration."""
        return Agent(self.loop, self, agent, model, pid)

    def _started_event(self) -> Event:
        return events.IterationStarted(self.number)

    def _finished_event(self, duration: float) -> Event:
        return events.IterationFinished(self.number, self._outcome, duration, self._error_type, self.exit_code)


class Agent(Span):
    """One process of an agent. Made by `Iteration.agent`.

    Set what you learn of it before it ends: `exit_code`, `turns`, `pid`, `conversation`.
    """

    def __init__(self, loop: Loop, parent: Span, agent: str, model: str | None, pid: int | None) -> None:
        super().__init__(loop, parent)
        self.agent = str(agent)
        self.model = model
        self.pid = pid
        self.exit_code: int | None = None
        self.turns: int | None = None
        self.conversation: str | None = None

    def _started_event(self) -> Event:
        return events.AgentStarted(self.agent, self.model, self.pid)

    def _finished_event(self, duration: float) -> Event:
        outcome = self._outcome if self._outcome != "success" else None
        return events.AgentFinished(
            self.agent, self.exit_code, duration, self.turns, outcome, self.pid, self.conversation
        )


class Reboot(Span):
    """The change to a fresh context. Made by `Loop.reboot`, which starts it."""

    def __init__(self, loop: Loop, parent: Span, reason: str, context_percent: float | None) -> None:
        super().__init__(loop, parent)
        if reason not in REBOOT_REASONS:
            known = ", ".join(REBOOT_REASONS)
            notice(f"loop.reboot: unknown reason {shown(reason)}, taken as 'manual'; known ones: {known}")
            reason = "manual"
        self.reason = reason
        self.context_percent = context_percent

    def _started_event(self) -> Event:
        return events.RebootStarted(self.reason, self.context_percent)

    def _finished_event(self, duration: float) -> Event:
        return events.RebootFinished(self.reason, self.context_percent, duration)
