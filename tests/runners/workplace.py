"""A folder to run a real runner in, with a scripted agent that behaves as the real ones do.

The agent keeps an account of its own, one JSON line when it starts and one when it ends: what it was given, what it
printed as its usage, what it changed, how long it worked.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from environments import environment_of
from scripted import Project, executable, launched

from ralph_otel.events import Line
from ralph_otel.runners import RUNNERS, SIGNALS, Runner
from support.tape import lines_of

AGENT = r"""#!{python}
import hashlib, json, os, pathlib, signal, sys, time

began = time.monotonic()
folder = pathlib.Path(__file__).parents[1]
ledger = folder / "account.jsonl"
arguments = sys.argv[1:]
if "--version" in arguments:
    sys.exit(0)

def option(name):
    return arguments[arguments.index(name) + 1] if name in arguments[:-1] else None

number = 1 + sum('"argv"' in line for line in ledger.open()) if ledger.exists() else 1
plan = json.loads((folder / "plan.json").read_text())
step = plan[min(number, len(plan)) - 1]

def note(**fields):
    with ledger.open("a") as account:
        account.write(json.dumps(dict(fields, call=number, pid=os.getpid())) + "\n")

def terminated(*_):
    note(exit=-signal.SIGTERM, seconds=time.monotonic() - began)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, terminated)
signal.signal(signal.SIGINT, signal.SIG_DFL)
note(argv=arguments, environment=dict(os.environ), cwd=os.getcwd())

def say(**record):
    print(json.dumps(record), flush=True)

kind, session = option("--output-format") or "text", "s%d" % number
usage = dict(input_tokens=10 * number, output_tokens=number, cache_read_input_tokens=1000)
models = {{"claude-x": dict(inputTokens=10 * number, outputTokens=number, cacheReadInputTokens=1000, costUSD=0.25,
    contextWindow=10000)}}
text = step.get("text", " ".join(hashlib.sha256(b"%d %d" % (number, part)).hexdigest() for part in range(3)))
init = dict(type="system", subtype="init", session_id=session, model="claude-x")
assistant = dict(type="assistant", session_id=session, parent_tool_use_id=None, message=dict(id="m", type="message",
    role="assistant", model="claude-x", usage=usage, content=[dict(type="text", text=text),
    dict(type="tool_use", id="t", name="Edit", input=dict(secret="hidden"))]))
tool = dict(type="user", session_id=session, message=dict(role="user", content=[dict(type="tool_result", tool_use_id="t",
    content="hidden")]))
result = dict(type="result", subtype="success", is_error=False, num_turns=3, session_id=session, result=text,
    duration_ms=1, duration_api_ms=1, total_cost_usd=0.25, usage=usage, modelUsage=models)

if option("--input-format") == "stream-json":
    for line in sys.stdin:
        request = json.loads(line)
        if request["type"] == "control_request":
            say(type="control_response", response=dict(subtype="success", request_id=request["request_id"], response={{}}))
        elif request["type"] == "user":
            break
elif kind != "text" and (option("-p") or "-").startswith("-"):
    sys.stdin.read()

if step.get("journal"):  # the session file of Claude Code
    sessions = pathlib.Path.home() / ".claude" / "projects" / os.getcwd().replace("/", "-")
    sessions.mkdir(parents=True, exist_ok=True)
    with open(sessions / (session + ".jsonl"), "w") as file:
        for record in (dict(type="queue-operation", sessionId=session), assistant, tool):
            file.write(json.dumps(record) + "\n")
if step.get("silent"):
    pass
elif kind == "stream-json":
    for record in (init, assistant, tool):
        say(**record)
elif kind == "text":
    print(text, flush=True)
    print("a warning", file=sys.stderr, flush=True)
for name, content in step.get("write", {{}}).items():
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content.replace("NUMBER", str(number)))
deadline = time.monotonic() + 30
while step.get("until") and not (folder / step["until"]).exists() and time.monotonic() < deadline:
    time.sleep(0.01)
if kind in ("json", "stream-json") and not step.get("silent"):
    say(**result)
code = step.get("exit", 0)
spent = dict(input=10 * number, output=number, cached=1000, cost=0.25) if kind != "text" else None
note(exit=code, seconds=time.monotonic() - began, files=len(step.get("write", {{}})), usage=spent)
sys.stdout.flush()
os._exit(code)
"""

WORKS: dict[str, Any] = {"write": {"work.txt": "NUMBER"}}
"""The agent changes a file and says something new each time."""
HANGS: dict[str, Any] = {"until": "release"}
"""The agent works until the file is there."""
_VOLATILE = (
    (re.compile(r"\d\d:\d\d:\d\d([.,]\d+)?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"\d{8}[-_]\d{6}"), "STAMP"),
    (re.compile(r"(?<![\w.;\[])(\d+m ?)?\d+(\.\d+)?( ?s|m0s| seconds?)\b"), "DURATION"),
)
_LATENESS = 2.5
"""Seconds by which a duration that a runner takes may exceed what its agent says: an interpreter starts and ends."""


class Workplace(Project):
    """A folder with scripted agents.

    Args:
        folder: made if need be.
        plan: what the agent does in each call, the last entry in all further ones: `text` to print, `write` (files),
            `exit`, `until` (a file that it waits for), `silent`, `journal` (the session file of Claude Code).
        agents: the names of their commands.
    """

    def __init__(self, folder: Path, plan: Sequence[dict[str, Any]], agents: Sequence[str] = ("claude",)) -> None:
        super().__init__(folder, plan)
        self.user = folder / "user"
        self.user.mkdir()
        for name in agents:
            executable(folder / "bin" / name, AGENT.format(python=sys.executable))

    @property
    def environment(self) -> dict[str, str]:
        """The environment for what runs in it, with a home folder and a git identity of its own."""
        identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**super().environment, **identity, "HOME": str(self.user)}

    def calls(self) -> list[dict[str, Any]]:
        """The agent's account: an entry a call, with `exit`, `seconds`, `files` and `usage` where it came to its end."""
        ends = {line["call"]: line for line in self.account("exit")}
        return [{**start, **ends.get(start["call"], {})} for start in self.account("argv")]


class Stage:
    """A real runner in an environment of its own, and places to run it in.

    Args:
        distribution: the runner's.
        folder: where the places are made.
        prepare: makes a folder ready for the runner.
        agents: the names of the agents' commands.
    """

    def __init__(
        self,
        distribution: str,
        folder: Path,
        prepare: Callable[[Workplace], None] = lambda _: None,
        agents: Sequence[str] = ("claude",),
    ) -> None:
        self.runner: Runner = next(runner for runner in RUNNERS if runner.distribution == distribution)
        self.bin = environment_of(distribution, self.runner.tested[0]) / "bin"
        self._folder = folder
        self._prepare = prepare
        self._agents = agents
        self._number = 0

    def workplace(self, plan: Sequence[dict[str, Any]]) -> Workplace:
        """A fresh folder, ready for the runner. All have names of the same length: paths wrap alike."""
        self._number += 1
        place = Workplace(self._folder / f"p{self._number}", plan, self._agents)
        self._prepare(place)
        return place

    def command(self, *arguments: str) -> list[str]:
        """The runner's command: a script of its environment and arguments."""
        return [str(self.bin / arguments[0]), *arguments[1:]]

    def play(self, plan: Sequence[dict[str, Any]], *arguments: str, **changes: str) -> Workplace:
        """Run it under `ralph-otel run`, in a fresh folder."""
        place = self.workplace(plan)
        done = place.run(launched(*self.command(*arguments)), **changes)
        place.done = done
        return place

    def same(self, plan: Sequence[dict[str, Any]], *arguments: str, **changes: str) -> Workplace:
        """Run it without and with `ralph-otel run`, and find the same output and exit code. Returns the second place."""
        without = self.workplace(plan)
        expected = without.run(self.command(*arguments), **changes)
        place = self.play(plan, *arguments, **changes)
        assert settled(place.done.stdout, place) == settled(expected.stdout, without)
        assert settled(place.done.stderr, place) == settled(expected.stderr, without)
        assert place.done.returncode == expected.returncode
        assert [call["exit"] for call in place.calls()] == [call["exit"] for call in without.calls()]
        return place


def settled(text: str, place: Workplace) -> str:
    """An output without what differs from run to run."""
    text = text.replace(str(place.folder), "FOLDER").replace(place.folder.name, "NAME")
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def assert_agrees(place: Workplace, agents: int | None = None) -> None:
    """The journal says of its agents what they say themselves: each one, its exit code, time, context and usage."""
    calls, started, finished = place.calls(), place.lines("agent.started"), place.lines("agent.finished")
    assert len(calls) == len(started) == len(finished)
    assert agents in (None, len(calls))
    assert [call["environment"]["TRACEPARENT"] for call in calls] == [
        f"00-{line['trace_id']}-{line['span_id']}-01" for line in started
    ]
    for call, line in zip(calls, finished, strict=True):
        assert line.get("exit_code", call["exit"]) == call["exit"]
        assert line.get("pid", call["pid"]) == call["pid"]
        assert call["seconds"] <= line["duration"] < call["seconds"] + _LATENESS
    spent = [call["usage"] for call in calls if call["usage"]]
    reported = [line for line in place.lines("usage.measured") if line.get("cost_source") == "reported"]
    found = [
        {
            "input": line["input_tokens"],
            "output": line["output_tokens"],
            "cached": line["cache_read_tokens"],
            "cost": line["cost_usd"],
        }
        for line in reported
    ]
    assert found == spent
    assert b"hidden" not in place.journals()[0].read_bytes()


def outcomes(place: Workplace) -> list[tuple[int, str]]:
    """The iterations that have finished: number and outcome."""
    return [(line["iteration"], line["outcome"]) for line in place.lines("iteration.finished")]


def stop_reason(place: Workplace) -> str:
    """Why the loop stopped, which is the journal's last line."""
    last = place.lines()[-1]
    assert last["type"] == "loop.stopped"
    return str(last["reason"])


_FIELDS: dict[str, tuple[str, str]] = {
    "outcome": ("iteration.finished", "outcome"),
    "duration": ("iteration.finished", "duration"),
    "session": ("session.ended", "session"),
    "reboot": ("reboot.started", "reason"),
    "tests": ("tests.finished", "passed"),
    "progress": ("progress.measured", "score"),
    "files": ("progress.measured", "files_changed"),
    "lines": ("progress.measured", "lines_added"),
    "agent process": ("agent.finished", "agent"),
    "pid": ("agent.finished", "pid"),
    "exit code": ("agent.finished", "exit_code"),
    "model": ("agent.started", "model"),
    "tokens": ("usage.measured", "output_tokens"),
    "context": ("context.measured", "percent"),
    "turns": ("agent.finished", "turns"),
    "tools": ("tool.called", "tool"),
    "stop reason": ("loop.stopped", "reason"),
}


def signals_in(places: Iterable[Workplace]) -> set[str]:
    """Which of the signals have arrived in the journals of these places."""
    lines: list[Line] = []
    traced = True
    for place in places:
        lines += [line for journal in place.journals() for line in lines_of(journal)]
        started = {line["span_id"] for line in lines if line["type"] == "agent.started"}
        traced &= all(call["environment"].get("TRACEPARENT", "-" * 4).split("-")[2] in started for call in place.calls())
    seen = {name for name, (kind, field) in _FIELDS.items() if any(x["type"] == kind and field in x for x in lines)}
    kinds = {line["type"] for line in lines}
    sources = {line.get("cost_source") for line in lines if "cost_usd" in line}
    conditions = {
        "iterations": {"iteration.started", "iteration.finished"} <= kinds,
        "cost": "reported" in sources,
        "estimated cost": "estimated" in sources,
        "pause": {"loop.paused", "loop.resumed"} <= kinds,
        "TRACEPARENT": traced,
    }
    seen |= {name for name, holds in conditions.items() if holds}
    assert seen <= set(SIGNALS)
    return seen


def started(place: Workplace, command: Sequence[str], **changes: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return place.start(command, **changes)
