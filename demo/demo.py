"""A loop from its first failing test to its last, with telemetry: `make demo`.

Makes a small project in a temporary folder and lets two runners work on it. The agent is a script, not a model (see
`scripted_agent.py`); everything else is what a user would run. Each command is shown, to be repeated by hand.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = Path(sys.executable).parent
FOREIGN = ("OTEL_", "RALPH_OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE", "GIT_", "PYTHONPATH")
"""What is not taken over from the environment, so that the demo does the same everywhere."""
LOOP = 'ralph-otel loop -n 10 --test "python -m pytest -q" -- claude -p --output-format stream-json --verbose'


class Demo:
    """The demo's folder, and what is run in it.

    Args:
        folder: a folder that is empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        own = {
            "PATH": os.pathsep.join([str(folder / "bin"), str(TOOLS), os.environ.get("PATH", os.defpath)]),
            "RALPH_OTEL_HOME": str(folder / "telemetry"),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environment = {**kept, **own}

    def set_up(self) -> None:
        """The project under git, and the agent."""
        shutil.copytree(HERE / "project", self.project, ignore=shutil.ignore_patterns("__pycache__"))
        agent = self.folder / "bin" / "claude"
        agent.parent.mkdir()
        command = shlex.join([sys.executable, str(HERE / "scripted_agent.py")])
        agent.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        agent.chmod(0o755)
        for arguments in (
            ["init", "--quiet"],
            ["config", "user.name", "Ralph"],
            ["config", "user.email", "ralph@localhost"],
            ["config", "commit.gpgsign", "false"],
            ["add", "--all"],
            ["commit", "--quiet", "--message", "Roman numerals, with faults"],
        ):
            subprocess.run(["git", *arguments], cwd=self.project, env=self.environment, check=True)

    def run(self, command: str, expected: int = 0) -> None:
        """Show a command and run it.

        Raises:
            SystemExit: it did not end as it should.
        """
        process = self.start(command)
        self.finish(process, expected)

    def start(self, command: str, background: bool = False) -> subprocess.Popen[bytes]:
        """Show a command and begin it."""
        say(f"\n$ {command}{' &' if background else ''}")
        return subprocess.Popen(command, shell=True, cwd=self.project, env=self.environment)

    def finish(self, process: subprocess.Popen[bytes], expected: int = 0) -> None:
        """Wait for a command's end.

        Raises:
            SystemExit: it did not end as it should.
        """
        code = process.wait()
        if code != expected:
            sys.exit(f"\ndemo: this ended with exit code {code}, not {expected}; everything is in {self.folder}")


def say(text: str) -> None:
    """Print something of our own, before what the commands print."""
    print(text, flush=True)


def title(text: str) -> None:
    """Print a heading."""
    say(f"\n== {text} ".ljust(100, "="))


def play(demo: Demo) -> None:
    """Show everything."""
    title("A project with failing tests, in a temporary folder")
    say("`claude` is a SCRIPT here, not a model: it makes prepared edits, and its tokens and costs are made up.\n")
    say(f"$ cd {shlex.quote(str(demo.project))}")
    say(f"$ export RALPH_OTEL_HOME={shlex.quote(demo.environment['RALPH_OTEL_HOME'])}")
    say(f"$ export PATH={shlex.quote(str(demo.folder / 'bin'))}:{shlex.quote(str(TOOLS))}:$PATH")
    demo.run("python -m pytest -q --tb=no", expected=1)

    title("A runner as it is, ralphify, with telemetry: two iterations")
    demo.run("ralph-otel run -- ralph run fix-tests -n 2")

    title("The embedded runner, until the tests pass; its metrics, while it runs")
    loop = demo.start(f"{LOOP} > ../agent-output.jsonl", background=True)
    demo.run(f"python {shlex.quote(str(HERE / 'scrape.py'))}")
    demo.finish(loop)

    title("What is left: a journal for each run, and every figure can be had from it")
    demo.run("ralph-otel runs")
    demo.run("ralph-otel export latest --format json | head -n 29")
    demo.run("ralph-otel report latest --output ../report.html")

    title("Done")
    say(f"The report, for a browser: {demo.folder / 'report.html'}")
    say(f"The journals, one JSON object a line: {demo.environment['RALPH_OTEL_HOME']}/runs")
    say("With the three lines at the top, any ralph-otel command works on them; try: ralph-otel top")
    say(f"Nothing else is left. To remove it: rm -r {shlex.quote(str(demo.folder))}")


def main() -> None:
    """Make a folder and play the demo in it."""
    if shutil.which("git") is None:
        sys.exit("demo: git is not there; install it and try again")
    demo = Demo(Path(tempfile.mkdtemp(prefix="ralph-otel-demo-")))
    demo.set_up()
    try:
        play(demo)
    except KeyboardInterrupt:
        sys.exit(f"\ndemo: stopped; rm -r {shlex.quote(str(demo.folder))} removes what there is")


if __name__ == "__main__":
    main()
