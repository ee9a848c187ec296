"""A scripted agent, installed by a `Workplace` under the names of real ones. It reads and prints what Claude Code does.

It keeps an account of its own in `account.jsonl`, one JSON line when it starts, when it hangs and when it ends: what it
was given, what it printed as its usage, how long it worked. What it does is in `plan.json`, a step a call.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
FOLDER = Path(__file__).parents[1]
ARGUMENTS = sys.argv[1:]


def option(name: str) -> str | None:
    """What follows an option."""
    return ARGUMENTS[ARGUMENTS.index(name) + 1] if name in ARGUMENTS[:-1] else None


class Call:
    """One call of the agent: its number, and what it is to do."""

    def __init__(self) -> None:
        self._account = FOLDER / "account.jsonl"
        starts = self._account.read_text().count('"argv"') if self._account.exists() else 0
        self.number = starts + 1
        plan: list[dict[str, Any]] = json.loads((FOLDER / "plan.json").read_text())
        self.step = plan[min(self.number, len(plan)) - 1]
        self.format: str = self.step.get("format") or option("--output-format") or "text"
        words = (hashlib.sha256(f"{self.number} {part}".encode()).hexdigest() for part in range(3))
        self.text: str = self.step.get("text", " ".join(words))

    def note(self, **fields: Any) -> None:
        """Write a line of the account."""
        with self._account.open("a") as account:
            account.write(json.dumps({**fields, "call": self.number, "pid": os.getpid()}) + "\n")

    def ends(self, code: int) -> None:
        """Note how it ends."""
        used = {"input": 10 * self.number, "output": self.number, "cached": 1000, "cost": 0.25}
        said = code >= 0 and self.format != "text"
        self.note(exit=code, seconds=time.monotonic() - BEGAN, usage=used if said else None)

    def terminated(self, *_: object) -> None:
        """Note a SIGTERM, and end by it."""
        self.ends(-signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def records(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """What Claude Code prints as stream-json: the records while it works, and the result."""
        session = {"session_id": f"s{self.number}"}
        counts = {"input_tokens": 10 * self.number, "output_tokens": self.number, "cache_read_input_tokens": 1000}
        model = {
            "inputTokens": 10 * self.number,
            "outputTokens": self.number,
            "cacheReadInputTokens": 1000,
            "costUSD": 0.25,
            "contextWindow": 10000,
        }
        call = {"type": "tool_use", "id": "t", "name": "Edit", "input": {"secret": "hidden"}}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "usage": counts}
        content = [{"type": "text", "text": self.text}, call]
        answer = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "hidden"}]}
        working: list[dict[str, Any]] = [
            {"type": "system", "subtype": "init", **session, "model": "claude-x"},
            {"type": "assistant", **session, "parent_tool_use_id": None, "message": {**message, "content": content}},
            {"type": "user", **session, "message": answer},
        ]
        times = {"num_turns": 3, "duration_ms": 1, "duration_api_ms": 1}
        ending = {"type": "result", "subtype": "success", "is_error": False, "result": self.text, **times, **session}
        return working, {**ending, "total_cost_usd": 0.25, "usage": counts, "modelUsage": {"claude-x": model}}


def say(record: dict[str, Any]) -> None:
    """Print a line of JSON."""
    print(json.dumps(record), flush=True)


def read_prompt() -> None:
    """Read the prompt, where it comes on the standard input; answer what the claude-agent-sdk asks there."""
    if option("--input-format") == "stream-json":
        for line in sys.stdin:
            request = json.loads(line)
            if request["type"] == "user":
                break
            answer = {"subtype": "success", "request_id": request["request_id"], "response": {}}
            say({"type": "control_response", "response": answer})
    elif "-p" in ARGUMENTS and (option("-p") or "-").startswith("-"):
        sys.stdin.read()


def change_files(step: dict[str, Any], number: int) -> None:
    """Write the step's files, with the call's number; put a file where the runner wants a folder."""
    for name, content in step.get("write", {}).items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("NUMBER", str(number)))
    if "block" in step:
        shutil.rmtree(step["block"], ignore_errors=True)
        Path(step["block"]).touch()


def main() -> None:
    """Do the step."""
    if "--version" in ARGUMENTS:
        return
    call = Call()
    signal.signal(signal.SIGTERM, call.terminated)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    call.note(argv=ARGUMENTS, environment=dict(os.environ))
    step, (working, result) = call.step, call.records()
    read_prompt()
    if step.get("journal"):  # the session file of Claude Code
        sessions = Path.home() / ".claude" / "projects" / str(Path.cwd()).replace("/", "-")
        sessions.mkdir(parents=True, exist_ok=True)
        lines = [{"type": "queue-operation", "sessionId": result["session_id"]}, *working[1:]]
        (sessions / f"{result['session_id']}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if call.format == "stream-json" and not step.get("silent"):
        for record in working:
            say(record)
    elif call.format == "text" and not step.get("silent"):
        print(call.text, flush=True)
        print("a warning", file=sys.stderr, flush=True)
    change_files(step, call.number)
    if "until" in step:
        call.note(waits=True)
        deadline = time.monotonic() + 100
        while not (FOLDER / step["until"]).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    if call.format != "text" and not step.get("silent"):
        say(result)
    code = step.get("exit", 0)
    if code:
        print("it failed", file=sys.stderr, flush=True)
    call.ends(code)
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
