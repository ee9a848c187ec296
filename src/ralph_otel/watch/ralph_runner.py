"""ralph-runner (PyPI): the runs below `~/.ralph-runner/runs/`.

A run is a folder `<local time>-<words of the prompt>`. After every iteration `stats.json` is rewritten: `{started,
settings{max_iterations, min_iterations, timeout, model}, iterations[]{iteration, status, duration_s, …, num_turns,
verify}}`; it has no times but the first one, and nothing says that a run has ended. `iter-N.jsonl` is what claude
printed (stream-json), `iter-N.txt` its text, written when iteration N ends. Read in the source of 0.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, ClassVar

from ralph_otel.agents.claude import ClaudeParser
from ralph_otel.agents.values import amount, count, mapping, records, text
from ralph_otel.events import Event, TestsFinished, UsageMeasured
from ralph_otel.watch.source import SECOND, Batch, End, Folder, Outline, Turn, moment

RUNNER = "ralph-runner"
AGENT = "claude"
COMPLETE = b"###RALPH_COMPLETE###"
"""What the agent says when it is done."""
RUNS = ("runs/*/stats.json", "stats.json")
"""The files, from `~/.ralph-runner` and from a run's own folder."""


class RalphRunner:
    """Reads all runs of a `.ralph-runner` folder, or one run's folder."""

    runner: ClassVar[str] = RUNNER
    watched: ClassVar[tuple[str, ...]] = ("", "runs", "runs/*")
    resolution: ClassVar[int] = SECOND

    def __init__(self) -> None:
        self.bad = 0
        self._runs: dict[str, _Run] = {}

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether there is a run."""
        return any(folder.names(pattern) for pattern in ("runs/*/iter-*.jsonl", "iter-*.jsonl", *RUNS))

    def patience(self) -> float:
        """The hard limit of an iteration (15 minutes unless set), and that of the verify command, and some."""
        return max([900.0, *(run.timeout for run in self._runs.values())]) + 1200.0

    def read(self, folder: Folder) -> Iterator[Batch]:
        """What is new."""
        for name in [name for pattern in RUNS for name in folder.names(pattern)]:
            stats = folder.document(name)
            if stats is not None:
                base = name.removesuffix("stats.json")
                began = moment(stats.get("started"))
                if began is None:
                    self.bad += 1
                    continue
                run = self._runs.setdefault(base, _Run(base))
                yield from run.stats(stats, began, folder)
        for run in self._runs.values():
            yield from run.goes_on(folder)


class _Run(Outline):
    """One run's folder."""

    def __init__(self, base: str) -> None:
        # The folder's name has words of the prompt in it, which belong nowhere.
        super().__init__(blake2b(base.encode(errors="replace"), digest_size=6).hexdigest(), RUNNER, RUNNER)
        self.base = base
        self.timeout = 900.0
        self.model: str | None = None

    def stats(self, stats: dict[str, Any], began: int, folder: Folder) -> Iterator[Batch]:
        """The statistics, with one more iteration than last time."""
        settings = mapping(stats.get("settings"))
        self.timeout = min(amount(settings.get("timeout")) or self.timeout, 24 * 3600.0)
        self.model = text(settings.get("model"))
        limit = count(settings.get("max_iterations"))
        yield from self.batch(f"{self.name} started", began, self.begins(began, limit))
        for fields in records(stats.get("iterations")):
            number = count(fields.get("iteration"))
            if number and number > self.iteration:
                yield from self._iteration(number, fields, folder)
                yield from self._ends(number, fields, settings, folder)

    def _iteration(self, number: int, fields: dict[str, Any], folder: Folder) -> Iterator[Batch]:
        duration = amount(fields.get("duration_s")) or 0.0
        reckoned = self.last + round(min(duration, 1e6) * SECOND)
        ts = max(self.last, folder.modified(f"{self.base}iter-{number}.txt") or reckoned)
        parser = ClaudeParser()
        events = [*parser.feed(folder.content(f"{self.base}iter-{number}.jsonl") or b""), *parser.close()]
        if not any(isinstance(event, UsageMeasured) for event in events):
            events += _usage(fields)
        outcome, error, exit_code = _outcome(str(fields.get("status")))
        end = End(outcome, duration, error, exit_code, count(fields.get("num_turns")) or None, parser.conversation)
        turn = Turn(number, agent=AGENT, model=parser.model or self.model)
        self.iteration = number
        seen = turn.finished(ts, end, [*events, *_verified(fields.get("verify"))])
        yield from self.batch(f"{self.name} {number}", ts, seen)

    def _ends(self, number: int, fields: dict[str, Any], settings: dict[str, Any], folder: Folder) -> Iterator[Batch]:
        """The run's end, where it follows from the iteration."""
        least, limit = count(settings.get("min_iterations")) or 0, count(settings.get("max_iterations"))
        said = COMPLETE in (folder.content(f"{self.base}iter-{number}.txt") or b"")
        if said and number >= least and fields.get("verify") is not False:
            yield from self.ends(self.last, "completed")
        elif limit is not None and number >= limit:
            yield from self.ends(self.last, "max_iterations")

    def goes_on(self, folder: Folder) -> Iterator[Batch]:
        """The next iteration has begun when its output is there."""
        number = self.iteration + 1
        if not self.over and folder.names(f"{self.base}iter-{number}.jsonl") and self.once(f"running {number}"):
            turn = Turn(number, agent=AGENT, model=self.model)
            yield from self.batch(f"{self.name} since {number}", self.last, turn.started(self.last))


def _outcome(status: str) -> tuple[str, str | None, int | None]:
    """An iteration's status as outcome, error and exit code."""
    if status == "ok":
        return "success", None, 0
    if status.startswith("timeout"):
        return "timeout", status if status in ("timeout_hard", "timeout_idle") else "timeout", None
    code = status.removeprefix("exit_")
    return "failure", None, int(code) if code.lstrip("-").isdecimal() and len(code) < 9 else None


def _usage(fields: dict[str, Any]) -> Iterator[Event]:
    """What the runner has counted itself, where the agent's output is not there any more."""
    read, written = count(fields.get("input_tokens")), count(fields.get("output_tokens"))
    cached, put = count(fields.get("cache_read_tokens")), count(fields.get("cache_write_tokens"))
    cost = amount(fields.get("cost_usd"))
    if read or written or cached or put or cost:
        yield UsageMeasured(None, read, written, cached, put, cost, "reported" if cost is not None else None)


def _verified(passed: Any) -> Iterator[Event]:
    """The verify command is the one test there is."""
    if isinstance(passed, bool):
        yield TestsFinished(int(passed), int(not passed))
