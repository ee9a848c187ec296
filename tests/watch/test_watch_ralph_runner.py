from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from watched import Journals, MemoryFolder, claude_result, local

from ralph_otel.watch.ralph_runner import RalphRunner
from support.tape import at

BASE = "runs/20231114-221320-secret-words-of-the-prompt/"


def iteration(number: int, status: str = "ok", duration: float = 30.0, verify: bool | None = None) -> dict[str, Any]:
    return {
        "iteration": number, "status": status, "duration_s": duration, "cost_usd": 0.5, "input_tokens": 7,
        "output_tokens": 8, "cache_read_tokens": 9, "cache_write_tokens": 10, "num_turns": 3, "verify": verify,
    }  # fmt: skip


def stats(*iterations: dict[str, Any], **settings: Any) -> dict[str, Any]:
    known = {"min_iterations": 2, "max_iterations": 5, "timeout": 900, "model": "sonnet", "verify": "SECRET"}
    return {
        "task": "SECRET", "started": local(0, "%Y-%m-%d %H:%M:%S"), "settings": {**known, **settings},
        "iterations": list(iterations), "totals": {},
    }  # fmt: skip


def done(folder: MemoryFolder, number: int, seconds: float, text: str = "more", cost: float | None = 0.25) -> None:
    """The files that an iteration leaves."""
    assistant = {"type": "assistant", "message": {"id": "m", "model": "claude-x", "content": [
        {"type": "tool_use", "id": "t", "name": "Bash", "input": {"c": "SECRET"}}]}, "session_id": "s-1"}  # fmt: skip
    answer = {
        "type": "user",
        "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "content": "SECRET"}]},
    }
    if cost is not None:
        folder.put(
            f"{BASE}iter-{number}.jsonl", "\n".join([*map(json.dumps, (assistant, answer)), claude_result(cost)])
        )
    folder.put(f"{BASE}iter-{number}.txt", text, modified=at(seconds))


@pytest.fixture
def folder() -> MemoryFolder:
    return MemoryFolder(name=".ralph-runner")


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_an_iteration_arrives_with_its_tools_and_cost(folder: MemoryFolder, journals: Journals) -> None:
    format_ = RalphRunner()
    folder.put(f"{BASE}iter-1.jsonl", "")
    folder.put(f"{BASE}stats.json", stats())
    journals.read(format_, folder)
    assert journals.types() == ["loop.started", "session.started", "iteration.started", "agent.started"]
    done(folder, 1, 31)
    folder.put(f"{BASE}stats.json", stats(iteration(1, verify=True)))
    metrics = journals.read(format_, folder).metrics()
    assert (metrics.total_iterations, metrics.avg_iteration_duration) == (1, 30.0)
    assert metrics.rollups["all"].cost == pytest.approx(0.25)
    assert (metrics.tests.total_tests, metrics.tests.passing_tests) == (1, 1)
    assert [line["tool"] for line in journals.of_type("tool.called")] == ["Bash"]
    assert journals.of_type("iteration.finished")[0]["ts"] == at(31)
    assert journals.of_type("agent.finished")[0]["turns"] == 3


def test_no_word_of_the_prompt_gets_into_a_journal(folder: MemoryFolder, journals: Journals) -> None:
    done(folder, 1, 31)
    folder.put(f"{BASE}stats.json", stats(iteration(1)))
    text = journals.read(RalphRunner(), folder).paths()[0].read_text()
    assert "secret" not in text.lower()
    assert journals.lines()[0]["name"] == "ralph-runner"


def test_where_the_agents_output_is_gone_the_runners_own_figures_count(
    folder: MemoryFolder, journals: Journals
) -> None:
    folder.put(f"{BASE}stats.json", stats(iteration(1), iteration(2)))
    journals.read(RalphRunner(), folder)
    [usage, _] = journals.of_type("usage.measured")
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
    assert [usage[name] for name in tokens] == [7, 8, 9, 10]
    assert usage["cost_usd"] == 0.5
    assert [line["ts"] for line in journals.of_type("iteration.finished")] == [at(30), at(60)]


@pytest.mark.parametrize(
    ("status", "outcome", "error", "code"),
    [
        ("ok", "success", None, 0),
        ("timeout_hard", "timeout", "timeout_hard", None),
        ("timeout_idle", "timeout", "timeout_idle", None),
        ("exit_3", "failure", None, 3),
        ("exit_-9", "failure", None, -9),
        ("exit_None", "failure", None, None),
    ],
)
def test_outcomes(
    status: str, outcome: str, error: str | None, code: int | None, folder: MemoryFolder, journals: Journals
) -> None:
    folder.put(f"{BASE}stats.json", stats(iteration(1, status)))
    [finished] = journals.read(RalphRunner(), folder).of_type("iteration.finished")
    assert (finished["outcome"], finished.get("error_type"), finished.get("exit_code")) == (outcome, error, code)


def test_it_is_over_when_the_agent_says_so_and_may(folder: MemoryFolder, journals: Journals) -> None:
    format_ = RalphRunner()
    done(folder, 1, 31, "###RALPH_COMPLETE###")
    folder.put(f"{BASE}stats.json", stats(iteration(1)))
    assert journals.read(format_, folder).reason() is None, "there have to be two iterations"
    done(folder, 2, 70, "###RALPH_COMPLETE###")
    folder.put(f"{BASE}stats.json", stats(iteration(1), iteration(2, verify=False)))
    assert journals.read(format_, folder).reason() is None, "the verify command has failed"
    done(folder, 3, 110, "###RALPH_COMPLETE###")
    folder.put(f"{BASE}stats.json", stats(iteration(1), iteration(2, verify=False), iteration(3, verify=True)))
    assert journals.read(format_, folder).reason() == "completed"


def test_it_is_over_at_the_limit(folder: MemoryFolder, journals: Journals) -> None:
    folder.put(f"{BASE}stats.json", stats(*map(iteration, (1, 2, 3)), max_iterations=3))
    assert journals.read(RalphRunner(), folder).reason() == "max_iterations"


def test_its_patience_follows_its_timeout(folder: MemoryFolder, journals: Journals) -> None:
    format_ = RalphRunner()
    folder.put(f"{BASE}stats.json", stats(iteration(1), timeout=7200))
    journals.read(format_, folder)
    assert format_.patience() > 7200


def test_runs_are_told_apart_and_one_can_be_looked_at_alone(folder: MemoryFolder, tmp_path: Path) -> None:
    for number, base in enumerate((BASE, "runs/20231115-101010-x/")):
        folder.put(f"{base}stats.json", {**stats(iteration(1)), "started": local(number * 9000, "%Y-%m-%d %H:%M:%S")})
    assert len(Journals(tmp_path / "all").read(RalphRunner(), folder).paths()) == 2
    alone = MemoryFolder()
    alone.put("stats.json", stats(iteration(1)))
    assert Journals(tmp_path / "one").read(RalphRunner(), alone).metrics().total_iterations == 1


def test_it_is_found_by_its_files() -> None:
    assert RalphRunner.here(MemoryFolder({f"{BASE}iter-1.jsonl": ""}))
    assert RalphRunner.here(MemoryFolder({"stats.json": ""}))
    assert not RalphRunner.here(MemoryFolder({"runs/x.txt": ""}))
