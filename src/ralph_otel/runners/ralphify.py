"""ralphify: every iteration runs commands, assembles a prompt, and pipes it to a new process of the agent.

Its `run_loop(config, state, emitter)` tells an emitter what happens; ours listens before the runner's own. The agent's
process is started by `ralphify._agent` through `subprocess.Popen`; what that module sees as `subprocess` gives the
agent its TRACEPARENT. No frame of ours is on the stack where ralphify prints a traceback, so its output stays the same.

The agent's output is read line by line only where the command is `claude`, which ralphify asks for stream-json.
Otherwise there is no usage. Each line is heard as ralphify reads it: it looks at the time after a line only, and makes
no event of the one that comes after a time-out, which may well be the agent's last.
"""

from __future__ import annotations

import functools
import inspect
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from ralph_otel.agents import OutputParser, Totals, agent_name, parser_for
from ralph_otel.events import Event, IterationFinished, ToolCalled
from ralph_otel.probe import Agent, Iteration, Loop, Session
from ralph_otel.runners import Report, StartLoop, not_seen
from ralph_otel.runners.patches import Patches

NAME = "ralphify"
OUTCOMES = {
    "iteration_completed": "success",
    "iteration_failed": "failure",
    "iteration_timed_out": "timeout",
}
"""The events that end an iteration, and how it has ended then."""
STOP_REASONS = {"user_requested": "user_signal", "error": "error"}
"""Reasons of its `run_stopped`, and ours. The third, `completed`, depends on the number of iterations."""

Data = Mapping[str, Any]

_patches = Patches()
_running: ContextVar[Watcher | None] = ContextVar("ralph_otel_ralphify", default=None)


def attach(start_loop: StartLoop, version: str, report: Report) -> None:
    """Have every loop of this process seen from now on, whoever has imported `run_loop` already."""
    engine = sys.modules["ralphify.engine"]
    run_loop = getattr(engine, "run_loop", None)
    if getattr(run_loop, "__ralph_otel__", False):
        return  # another ralph-otel in this process watches
    if run_loop is None or not {"config", "emitter"} <= inspect.signature(run_loop).parameters.keys():
        report(not_seen(NAME, version, "loops, since ralphify.engine.run_loop(config, state, emitter) is not there"))
        return

    def watcher(config: Any, emitter: Any) -> Watcher:
        return Watcher(start_loop, version, config, emitter, report)

    _patches.replace_everywhere("run_loop", run_loop, _watched(run_loop, watcher))
    agent = sys.modules.get("ralphify._agent")
    if agent is not None and getattr(agent, "subprocess", None) is subprocess:
        _patches.replace(agent, "subprocess", _Subprocess())
    else:
        report(not_seen(NAME, version, "agents, since ralphify._agent does not use subprocess"))


def detach() -> None:
    """Undo `attach`."""
    _patches.undo()


def _watched(run_loop: Callable[..., Any], watcher: Callable[[Any, Any], Watcher]) -> Callable[..., Any]:
    signature = inspect.signature(run_loop)

    @functools.wraps(run_loop)
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return run_loop(*args, **kwargs)  # which will say what is wrong with them
        watch = watcher(bound.arguments.get("config"), bound.arguments.get("emitter"))
        bound.arguments["emitter"] = watch
        token = _running.set(watch)
        try:
            return run_loop(*bound.args, **bound.kwargs)
        except BaseException as error:
            watch.raised(error)
            raise
        finally:
            _running.reset(token)
            watch.close()

    watched.__ralph_otel__ = True  # type: ignore[attr-defined]  # a mark that other copies of this module know
    return watched


class _Process(subprocess.Popen):  # type: ignore[type-arg]  # ralphify chooses between text and bytes
    """A Popen that its loop's watcher knows of from the start. It has no `__init__`, so no frame in a traceback."""

    watcher: Watcher | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        process = super().__new__(cls)
        watcher = _running.get()
        if watcher is not None:
            watcher.process = process
        process.watcher = watcher
        return process

    @property
    def stdout(self) -> Any:
        """The agent's output, of which the watcher gets each line that ralphify reads."""
        return self._output

    @stdout.setter
    def stdout(self, file: Any) -> None:
        self._output = file if file is None or self.watcher is None else _Heard(file, self.watcher.hear)


class _Heard:
    """A file whose lines are heard when they are read. Reading them leaves no frame of ours, see `_Process`."""

    def __init__(self, file: Any, hear: Callable[[Any], None]) -> None:
        self._file = file
        self._hear = hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[Any]:
        return map(self._pass, self._file)

    def _pass(self, line: Any) -> Any:
        self._hear(line)
        return line


class _Subprocess:
    """What `ralphify._agent` sees as `subprocess`: the same, but a process that is started there is an agent."""

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    @property
    def Popen(self) -> Any:
        watcher = _running.get()
        environment = watcher.agent_starts() if watcher is not None else None
        return subprocess.Popen if environment is None else functools.partial(_Process, env=environment)


class Turn(Iteration):
    """An iteration whose outcome and duration its runner says."""

    said: IterationFinished | None = None

    def _finished_event(self, duration: float) -> Event:
        return self.said or super()._finished_event(duration)


class Watcher:
    """The emitter of one run: makes the loop's events of ralphify's, and passes those on.

    Args:
        start_loop: makes the loop.
        version: ralphify's version.
        config: the run's configuration.
        emitter: the runner's own emitter; None where it has none.
        report: told what is not seen.
    """

    def __init__(self, start_loop: StartLoop, version: str, config: Any, emitter: Any, report: Report) -> None:
        self.process: subprocess.Popen[Any] | None = None
        """The running agent's process."""
        self._start_loop = start_loop
        self._version = version
        self._config = config
        self._emitter = emitter
        self._report = report
        self._loop: Loop | None = None
        self._session: Session | None = None
        self._turn: Turn | None = None
        self._agent: Agent | None = None
        self._parser: OutputParser | None = None
        self._totals = Totals()
        self._error: BaseException | None = None
        self._handlers: dict[str, Callable[[Loop, Data], None]] = {
            "iteration_started": self._iteration_started,
            "run_paused": lambda loop, _: loop.pause(),
            "run_resumed": lambda loop, _: loop.resume(),
            "log_message": self._log_message,
            "run_stopped": self._run_stopped,
            **{kind: functools.partial(self._iteration_ended, outcome) for kind, outcome in OUTCOMES.items()},
        }

    def emit(self, event: Any) -> None:
        """Take an event of ralphify's, see it, and pass it on."""
        self._guarded("an event", self._see, event)
        if self._emitter is not None:
            self._emitter.emit(event)

    def raised(self, error: BaseException) -> None:
        """An exception leaves the run."""
        self._error = error
        if self._loop is not None:
            self._guarded("the end", self._loop.fail, error)

    def close(self) -> None:
        """The run is over. Nothing more to do, if it was told so."""
        if self._loop is not None and self._loop.open:
            self._guarded("the end", self._end_turn)
            self._guarded("the end", self._loop.finish)
        self._error = None  # and with it what its traceback holds

    def agent_starts(self) -> dict[str, str] | None:
        """The environment for the process of an agent that is about to start; None for the runner's own."""
        environment: dict[str, str] | None = self._guarded("an agent", self._agent_starts)
        return environment

    def hear(self, line: str | bytes) -> None:
        """A line of the agent's output. The first after a time-out is none of ralphify's events."""
        self._guarded("an agent's output", self._read, line)

    # -- what ralphify tells ----------------------------------------------------------------------------------------

    def _guarded(self, what: str, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 — the runner comes first
            self._report(not_seen(NAME, self._version, f"{what} ({type(error).__name__} in the adapter)"))
            return None

    def _see(self, event: Any) -> None:
        kind = event.type.value
        if kind == "run_started":
            self._run_started(event.data)
        elif self._loop is not None and kind in self._handlers:
            self._handlers[kind](self._loop, event.data)

    def _run_started(self, data: Data) -> None:
        limit = data.get("max_iterations")
        try:
            loop = self._start_loop(data["ralph_name"], max_iterations=limit, runner=NAME, runner_version=self._version)
        except OSError:  # no journal can be written: whoever launched this says so
            return
        self._loop = loop.start()

    def _iteration_started(self, loop: Loop, data: Data) -> None:
        self._end_turn()
        self._session = loop.session().start()  # every agent begins with a fresh context
        self._turn = Turn(loop, self._session, data["iteration"]).start()

    def _iteration_ended(self, outcome: str, loop: Loop, data: Data) -> None:
        code = data["returncode"]
        self._end_agent(code, outcome)
        if self._turn is not None:
            self._turn.said = IterationFinished(data["iteration"], outcome, data["duration"], None, code)
        self._end_turn()

    def _log_message(self, loop: Loop, data: Data) -> None:
        error = sys.exc_info()[1]
        if "traceback" in data and error is not None:  # told while ralphify handles what ended the run
            self._error = error
            loop.error(error)

    def _run_stopped(self, loop: Loop, data: Data) -> None:
        reason = STOP_REASONS.get(data["reason"], "completed")
        if reason == "user_signal" and self._error is None:
            self._error = KeyboardInterrupt()
        limit = self._config.max_iterations
        if reason == "completed" and limit is not None and data["total"] >= limit:
            reason = "max_iterations"
        self._end_turn()
        loop.stop(reason)
        loop.finish()

    def _end_turn(self) -> None:
        """End what an iteration consists of, as far as it is open."""
        self._end_agent(None, "failure")
        if self._turn is not None and self._turn.open:
            if self._turn.said is None:
                self._turn.fail(self._error or "failure")
            self._turn.finish()
        if self._session is not None:
            self._session.finish()

    # -- the agent --------------------------------------------------------------------------------------------------

    def _agent_starts(self) -> dict[str, str] | None:
        if self._turn is None or not self._turn.open:
            return None
        command = shlex.split(self._config.agent)[0]
        self._parser = parser_for(command, totals=self._totals)
        self._agent = self._turn.agent(agent_name(command)).start()
        return self._agent.environment()

    def _read(self, line: str | bytes) -> None:
        if self._parser is not None and self._agent is not None:
            data = line if isinstance(line, bytes) else line.encode(errors="surrogateescape")
            self._emit(self._agent, self._parser.feed(data))

    @staticmethod
    def _emit(agent: Agent, found: list[Event]) -> None:
        for event in found:
            if isinstance(event, ToolCalled):
                agent.tool(event.tool, event.outcome, event.duration)  # a span of its own
            else:
                agent.emit(event)

    def _end_agent(self, code: int | None, outcome: str) -> None:
        agent, parser, process = self._agent, self._parser, self.process
        if agent is None:
            return
        self._agent = self._parser = self.process = None  # ralphify's pipes are closed when nobody holds the process
        if parser is not None:
            self._emit(agent, parser.close())
            agent.turns, agent.conversation = parser.turns, parser.conversation
        agent.exit_code = code
        if process is not None:
            agent.pid = getattr(process, "pid", None)
            agent.exit_code = process.returncode if code is None else code
        if outcome == "timeout":
            agent.fail("timeout")
        elif self._error is not None:
            agent.fail(self._error)
        elif parser is not None and parser.is_error:
            agent.fail(parser.error_type or "failure")
        agent.finish()
