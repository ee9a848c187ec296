"""Stand-ins for runners that are seen by their files: they call an agent, and write what the real ones have documented.

Installed as the real ones are: by npm, or as a script that executes another.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_COMMON = f"""#!{sys.executable}
import datetime, json, os, subprocess, sys, time
from pathlib import Path

ITERATIONS = int(os.environ.get("ITERATIONS", "2"))
UTC = datetime.timezone.utc

def iso():
    return datetime.datetime.now(UTC).isoformat()

def agent():
    began = iso()
    done = subprocess.run(["claude", "-p", "--output-format", "stream-json"], stdout=subprocess.PIPE)
    return began, iso(), done.stdout

def put(name, **fields):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name + ".new").write_text(json.dumps(fields))
    os.replace(name + ".new", name)

subprocess.run(["claude", "--version"], stdout=subprocess.DEVNULL)
print("working", sys.argv[1:])
"""
_ORCHESTRATOR = """
Path(".ralph").mkdir(exist_ok=True)
NAME = time.strftime(".ralph/events-%Y%m%d-%H%M%S.jsonl", time.gmtime())

def row(topic, iteration=0, payload="", **fields):
    known = dict(ts=iso(), iteration=iteration, hat="loop", topic=topic, payload=payload)
    with open(NAME, "a") as file:
        file.write(json.dumps(dict(known, **fields)) + "\\n")

row("task.start", triggered="planner", payload="SECRET")
for number in range(1, ITERATIONS + 1):
    agent()
    usage = dict(input_tokens=1010, output_tokens=5, cache_read_tokens=1000, cache_write_tokens=0,
        context_window=200000, context_tokens=1010)
    row("iteration.summary", number, json.dumps(dict(usage, duration_ms=40, cost_usd=0.25, num_turns=2)))
if "--dies" in sys.argv:
    sys.exit(3)
row("loop.terminate", ITERATIONS, "## Reason\\ncompleted\\n\\n## Status\\nDone.\\n")
"""
_TUI = """
SESSION = os.urandom(4).hex() + "-0000-4000-8000-000000000000"
done, begun = [], iso()

def session(status, active=()):
    put(".ralph-tui/session.json", version=1, sessionId=SESSION, status=status, startedAt=begun, updatedAt=iso(),
        currentIteration=len(done), maxIterations=10, agentPlugin="claude", model="opus", iterations=done,
        activeTaskIds=list(active), cwd=os.getcwd())

session("running")
for number in range(1, ITERATIONS + 1):
    session("running", ["US-1"])
    began, ended, _ = agent()
    done.append(dict(iteration=number, status="completed", taskId="US-1", taskTitle="SECRET", taskCompleted=True,
        durationMs=40, startedAt=began, endedAt=ended))
    session("running")
if "--dies" in sys.argv:
    sys.exit(3)
session("completed")
"""
_CLAUDE_CODE = """
def status(word, number, reason=""):
    put(".ralph/status.json", timestamp=iso(), loop_count=number, calls_made_this_hour=1, last_action="executing",
        status=word, exit_reason=reason)

for number in range(1, ITERATIONS + 1):
    status("running", number)
    began = time.time()
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    Path(".ralph/logs").mkdir(exist_ok=True)
    result = agent()[2].splitlines()[-1]
    Path(f".ralph/logs/claude_output_{stamp}.log").write_bytes(result)
    said = dict(has_progress=True, files_modified=1, exit_signal=False)
    put(".ralph/.response_analysis", loop_number=number, timestamp=iso(), output_file="x.log", analysis=said)
    put(".ralph/.circuit_breaker_state", state="CLOSED", last_change=iso(), consecutive_no_progress=0,
        consecutive_same_error=0, current_loop=number)
    took = max(1, round(time.time() - began))
    with open(".ralph/logs/metrics.jsonl", "a") as file:
        file.write(json.dumps(dict(timestamp=iso(), loop=number, duration=took, success=True, calls=1)) + "\\n")
    status("success", number)
    time.sleep(1.1)  # its times are whole seconds, and it waits five between two iterations
if "--dies" in sys.argv:
    sys.exit(3)
status("completed", ITERATIONS, "project_complete")
"""
_SILENT = """
for number in range(1, ITERATIONS + 1):
    agent()
"""
PROGRAMS = {
    "ralph-orchestrator": _ORCHESTRATOR,
    "ralph-tui": _TUI,
    "ralph-claude-code": _CLAUDE_CODE,
}
_PACKAGES = {"ralph-orchestrator": ("@ralph-orchestrator/ralph-cli", "ralph"), "ralph-tui": ("ralph-tui", "ralph-tui")}
_AGENT = f"""#!{sys.executable}
import json, os, sys
if sys.argv[1:] == ["--version"]:
    sys.exit(print("2.1.110 (Claude Code)"))
with open("account.jsonl", "a") as account:
    account.write(json.dumps(dict(traceparent=os.environ.get("TRACEPARENT", ""))) + "\\n")
usage = dict(input_tokens=10, output_tokens=5, cache_read_input_tokens=1000)
model = dict(inputTokens=10, outputTokens=5, cacheReadInputTokens=1000, costUSD=0.25, contextWindow=200000)
print(json.dumps(dict(type="result", subtype="success", is_error=False, num_turns=2, session_id="s", result="SECRET",
    duration_ms=30, total_cost_usd=0.25, usage=usage, modelUsage={{"claude-x": model}})))
"""


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def install_agent(bin_: Path) -> None:
    """Put a scripted `claude` into a folder."""
    _program(bin_ / "claude", _AGENT)


def install(runner: str, folder: Path, silent: bool = False) -> Path:
    """Install a stand-in as the real one is.

    Args:
        runner: its name.
        folder: where `bin` and `lib` are made.
        silent: whether it writes none of its files, as an unknown version may.

    Returns:
        Its command.
    """
    text = _COMMON + (_SILENT if silent else PROGRAMS[runner])
    if runner not in _PACKAGES:
        loop = _program(folder / "home" / ".ralph" / "ralph_loop.sh", text)
        return _program(folder / "bin" / "ralph", f'#!/bin/bash\nR="{loop.parent}"\nexec "$R/ralph_loop.sh" "$@"\n')
    package, name = _PACKAGES[runner]
    where = folder / "lib" / "node_modules" / package
    program = _program(where / "dist" / "cli.js", text)
    (where / "package.json").write_text(json.dumps({"name": package, "version": "1.0.0"}))
    command = folder / "bin" / name
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to(program)
    return command
