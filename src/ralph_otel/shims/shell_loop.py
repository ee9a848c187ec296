"""A loop whose runner says nothing, a shell script: every agent that it starts is one of its iterations.

The agents' stand-ins tell when one starts, what it prints where that is understood, and how it ends. Agents may run
side by side. Those that an agent starts itself are part of its iteration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ralph_otel.agents import OutputParser, Totals, agent_name, parser_for
from ralph_otel.agents.values import text
from ralph_otel.events import OUTCOMES, Event, Line, LoopStopped, SessionEnded, ToolCalled
from ralph_otel.journal import Held, Journal
from ralph_otel.notices import notice
from ralph_otel.probe import Agent, Loop
from ralph_otel.runners.launched import Launch
from ralph_otel.runners.watch import Turn
from ralph_otel.shims.listener import Frame
from ralph_otel.tracecontext import TraceContext

RUNNER = "shell"
_INTERPRETERS = ("sh", "bash", "dash", "zsh", "ksh", "fish", "python", "python3", "node", "bun", "perl", "ruby")
_USER_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)
_TIMEOUTS = ("timeout", "gtimeout")
_TIMED_OUT = (-signal.SIGTERM, 128 + signal.SIGTERM, -signal.SIGKILL)


def name_of(command: Sequence[str]) -> str:
    """What a loop is called: as the script that an interpreter is given, else as the command."""
    program, *words = command
    if Path(program).name in _INTERPRETERS and "-c" not in words:
        script = next((word for word in words if not word.startswith(("-", "+"))), "")
        program = script if Path(script).is_file() else program
    return Path(program).name


def reason_of(returncode: int) -> str:
    """Why a loop stopped whose command ended with that exit code, or by the signal of that negative number."""
    if returncode == 0:
        return "completed"
    if any(returncode in (-number, 128 + number) for number in _USER_SIGNALS):
        return "user_signal"
    return "error" if returncode > 0 else "crashed"


class Onlooker:
    """Whoever wants to know of agents at once. This one does not."""

    def started(self, folder: str, logs: Sequence[str]) -> None:
        """An agent has started in that folder, with what it prints going into these files."""

    def ending(self, when: int) -> None:
        """An agent has just ended, then, in Unix nanoseconds; the script goes on this moment."""

    def ended(self) -> None:
        """The journal tells of it."""


class ShellLoop:
    """The loop of one launch. It begins with the first agent.

    Args:
        name: the loop's name.
        launch: where its journal is made.
        trace_changed: told the trace id and the flags for the next agent, now and when they change.
    """

    def __init__(self, name: str, launch: Launch, trace_changed: Callable[[str, int], None]) -> None:
        self.onlooker = Onlooker()
        """Is told of every agent."""
        self.spoken_for: Callable[[], bool] = lambda: False
        """Whether somebody else tells of the loop; asked when its first agent starts, and before each while it is."""
        self.totals = Totals()
        self.now: int | None = None
        """When what is written now happened, in Unix nanoseconds; None: now."""
        self._launch = launch
        self._trace_changed = trace_changed
        self._journal: Journal | None = None
        self._held: Held | None = None
        self._lost = False
        self._loop = Loop(name, self._write, runner=RUNNER, trace_iterations=launch.trace_iterations)
        self._session = self._loop.session()
        trace_changed(self._loop.trace_id, self._loop.flags)

    @property
    def place(self) -> TraceContext:
        """Where the loop belongs: its trace, the flags, and the span around it, "" where there is none."""
        return TraceContext(self._loop.trace_id, self._loop.outer_span_id or "", self._loop.flags)

    @property
    def began(self) -> bool:
        """Whether an agent has been told of."""
        return self._journal is not None or self._lost

    def meet(self) -> AgentRun:
        """What takes the words of a new agent's stand-in."""
        return AgentRun(self)

    def begin_iteration(self, trace_id: str) -> Turn:
        """The next iteration begins, in a session of its own: every agent has a fresh context.

        Args:
            trace_id: the agent's trace. It is the loop's, unless that has just been continued in a new one.
        """
        turn = Turn(self._loop, self._session, None)
        self._session.trace_id = turn.trace_id = trace_id
        self._session.start()
        turn.start()
        self._prepare()
        return turn

    def end_iteration(self, turn: Turn) -> None:
        """An iteration has ended."""
        turn.finish()
        if turn.parent is not None:
            turn.parent.finish()
        self._prepare()

    def stop(self, returncode: int) -> None:
        """The command has ended. Iterations that go on have no end in the journal."""
        self.now = None
        if self._loop.open:
            reason = reason_of(returncode)
            self._loop.stop(reason)
            if self._loop.open:
                self._loop.emit(LoopStopped(reason))
        if self._held is not None:
            self._held.close()

    def _prepare(self) -> None:
        """Draw the next session's ids: its agent takes the trace from the folder, whenever it starts."""
        before = self._loop.trace_id
        self._session = self._loop.session()  # goes on in a new trace if this one has become long
        if self._loop.trace_id != before:
            with contextlib.suppress(OSError):
                self._trace_changed(self._loop.trace_id, self._loop.flags)

    def _write(self, line: Line) -> None:
        if self._journal is None and not self._lost:
            try:
                self._journal = self._launch.journal()
                self._held = Held(self._journal)
            except OSError as error:
                self._lost = True
                notice(f"no journal can be made in {self._launch.folder}: {error.strerror}")
        if self._journal is not None and self._held is not None:
            line["loop"] = self._journal.path.stem
            if self.now is not None:
                line["ts"] = self.now
                if line["type"] == SessionEnded.type:
                    del line["duration"]  # when we heard of it; the times say it better
            if line["type"] == LoopStopped.type:
                line.pop("duration", None)  # since we heard of its start
            self._held.append(line)


class TimedAgent(Agent):
    """An agent whose duration, in seconds, its stand-in has measured."""

    took: float | None = None

    def _finished_event(self, duration: float) -> Event:
        return super()._finished_event(duration if self.took is None else self.took)


class AgentRun:
    """One agent, as its stand-in tells of it."""

    def __init__(self, loop: ShellLoop) -> None:
        self._loop = loop
        self._turn: Turn | None = None
        self._agent: TimedAgent | None = None
        self._parser: OutputParser | None = None
        self._stand_in = 0
        self._has_timeout = False

    def take(self, frame: Frame) -> None:
        """Its stand-in tells something."""
        self._loop.now = frame.ts
        if frame.kind == "started":
            self._start(frame.values())
        elif frame.kind == "output" and self._parser is not None and self._agent is not None:
            self._emit(self._agent, self._parser.feed(frame.payload))
        elif frame.kind == "ended":
            code, took = frame.values()
            self._end(int(code), float(took))

    def gone(self) -> None:
        """Its stand-in tells no more. If the agent has no end then it has been killed, and the agent with it."""
        self._end(-signal.SIGKILL, None)

    def lives(self) -> bool:
        """Whether its stand-in is still there."""
        try:
            os.kill(self._stand_in, 0)
        except ProcessLookupError:
            return False
        return True

    def _start(self, values: list[str]) -> None:
        if not self._loop.began and self._loop.spoken_for():
            return
        pid, started, name, trace_id, span_id, stand_in, parent, model, folder, *logs = values
        self._stand_in, self._has_timeout = int(stand_in), _is_timeout(int(parent))
        self._loop.now = int(started)
        turn = self._turn = self._loop.begin_iteration(trace_id)
        agent = self._agent = TimedAgent(turn.loop, turn, agent_name(name), text(model), int(pid) or None)
        agent.trace_id, agent.span_id = trace_id, span_id  # what its TRACEPARENT says
        agent.start()
        self._loop.onlooker.started(folder, [log for log in logs if log])
        self._parser = parser_for(name, totals=self._loop.totals)

    def _end(self, code: int, took: float | None) -> None:
        turn, agent, parser = self._turn, self._agent, self._parser
        if turn is None or agent is None:
            return
        self._loop.onlooker.ending(self._loop.now or time.time_ns())
        self._turn = self._agent = self._parser = None
        if parser is not None:
            self._emit(agent, parser.close())
            agent.turns, agent.conversation = parser.turns, parser.conversation
        outcome, error_type = _judge(code, parser, self._has_timeout)
        if outcome != "success":
            agent.fail(outcome)
        turn.judge(outcome, error_type)
        turn.exit_code = agent.exit_code = code
        turn.took = agent.took = took
        agent.finish()
        self._loop.end_iteration(turn)
        self._loop.onlooker.ended()

    @staticmethod
    def _emit(agent: Agent, found: list[Event]) -> None:
        for event in found:
            if isinstance(event, ToolCalled):
                agent.tool(event.tool, event.outcome, event.duration)  # a span of its own
            else:
                agent.emit(event)


def _judge(code: int, parser: OutputParser | None, has_timeout: bool) -> tuple[str, str | None]:
    """The outcome, and the class of a failure."""
    said = parser.error_type if parser is not None and parser.error_type not in OUTCOMES else None
    if has_timeout and code in _TIMED_OUT:
        return "timeout", None
    if code in _INTERRUPTED:
        return "cancelled", None
    if code:
        return "failure", said or _name_of_code(code)
    if parser is not None and parser.is_error:
        return "failure", said or "error"
    return "success", None


def _name_of_code(code: int) -> str:
    if code > 0:
        return f"exit_code_{code}"
    try:
        return f"signal_{signal.Signals(-code).name}"
    except ValueError:
        return f"signal_{-code}"


def _is_timeout(pid: int) -> bool:
    """Whether that process is `timeout`, which ends what takes too long."""
    try:
        import psutil

        return psutil.Process(pid).name() in _TIMEOUTS
    except Exception:  # noqa: BLE001 — it has gone, or psutil has: then we do not know
        return False
