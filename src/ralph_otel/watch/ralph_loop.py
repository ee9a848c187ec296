"""ralph-loop (PyPI; "context rotation"): what it leaves in `.ralph/`.

While it runs, `run.json` says `{pid, started_at, iteration, max_iterations, agent, agent_started_at}`; it is deleted at
the end. An iteration ends with `history/<spec>/NNN.log`: a first line `RALPH ROTATION N [agent] - time`, the prompt,
the output, and a last part `--- STATUS ---` with `Signal:` and `Files Changed:`. `state.json` says `{iteration, status,
specs[]{done_count}}`. Numbers go on from one run to the next. Logs of system specs (`[agent [SYSTEM]]`) are a part of
the iteration in which they ran. Read in the source of 0.6.0; prompts and output are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ralph_otel.agents.values import count, records, text
from ralph_otel.events import Event, ProgressMeasured, TestsFinished
from ralph_otel.watch.source import SECOND, Batch, End, Folder, Outline, Turn, moment, record

RUNNER = "ralph-loop"
LOGS = ".ralph/history/*/[0-9]*.log"
DONE = 3
"""How often every spec must have been found done."""
_FIRST = re.compile(r"=+\nRALPH ROTATION (\d{1,9}) \[([^\]\n]{1,100}\]?)\] - (\S{10,40})\n")
_LAST = re.compile(
    r"(?:\n--- CRASH DETECTED ---\nSummary: (?P<crash>.*)\n(?:Exit Code: (?P<code>-?\d{1,9})\n)?Output Bytes: \d+\n)?"
    r"\n--- STATUS ---\nSignal: (?P<signal>[A-Z]+)\nFiles Changed: (?P<files>\d{1,9})\n(?:  - .*\n)*"
    r"(?:\n--- TEST COMMAND ---\nExit Code: (?P<tests>-?\d{1,9})\n)?"
)


class RalphLoop:
    """Reads `.ralph/` of a project."""

    runner: ClassVar[str] = RUNNER
    watched: ClassVar[tuple[str, ...]] = ("", ".ralph", ".ralph/history/*")
    resolution: ClassVar[int] = SECOND

    def __init__(self) -> None:
        self.bad = 0
        self._run: Outline | None = None
        self._read: set[str] = set()
        self._began: dict[int, int] = {}
        self._state: dict[str, Any] = {}
        self._limit: int | None = None

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether it has run there."""
        return any(folder.names(name) for name in (".ralph/run_config.json", ".ralph/run.json", LOGS))

    def patience(self) -> float:
        """Three hours is the longest that an agent may take, unless it is told that there is no limit."""
        return 24 * 3600.0

    def read(self, folder: Folder) -> Iterator[Batch]:
        """What is new. What is written last is looked at first: so what belongs to it is there."""
        running = _running(folder.content(".ralph/run.json"))
        self._state = folder.document(".ralph/state.json") or self._state
        configured = folder.document(".ralph/run_config.json")
        if configured is not None:
            self._limit = count(configured.get("max_iterations"))
        logs = self._new_logs(folder)
        if running is not None and (self._run is None or self._run.pid != running.pid):
            yield from self._replaced(running, [log for log in logs if log.ts < running.began], folder)
            logs = [log for log in logs if log.ts >= running.began]
        for log in logs:
            yield from self._rotation(log, folder)
        if running is not None:
            yield from self._goes_on(running)
        elif self._run is not None and not self._run.over and not folder.names(".ralph/run.json"):
            yield from self._run.ends(folder.now if self._run.pid else self._run.last, self._reason())

    def _new_logs(self, folder: Folder) -> list[_Log]:
        found = []
        for name in folder.names(LOGS):
            if name in self._read:
                continue
            log = _parse(folder.head(name).decode(errors="replace"), folder.tail(name).decode(errors="replace"))
            if log is not None:
                self._read.add(name)
                found.append(log)
            elif folder.now - (folder.modified(name) or 0) > 10 * SECOND:
                self._read.add(name)
                self.bad += 1
        return sorted((log for log in found if log.signal), key=lambda log: (log.ts, log.number))

    # -- iterations -------------------------------------------------------------------------------------------------

    def _rotation(self, log: _Log, folder: Folder) -> Iterator[Batch]:
        run = self._run
        if run is None or (run.over and log.ts > run.last):
            run = self._run = Outline(f"run {log.ts}", folder.name, RUNNER)
        began = min(self._began.pop(log.number, run.last or log.ts), log.ts)
        failed = log.crash is not None or log.signal == "STUCK"
        error = "agent_crash" if log.crash is not None else "stuck" if failed else None
        outcome = "timeout" if log.crash == "timeout" else "failure" if failed else "success"
        end = End(outcome, (log.ts - began) / SECOND, error, log.code)
        turn = Turn(log.number, agent=log.agent)
        run.iteration = log.number
        seen = [*run.begins(began, self._limit), *turn.finished(log.ts, end, _measured(log))]
        yield from run.batch(f"{log.number} {log.ts}", log.ts, seen)

    # -- runs -------------------------------------------------------------------------------------------------------

    def _replaced(self, running: _Running, earlier: list[_Log], folder: Folder) -> Iterator[Batch]:
        """Another process runs the loop than the one that is known."""
        for log in earlier:
            yield from self._rotation(log, folder)
        before = self._run
        if before is not None and not before.over:
            stuck = bool(earlier) and earlier[-1].signal == "STUCK"
            yield from before.ends(before.last, "crashed" if before.pid else "no_progress" if stuck else "completed")
        name = f"process {running.pid} {running.began}"
        self._run = Outline(name, folder.name, RUNNER, last=running.began, pid=running.pid)

    def _goes_on(self, running: _Running) -> Iterator[Batch]:
        run, number, since = self._run, running.number, running.since
        assert run is not None
        self._limit = running.limit
        yield from run.batch(f"{running.pid} {running.began}", running.began, run.begins(running.began, self._limit))
        if number > run.iteration and running.agent != "pending" and not run.over:
            self._began.setdefault(number, since)
            if run.once(f"running {number}"):
                turn = Turn(number, agent=running.agent)
                yield from run.batch(f"{number} since {since}", since, turn.started(since))

    def _reason(self) -> str:
        """Why a run has ended, by what the loop's state is then."""
        specs = records(self._state.get("specs"))
        if self._state.get("status") == "STUCK":
            return "no_progress"
        if specs and all((count(spec.get("done_count")) or 0) >= DONE for spec in specs):
            return "completed"
        if self._limit is not None and (count(self._state.get("iteration")) or 0) >= self._limit:
            return "max_iterations"
        return "user_signal"


@dataclass(frozen=True)
class _Log:
    """What is of interest in a history log; `signal` is "" in that of a system spec."""

    number: int
    ts: int
    agent: str | None
    signal: str
    files: int
    crash: str | None = None
    code: int | None = None
    tests: int | None = None


@dataclass(frozen=True)
class _Running:
    """What run.json says."""

    pid: int
    began: int
    number: int
    since: int
    limit: int | None
    agent: str | None


def _running(content: bytes | None) -> _Running | None:
    said = record(content or b"") or {}
    pid, number = count(said.get("pid")), count(said.get("iteration"))
    began, since = moment(said.get("started_at")), moment(said.get("agent_started_at"))
    if not pid or number is None or began is None or since is None:
        return None
    return _Running(pid, began, number, since, count(said.get("max_iterations")), _agent(said.get("agent")))


def _agent(name: Any) -> str | None:
    return text(name.removesuffix(" [SYSTEM]").lower()) if isinstance(name, str) else None


def _parse(head: str, tail: str) -> _Log | None:
    first = _FIRST.match(head)
    at = moment(first[3]) if first is not None else None
    found = list(_LAST.finditer(tail))
    if first is None or at is None or not int(first[1]) or not found or not tail.endswith("=" * 80):
        return None
    last, system = found[-1], first[2].endswith("[SYSTEM]")
    crash = None if last["crash"] is None else "timeout" if "timed out" in tail[: last.start()][-200:] else "crash"
    return _Log(
        int(first[1]),
        at,
        _agent(first[2]),
        "" if system else last["signal"],
        int(last["files"]),
        crash,
        int(last["code"]) if last["code"] else None,
        int(last["tests"]) if last["tests"] else None,
    )


def _measured(log: _Log) -> Iterator[Event]:
    yield ProgressMeasured(float(log.files > 0), log.files > 0, log.files)
    if log.tests is not None:  # all that is known of a test command is its exit code
        yield TestsFinished(int(log.tests == 0), int(log.tests != 0))
