"""A project with a scripted agent, to run a real ralphify in.

The agent keeps an account of its own: one JSON line when it starts and one when it ends, with what it was given.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ralph_otel.events import Line
from support import patient
from support.tape import lines_of

AGENT = """#!{python}
import json, os, signal, sys, time

prompt = sys.stdin.read()
number = 1 + sum("argv" in line for line in open("account.jsonl")) if os.path.exists("account.jsonl") else 1
plan = json.load(open("plan.json"))
step = plan[min(number, len(plan)) - 1]

def note(**fields):
    with open("account.jsonl", "a") as account:
        account.write(json.dumps(dict(fields, call=number, pid=os.getpid())) + "\\n")

def terminated(*_):
    note(exit=-signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, terminated)
note(argv=sys.argv[1:], environment=dict(os.environ), path=sys.path, prompt=len(prompt))

def say(**record):
    print(json.dumps(record), flush=True)

if step.get("usage"):
    usage = dict(input_tokens=10 * number, output_tokens=number, cache_read_input_tokens=1000)
    model = dict(inputTokens=10 * number, outputTokens=number, cacheReadInputTokens=1000, costUSD=0.25,
        contextWindow=10000)
    say(type="system", subtype="init", session_id="s%d" % number, model="claude-x")
    say(type="assistant", session_id="s%d" % number, message=dict(id="m", model="claude-x", usage=usage,
        content=[dict(type="tool_use", id="t", name="Edit", input=dict(secret="hidden"))]))
    say(type="user", message=dict(content=[dict(type="tool_result", tool_use_id="t", content="hidden " * 1000)]))
    say(type="result", subtype="success", is_error=False, num_turns=3, session_id="s%d" % number,
        result="Done *%d*." % number, total_cost_usd=0.25, usage=usage, modelUsage={{"claude-x": model}})
else:
    print("working on %d" % number, flush=True)
    print("a warning", file=sys.stderr, flush=True)
with open("work.txt", "a") as work:
    work.write("%d\\n" % number)
deadline = time.monotonic() + 100
while step.get("until") and not os.path.exists(step["until"]) and time.monotonic() < deadline:
    time.sleep(0.01)
note(exit=step.get("exit", 0))
sys.exit(step.get("exit", 0))
"""

SUCCESS: dict[str, Any] = {"usage": True}
_VOLATILE = (
    (re.compile(r"\d+\.\d+s"), "T"),
    (re.compile(r"\d{8}-\d{6}"), "DATE"),
    (re.compile(r"0x[0-9a-f]+"), "ADDRESS"),
)


class Project:
    """A folder with a ralph named `my` and a scripted agent.

    Args:
        folder: made if need be.
        plan: what the agent does in each call, the last entry in all further ones: `usage` to print stream-json,
            `exit`, and `until`, a file that it waits for.
        agent: the agent's command.
        front: further lines of the ralph's front matter.
    """

    def __init__(self, folder: Path, plan: Sequence[dict[str, Any]], agent: str = "claude -p", front: str = "") -> None:
        self.folder = folder
        self.home = folder / "home"
        (folder / "bin").mkdir(parents=True)
        (folder / "my").mkdir()
        (folder / "my" / "RALPH.md").write_text(f"---\nagent: {agent}\n{front}---\nPlease go on.\n")
        (folder / "plan.json").write_text(json.dumps(list(plan)))
        for name in ("claude", "aider"):
            executable(folder / "bin" / name, AGENT.format(python=sys.executable))

    @property
    def environment(self) -> dict[str, str]:
        """The environment for what runs in it: ours, its agent first on PATH, its own home, nothing exported."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {
            **inherited,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "100",
            "RALPH_OTEL_HOME": str(self.home),
            "RALPH_OTEL_EXPORT_FORMAT": "none",
        }

    def run(self, command: Sequence[str], **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end, with changes to its environment."""
        environment = {**self.environment, **changes}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, command: Sequence[str], **changes: str) -> subprocess.Popen[str]:
        """Start a command in it, as the leader of a process group."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def account(self, field: str) -> list[dict[str, Any]]:
        """The agent's own lines that have a field: `argv` (a start) or `exit` (an end)."""
        path = self.folder / "account.jsonl"
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if field in line]

    def journals(self) -> list[Path]:
        """The journals that were written, the first loop's first."""
        paths = (self.home / "runs").glob("*.jsonl")
        return sorted(paths, key=lambda path: (len(path.stem), path.stem))

    def lines(self, type_: str = "") -> list[Line]:
        """The lines of its only journal, or those of one type."""
        [journal] = self.journals()
        return [line for line in lines_of(journal) if type_ in ("", line["type"])]


def executable(path: Path, text: str) -> Path:
    """Write a script that can be run."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def launched(*command: str) -> list[str]:
    """A command under `ralph-otel run`, which takes its time at the end."""
    return [*patient.RUN, "--", *command]


def settled(text: str) -> str:
    """An output without what differs from run to run."""
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text
