"""The iterations that journals tell of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ralph_otel.events import Line
from ralph_otel.journal import BadLine, Follower, decode

SLACK = 5_000_000
"""Nanoseconds by which a file's time may be behind: the kernel takes it from its last tick."""


@dataclass
class Turn:
    """An iteration in a journal.

    Attributes:
        journal: the journal's path.
        loop: the run id.
        started: when, in Unix nanoseconds.
        finished: when; 0 while it goes on.
    """

    journal: Path
    loop: str
    trace_id: str
    span_id: str
    started: int
    finished: int = 0

    def holds(self, when: int) -> bool:
        """Whether a file that was changed then was changed in it."""
        return self.started - SLACK <= when and (not self.finished or when <= self.finished)


class JournalTurns:
    """Reads the iterations of one journal, as they begin and end."""

    def __init__(self, path: Path) -> None:
        self.open: list[Turn] = []
        self.finished: list[Turn] = []
        """Those that have ended and are not measured; whoever measures them takes them away."""
        self.ours: set[str] = set()
        """The spans of iterations whose measurement by ourselves has not been read yet."""
        self.speaks = False
        """Whether the loop's runner measures progress itself."""
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
        if type_ == "iteration.started" and span_id is not None:
            self.open.append(Turn(self._path, line["loop"], line["trace_id"], span_id, line["ts"]))
        elif type_ == "iteration.finished":
            for turn in [turn for turn in self.open if turn.span_id == span_id][:1]:
                turn.finished = max(line["ts"], turn.started)
                self.open.remove(turn)
                self.finished.append(turn)
        elif type_ == "progress.measured" and span_id in self.ours:
            self.ours.remove(span_id)
        elif type_ == "progress.measured":
            self.speaks = True
        elif type_ == "agent.started" and line.get("pid"):
            self.agents.add(line["pid"])
