"""A loop in a process of its own that does what it is told, for those who watch it; and journals of the present."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .tape import T0, Tape

_CODE = """
import json, os, sys, time
from pathlib import Path
from ralph_otel.journal import Journal
path = Path(sys.argv[1])
journal = Journal(path)
print(os.getpid(), flush=True)
for said in sys.stdin:
    line = {"v": 1, "ts": time.time_ns(), "loop": path.stem, **json.loads(said)}
    if line["type"] == "loop.started":
        line.update(pid=os.getpid(), host=os.uname().nodename)
    journal.append(line)
    print("done", flush=True)
"""


class LoopProcess:
    """A process that appends to a journal what `add` says, as soon as it is said. It has started its loop."""

    def __init__(self, journal: Path, name: str = "watched", **started: Any) -> None:
        self.journal = journal
        words = [sys.executable, "-c", _CODE, str(journal)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self._answer())
        self.add("loop.started", name=name, **started)

    def add(self, type_: str, **fields: Any) -> LoopProcess:
        """Append an event that happens now; back once it is in the file."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"type": type_, **fields}) + "\n")
        self.process.stdin.flush()
        assert self._answer() == "done"
        return self

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """As `kill -9` does; once more does no harm."""
        self.process.kill()
        self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def loop_process(journal: Path, name: str = "watched", **started: Any) -> Iterator[LoopProcess]:
    """A loop that ends with the block, if it has not been killed before."""
    loop = LoopProcess(journal, name, **started)
    try:
        yield loop
    finally:
        loop.kill()


def ago(tape: Tape, seconds: float) -> Tape:
    """The same tape, begun so many seconds before now."""
    for line in tape.lines:
        line["ts"] += time.time_ns() - round(seconds * 1e9) - T0
    return tape
