"""One process of an agent: the prompt goes in, the output is passed on, and what it tells becomes events."""

from __future__ import annotations

import errno
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ralph_otel.agents import PARSERS, OutputParser, Totals, agent_name, parser_for
from ralph_otel.agents.lines import Lines
from ralph_otel.agents.values import text
from ralph_otel.events import OUTCOMES, ContextMeasured, Event, UsageMeasured
from ralph_otel.loop.child import Child, supervise
from ralph_otel.loop.interrupts import Interrupts
from ralph_otel.notices import notice, shown
from ralph_otel.probe import Agent, Iteration

MAX_LINE = 1 << 20
"""The longest line, in bytes, that a pattern is searched for in."""


HINTS = {
    "claude": "--output-format stream-json --verbose",
    "codex": "exec --json",
    "gemini": "--output-format stream-json",
    "opencode": "run --format json",
}
"""What makes an agent tell what it spends and how full its context is."""


@dataclass(frozen=True)
class CannotStart:
    """Why the agent cannot be started."""

    message: str
    """One line, with the remedy."""
    exit_code: int
    """The shells' code for it: 127 not found, 126 not executable."""


@dataclass
class AgentReport:
    """How an agent's process went."""

    outcome: str = "success"
    error_type: str | None = None
    exit_code: int | None = None
    cost: float | None = None
    """US dollars; None: it did not say."""
    tokens: int = 0
    context_percent: float | None = None
    """The last value it told."""
    matched: set[str] = field(default_factory=set)
    """The names of the patterns that a line of its output matched."""
    told: bool = False
    """Whether anything was learnt from its output."""
    cannot_start: CannotStart | None = None

    def note(self, event: Event) -> None:
        """Take what an event says into account."""
        self.told = True
        if isinstance(event, ContextMeasured):
            self.context_percent = event.percent
        elif isinstance(event, UsageMeasured):
            counts = (event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_creation_tokens)
            self.tokens += sum(filter(None, counts))
            if event.cost_usd is not None:
                self.cost = (self.cost or 0.0) + event.cost_usd


class AgentRunner:
    """Runs an agent's command, once in every iteration.

    Args:
        command: its words.
        agent: its name; that of the command's file by default.
        patterns: regular expressions by name, to be searched for in each line of its standard output.
        out: takes its standard output, byte for byte.
    """

    def __init__(
        self,
        command: Sequence[str],
        agent: str | None,
        patterns: Mapping[str, str | None],
        out: Callable[[bytes], None],
    ) -> None:
        self.name = agent_name(agent or command[0])
        self._command = list(command)
        self._out = out
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items() if pattern is not None}
        self._totals = Totals()
        self._model = _asked_model(command) if self.name in PARSERS else None

    def run(
        self,
        iteration: Iteration,
        prompt: bytes,
        extra: Sequence[str],
        interrupts: Interrupts,
        grace: float,
        deadline: float | None,
        tick: Callable[[], None],
    ) -> AgentReport:
        """Run it to its end, which is `deadline` at the latest."""
        report = AgentReport()
        with iteration.agent(self.name, self._model) as agent:
            output = _Output(agent, report, parser_for(self.name, totals=self._totals), self._patterns, self._out)
            command = [*self._command, *extra]
            try:
                child = Child(command, agent.environment(), output.take, interrupts.wake, stdin=prompt)
            except (OSError, ValueError) as error:
                report.outcome, report.error_type = "failure", type(error).__name__
                report.cannot_start = _cannot_start(command[0], error)
            else:
                agent.pid = child.pid
                ending = supervise(child, interrupts, grace, deadline, tick)
                output.close(child.drained)
                report.exit_code = agent.exit_code = iteration.exit_code = child.exit_code
                report.outcome, report.error_type = _judge(ending, child.exit_code, output.parser)
            if report.error_type is not None:
                agent.fail(report.error_type)
                iteration.fail(report.error_type)
        return report


class _Output:
    """What becomes of an agent's output. `take` is called on the thread that reads it."""

    def __init__(
        self,
        agent: Agent,
        report: AgentReport,
        parser: OutputParser | None,
        patterns: Mapping[str, re.Pattern[str]],
        out: Callable[[bytes], None],
    ) -> None:
        self.parser = parser
        self._agent = agent
        self._report = report
        self._patterns = patterns
        self._out = out
        self._lines = Lines(MAX_LINE)

    def take(self, data: bytes) -> None:
        self._out(data)
        try:
            if self.parser is not None:
                self._emit(self.parser.feed(data))
            if self._patterns:
                self._search(self._lines.feed(data))
        except Exception as error:  # noqa: BLE001 — what we fail to read must still be passed on
            notice(f"{self._agent.agent}: its output cannot be read on: {type(error).__name__}; please report this")
            self.parser, self._patterns = None, {}

    def close(self, drained: bool) -> None:
        """Its output has ended: see what that makes certain, and keep what it says of itself."""
        if drained and self._patterns:
            self._search(self._lines.close())
        if self.parser is None:
            return
        if drained:
            self._emit(self.parser.close())
        self._agent.turns, self._agent.conversation = self.parser.turns, self.parser.conversation
        self._report.told = self._report.told or self.parser.turns is not None

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            self._report.note(event)
            self._agent.emit(event)

    def _search(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            for name, pattern in self._patterns.items():
                if name not in self._report.matched and pattern.search(line.decode(errors="replace").rstrip("\r")):
                    self._report.matched.add(name)


def _judge(ending: str, exit_code: int | None, parser: OutputParser | None) -> tuple[str, str | None]:
    """The outcome and the class of the failure."""
    if ending != "exit":
        return ending, ending
    said = parser.error_type if parser is not None and parser.error_type not in OUTCOMES else None
    if exit_code:
        return "failure", said or _code(exit_code)
    if parser is not None and parser.is_error:
        return "failure", said or "error"
    return "success", None


def _code(exit_code: int) -> str:
    if exit_code > 0:
        return f"exit_code_{exit_code}"
    try:
        return f"signal_{signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal_{-exit_code}"


def _asked_model(command: Sequence[str]) -> str | None:
    """The model that the command asks for, with the option that all known agents have."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        option, equals, value = word.partition("=")
        if option in ("--model", "-m"):
            return text(value if equals else following)
    return None


def _cannot_start(command: str, error: OSError | ValueError) -> CannotStart:
    name, code = shown(command, 120), getattr(error, "errno", None)
    if code == errno.ENOENT and shutil.which(command) is None:
        return CannotStart(f"{name}: no such command; install it, or give its path after --", 127)
    if code == errno.ENOENT:
        return CannotStart(f"{name}: the program that its first line names is missing; install that program", 127)
    if code == errno.ENOEXEC:
        return CannotStart(f"{name}: not a program; a script needs a first line such as #!/bin/sh", 126)
    if code in (errno.EACCES, errno.EPERM, errno.EISDIR):
        return CannotStart(f"{name}: not executable; chmod +x it, or give another command after --", 126)
    reason = getattr(error, "strerror", None) or str(error)
    return CannotStart(f"{name}: cannot be started: {reason}; check the command after --", 126)
