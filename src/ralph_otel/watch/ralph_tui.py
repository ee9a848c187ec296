"""ralph-tui: what it leaves in `.ralph-tui/`.

`session.json` is rewritten, as a whole, with every change: `sessionId`, `status`, `maxIterations`, `agentPlugin`,
`activeTaskIds`, and `iterations[]` with times, status and duration. It is deleted when all tasks are done;
`session-meta.json` (`id, status, endedAt`) stays. `iterations/<session's first 8>_<local time>_<task>.log` begins with
a header of `- **Key**: value` lines, usage among them, before `--- RAW OUTPUT ---`. `ralph.lock` names the process.
An iteration that failed before its agent ended has no log.

Read in the source of 0.11.0. Tasks' titles, error messages and output are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from ralph_otel.agents.values import count, records, text
from ralph_otel.events import ContextMeasured, Event, LoopPaused, LoopResumed, ProgressMeasured, UsageMeasured
from ralph_otel.watch.source import SECOND, Batch, End, Folder, Outline, Seen, Turn, moment, record

RUNNER = "ralph-tui"
LOGS = ".ralph-tui/iterations/*.log"
DIVIDER = b"\n--- RAW OUTPUT ---\n"
OUTCOMES = {"completed": "success", "failed": "failure", "interrupted": "cancelled", "skipped": "cancelled"}
STOP_REASONS = {"completed": "completed", "failed": "error", "interrupted": "user_signal"}
"""The status of a session that is over, and our reason; see also `_reason`."""
_HEADER = re.compile(
    r"- \*\*Status\*\*: (?P<status>\w+)\n"
    r"- \*\*Task Completed\*\*: (?P<completed>Yes|No)\n"
    r"- \*\*Promise Detected\*\*: (?:Yes|No)\n"
    r"- \*\*Started At\*\*: (?P<began>\S+)\n"
    r"- \*\*Ended At\*\*: (?P<ended>\S+)\n"
    r"- \*\*Duration\*\*: .*\n?"
    r"(?P<usage>(?:- \*\*[A-Za-z ]+ (?:Tokens|Percent)\*\*: .*\n?)*)"
)
"""The lines of a header that stand together. What is around them may be somebody's text."""
_USAGE = re.compile(r"- \*\*([A-Za-z ]+ Tokens)\*\*: (\d{1,15})$", re.MULTILINE | re.ASCII)
_AGENT = re.compile(r"^- \*\*(Agent|Model)\*\*: (.{1,200})$", re.MULTILINE)
_FILES = re.compile(r"^### Files Changed\n((?:- .*\n)+)", re.MULTILINE)
_MORE = re.compile(r"- \.\.\. and (\d{1,6}) more")


class RalphTui:
    """Reads `.ralph-tui/` of a project."""

    runner: ClassVar[str] = RUNNER
    watched: ClassVar[tuple[str, ...]] = ("", ".ralph-tui", ".ralph-tui/iterations")
    resolution: ClassVar[int] = 1_000_000

    def __init__(self) -> None:
        self.bad = 0
        self._runs: dict[str, _Run] = {}
        self._read: set[str] = set()

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether there has been a session."""
        known = (".ralph-tui/session.json", ".ralph-tui/session-meta.json", LOGS)
        return any(folder.names(pattern) for pattern in known)

    def patience(self) -> float:
        """A session that a person has left open may wait for long."""
        return 24 * 3600.0

    def read(self, folder: Folder) -> Iterator[Batch]:
        """What is new. What is written last is looked at first: so what belongs to it is there."""
        meta = folder.document(".ralph-tui/session-meta.json")
        session = folder.document(".ralph-tui/session.json")
        lock = record(folder.content(".ralph-tui/ralph.lock") or b"") or {}
        if session is not None:
            yield from self._begun(session, folder, lock)
        for log in self._new_logs(folder):
            yield from self._run(log.session, folder).turn(log)
        if session is not None:
            yield from self._session(session, folder)
        if meta is not None and (name := _name(meta.get("id"))) in self._runs:
            yield from self._runs[name].status(meta, "endedAt")

    def _run(self, name: str, folder: Folder) -> _Run:
        return self._runs.setdefault(name, _Run(name, folder.name, RUNNER))

    def _new_logs(self, folder: Folder) -> list[_Iteration]:
        """The logs whose header is there, in the order of the iterations."""
        found = []
        for name in folder.names(LOGS):
            header, divider, _ = folder.head(name).partition(DIVIDER) if name not in self._read else (b"", b"", b"")
            if not divider:
                continue
            self._read.add(name)
            log = _from_header(name, header.decode(errors="replace"))
            if log is not None:
                found.append(log)
            else:
                self.bad += 1
        return sorted(found, key=lambda log: log.began)

    def _begun(self, session: dict[str, Any], folder: Folder, lock: dict[str, Any]) -> Iterator[Batch]:
        name, began = _name(session.get("sessionId")), moment(session.get("startedAt"))
        if not name or began is None:
            self.bad += 1
            return
        run = self._run(name, folder)
        if _name(lock.get("sessionId")) == name:
            run.pid = count(lock.get("pid")) or None
        limit = count(session.get("maxIterations")) or None
        yield from run.batch(f"{name} started", began, run.begins(began, limit))

    def _session(self, session: dict[str, Any], folder: Folder) -> Iterator[Batch]:
        run = self._runs.get(_name(session.get("sessionId")))
        if run is None:
            return
        for fields in records(session.get("iterations")):
            turn = _from_session(run.name, fields, session)
            if turn is not None:
                yield from run.turn(turn)
        yield from run.status(session, "updatedAt")
        active = session.get("activeTaskIds")
        updated = moment(session.get("updatedAt"))
        if session.get("status") == "running" and isinstance(active, list) and active and updated is not None:
            yield from run.goes_on(updated, text(session.get("agentPlugin")), text(session.get("model")))


class _Iteration:
    """An iteration that has ended, from its log or from the session."""

    def __init__(self, session: str, number: int, began: int, ended: int, status: str) -> None:
        self.session = session
        self.number = number
        self.began = began
        self.ended = ended
        self.outcome = OUTCOMES.get(status, "failure")
        self.duration = max(0, ended - began) / SECOND
        self.agent: str | None = None
        self.model: str | None = None
        self.completed = False
        self.measured: list[Event] = []


class _Run(Outline):
    """A session of ralph-tui."""

    paused = False
    going_on: tuple[Turn, int] | None = None
    """An iteration that has begun, and when."""

    def turn(self, it: _Iteration) -> Iterator[Batch]:
        """An iteration that has ended. The session tells it again after its log has."""
        if not self.once(f"{it.began}"):
            return
        mark = f"{self.name} {it.began}"
        seen = [*self.begins(it.began), *self._given_up(it)]
        progress = [ProgressMeasured(float(it.completed), it.completed)] if it.outcome == "success" else []
        turn = Turn(it.number, agent=it.agent, model=it.model)
        seen += turn.finished(it.ended, End(it.outcome, it.duration), it.measured or progress)
        self.iteration = max(self.iteration, it.number)
        yield from self.batch(mark, it.ended, seen)

    def _given_up(self, it: _Iteration) -> Iterator[Seen]:
        """The iteration before, if it has begun and nothing more is told of it: it failed before its agent ended."""
        going_on, self.going_on = self.going_on, None
        if going_on is not None and going_on[0].number < it.number:
            turn, began = going_on
            ended = max(began, it.began)
            yield from turn.finished(ended, End("failure", (ended - began) / SECOND))

    def goes_on(self, ts: int, agent: str | None, model: str | None) -> Iterator[Batch]:
        """A task is active, so an iteration is going on, from the end of the last one on."""
        turn = Turn(self.iteration + 1, agent=agent, model=model)
        if not self.over and self.once(f"running {turn.name}"):
            self.going_on = turn, ts
            yield from self.batch(f"{self.name} running {turn.name}", ts, turn.started(ts))

    def status(self, said: dict[str, Any], when: str) -> Iterator[Batch]:
        """Whether the session is over, waits, or goes on."""
        word, ts = said.get("status"), moment(said.get(when)) or moment(said.get("updatedAt"))
        if ts is None or ts < self.last or not isinstance(word, str):
            return
        if self.over:
            self.over = word != "running"
        elif word in STOP_REASONS:
            reason, limit = STOP_REASONS[word], count(said.get("maxIterations"))
            if word == "interrupted" and limit and self.iteration >= limit:
                reason = "max_iterations"  # ralph-tui calls interrupted whatever is not completed
            yield from self.ends(ts, reason, word)
        elif word in ("paused", "running") and (word == "paused") != self.paused:
            self.paused = word == "paused"
            event = LoopPaused() if self.paused else LoopResumed()
            yield from self.batch(f"{self.name} {word} {ts}", ts, [Seen(ts, event, f"{word}.{ts}")])


def _name(session: Any) -> str:
    """A session by the part of its id that the logs' names have."""
    return session[:8] if isinstance(session, str) else ""


def _from_session(name: str, fields: dict[str, Any], session: dict[str, Any]) -> _Iteration | None:
    number, began, ended = (
        count(fields.get("iteration")),
        moment(fields.get("startedAt")),
        moment(fields.get("endedAt")),
    )
    if not number or began is None or ended is None:
        return None
    it = _Iteration(name, number, began, ended, str(fields.get("status")))
    it.agent, it.model = text(session.get("agentPlugin")), text(session.get("model"))
    it.completed = fields.get("taskCompleted") is True
    return it


def _from_header(name: str, header: str) -> _Iteration | None:
    found = _HEADER.search(header)
    title = re.match(r"# Iteration (\d{1,9}) Log\n", header)
    if found is None or title is None or not int(title[1]):
        return None
    began, ended = moment(found["began"]), moment(found["ended"])
    if began is None or ended is None:
        return None
    file = name.rpartition("/")[2]
    session = "legacy" if file.startswith("iteration-") else file.partition("_")[0]
    it = _Iteration(_name(session), int(title[1]), began, ended, found["status"])
    rest = dict(_AGENT.findall(header, found.end()))
    it.agent, it.model = text(rest.get("Agent")), text(rest.get("Model"))
    it.completed = found["completed"] == "Yes"
    it.measured = [*_usage({key: int(number) for key, number in _USAGE.findall(found["usage"])}, it.model)]
    it.measured += _progress(it, header)
    return it


def _usage(tokens: dict[str, int], model: str | None) -> Iterator[Event]:
    read, written = tokens.get("Input Tokens", 0), tokens.get("Output Tokens", 0)
    if read or written:
        yield UsageMeasured(model, read, written)
    window, left = tokens.get("Context Window Tokens", 0), tokens.get("Remaining Context Tokens", 0)
    reckoned = max(0, window - tokens.get("Total Tokens", read + written))
    if window > left != reckoned:  # what ralph-tui reckons from the sum of all requests is not the context
        yield ContextMeasured(100 * (window - left) / window, window - left, window)


def _progress(it: _Iteration, header: str) -> Iterator[Event]:
    """Whether the task was completed is the progress that ralph-tui knows; the files, where it lists them."""
    listed = _FILES.search(header)
    files: int | None = None
    if listed is not None:
        lines = listed[1].splitlines()
        more = _MORE.fullmatch(lines[-1])
        files = len(lines) - 1 + int(more[1]) if more is not None else len(lines)
    if it.outcome == "success" or files:
        made = it.completed or bool(files)
        yield ProgressMeasured(float(made), made, files)
