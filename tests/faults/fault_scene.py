"""Where one fault happens: a home folder, a receiver, a program with an account, and what they have to say."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from fault_table import Arrived

from ralph_otel.runs import fold
from support import patient
from support.receiver import Received, totals
from support.waiting import until

OURS = [sys.executable, "-m", "ralph_otel"]
"""The command `ralph-otel`."""
PROGRAM = Path(__file__).with_name("fault_program.py")
_COUNTERS = ("ralph_loop.iterations", "iterations")
_NEXT = """
import os, sys, time
from pathlib import Path
import ralph_otel
collector = ralph_otel.register()
dead = [Path(name) for name in sys.argv[1:]]
marks = list(Path(os.environ["RALPH_OTEL_HOME"], "recorders").glob("*"))
with collector.loop("next") as loop:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        all(b'"loop.stopped"' in path.read_bytes() for path in dead) and not any(map(Path.exists, marks))
    ):
        time.sleep(0.02)
collector.flush(60)
collector.shutdown(60)
"""
"""Another loop on the same machine, which ends when it has seen to those that were killed."""


_NOT_BY_ITSELF = {
    "OTEL_BSP_SCHEDULE_DELAY": "60000",
    "OTEL_METRIC_EXPORT_INTERVAL": "60000",
    "RALPH_OTEL_COLLECTION_INTERVAL": "60s",
}
"""On a busy machine, too, nothing is sent before the end that would be sent after it on another."""


@dataclass
class Ended:
    """How a program ended.

    Attributes:
        code: its exit code, or the negative number of the signal that ended it.
        seconds: how long it took from its start.
        at: when it had ended, on the monotonic clock, in nanoseconds.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    at: int = field(default_factory=time.monotonic_ns)


@dataclass
class Scene:
    """Where a fault happens.

    Args:
        folder: where everything is.
        received: what has arrived.
        url: where the telemetry goes; the receiver by default.
    """

    folder: Path
    received: Received
    url: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home, self.account_file = self.folder / "home", self.folder / "account"
        self.temporary = Path(tempfile.mkdtemp(prefix="r-"))  # short, for sockets
        weakref.finalize(self, shutil.rmtree, self.temporary, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What its programs find in their environment."""
        return {
            **os.environ,
            "ACCOUNT": str(self.account_file),
            "TMPDIR": str(self.temporary),
            "RALPH_OTEL_HOME": str(self.home),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url or self.received.url,
            "FAULT_PATIENCE": "60",
            **_NOT_BY_ITSELF,
            **self.variables,
        }

    # -- the program ---------------------------------------------------------------------------------------------------

    def start(self, command: Sequence[str], *before: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own; its streams are pipes.

        Args:
            command: the command.
            before: a command that is put before it.
        """
        return subprocess.Popen(
            [*before, *command], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    @staticmethod
    def loop(telemetry: str, count: float = 20, ending: str = "return") -> list[str]:
        """The command of a program with an account."""
        return [sys.executable, str(PROGRAM), telemetry, str(count), ending]

    def run(self, command: Sequence[str], *signals: int) -> Ended:
        """Run a command to its end; each of the signals is sent when it waits for one."""
        began = time.monotonic()
        process = self.start(command)
        with ended_with(process):
            for number, each in enumerate(signals, 1):
                self.wait_for("waits", number)
                process.send_signal(each)
            return self.end(process, began)

    @staticmethod
    def end(process: subprocess.Popen[str], began: float) -> Ended:
        """Wait for the end of a program."""
        stdout, stderr = process.communicate(timeout=150)
        return Ended(process.returncode, stdout, stderr, time.monotonic() - began)

    def wait_for(self, word: str, count: int = 1) -> None:
        """Return once the account has so many lines that begin so."""
        until(lambda: len(self.account(word)) >= count, 100, f"for {word!r} in the account")

    def account(self, word: str) -> list[str]:
        """The lines of the account that begin so."""
        try:
            return [line for line in self.account_file.read_text().splitlines() if line.startswith(word)]
        except FileNotFoundError:
            return []

    def exit_seconds(self, ended: Ended) -> float:
        """How long the program took to end, after the last thing it did itself."""
        return (ended.at - int(self.account("leaves")[-1].split()[1])) / 1e9

    # -- what came of it -----------------------------------------------------------------------------------------------

    def arrived(self) -> Arrived:
        """What is at the receiver now."""
        spans = {span.span_id for span in self.received.spans() if span.name == "iteration"}
        counts = dict(totals(self.received.of("metrics"), *_COUNTERS))  # as each sender said last
        return Arrived(len(spans), round(sum(counts.values())))

    def journals(self) -> list[Path]:
        """The journals of its loops, but of the next ones."""
        return [
            path
            for path in sorted((self.home / "runs").glob("*.jsonl"))
            if path.stat().st_size and b'"name":"next"' not in path.read_bytes().partition(b"\n")[0]
        ]

    def journaled(self) -> int:
        """How many iterations have ended by the journals."""
        return sum(fold(path).run.total_iterations for path in self.journals())

    def next_start(self) -> None:
        """A minute later another loop starts on this machine, and ends."""
        dead = self.journals()
        for path in dead:
            os.utime(path, (time.time() - 60, time.time() - 60))
        done = self.run([sys.executable, "-c", _NEXT, *map(str, dead)])
        assert done.code == 0, done.stderr
        assert not any(fold(path).run.active for path in dead)

    def next_launch(self) -> None:
        """Later something else is started by `ralph-otel run`."""
        self.wait_for_the_end_of_all()
        done = self.run([*OURS, "run", "--", "true"])
        assert done.code == 0, done.stderr

    def replay(self) -> None:
        """`ralph-otel replay` of every run."""
        for path in self.journals():
            done = self.run([*patient.PROGRAM, "replay", str(path), "--to", self.received.url])
            assert done.code == 0, done.stderr

    def leftovers(self) -> list[str]:
        """What should not be there any more: processes, targets for Prometheus, temporary files.

        The targets of those that were found killed are there for an hour, so that Prometheus learns of it.
        """
        self.wait_for_the_end_of_all()
        folders = (self.temporary, self.home / "targets", self.home / "recorders")
        left = [path for folder in folders for path in folder.glob("*")]
        return [str(path) for path in left if b'"__meta_ralph_gone"' not in path.read_bytes()]

    def wait_for_the_end_of_all(self) -> None:
        """Return once none of its processes is left."""
        until(lambda: not self._processes(), what=f"for the end of {self._processes()}", pause=0.1)

    def _processes(self) -> list[psutil.Process]:
        """The processes that have this scene's account in their environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("ACCOUNT") == str(self.account_file):
                    found.append(process)
        return found


@contextlib.contextmanager
def ended_with(process: subprocess.Popen[str]) -> Iterator[None]:
    """Have a process and its group end with the block, whatever happens in it."""
    try:
        yield
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
