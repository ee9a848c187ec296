"""A real ralph-orchestrator under `ralph-otel run`: it behaves as without, and its journal says what its agents say."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from scripted import executable
from workplace import (
    HANGS,
    WORKS,
    Stage,
    Workplace,
    assert_agrees,
    assert_crashed,
    assert_seen_is_known,
    outcomes,
    stop_reason,
)

ENABLED = ("claude", "kiro", "q", "gemini", "acp")
COMPLETE = {"text": "All is well. LOOP_COMPLETE"}
PROGRAM = """
import sys
from ralph_orchestrator.orchestrator import RalphOrchestrator
from ralph_orchestrator.adapters.claude import ClaudeAdapter
loop = RalphOrchestrator("PROMPT.md", primary_tool="claude", max_iterations=int(sys.argv[1]), track_costs=True)
loop.adapters = {"claude": loop.adapters["claude"]}
loop.adapters["claude"].configure(enable_all_tools=True, cli_path="bin/claude")
loop.run()
"""
ACP_AGENT = """#!{python}
import json, os, sys
with open("account.jsonl", "a") as account:
    account.write(json.dumps(dict(argv=sys.argv[1:], call=1, pid=os.getpid(), environment=dict(os.environ))) + "\\n")
for line in sys.stdin:
    request = json.loads(line)
    number = request.get("id")
    if number is None:
        continue
    method = request["method"]
    update = dict(sessionId="s", update=dict(sessionUpdate="agent_message_chunk", content=dict(type="text", text=
        "a word that differs %s" % (str(number) * 40))))
    if method == "session/prompt":
        print(json.dumps(dict(jsonrpc="2.0", method="session/update", params=update)), flush=True)
    known = {{"initialize": dict(protocolVersion=1), "session/new": dict(sessionId="s")}}
    result = known.get(method, dict(stopReason="end_turn"))
    print(json.dumps(dict(jsonrpc="2.0", id=number, result=result)), flush=True)
"""


def run(agent: str, iterations: int) -> tuple[str, ...]:
    return ("ralph", "run", "-c", f"{agent}.yml", "--no-git", "-a", agent, "-i", str(iterations))


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""

    def prepare(place: Workplace) -> None:
        (place.folder / "PROMPT.md").write_text("secret")
        for agent in ("gemini", "kiro", "acp"):
            adapters = [f"  {name}: {{enabled: {str(name == agent).lower()}}}" for name in ENABLED]
            (place.folder / f"{agent}.yml").write_text("\n".join(["adapters:", *adapters, ""]))
        executable(place.folder / "bin" / "codex-acp", ACP_AGENT.format(python=sys.executable))

    return Stage("ralph-orchestrator", tmp_path, prepare, ("gemini", "kiro-cli", "claude"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def test_a_loop_completes(stage: Stage) -> None:
    place = stage.play([COMPLETE], *run("gemini", 2))

    assert place.done.returncode == 0
    assert_agrees(place, agents=1)
    assert outcomes(place) == [(1, "success")]
    [loop] = place.lines("loop.started")
    assert (loop["name"], loop["runner"], loop["max_iterations"]) == (place.folder.name, "ralph-orchestrator", 2)
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_a_failure_lasts_as_long_as_the_agent_and_its_cost_is_an_estimate(stage: Stage) -> None:
    place = stage.same([WORKS, {**WORKS, "exit": 3}, COMPLETE], *run("gemini", 5))

    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "failure"), (3, "success")]
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [0, 3, 0]
    assert all(line["duration"] < 1.9 for line in place.lines("iteration.finished"))  # it waits for 2 seconds then
    usage = place.lines("usage.measured")
    assert [set(line) & {"input_tokens", "output_tokens"} for line in usage] == [set(), set()]
    assert [line["cost_source"] for line in usage] == ["estimated"] * 2
    said = float(place.done.stdout.rpartition("Total cost: $")[2].split()[0])
    assert sum(line["cost_usd"] for line in usage) == pytest.approx(said, abs=1e-4)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("plan", "iterations", "reason"),
    [
        pytest.param([WORKS], 2, "max_iterations", id="limit"),
        pytest.param([{"text": "the same words over and over"}], 9, "no_progress", id="loop"),
    ],
)
def test_why_it_stops(stage: Stage, plan: list[dict[str, Any]], iterations: int, reason: str) -> None:
    place = stage.same(plan, *run("gemini", iterations))

    assert len(outcomes(place)) == 2
    assert stop_reason(place) == reason


@pytest.mark.integration
def test_a_timeout_is_a_timeout(stage: Stage) -> None:
    place = stage.same([HANGS, COMPLETE], *run("kiro", 3), RALPH_KIRO_TIMEOUT="4")

    assert outcomes(place) == [(1, "timeout"), (2, "success")]
    agent = place.lines("agent.finished")[0]
    assert (agent["agent"], agent["outcome"], agent["exit_code"]) == ("kiro", "timeout", -signal.SIGTERM)
    assert 4.0 <= agent["duration"] < 50
    assert_agrees(place, agents=2)


@pytest.mark.integration
def test_claude_reports_its_usage(stage: Stage) -> None:
    place = stage.same([WORKS, {**WORKS, "exit": 3}, COMPLETE], "python", "-c", PROGRAM, "5")

    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "failure"), (3, "success")]
    assert [line["percent"] for line in place.lines("context.measured")] == [10.1, 10.2, 10.3]
    assert [line["turns"] for line in place.lines("agent.finished")] == [3, 3, 3]
    assert [line["tool"] for line in place.lines("tool.called")] == ["Edit"] * 3
    assert {line["cost_source"] for line in place.lines("usage.measured")} == {"reported"}


@pytest.mark.integration
def test_an_acp_agent_keeps_its_session(stage: Stage) -> None:
    place = stage.play([], *run("acp", 2), "--acp-agent", "codex-acp")

    assert outcomes(place) == [(1, "success"), (2, "success")]
    assert [line["agent"] for line in place.lines("agent.finished")] == ["codex-acp"] * 2
    assert len(place.lines("session.started")) == len(place.lines("session.ended")) == 1
    [call], agents = place.account("argv"), place.lines("agent.started")
    assert call["environment"]["TRACEPARENT"] == f"00-{agents[0]['trace_id']}-{agents[0]['span_id']}-01"
    assert place.lines("agent.finished")[0]["pid"] == call["pid"]


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([HANGS], *run("gemini", 3), ordered=False)

    assert outcomes(place) == [(1, "cancelled")]
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([COMPLETE], *run("gemini", 1))


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([HANGS], *run("gemini", 3)))


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    gemini = stage.play([COMPLETE], *run("gemini", 1))
    kiro = stage.play([COMPLETE], *run("kiro", 1))
    claude = stage.play([COMPLETE], "python", "-c", PROGRAM, "1")

    assert_seen_is_known(stage, gemini, kiro, claude)
