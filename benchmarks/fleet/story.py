"""What happens in a loop, told as the lines of its journal. The same seed tells the same story.

An iteration takes minutes: an agent with a model reads, edits and runs things, its tokens and its context grow, tests
follow, and what they changed is measured. Now and then an iteration fails or runs out of time, and a full context is
thrown away. Amounts of money and durations are multiples of 1/1024, which floats hold exactly: so their sums do not
depend on the order in which they are added up, and can be asked to be equal to the last bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ralph_otel import events
from ralph_otel.events import Event, Line

_SECOND = 1_000_000_000
_GRAIN = 1024
NAMES = ("fix-bugs", "raise-coverage", "migrate-api", "write-docs", "refactor-core")
RUNNERS = ("ralphify", "ralph-orchestrator", "ralph-otel")
AGENTS = (("claude", ("claude-opus", "claude-haiku")), ("codex", ("gpt-codex",)), ("gemini", ("gemini-pro",)))
_TOOLS = ("Bash", "Read", "Edit", "Grep", "Write", "Glob", "WebFetch", "TodoWrite")
_TOOL_SHARES = (30, 25, 20, 10, 6, 5, 1, 3)
_ERRORS = ("RateLimitError", "ConnectionError", "ToolNotFound")
_WINDOW = 200_000
"""Tokens of a context window."""
_REDLINE = 80.0
"""Percent of it at which a loop begins with a fresh context."""
_RARELY, _AT_TIMES = 0.04, 0.15


@dataclass
class Story:
    """A loop whose life is told.

    Args:
        run_id: the run.
        seed: decides everything that happens.
        begin: when it starts, in Unix nanoseconds.
        seconds: how long it goes on, about; the last iteration is told to its end.
    """

    run_id: str
    seed: int
    begin: int
    seconds: float

    def lines(self) -> Iterator[Line]:
        """The lines of its journal, in the order of their times."""
        self._dice = random.Random(self.seed)
        self._now = self.begin
        self._trace = self._id(32)
        self._loop = self._id(16)
        self._context = 0.0
        self._passing = self._dice.randint(40, 400)
        self._failing = self._dice.randint(0, 6)
        self._agent, models = self._dice.choice(AGENTS)
        self._model = self._dice.choice(models)
        name, runner = self._dice.choice(NAMES), self._dice.choice(RUNNERS)
        yield self._say(events.LoopStarted(name, runner, max_iterations=200), self._loop)
        yield from self._sessions(self.begin + round(self.seconds * _SECOND))
        yield self._say(
            events.LoopStopped(self._dice.choice(("completed", "max_iterations", "tests_passed"))), self._loop
        )

    def _sessions(self, end: int) -> Iterator[Line]:
        iteration = 0
        while self._now < end:
            session, began = self._id(16), self._now
            self._context = 0.0
            yield self._say(events.SessionStarted(session), session, self._loop)
            while self._now < end and self._context < _REDLINE:
                iteration += 1
                yield from self._iteration(iteration, session)
            yield self._say(events.SessionEnded(session, self._since(began)), session)
            if self._now < end:
                yield from self._reboot()

    def _reboot(self) -> Iterator[Line]:
        span = self._id(16)
        reason = "redline" if self._dice.random() > _AT_TIMES else "degradation"
        yield self._say(events.RebootStarted(reason, self._context), span, self._loop)
        yield self._say(events.RebootFinished(reason, self._context, self._pass(2, 30)), span)

    def _iteration(self, number: int, session: str) -> Iterator[Line]:
        span, began = self._id(16), self._now
        yield self._say(events.IterationStarted(number), span, session)
        yield from self._work(span)
        outcome, error = self._outcome()
        if outcome == "success":
            yield from self._tests(span)
            yield self._progress(span)
        else:
            yield self._say(events.ErrorRaised(error), span)
        yield self._say(events.IterationFinished(number, outcome, self._since(began), error or None), span)

    def _outcome(self) -> tuple[str, str]:
        drawn = self._dice.random()
        if drawn < _RARELY:
            return "timeout", "TimeoutExpired"
        return ("failure", self._dice.choice(_ERRORS)) if drawn < _AT_TIMES else ("success", "")

    def _work(self, iteration: str) -> Iterator[Line]:
        """An agent's process: some steps, each a few tools and what the model took for it."""
        span, began = self._id(16), self._now
        yield self._say(events.AgentStarted(self._agent, self._model), span, iteration)
        steps = self._dice.randint(3, 9)
        for _ in range(steps):
            for _ in range(self._dice.randint(1, 5)):
                yield self._tool(span)
            self._pass(5, 40)
            yield self._usage(span)
            self._context = min(100.0, self._context + self._dice.randint(0, 5))
            tokens = round(self._context / 100 * _WINDOW)
            yield self._say(events.ContextMeasured(self._context, tokens, _WINDOW), span)
        yield self._say(events.AgentFinished(self._agent, 0, self._since(began), steps), span)

    def _tool(self, agent: str) -> Line:
        (tool,) = self._dice.choices(_TOOLS, _TOOL_SHARES)
        outcome = "failure" if self._dice.random() < _RARELY else "success"
        return self._say(events.ToolCalled(tool, outcome, self._pass(0.1, 15)), self._id(16), agent)

    def _usage(self, span: str) -> Line:
        dice = self._dice
        usage = events.UsageMeasured(
            self._model,
            input_tokens=dice.randint(5, 2_000),
            output_tokens=dice.randint(100, 2_500),
            cache_read_tokens=dice.randint(10_000, 150_000),
            cache_creation_tokens=dice.randint(0, 8_000),
            cost_usd=dice.randint(8, 400) / _GRAIN,
            cost_source="reported" if self._agent == "claude" else "estimated",
        )
        return self._say(usage, span)

    def _tests(self, iteration: str) -> Iterator[Line]:
        took = self._pass(4, 90)
        self._failing = max(0, self._failing + self._dice.randint(-2, 2))
        self._passing += self._dice.randint(0, 3)
        results = {f"test_{number}": self._dice.random() > _RARELY for number in range(5)}
        tests = events.TestsFinished(
            self._passing, self._failing, self._dice.randint(0, 4), duration=took, results=results
        )
        yield self._say(tests, self._id(16), iteration)

    def _progress(self, iteration: str) -> Line:
        dice = self._dice
        if dice.random() < _AT_TIMES:
            return self._say(events.ProgressMeasured(0.0, False, 0), iteration)
        changed = dice.randint(1, 12)
        score = dice.randint(2, 16) / 16
        lines = dice.randint(1, 60 * changed), dice.randint(0, 30 * changed)
        return self._say(events.ProgressMeasured(score, None, changed, *lines, dice.randint(0, 2)), iteration)

    # -- its clock and its pen -----------------------------------------------------------------------------------------

    def _pass(self, least: float, most: float) -> float:
        """Let time pass. Returns the seconds that it was."""
        grains = self._dice.randint(round(least * _GRAIN), round(most * _GRAIN))
        self._now += grains * _SECOND // _GRAIN
        return grains / _GRAIN

    def _since(self, began: int) -> float:
        """Seconds since a moment, in whole grains."""
        return round((self._now - began) * _GRAIN / _SECOND) / _GRAIN

    def _id(self, digits: int) -> str:
        return f"{self._dice.getrandbits(4 * digits) | 1:0{digits}x}"

    def _say(self, event: Event, span: str, parent: str | None = None) -> Line:
        """An event as a line, now, in its span."""
        line: Line = {
            "v": events.VERSION,
            "type": event.type,
            "ts": self._now,
            "loop": self.run_id,
            "trace_id": self._trace,
            "span_id": span,
        }
        if parent is not None:
            line["parent_span_id"] = parent
        return {**line, **{name: value for name, value in vars(event).items() if value is not None}}
