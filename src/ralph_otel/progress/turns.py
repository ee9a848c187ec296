"""The iterations that journals tell of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ralph_otel.events import Line
from ralph_otel.journal import BadLine, Follower, decode


@dataclass
class Turn:
    """An iteration in a journal.

    Attributes:
        journal: the journal's path.
        loop: the run id.
        started: when, in Unix nanoseconds.
        finished: when; 0 while it goes on.
        said: whether somebody has measured its progress.
    """

    journal: Path
    loop: str
    trace_id: str | None
    span_id: str | None
    started: int
    finished: int = 0
    said: bool = False


class JournalTurns:
    """Reads the iterations of one journal, as they begin and end."""

    def __init__(self, path: Path) -> None:
        self.open: list[Turn] = []
        self.finished: list[Turn] = []
        """Those that have ended and are not measured; whoever measures them takes them away."""
        self.ours: set[str] = set()
        """The spans of iterations whose measurement by ourselves has not been read yet."""
        self.agents: set[int] = set()
        """The agents' process ids, as far as they are known while the agents work."""
        self._path = path
        self._follower = Follower(path)

    def read(self) -> None:
        """Take in what is new."""
        while raws := self._read():
            for raw in raws:
                try:
                    self._take(decode(raw))
                except BadLine:
                    continue  # the recorder tells

    def close(self) -> None:
        """Give the file back."""
        self._follower.close()

    def _read(self) -> list[bytes]:
        try:
            return self._follower.read()
        except OSError:
            return []

    def _take(self, line: Line) -> None:
        type_, span_id = line["type"], line.get("span_id")
        if type_ == "iteration.started":
            self.open.append(Turn(self._path, line["loop"], line.get("trace_id"), span_id, line["ts"]))
        elif type_ == "iteration.finished":
            for turn in [turn for turn in self.open if turn.span_id == span_id][:1]:
                turn.finished = max(line["ts"], turn.started)
                self.open.remove(turn)
                self.finished.append(turn)
        elif type_ == "progress.measured" and span_id in self.ours:
            self.ours.remove(span_id)
        elif type_ == "progress.measured":
            turns = [turn for turn in (*self.open, *self.finished) if turn.span_id == span_id]
            for turn in turns or self.open[-1:] or self.finished[-1:]:
                turn.said = True
        elif type_ == "agent.started" and line.get("pid"):
            self.agents.add(line["pid"])
