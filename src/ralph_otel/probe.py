"""Handles on a running loop: what a runner calls, and what becomes lines of the journal.

    with Loop("fix-bugs", sink) as loop:
        with loop.session(), loop.iteration() as it:
            with it.agent("claude") as agent:
                subprocess.run(["claude", "-p"], env=agent.environment())
            it.tests(passed=41, failed=1)
        loop.stop("tests_passed")

A handle is a context manager, or is begun with `start()` and ended with `finish()` where a `with` does not fit. Handles
may be used from any thread and from asyncio tasks. Nothing here raises into its host: a wrong value is written as it is
and the recorder says what is wrong with it.

Standard library only, Python 3.9 and later: it runs inside any runner's own environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from ralph_otel import events, tracecontext
from ralph_otel.events import MAX_INTEGER, MAX_TEXT, REBOOT_REASONS, STOP_REASONS, Event, Line
from ralph_otel.journal import new_run_id
from ralph_otel.notices import notice
from ralph_otel.tracecontext import TraceContext

Sink = Callable[[Line], None]
"""Takes a finished line: into the journal, a queue, or both. Must not raise and must not block."""

_current: ContextVar[Span | None] = ContextVar("ralph_otel_span", default=None)
_Self = TypeVar("_Self", bound="Span")


class Span:
    """What all handles have in common: a place in the trace, a start, an end, and the measurements.

    Attributes:
        loop: the loop it belongs to.
        parent: the handle around it; None for a loop.
        span_id: 16 hexadecimal digits, drawn when the handle is made.
        open: whether it has started and not ended.
    """

    def __init__(self, loop: Loop, parent: Span | None) -> None:
        self.loop = loop
        self.parent = parent
        self.trace_id: str = loop.trace_id
        self.span_id = tracecontext.new_span_id()
        self.open = False
        self._started = 0.0
        self._entered: list[tuple[Token[Span | None], Callable[[], None] | None]] = []
        self._outcome = "success"
        self._error_type: str | None = None

    # -- its life ---------------------------------------------------------------------------------------------------

    def start(self: _Self) -> _Self:
        """Begin now. Returns the handle itself."""
        if not self.open:
            self.open = True
            self._started = time.monotonic()
            self.loop._enter(self)
            self.emit(self._started_event(), self.parent.span_id if self.parent else None)
        return self

    def finish(self) -> None:
        """End now. A second call does nothing."""
        if self.open:
            self.open = False
            event = self._finished_event(time.monotonic() - self._started)
            self.loop._write(event, self.trace_id, self.span_id, None)
            self.loop._leave(self)

    def __enter__(self: _Self) -> _Self:
        self.start()
        self._entered.append((_current.set(self), tracecontext.attach(self.context)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not _went_well(error):
            self.fail(error)
        self.finish()
        if self._entered:
            token, detach = self._entered.pop()
            if detach is not None:
                detach()
            try:
                _current.reset(token)
            except ValueError:  # left in another task or thread than it was entered in
                _current.set(self.parent)

    def _started_event(self) -> Event:
        raise NotImplementedError

    def _finished_event(self, duration: float) -> Event:
        raise NotImplementedError

    # -- what happens in it -----------------------------------------------------------------------------------------

    def emit(self, event: Event, parent_span_id: str | None = None) -> None:
        """Write any event of `ralph_otel.events`, in this span."""
        self.loop._write(event, self.trace_id, self.span_id, parent_span_id)

    def _emit_inside(self, event: Event) -> None:
        """Write an event that is a span of its own, inside this one."""
        self.loop._write(event, self.trace_id, tracecontext.new_span_id(), self.span_id)

    def fail(self, error: str | BaseException) -> None:
        """Say that it goes wrong; it ends as a failure then.

        Args:
            error: an exception, or a word: an outcome (`timeout`, `cancelled`), or the class of the error.
        """
        self._outcome, self._error_type = _judge(error)

    def usage(
        self,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_tokens: int | None = None,
        cache_creation_tokens: int | None = None,
        cost_usd: float | None = None,
        cost_source: str | None = None,
    ) -> None:
        """Tokens and US dollars spent since the last call; `cost_source` is `reported` or `estimated`."""
        self.emit(
            events.UsageMeasured(
                model, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_usd, cost_source
            )
        )

    def context_usage(self, percent: float, tokens: int | None = None, window: int | None = None) -> None:
        """How full the context window is, in percent, and its tokens where known."""
        self.emit(events.ContextMeasured(percent, tokens, window))

    def tests(
        self,
        passed: int,
        failed: int,
        skipped: int | None = None,
        total: int | None = None,
        duration: float | None = None,
        results: Mapping[str, bool] | None = None,
    ) -> None:
        """A run of the tests: counts, seconds, and each test's id with whether it passed."""
        if isinstance(results, Mapping):
            results = {str(name)[:MAX_TEXT]: bool(passed) for name, passed in results.items()}
        self._emit_inside(events.TestsFinished(passed, failed, skipped, total, duration, results))

    def progress(
        self,
        score: float,
        made_progress: bool | None = None,
        files_changed: int | None = None,
        lines_added: int | None = None,
        lines_removed: int | None = None,
        commits: int | None = None,
    ) -> None:
        """What changed, and a score from 0 to 1; `made_progress` is score ≥ 0.1 unless said otherwise."""
        self.emit(events.ProgressMeasured(score, made_progress, files_changed, lines_added, lines_removed, commits))

    def tool(self, name: str, outcome: str = "success", duration: float | None = None) -> None:
        """The agent has used a tool: its name, how it ended, seconds."""
        self._emit_inside(events.ToolCalled(name, outcome, duration))

    def error(self, error: str | BaseException) -> None:
        """Something went wrong that does not end anything: an exception, or the class of the error as a word."""
        self.emit(events.ErrorRaised(_judge(error)[1]))

    # -- its place --------------------------------------------------------------------------------------------------

    @property
    def context(self) -> TraceContext:
        """The trace context in which everything inside it belongs."""
        outer = self.loop._outer
        return TraceContext(self.trace_id, self.span_id, self.loop.flags, outer.state, outer.baggage)

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process started in it: `base` (`os.environ` by default) plus TRACEPARENT."""
        return {**(os.environ if base is None else base), **self.context.environment()}


class Loop(Span):
    """One run of a loop.

    Args:
        name: what its owner calls it; it is on every metric, so use few different names.
        sink: where the lines go.
        max_iterations: the most iterations it may run.
        runner: the runner's name, as its package is called.
        runner_version: the runner's version.
        attributes: further attributes for its span and log records: names with texts, numbers or truth values.
        run_id: the run's id; a new one by default.
        parent: the trace context to stand in; by default the host's current span, else `TRACEPARENT`.
        trace_iterations: after so many iterations the next part begins a trace of its own; 0: never.
        on_stop: called when the loop has ended.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        max_iterations: int | None = None,
        runner: str | None = None,
        runner_version: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parent: TraceContext | None = None,
        trace_iterations: int = 0,
        on_stop: Callable[[Loop], None] | None = None,
    ) -> None:
        outer = parent or tracecontext.from_host() or tracecontext.from_environment(os.environ)
        self._has_parent = outer is not None
        self._outer = outer or _new_trace()
        self.trace_id = self._outer.trace_id
        self.flags = self._outer.flags
        self.run_id = run_id or new_run_id()
        self.name = str(name)[:MAX_TEXT] or "loop"
        self.iterations = 0
        """The number of the last iteration that started."""
        self._sink = sink
        self._on_stop = on_stop
        self._started_with = events.LoopStarted(
            self.name,
            runner,
            runner_version,
            max_iterations,
            labels_of(attributes, "loop attributes"),
            os.getpid(),
            tracecontext.host_name(),
        )
        self._trace_iterations = trace_iterations
        self._trace_begins_at = 0
        self._trace_part = 1
        self._stop_reason: str | None = None
        self._children: list[Span] = []
        super().__init__(self, None)

    # -- parts ------------------------------------------------------------------------------------------------------

    def session(self, session: str | None = None) -> Session:
        """A fresh context window; its id is drawn unless given."""
        self._continue_trace()
        return Session(self, self, session)

    def iteration(self, number: int | None = None) -> Iteration:
        """The next turn of the loop, or the one with that number; inside the session that is open."""
        self._continue_trace()
        return Iteration(self, self._around(), number)

    def reboot(self, reason: str = "manual", context_percent: float | None = None) -> Reboot:
        """The context is thrown away, now. It ends when the handle does, or when the next part begins."""
        return Reboot(self, self._around(), reason, context_percent).start()

    def pause(self) -> None:
        """The loop waits; this time does not count."""
        self.emit(events.LoopPaused())

    def resume(self) -> None:
        """The loop goes on."""
        self.emit(events.LoopResumed())

    def stop(self, reason: str = "completed") -> None:
        """The loop ends: at once, or when the parts that are still open have ended. The first reason counts.

        Args:
            reason: one of `ralph_otel.events.STOP_REASONS`.
        """
        if self._stop_reason is not None:
            return
        if reason not in STOP_REASONS:
            known = ", ".join(STOP_REASONS)
            notice(f"loop.stop: unknown reason {events.shown(reason)}, taken as 'completed'; known ones: {known}")
            reason = "completed"
        self._stop_reason = reason
        self.emit(events.StopConditionTriggered(reason))
        self._finish_if_asked()

    def finish(self) -> None:
        """End the loop, and every part of it that is still open."""
        for child in reversed(self._children[:]):
            child.finish()
        super().finish()

    def fail(self, error: str | BaseException) -> None:
        """Say that an error ends the loop; what cancels it (Ctrl-C, say) counts as its user's will."""
        super().fail(error)
        if self._error_type:
            self.emit(events.ErrorRaised(self._error_type))
        if self._stop_reason is None:
            self._stop_reason = "user_signal" if self._outcome == "cancelled" else "error"

    # -- inside -----------------------------------------------------------------------------------------------------

    def _started_event(self) -> Event:
        return self._started_with

    def _finished_event(self, duration: float) -> Event:
        return events.LoopStopped(self._stop_reason or "completed")

    def _around(self) -> Span:
        """The part that a new part belongs into: the current session, else the last open one, else the loop."""
        span = _current.get()
        while span is not None:
            if span.loop is self and span.open and isinstance(span, Session) and span.trace_id == self.trace_id:
                return span
            span = span.parent
        sessions = (child for child in reversed(self._children) if isinstance(child, Session))
        return next((session for session in sessions if session.trace_id == self.trace_id), self)

    def _continue_trace(self) -> None:
        """Begin a new trace where this one has become long, and nothing but sessions is open in it."""
        long = self._trace_iterations and self.iterations - self._trace_begins_at >= self._trace_iterations
        if not long or any(isinstance(child, Iteration) for child in self._children):
            return
        self._trace_begins_at = self.iterations
        self._trace_part += 1
        event = events.TraceContinued(self._trace_part, self.trace_id, self.span_id)
        self.trace_id, self.span_id = tracecontext.new_trace_id(), tracecontext.new_span_id()
        self.emit(event)

    def _enter(self, part: Span) -> None:
        if part is self:
            return
        if not self.open:
            self.start()
        if isinstance(part, (Session, Iteration)):
            for reboot in [child for child in self._children if isinstance(child, Reboot)]:
                reboot.finish()
        self._children.append(part)

    def _leave(self, part: Span) -> None:
        if part is self:
            if self._on_stop is not None:
                self._on_stop(self)
            return
        try:
            self._children.remove(part)
        except ValueError:  # it has left before
            return
        if self._stop_reason is not None:
            self._finish_if_asked()

    def _finish_if_asked(self) -> None:
        if all(isinstance(child, Reboot) for child in self._children):
            self.finish()

    def _write(self, event: Event, trace_id: str, span_id: str, parent_span_id: str | None) -> None:
        line: Line = {
            "v": events.VERSION,
            "type": event.type,
            "ts": time.time_ns(),
            "loop": self.run_id,
            "trace_id": trace_id,
            "span_id": span_id,
        }
        if event is self._started_with:
            if self._has_parent:
                parent_span_id = self._outer.span_id
            if self.flags != tracecontext.SAMPLED:
                line["trace_flags"] = self.flags
        if parent_span_id is not None:
            line["parent_span_id"] = parent_span_id
        for name, value in vars(event).items():
            if type(value) is str and not 0 < len(value) <= MAX_TEXT:
                value = value[:MAX_TEXT] or None  # an empty text says nothing
            if value is not None:
                line[name] = value
        self._sink(line)


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
            notice(f"loop.reboot: unknown reason {events.shown(reason)}, taken as 'manual'; known ones: {known}")
            reason = "manual"
        self.reason = reason
        self.context_percent = context_percent

    def _started_event(self) -> Event:
        return events.RebootStarted(self.reason, self.context_percent)

    def _finished_event(self, duration: float) -> Event:
        return events.RebootFinished(self.reason, self.context_percent, duration)


def current() -> Span | None:
    """The handle whose `with` block is running here, in this thread or task."""
    return _current.get()


def labels_of(given: Any, what: str) -> dict[str, Any] | None:
    """Labels or attributes as an event may carry them; what else there is is left out, with a notice."""
    if given is not None and not isinstance(given, Mapping):
        notice(f"{what}: a {type(given).__name__} will not do; it must be a mapping; it is left out")
        given = None
    kept: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) <= MAX_INTEGER):
            kept[str(name)[:MAX_TEXT]] = value
        else:
            what_would_do = "a text, a finite number, true or false"
            notice(f"{what}: {events.shown(name)}, a {type(value).__name__}, is left out; it must be {what_would_do}")
    return kept or None


def _new_trace() -> TraceContext:
    """A trace that begins here. Its span id is never used: it stands for no parent."""
    trace_id = tracecontext.new_trace_id()
    flags = tracecontext.SAMPLED if tracecontext.sampled_at_root(trace_id, os.environ) else 0
    return TraceContext(trace_id, "0" * 16, flags)


def _went_well(error: BaseException) -> bool:
    """Whether it only ends the program, as `sys.exit()` does."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _judge(error: str | BaseException) -> tuple[str, str]:
    """An error as outcome and class. A message is never taken: it may hold anything."""
    if isinstance(error, str):
        word = error[:MAX_TEXT] or "error"
        return (word if word in events.OUTCOMES and word != "success" else "failure"), word
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, TimeoutError) or kind.__name__ in ("TimeoutExpired", "TimeoutError"):
        return "timeout", name[:MAX_TEXT]
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)) or kind.__name__ == "CancelledError":
        return "cancelled", name[:MAX_TEXT]
    return "failure", name[:MAX_TEXT]
