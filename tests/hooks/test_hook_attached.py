"""Hooks of an agent under a loop that is recorded already: they add to its run, and count nothing twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hooked import SECRET, Claude

from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.probe import Agent, Iteration, Loop
from support.tape import lines_of


class Recorded:
    """A loop, its first iteration and the agent in it, all going on."""

    def __init__(self, home: Path) -> None:
        self.over = False
        self.journal = Journal(home / "runs" / "outer.jsonl")
        self.loop = Loop("outer", self._write, run_id="outer")
        self.iteration: Iteration = self.loop.iteration()
        self.iteration.__enter__()
        self.agent: Agent = self.iteration.agent("claude")
        self.agent.__enter__()
        self.environment = {
            name: value for name, value in self.agent.environment().items() if os.environ.get(name) != value
        }

    def _write(self, line: Line) -> None:
        self.journal.append(line)

    @property
    def lines(self) -> list[Line]:
        return lines_of(self.journal.path)

    def of_type(self, type_: str) -> list[Line]:
        return [line for line in self.lines if line["type"] == type_]

    def finish(self) -> None:
        if self.over:
            return
        self.over = True
        self.agent.__exit__(None, None, None)
        self.iteration.__exit__(None, None, None)
        self.loop.stop("completed")


@pytest.fixture
def recorded(home: Path) -> Iterator[Recorded]:
    recorded = Recorded(home)
    yield recorded
    recorded.finish()


def turn(claude: Claude) -> None:
    claude.says("SessionStart", source="startup")
    claude.says("UserPromptSubmit", 1, prompt=SECRET)
    claude.uses("Bash", 1, duration_ms=250)
    claude.says("PostToolUseFailure", 1, tool_name="Edit", error=SECRET)
    claude.says("PreCompact", 1, trigger="auto")
    claude.says("SessionStart", 20, source="compact")
    claude.says("Stop", 1)
    claude.says("SessionEnd", 1, reason="other")


@pytest.mark.parametrize("by", ["trace", "run", "path", "both"])
def test_tools_and_compactions_are_put_into_the_agent_s_span(claude: Claude, recorded: Recorded, by: str) -> None:
    run = {"run": "outer", "both": "outer", "path": str(recorded.journal.path)}.get(by)
    claude.environment = {"RALPH_OTEL_RUN": run} if run else {}
    if by in ("trace", "both"):
        claude.environment["TRACEPARENT"] = recorded.environment["TRACEPARENT"]
    turn(claude)
    recorded.finish()
    assert claude.runs() == [recorded.journal.path]
    [agent] = recorded.of_type("agent.started")
    bash, edit = recorded.of_type("tool.called")
    assert (bash["tool"], bash["outcome"], bash["duration"]) == ("Bash", "success", 0.25)
    assert (edit["tool"], edit["outcome"]) == ("Edit", "failure")
    [rebooted] = recorded.of_type("reboot.finished")
    assert (rebooted["reason"], rebooted["duration"]) == ("redline", 20.0)
    for line in (bash, edit, rebooted):
        assert (line["trace_id"], line["parent_span_id"]) == (agent["trace_id"], agent["span_id"])
    metrics = claude.metrics()
    assert (metrics.total_iterations, metrics.total_reboots) == (1, 1)
    assert not list((claude.home / "hooks").glob("*.json"))


def test_tools_that_the_loop_tells_itself_are_not_told_twice(claude: Claude, recorded: Recorded) -> None:
    claude.environment = recorded.environment
    claude.says("SessionStart", source="startup")
    claude.uses("Bash", 1)
    recorded.agent.tool("Bash", duration=0.25)
    claude.uses("Read", 10)
    claude.uses("Edit", 10)
    claude.says("Stop", 1)
    assert [line["tool"] for line in recorded.of_type("tool.called")] == ["Bash"]


def test_tools_are_told_soon_where_the_loop_does_not(claude: Claude, recorded: Recorded) -> None:
    claude.environment = recorded.environment
    claude.uses("Bash", 1)
    assert recorded.of_type("tool.called") == []
    claude.uses("Read", 6)
    assert [line["tool"] for line in recorded.of_type("tool.called")] == ["Bash", "Read"]


def test_without_a_trace_the_innermost_open_span_is_the_place(claude: Claude, recorded: Recorded) -> None:
    claude.environment = {"RALPH_OTEL_RUN": "outer"}
    recorded.agent.__exit__(None, None, None)
    claude.says("PreCompact", trigger="manual")
    [reboot] = recorded.of_type("reboot.started")
    assert reboot["parent_span_id"] == recorded.of_type("iteration.started")[0]["span_id"]
    assert reboot["reason"] == "manual"


@pytest.mark.parametrize("found", ["trace", "run"])
def test_a_run_that_is_over_is_left_alone(claude: Claude, recorded: Recorded, found: str) -> None:
    recorded.finish()
    before = recorded.journal.path.read_bytes()
    claude.environment = recorded.environment if found == "trace" else {"RALPH_OTEL_RUN": "outer"}
    turn(claude)
    assert recorded.journal.path.read_bytes() == before
    assert claude.metrics(0).total_iterations + claude.metrics(1).total_iterations == 2


@pytest.mark.parametrize(
    "environment",
    [
        {"RALPH_OTEL_RUN": "no-such-run"},
        {"TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01"},
        {"TRACEPARENT": "nonsense"},
        {"TRACEPARENT": f"00-{'0' * 32}-{'0' * 16}-00"},
    ],
)
def test_what_is_not_ours_attaches_to_nothing(claude: Claude, recorded: Recorded, environment: dict[str, str]) -> None:
    claude.environment = environment
    before = recorded.journal.path.read_bytes()
    claude.now += 60
    claude.prints("s1")
    assert recorded.journal.path.read_bytes() == before
    assert len(claude.runs()) == 2


def test_two_agents_of_a_run_are_put_into_their_own_spans(claude: Claude, recorded: Recorded) -> None:
    first = dict(recorded.environment)
    with recorded.iteration.agent("second") as other:
        claude.environment = {**other.environment()}
        claude.says("PreCompact", session="s2", trigger="auto")
    claude.environment = first
    claude.says("PreCompact", session="s1", trigger="auto")
    spans = {line["agent"]: line["span_id"] for line in recorded.of_type("agent.started")}
    assert [line["parent_span_id"] for line in recorded.of_type("reboot.started")] == [spans["second"], spans["claude"]]


def test_a_damaged_journal_is_no_place(claude: Claude, recorded: Recorded) -> None:
    with recorded.journal.path.open("ab") as file:
        file.write(b'\x00\xff{"loop": [1]}\n[[[\n{"loop": "x", "type": 5}\n{"v":1,"type":"loop.st')
    claude.environment = recorded.environment
    claude.says("PreCompact", trigger="auto")
    assert b'"reboot.started"' in recorded.journal.path.read_bytes().splitlines()[-1]
