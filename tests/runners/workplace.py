"""Folders to run real runners in, with a scripted agent, and what their journals have to say of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from environments import environment_of
from scripted import Project, executable, launched

from ralph_otel.events import Line
from ralph_otel.runners import RUNNERS, Runner
from support.seen import assert_known, signals_of
from support.tape import lines_of
from support.waiting import until

_AGENT = f"#!{sys.executable} -E\n" + (Path(__file__).parent / "agent.py").read_text()

WORKS: dict[str, Any] = {"write": {"work.txt": "NUMBER"}}
"""The agent changes a file and says something new each time."""
HANGS: dict[str, Any] = {"until": "release"}
"""The agent works until the file is there."""
_VOLATILE = (
    (re.compile(r"  \x1b\[38;5;81m[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏][^\n]*\n"), ""),  # frames of a spinner, each followed by a return
    (re.compile(r"Linux: (systemd-inhibit|No effective sleep)[^\n]*\n"), ""),  # ralph-loop, if it notices in time
    (re.compile(r"[^\n]* - claude_agent_sdk[^\n]* is too old to report its version[^\n]*\n"), ""),  # wherever it falls
    (re.compile(r"\d\d:\d\d:\d\d([.,]\d+)?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"\d{8}[-_]\d{6}"), "STAMP"),
    (re.compile(r"(?<=-)[0-9a-f]{4}(?=[/\s])"), "ID"),
    (re.compile(r"(?:(?<![\w.;\[])|(?<=\x1b\[38;5;255m))(\d+m ?)?\d+(\.\d+)?( ?s|m0s| seconds?)\b"), "DURATION"),
)
_ENTRY = """
import sys
from importlib.metadata import distribution
[script] = [each for each in distribution(sys.argv[1]).entry_points if each.name == sys.argv[2]]
sys.argv = sys.argv[2:]
sys.exit(script.load()())
"""
"""What a distribution's command does."""
_LATENESS = 30.0
"""Seconds by which a duration that a runner takes may exceed what its agent says: an interpreter starts and ends."""


class Workplace(Project):
    """A folder with scripted agents.

    Args:
        folder: made if need be.
        plan: what the agent does in each call, the last entry in all further ones: `text` to print, `write` (files),
            `exit`, `until` (a file that it waits for), `silent`, `journal` (the session file of Claude Code), `format`
            (whatever it is asked for), `block` (a path that it makes unusable as a folder).
        agents: the names of their commands.
    """

    def __init__(self, folder: Path, plan: Sequence[dict[str, Any]], agents: Sequence[str] = ("claude",)) -> None:
        super().__init__(folder, plan)
        self.done: subprocess.CompletedProcess[str]
        """What came of the runner."""
        self.user = folder / "user"
        self.user.mkdir()
        for name in agents:
            executable(folder / "bin" / name, _AGENT)

    @property
    def environment(self) -> dict[str, str]:
        """The environment for what runs in it, with a home folder and a git identity of its own."""
        identity = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {**super().environment, **identity, "HOME": str(self.user), "COLUMNS": "300"}

    def of(self, journal: Path, type_: str) -> list[Line]:
        """The lines of one type in one of its journals."""
        return [line for line in lines_of(journal) if line["type"] == type_]

    def calls(self) -> list[dict[str, Any]]:
        """The agent's account: an entry a call, with `exit`, `seconds` and `usage` where it came to its end."""
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
        self._scripts: Path | None = None
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
        """A command: a program, by preference of the runner's environment, and arguments."""
        program = self.bin / arguments[0]
        if self._scripts is not None and (self._scripts / arguments[0]).exists() and not program.exists():
            return [str(self.bin / "python"), "-c", _ENTRY, self.runner.distribution, *arguments]
        return [str(program) if program.exists() else arguments[0], *arguments[1:]]

    def moved(self, environment: Path) -> None:
        """From now on run it in another environment that has it, too, but not its commands."""
        self._scripts, self.bin = self.bin, environment / "bin"

    def play(self, plan: Sequence[dict[str, Any]], *arguments: str, **changes: str) -> Workplace:
        """Run it to its end under `ralph-otel run`, in a fresh folder."""
        place = self.workplace(plan)
        place.done = place.run(launched(*self.command(*arguments)), **changes)
        return place

    def same(self, plan: Sequence[dict[str, Any]], *arguments: str, **changes: str) -> Workplace:
        """Run it without and with `ralph-otel run`, and find the same. Returns the place of the second."""
        without = self.workplace(plan)
        without.done = without.run(self.command(*arguments), **changes)
        return compared(without, self.play(plan, *arguments, **changes))

    def same_when_interrupted(self, plan: Sequence[dict[str, Any]], *arguments: str, ordered: bool = True) -> Workplace:
        """Without and with, press ctrl-C while an agent hangs, and find the same.

        Args:
            ordered: whether the runner prints what comes of it in the same order every time.
        """
        places = []
        for wrap in (list, lambda command: launched(*command)):
            place = self.workplace(plan)
            process = place.start(wrap(self.command(*arguments)))
            until(lambda: place.account("waits"), what="for the agent to hang")  # noqa: B023 — called now
            os.killpg(process.pid, signal.SIGINT)
            place.done = _ended(process)
            places.append(place)
        without, place = places
        return compared(without, place, str if ordered else _sorted)

    def same_without_journals(self, plan: Sequence[dict[str, Any]], *arguments: str) -> None:
        """Run it without, and with `ralph-otel run` but no place for journals any more, and find the same output."""
        without, place = self.workplace(plan), self.workplace(plan)
        expected = without.run(self.command(*arguments))
        spoil = 'rm -rf home/runs && touch home/runs && exec "$@"'
        found = place.run(launched("bash", "-c", spoil, "bash", *self.command(*arguments)))
        assert settled(found.stdout, place) == settled(expected.stdout, without)
        assert found.returncode == expected.returncode
        assert not any("TRACEPARENT" in call["environment"] for call in place.calls())

    def kill(self, plan: Sequence[dict[str, Any]], *arguments: str) -> Workplace:
        """Kill the runner, under `ralph-otel run`, while an agent hangs."""
        place = self.workplace(plan)
        process = place.start(launched(*self.command(*arguments)))
        until(lambda: place.account("waits"), what="for the agent to hang")
        os.kill(place.lines("loop.started")[0]["pid"], signal.SIGKILL)
        place.done = _ended(process)
        (place.folder / "release").touch()
        return place


def _ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def compared(without: Workplace, place: Workplace, arrange: Callable[[str], str] = str) -> Workplace:
    assert arrange(settled(place.done.stdout, place)) == arrange(settled(without.done.stdout, without))
    assert arrange(settled(place.done.stderr, place)) == arrange(settled(without.done.stderr, without))
    assert place.done.returncode == without.done.returncode
    found, expected = ([_given(call, one) for call in one.calls()] for one in (place, without))
    assert found == expected
    return place


def _given(call: dict[str, Any], place: Workplace) -> tuple[int | None, list[str], dict[str, str]]:
    """What an agent was given and how it ended, but for its trace."""
    environment = {name: settled(text, place) for name, text in call["environment"].items() if name != "TRACEPARENT"}
    return call.get("exit"), [settled(word, place) for word in call["argv"]], environment


def _sorted(text: str) -> str:
    return "\n".join(sorted(text.splitlines()))


def assert_crashed(place: Workplace) -> None:
    """The runner was killed: `ralph-otel run` is, too, and has closed the journal as of the last event."""
    assert place.done.returncode == -signal.SIGKILL
    *_, last, stopped = place.lines()
    assert (stopped["type"], stopped["reason"], stopped["ts"]) == ("loop.stopped", "crashed", last["ts"])


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
    spent = [call["usage"] for call in calls if call.get("usage")]
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
    """Why the loop stopped. After its end come only figures of its last iterations' progress, if any."""
    lines = place.lines()
    [end] = [number for number, line in enumerate(lines) if line["type"] == "loop.stopped"]
    assert {line["type"] for line in lines[end + 1 :]} <= {"progress.measured"}
    return str(lines[end]["reason"])


def signals_in(places: Iterable[Workplace]) -> set[str]:
    """Which of the signals have arrived in the journals of these places."""
    lines: list[Line] = []
    given: list[str | None] = []
    for place in places:
        lines += [line for journal in place.journals() for line in lines_of(journal)]
        given += [call["environment"].get("TRACEPARENT") for call in place.calls()]
    return signals_of(lines, given)


def assert_seen_is_known(stage: Stage, *places: Workplace) -> None:
    """What has been seen of the runner is what `tests/seen.json` says."""
    assert_known("runners", f"{stage.runner.distribution} {stage.runner.tested[0]}", signals_in(places))
