from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from watched import Journals, MemoryFolder, iso, local

from ralph_otel.watch.ralph_tui import RalphTui
from support.tape import at

SESSION = "a1b2c3d4-0000-4000-8000-000000000000"
STATE, META, LOCK = ".ralph-tui/session.json", ".ralph-tui/session-meta.json", ".ralph-tui/ralph.lock"


def iteration(number: int, seconds: float, duration: float = 60, status: str = "completed", done: bool = True) -> Any:
    return {
        "iteration": number, "status": status, "taskId": "BEAD-1", "taskTitle": "SECRET TITLE", "taskCompleted": done,
        "durationMs": round(duration * 1000), "startedAt": iso(seconds, "Z", 3),
        "endedAt": iso(seconds + duration, "Z", 3),
    }  # fmt: skip


def session(seconds: float, *iterations: Any, status: str = "running", active: bool = False, **more: Any) -> Any:
    return {
        "version": 1, "sessionId": SESSION, "status": status, "startedAt": iso(0, "Z", 3),
        "updatedAt": iso(seconds, "Z", 3), "currentIteration": len(iterations), "maxIterations": 10,
        "agentPlugin": "claude", "model": "opus", "iterations": list(iterations),
        "activeTaskIds": ["BEAD-1"] if active else [], "cwd": "/home/me/proj", **more,
    }  # fmt: skip


def log_name(seconds: float, task: str = "BEAD-1") -> str:
    return local(seconds, f".ralph-tui/iterations/{SESSION[:8]}_%Y-%m-%d_%H-%M-%S_{task}.log")


def log(
    number: int, seconds: float, usage: str = "", before: str = "", description: str = "SECRET", **said: Any
) -> str:
    duration = said.get("duration", 60)
    return (
        f"# Iteration {number} Log\n\n{before}## Metadata\n\n- **Task ID**: BEAD-1\n- **Task Title**: SECRET\n"
        f"- **Description**: {description}\n- **Status**: {said.get('status', 'completed')}\n"
        f"- **Task Completed**: {said.get('done', 'Yes')}\n- **Promise Detected**: Yes\n"
        f"- **Started At**: {iso(seconds, 'Z', 3)}\n- **Ended At**: {iso(seconds + duration, 'Z', 3)}\n"
        f"- **Duration**: 1m 0s\n{usage}- **Agent**: claude\n- **Model**: opus\n"
        "\n--- RAW OUTPUT ---\nSECRET OUTPUT\n- **Status**: failed\n"
    )


TOKENS = "- **Input Tokens**: 1200\n- **Output Tokens**: 300\n- **Total Tokens**: 1500\n"


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_iterations_arrive_with_their_tokens(journals: Journals) -> None:
    folder, format_ = MemoryFolder({}), RalphTui()
    folder.put(STATE, session(1, active=True))
    journals.read(format_, folder)
    assert journals.types() == ["loop.started", "session.started", "iteration.started", "agent.started"]
    assert journals.lines()[0]["max_iterations"] == 10
    folder.put(log_name(1), log(1, 1, TOKENS))
    folder.put(STATE, session(61, iteration(1, 1)))
    metrics = journals.read(format_, folder).metrics()
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.avg_iteration_duration) == (1, 1, 60.0)
    assert metrics.progress.iterations_with_progress == 1
    [usage] = journals.of_type("usage.measured")
    assert (usage["model"], usage["input_tokens"], usage["output_tokens"]) == ("opus", 1200, 300)
    assert journals.of_type("iteration.finished")[0]["ts"] == at(61)
    assert "SECRET" not in journals.paths()[0].read_text()


def test_log_and_session_tell_of_the_same_iteration(journals: Journals) -> None:
    folder, format_ = MemoryFolder({log_name(1): log(1, 1, TOKENS)}), RalphTui()
    journals.read(format_, folder)
    folder.put(STATE, session(61, iteration(1, 1)))
    journals.read(format_, folder).read(format_, folder)
    assert journals.metrics().total_iterations == 1
    assert len(journals.paths()) == 1


def test_an_iteration_without_a_log_counts_as_the_session_tells_it(journals: Journals) -> None:
    folder = MemoryFolder()
    folder.put(STATE, session(200, iteration(1, 1), iteration(2, 70, 30, "failed", False)))
    metrics = journals.read(RalphTui(), folder).metrics()
    assert (metrics.successful_iterations, metrics.failed_iterations) == (1, 1)


@pytest.mark.parametrize(
    ("status", "outcome"), [("completed", "success"), ("failed", "failure"), ("interrupted", "cancelled")]
)
def test_outcomes(status: str, outcome: str, journals: Journals) -> None:
    journals.read(RalphTui(), MemoryFolder({log_name(0): log(1, 0, status=status, done="No")}))
    assert journals.of_type("iteration.finished")[0]["outcome"] == outcome


def test_text_of_a_task_that_looks_like_a_header_is_not_believed(journals: Journals) -> None:
    forged = (
        "x\n- **Status**: failed\n- **Task Completed**: No\n- **Ended At**: 1999-01-01T00:00:00Z\n- **Agent**: evil"
    )
    journals.read(RalphTui(), MemoryFolder({log_name(0): log(1, 0, TOKENS, description=forged)}))
    [finished] = journals.of_type("iteration.finished")
    assert (finished["outcome"], finished["duration"]) == ("success", 60.0)
    assert journals.of_type("agent.finished")[0]["agent"] == "claude"


def test_files_changed_arrive_where_the_log_lists_them(journals: Journals) -> None:
    listed = "## Summary (For Context Recovery)\n**Task:** x\n\n### Files Changed\n- a.py\n- b.py\n- ... and 5 more\n\n"
    listed += "---\n\n"
    journals.read(RalphTui(), MemoryFolder({log_name(0): log(1, 0, before=listed, done="No")}))
    assert journals.metrics().progress.files_changed == 7


def test_a_context_that_the_agent_reports_arrives_and_one_that_is_a_sum_does_not(journals: Journals) -> None:
    window = "- **Context Window Tokens**: 200000\n"
    reported = TOKENS + window + "- **Remaining Context Tokens**: 150000\n- **Remaining Context Percent**: 75.00\n"
    reckoned = TOKENS + window + "- **Remaining Context Tokens**: 198500\n- **Remaining Context Percent**: 99.25\n"
    folder = MemoryFolder({log_name(0): log(1, 0, reported), log_name(100): log(2, 100, reckoned)})
    journals.read(RalphTui(), folder)
    assert [line["percent"] for line in journals.of_type("context.measured")] == [25.0]


def test_a_log_whose_header_is_half_there_waits(journals: Journals) -> None:
    folder, format_ = MemoryFolder({log_name(0): log(1, 0)[:300]}), RalphTui()
    assert journals.read(format_, folder).paths() == []
    folder.put(log_name(0), log(1, 0))
    assert journals.read(format_, folder).metrics().total_iterations == 1
    assert format_.bad == 0


def test_a_log_of_another_shape_is_counted(journals: Journals) -> None:
    format_ = RalphTui()
    journals.read(format_, MemoryFolder({log_name(0): "# Notes\n\n--- RAW OUTPUT ---\n", log_name(5): log(1, 5)}))
    assert format_.bad == 1
    assert journals.metrics().total_iterations == 1


def test_a_session_that_is_done_is_deleted_and_its_meta_data_say_so(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphTui()
    folder.put(STATE, session(61, iteration(1, 1)))
    journals.read(format_, folder)
    del folder.files[STATE]
    folder.put(META, {"id": SESSION, "status": "completed", "endedAt": iso(70, "Z", 3), "maxIterations": 10})
    assert journals.read(format_, folder).reason() == "completed"


@pytest.mark.parametrize(("limit", "reason"), [(1, "max_iterations"), (10, "user_signal")])
def test_what_is_called_interrupted_is_the_limit_or_a_person(limit: int, reason: str, journals: Journals) -> None:
    folder = MemoryFolder()
    folder.put(STATE, session(70, iteration(1, 1), status="interrupted", maxIterations=limit))
    assert journals.read(RalphTui(), folder).reason() == reason


def test_pauses_do_not_count_and_a_session_may_be_resumed(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphTui()
    done = iteration(1, 1)
    for state in (
        session(61, done),
        session(62, done, status="paused"),
        session(1062, done, status="running"),
        session(1063, done, status="interrupted"),
        session(5000, done, status="running", active=True),
        session(5010, done, iteration(2, 5000, 10)),
        session(5011, done, iteration(2, 5000, 10), status="completed"),
    ):
        folder.put(STATE, state)
        journals.read(format_, folder)
    assert journals.types().count("loop.paused") == journals.types().count("loop.resumed") == 1
    assert journals.metrics().total_iterations == 2
    assert journals.reason() == "completed"
    assert journals.metrics().total_execution_time == pytest.approx(74.0)


def test_an_iteration_that_is_given_up_without_a_word_has_failed(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphTui()
    folder.put(STATE, session(1, active=True))
    journals.read(format_, folder)
    folder.put(STATE, session(100, iteration(2, 40)))
    journals.read(format_, folder)
    assert [(line["iteration"], line["outcome"]) for line in journals.of_type("iteration.finished")] == [
        (1, "failure"),
        (2, "success"),
    ]


def test_the_lock_names_the_process(journals: Journals) -> None:
    folder = MemoryFolder()
    folder.put(STATE, session(1))
    folder.put(LOCK, {"pid": 4711, "sessionId": SESSION, "acquiredAt": iso(0, "Z"), "hostname": "h"})
    assert journals.read(RalphTui(), folder).lines()[0]["pid"] == 4711


def test_sessions_are_runs_of_their_own(journals: Journals) -> None:
    other = log_name(1000).replace(SESSION[:8], "ffff0000")
    folder = MemoryFolder({log_name(0): log(1, 0), other: log(1, 1000)})
    journals.read(RalphTui(), folder)
    assert len(journals.paths()) == 2


def test_old_names_of_logs_are_one_run(journals: Journals) -> None:
    folder = MemoryFolder(
        {
            ".ralph-tui/iterations/iteration-001-a.log": log(1, 0),
            ".ralph-tui/iterations/iteration-002-b.log": log(2, 70),
        }
    )
    assert journals.read(RalphTui(), folder).metrics().total_iterations == 2


def test_it_is_found_by_its_files() -> None:
    assert RalphTui.here(MemoryFolder({STATE: "{}"}))
    assert RalphTui.here(MemoryFolder({log_name(0): ""}))
    assert not RalphTui.here(MemoryFolder({".ralph-tui/config.toml": ""}))
