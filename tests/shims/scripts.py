"""A folder to run shell scripts in, with and without `ralph-otel run`, and agents that do what their arguments say.

Every agent keeps an account of its own: one JSON line when it starts and one when it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ralph_otel.events import Line
from ralph_otel.shims.command import TRACE
from support.patient import RUN
from support.tape import lines_of
from support.waiting import until

AGENT = r"""#!{python} -ISE
import hashlib, json, os, signal, sys, time
began = time.monotonic()
place = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
signals = []

def note(**fields):
    with open(place + "/account.jsonl", "a") as account:
        account.write(json.dumps(dict(fields, pid=os.getpid(), name=os.path.basename(__file__))) + "\n")

def end(code):
    note(exit=code, seconds=time.monotonic() - began, signals=signals)

def opened():
    found = []
    for fd in range(64):
        try:
            os.fstat(fd)
            found.append(fd)
        except OSError:
            pass
    return found

def shown(fd):
    return [fd, os.isatty(fd), os.tcgetpgrp(fd) == os.getpgrp() if os.isatty(fd) else None]

def write(fd, data):
    while data:
        data = data[os.write(fd, data):]

def say(**record):
    write(1, json.dumps(record).encode() + b"\n")

def stream(number):
    usage = dict(input_tokens=10 * number, output_tokens=number, cache_read_input_tokens=1000)
    model = dict(inputTokens=10 * number, outputTokens=number, cacheReadInputTokens=1000, costUSD=0.25,
        contextWindow=10000)
    say(type="system", subtype="init", session_id="s%d" % number, model="claude-x")
    say(type="assistant", session_id="s%d" % number, message=dict(id="m", model="claude-x", usage=usage,
        content=[dict(type="tool_use", id="t", name="Edit", input=dict(secret="hidden"))]))
    say(type="user", message=dict(content=[dict(type="tool_result", tool_use_id="t", content="hidden")]))
    say(type="result", subtype="success", is_error=False, num_turns=3, session_id="s%d" % number, result="Done",
        total_cost_usd=0.25, usage=usage, modelUsage={{"claude-x": model}})
    note(usage=[10 * number, number, 1000, 0.25])

note(argv=sys.argv, environment=dict(os.environ), open=opened(), shown=[shown(fd) for fd in opened()[:3]],
    pgrp=os.getpgrp(), ppid=os.getppid(), cwd=os.getcwd(), at=time.time_ns(), mask=[int(n) for n in
    signal.pthread_sigmask(signal.SIG_BLOCK, [])], ignored=[int(n) for n in (1, 2, 3, 15, 20, 21, 22) if
    signal.getsignal(n) == signal.SIG_IGN])
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
code = 0
for word in sys.argv[1:]:
    what, _, value = word.partition(":")
    if what == "out":
        write(1, value.encode() + b"\n")
    elif what == "err":
        write(2, value.encode() + b"\n")
    elif what == "raw":
        seed = b"%d" % os.getpgid(0) if False else b"seed"
        for part in range(int(value)):
            write(1, hashlib.shake_256(seed + b"%d" % part).digest(100000))
    elif what == "json":
        stream(int(value))
    elif what == "wait":
        deadline = time.monotonic() + 100
        while not os.path.exists(place + "/" + value) and time.monotonic() < deadline:
            time.sleep(0.005)
    elif what == "touch":
        open(place + "/" + value, "w").close()
    elif what == "edit":
        with open(value, "a") as file:
            file.write("%d\n" % os.getpid())
    elif what == "stdin":
        data = sys.stdin.buffer.read()
        note(stdin=len(data), digest=hashlib.sha256(data).hexdigest())
    elif what == "line":
        note(line=os.read(0, 100).decode())
    elif what == "catch":
        for number in map(int, value.split(",")):
            signal.signal(number, lambda number, _: (signals.append(number), note(caught=number)))
    elif what == "call":
        os.system(value.replace("+", " "))
    elif what == "leave":
        os.system("(while [ ! -e %s/%s ]; do sleep 0.01; done; echo late) &" % (place, value))
    elif what == "stop":
        note(stopping=1)
        os.kill(os.getpid(), int(value))
    elif what == "die":
        end(-int(value))
        if int(value) != signal.SIGKILL:
            signal.signal(int(value), signal.SIG_DFL)
        os.kill(os.getpid(), int(value))
    elif what == "exit":
        code = int(value)
end(code)
os._exit(code)
"""


@dataclass
class Done:
    """How a command ended."""

    stdout: bytes
    stderr: bytes
    returncode: int


class Workplace:
    """A folder with agents in `bin`, which come first on PATH, and a folder of journals in `home`.

    Args:
        folder: made if need be.
        agents: the agents' names.
    """

    def __init__(self, folder: Path, *agents: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self._processes: list[Process] = []
        self.temporary = Path(tempfile.mkdtemp(prefix="r-"))  # short, for sockets
        for name in agents or ("claude", "aider"):
            program(self.bin / name, AGENT.format(python=sys.executable))

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment for what runs here: ours, with these agents, and nothing exported."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {
            **inherited,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(self.temporary),
            "RALPH_OTEL_HOME": str(self.home),
            "RALPH_OTEL_EXPORT_FORMAT": "none",
            **changes,
        }

    def start(self, command: list[str], changes: Mapping[str, str] | None = None, **options: Any) -> Process:
        """Start a command here, as the leader of a process group."""
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        environment = self.environment(**(changes or {}))
        process = subprocess.Popen(command, cwd=self.folder, env=environment, process_group=0, **given)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End everything that has been started here and goes on."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        shutil.rmtree(self.temporary)

    def run(self, command: list[str], changes: Mapping[str, str] | None = None, **options: Any) -> Done:
        """Run a command here to its end."""
        given = options.pop("input", None)
        if given is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(command, changes, **options)
        stdout, stderr = process.communicate(given, timeout=60)
        return Done(stdout, stderr, process.returncode)

    def account(self, field: str) -> list[dict[str, Any]]:
        """The agents' own lines that have a field."""
        path = self.folder / "account.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if field in line]

    def await_account(self, field: str, count: int = 1) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        until(lambda: len(self.account(field)) >= count, what=f"for {count} lines with {field}")
        return self.account(field)

    def journals(self) -> list[Path]:
        """The journals, the first loop's first."""
        return sorted((self.home / "runs").glob("*.jsonl"), key=lambda path: (len(path.stem), path.stem))

    def trace(self) -> str:
        """The trace of the next agent, as its stand-in will find it; "" where there is no launch."""
        return "".join(path.read_text() for path in self.temporary.glob(f"*/{TRACE}")).partition(" ")[0]

    def lines(self, type_: str = "") -> list[Line]:
        """The lines of its only journal, or those of one type."""
        [journal] = self.journals()
        return [line for line in lines_of(journal) if type_ in ("", line["type"])]


Process = subprocess.Popen[bytes]


def program(path: Path, text: str) -> Path:
    """Write a script that can be run."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def launched(*command: str, options: tuple[str, ...] = (), patient: bool = True) -> list[str]:
    """A command under `ralph-otel run`.

    Args:
        options: of `ralph-otel run`.
        patient: whether it takes its time at the end.
    """
    program = RUN if patient else [sys.executable, "-m", "ralph_otel.cli.run"]
    return [*program, *options, "--", *command]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked how."""
    return _state(pid) in (None, psutil.STATUS_ZOMBIE)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    return _state(pid) == psutil.STATUS_STOPPED


def goes_on(pid: int) -> bool:
    """Whether a process is neither stopped nor has ended."""
    return not is_gone(pid) and not is_stopped(pid)


def _state(pid: int) -> str | None:
    try:
        state: str = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return None
    return state
