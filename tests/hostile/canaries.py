"""Secrets wherever a loop has some, and the places in which to look for them."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WHERE = (
    "prompt", "argument", "environment", "apikey", "output", "thinking", "toolinput", "toolresult", "filecontent",
    "stderr", "errormessage", "remote", "testcommand", "testoutput", "hookprompt", "hookinput", "hookresponse",
    "exception", "header", "userinfo", "commandline", "scriptvariable",
)  # fmt: skip
CANARIES = {where: f"cnry{where}7f3a" for where in WHERE}
"""Where a secret is, to the secret: a word that is the same in JSON, in a URL and in a shell."""

AGENT = f"""#!{sys.executable}
import json, os, sys
sys.stdin.read() if not sys.stdin.isatty() else ""
c = {CANARIES!r}
def say(**record):
    print(json.dumps(record), flush=True)
usage = dict(input_tokens=10, output_tokens=5)
failing = os.path.exists("failed") is False and os.environ.get("FAIL")
say(type="system", subtype="init", session_id="s1", model="model-seen", cwd=os.getcwd(), tools=["Bash"])
say(type="assistant", session_id="s1", message=dict(id="m", model="model-seen", usage=usage, content=[
    dict(type="thinking", thinking=c["thinking"]), dict(type="text", text=c["output"]),
    dict(type="tool_use", id="t", name="ToolSeen", input=dict(command="echo " + c["toolinput"]))]))
say(type="user", message=dict(content=[
    dict(type="tool_result", tool_use_id="t", is_error=True, content=c["toolresult"])]))
open("work.txt", "a").write(c["filecontent"] + "\\n")
open("new-%d.txt" % os.getpid(), "w").write(c["filecontent"])
print(c["stderr"], file=sys.stderr, flush=True)
say(type="result", subtype="error_during_execution" if failing else "success", is_error=bool(failing), num_turns=2,
    session_id="s1", result=c["errormessage"] if failing else c["output"], errors=[c["errormessage"]],
    total_cost_usd=0.01, usage=usage, modelUsage={{"model-seen": dict(inputTokens=10, outputTokens=5, costUSD=0.01)}})
if failing:
    open("failed", "w").close()
    sys.exit(3)
"""

EMBEDDED = f"""
import urllib.request, sys, ralph_otel
collector = ralph_otel.register()
class Broken(Exception):
    pass
with collector.loop("loop-seen", runner="runner-seen") as loop:
    for _ in range(2):
        try:
            with loop.session(), loop.iteration() as iteration, iteration.agent("claude", model="model-seen") as agent:
                agent.tool("ToolSeen")
                iteration.usage(model="model-seen", input_tokens=5, output_tokens=2)
                loop.error(ValueError({CANARIES["exception"]!r}))
                raise Broken({CANARIES["exception"]!r}, {{"key": {CANARIES["exception"]!r}}})
        except Broken:
            pass
    assert collector.flush(20)
    url = collector.prometheus_url
    if url:
        open(sys.argv[1], "wb").write(urllib.request.urlopen(url).read())
    open(sys.argv[2], "w").write(repr(collector.get_metrics()) + collector.export("json"))
"""


def project(folder: Path) -> Path:
    """A project full of secrets, in a git work tree whose remote has a password."""
    folder.mkdir(parents=True)
    (folder / "PROMPT.md").write_text(f"Fix it. {CANARIES['prompt']}\n")
    (folder / "secret.txt").write_text(CANARIES["filecontent"])
    (folder / "bin").mkdir()
    (folder / "bin" / "claude").write_text(AGENT)
    (folder / "bin" / "claude").chmod(0o755)
    ralph = folder / "my"
    ralph.mkdir()
    agent = f"{folder / 'bin' / 'claude'} -p --append {CANARIES['argument']}"
    (ralph / "RALPH.md").write_text(f"---\nagent: {agent}\n---\nGo on. {CANARIES['prompt']}\n")
    (folder / "loop.sh").write_text(
        f"KEY={CANARIES['scriptvariable']}\nexport KEY\n"
        f"for i in 1 2; do claude -p '{CANARIES['argument']}' --output-format stream-json < PROMPT.md || true; done\n"
    )
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", f"https://me:{CANARIES['remote']}@git.example/x.git"],
        ["add", "-A"],
        ["-c", "user.name=n", "-c", "user.email=e@e", "commit", "-qm", f"first {CANARIES['filecontent']}"],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


class Taken:
    """Everything that came over the network, byte for byte."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []
        self.datagrams: list[bytes] = []
        self.url = ""
        self.statsd = ""


@contextmanager
def network() -> Iterator[Taken]:
    """A receiver of OTLP by HTTP and one of StatsD, which keep what they get as it comes, and unpacked."""
    taken = Taken()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.bodies.append(body)
            if self.headers.get("Content-Encoding") == "gzip":
                taken.bodies.append(gzip.decompress(body))
            taken.heads.append(f"{self.path}\n{self.headers}".encode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken.url = f"http://127.0.0.1:{server.server_address[1]}"
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    taken.statsd = f"127.0.0.1:{udp.getsockname()[1]}"

    def listen() -> None:
        while datagram := udp.recv(65_536):
            taken.datagrams.append(datagram)

    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)), threading.Thread(target=listen)]
    for thread in threads:
        thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", udp.getsockname())
        for thread in threads:
            thread.join()
        server.server_close()
        udp.close()


def leaks(content: bytes, but: tuple[str, ...] = ()) -> list[str]:
    """The canaries in some bytes, as they are, in base64 or in hexadecimal; those of `but` may be there."""
    found = []
    for where, word in CANARIES.items():
        raw = word.encode()
        inner = base64.b64encode(raw[raw.index(b"cnry") :]).rstrip(b"=")[:-2]
        if where not in but and any(form in content for form in (raw, inner, raw.hex().encode())):
            found.append(where)
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, its name included: a name may leak as well."""
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base) / name
            if path.is_file() and not path.is_symlink():
                found[str(path)] = str(path.relative_to(folder)).encode() + b"\n" + path.read_bytes()
    return found


def hook_inputs(folder: Path) -> list[bytes]:
    """What Claude Code tells its hooks in one session."""
    common = {"session_id": "s9", "transcript_path": str(folder / "t.jsonl"), "cwd": str(folder)}
    events = (
        {"hook_event_name": "SessionStart", "source": "startup", "model": "model-seen"},
        {"hook_event_name": "UserPromptSubmit", "prompt": CANARIES["hookprompt"]},
        {"hook_event_name": "PostToolUse", "tool_name": "ToolSeen", "tool_input": {"command": CANARIES["hookinput"]},
         "tool_response": {"stdout": CANARIES["hookresponse"], "error": CANARIES["hookresponse"]}},
        {"hook_event_name": "Notification", "message": CANARIES["hookresponse"]},
        {"hook_event_name": "Stop", "stop_hook_active": False, "last_assistant_message": CANARIES["output"]},
        {"hook_event_name": "SessionEnd", "reason": "other"},
    )  # fmt: skip
    return [json.dumps({**common, **event}).encode() for event in events]
