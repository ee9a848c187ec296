"""One run of a runner's loop, as its adapter sees it.

What a runner tells comes in its own order, and not always with an end. `Watch` makes the probe's handles of it, and
ends what is still open before the next part begins.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from ralph_otel.agents import OutputParser, Totals, agent_name, parser_for
from ralph_otel.events import Event, ToolCalled
from ralph_otel.probe import Agent, Iteration, Loop, Session
from ralph_otel.runners.attachment import Attachment, Call, Observer

_running: ContextVar[Watch | None] = ContextVar("ralph_otel_watch", default=None)
_watches: list[Watch] = []


def current() -> Watch | None:
    """The loop that runs here; in a thread that does not say whose it is, the only loop there is, if it is one."""
    watch = _running.get()
    if watch is not None and watch in _watches:
        return watch
    return _watches[0] if watch is None and len(_watches) == 1 else None


def in_loop(observer: Callable[[Watch, Call], Iterator[None]]) -> Observer:
    """An observer that is asked only while a loop runs, and told which."""

    def observe(call: Call) -> Iterator[None]:
        watch = current()
        return observer(watch, call) if watch is not None else iter(())

    return observe


class Turn(Iteration):
    """An iteration whose end its runner tells.

    Attributes:
        took: seconds, by the runner's own count; None: from its start to its end here.
    """

    took: float | None = None

    def judge(self, outcome: str, error: BaseException | str | None) -> None:
        """Say how it has ended, and by which exception or class of error."""
        if isinstance(error, BaseException):
            self.fail(error)
        else:
            self._outcome, self._error_type = outcome, error

    def _finished_event(self, duration: float) -> Event:
        return super()._finished_event(duration if self.took is None else self.took)


class Watch:
    """Takes what is seen of one run of a loop. Its methods may raise where a runner tells nonsense.

    Args:
        loop: the loop, started.

    Attributes:
        loop: the loop.
        fresh: whether every iteration begins with a fresh context; else one session lasts for the whole run.
        turn: the iteration that goes on.
        agent: the agent that works.
        process: its process, as the runner has it: of `subprocess` or of `asyncio`.
        exit_code: the last agent's exit code; None where it is not known.
        timed_out: whether the last agent took too long.
        signalled: whether the run's user has ended it.
        notes: what the adapter wants to remember.
    """

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.fresh = True
        self.turn: Turn | None = None
        self.agent: Agent | None = None
        self.process: Any = None
        self.exit_code: int | None = None
        self.timed_out = False
        self.signalled = False
        self.notes: dict[str, Any] = {}
        self._session: Session | None = None
        self._reboot: str | None = None
        self._parser: OutputParser | None = None
        self._totals = Totals()
        self._reported = False

    @classmethod
    def begin(cls, attachment: Attachment, name: str, max_iterations: int | None = None) -> Watch | None:
        """A run begins, and is `current()` here until its end; None where it cannot be recorded."""
        loop = attachment.start(name, max_iterations)
        if loop is None:
            return None
        watch = cls(loop)
        _watches.append(watch)
        _running.set(watch)
        return watch

    def end(self, reason: str, error: BaseException | None = None) -> None:
        """The run is over.

        Args:
            reason: one of the journal's stop reasons; an interrupt or an exception knows better.
            error: what has ended it.
        """
        _watches.remove(self)
        if _running.get() is self:
            _running.set(None)
        self.signalled = self.signalled or is_interrupt(error)
        self.end_iteration("failure", error)
        self._end_session()
        if self.signalled:
            reason = "user_signal"
        elif error is not None and not isinstance(error, SystemExit):
            self.loop.fail(error)
        self.loop.stop(reason)
        self.loop.finish()

    # -- iterations -------------------------------------------------------------------------------------------------

    def begin_iteration(self, number: int | None = None) -> None:
        """An iteration begins: the one with that number, or the next."""
        self.end_iteration("failure")
        if self._reboot is not None:
            self.loop.reboot(self._reboot)
        self._reboot, self._reported = None, False
        self.exit_code, self.timed_out = None, False
        self.turn = Turn(self.loop, self._open_session(), number).start()

    def end_iteration(
        self,
        outcome: str = "success",
        error: BaseException | str | None = None,
        duration: float | None = None,
    ) -> None:
        """The iteration has ended, if one goes on.

        Args:
            outcome: how. A failure that a signal of the user's brought about is a cancellation.
            error: the exception, or the class of the error.
            duration: seconds, by the runner's own count.
        """
        cancelled = outcome == "failure" and (self.signalled or self._was_interrupted())
        self.end_agent("cancelled" if cancelled else None if outcome == "success" else outcome)
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.judge(*(("cancelled", None) if cancelled else (outcome, error)))
            turn.took, turn.exit_code = duration, self.exit_code
            turn.finish()
        if self.fresh:
            self._end_session()

    def reboot(self, reason: str) -> None:
        """The next iteration, if there is one, begins with a reboot."""
        self._reboot = reason

    def _open_session(self) -> Session:
        if self._session is None:
            self._session = self.loop.session().start()
        return self._session

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.finish()

    def _was_interrupted(self) -> bool:
        """Whether the agent has ended by the signal that a ctrl-C sends to everybody."""
        code = self.exit_code if self.process is None else self.process.returncode
        return bool(code == -signal.SIGINT)

    # -- agents -----------------------------------------------------------------------------------------------------

    def begin_agent(self, name: str, model: str | None = None) -> None:
        """An agent begins: in the iteration, or in a context of its own where none goes on."""
        self.end_agent()
        self.exit_code, self.timed_out = None, False
        self._parser = parser_for(name, totals=self._totals)
        around = self.turn if self.turn is not None else self._open_session()
        self.agent = Agent(self.loop, around, agent_name(name), model, None).start()

    def agent_variables(self, command: Sequence[Any]) -> dict[str, str]:
        """The variables for an agent's process that is about to start; its command says which agent that is."""
        if self.agent is None:
            self.begin_agent(str(command[0]), asked_model(command))
        return self.agent.context.environment() if self.agent is not None else {}

    def reads(self, output: bytes) -> None:
        """The agent has printed something."""
        if self._parser is not None:
            self._emit(self._parser.feed(output))

    def reads_record(self, record: Any) -> None:
        """The agent has printed a record, which the runner has decoded."""
        self.reads(json.dumps(record).encode() + b"\n")

    def reads_afterwards(self, output: Any) -> None:
        """The agent's whole output, text or bytes, once it has ended: when a line was printed is not known."""
        if self._parser is not None and isinstance(output, (str, bytes)):
            found = self._parser.feed(output.encode("utf-8", "replace") if isinstance(output, str) else output)
            found += self._parser.close()
            for event in found:
                if isinstance(event, ToolCalled):
                    event.duration = None
            self._emit(found)

    def end_agent(self, outcome: str | None = None) -> None:
        """The agent has ended, if one works; how, where its exit code does not tell."""
        agent, parser, process = self.agent, self._parser, self.process
        if agent is None:
            return
        if process is not None:
            agent.pid, self.exit_code = process.pid, process.returncode
        agent.exit_code = self.exit_code
        self.timed_out = outcome == "timeout"
        if parser is not None:
            self._emit(parser.close())
            agent.turns, agent.conversation = parser.turns, parser.conversation
            if parser.is_error:
                agent.fail(parser.error_type or "failure")
        if outcome is not None:
            agent.fail(outcome)
        self.agent = self._parser = self.process = None  # whoever holds the process keeps its pipes open
        agent.finish()
        if self.turn is None and self.fresh:
            self._end_session()

    def estimated(self, cost_usd: float) -> None:
        """What the runner guesses the iteration to have cost; nothing where the agent has said it."""
        if self.turn is not None and not self._reported and cost_usd > 0:
            self.turn.usage(cost_usd=cost_usd, cost_source="estimated")

    def _emit(self, found: list[Event]) -> None:
        for event in found:
            self._reported = self._reported or event.type == "usage.measured"
            if self.agent is None:
                return
            if isinstance(event, ToolCalled):
                self.agent.tool(event.tool, event.outcome, event.duration)  # a span of its own
            else:
                self.agent.emit(event)


def asked_model(command: Sequence[Any]) -> str | None:
    """The model that an agent's command asks for."""
    words = (str(word) for word in command)
    return next((next(words, None) for word in words if word in ("--model", "-m")), None)


def is_interrupt(error: BaseException | None) -> bool:
    """Whether the user has ended the run: by ctrl-C, in any of the forms that runners give to it."""
    if isinstance(error, SystemExit):
        return error.code == 128 + signal.SIGINT
    return isinstance(error, (KeyboardInterrupt, GeneratorExit)) or type(error).__name__ == "CancelledError"
