from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from watched import Journals, MemoryFolder, iso

from ralph_otel.watch.ralph_loop import RalphLoop
from support.tape import at

RUN, STATE, CONFIG = ".ralph/run.json", ".ralph/state.json", ".ralph/run_config.json"
LINE = "=" * 80


def running(iteration: int, since: float, pid: int = 4711, began: float = 0, agent: str = "Claude") -> dict[str, Any]:
    return {
        "pid": pid, "started_at": iso(began, places=6), "iteration": iteration, "max_iterations": 20,
        "agent": agent, "agent_started_at": iso(since, places=6),
    }  # fmt: skip


def log(iteration: int, seconds: float, signal: str = "CONTINUE", files: int = 2, **said: Any) -> str:
    """A history log, as `format_log_entry` writes it."""
    agent, crash, tests = said.get("agent", "Claude"), said.get("crash", ""), said.get("tests")
    error = f"\n--- AGENT ERROR ---\n{said['error']}\n" if "error" in said else ""
    crashed = f"\n--- CRASH DETECTED ---\nSummary: {crash}\nExit Code: 1\nOutput Bytes: 0\n" if crash else ""
    changed = "".join(f"  - src/file{number}.py\n" for number in range(files))
    tested = "" if tests is None else f"\n--- TEST COMMAND ---\nExit Code: {tests}\nOutput:\nSECRET\n"
    return (
        f"{LINE}\nRALPH ROTATION {iteration} [{agent}] - {iso(seconds, places=6)}\n{LINE}\n\n"
        "--- PROMPT SENT ---\nSECRET\n\n--- STATUS ---\nSignal: DONE\nFiles Changed: 99\n\n"
        f"--- AGENT OUTPUT ---\nSECRET\n{error}{crashed}"
        f"\n--- STATUS ---\nSignal: {signal}\nFiles Changed: {files}\n{changed}{tested}\n{LINE}"
    )


def name(iteration: int, spec: str = "PROMPT") -> str:
    return f".ralph/history/{spec}/{iteration:03d}.log"


def state(iteration: int, status: str = "CONTINUE", done: int = 0) -> dict[str, Any]:
    return {
        "version": 1,
        "iteration": iteration,
        "status": status,
        "specs": [{"path": "PROMPT.md", "done_count": done}],
    }


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_an_iteration_arrives_as_it_runs(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphLoop()
    folder.put(RUN, running(0, 0, agent="pending"))
    journals.read(format_, folder)
    assert journals.types() == ["loop.started"]
    assert (journals.lines()[0]["pid"], journals.lines()[0]["max_iterations"]) == (4711, 20)
    folder.put(RUN, running(1, 1))
    journals.read(format_, folder)
    assert journals.types()[1:] == ["session.started", "iteration.started", "agent.started"]
    folder.put(name(1), log(1, 31))
    folder.put(RUN, running(2, 32))
    metrics = journals.read(format_, folder).metrics()
    assert (metrics.total_iterations, metrics.avg_iteration_duration) == (1, 30.0)
    assert (metrics.progress.files_changed, metrics.progress.iterations_with_progress) == (2, 1)
    assert metrics.session.active_sessions == 1
    assert journals.of_type("agent.finished")[0]["agent"] == "claude"
    assert "SECRET" not in journals.paths()[0].read_text()


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (state(3, done=3), "completed"),
        (state(3, status="STUCK"), "no_progress"),
        (state(20), "max_iterations"),
        (state(3), "user_signal"),
    ],
)
def test_the_state_that_is_left_says_why_it_ended(after: dict[str, Any], reason: str, journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphLoop()
    folder.put(RUN, running(1, 1))
    journals.read(format_, folder)
    folder.put(STATE, after)
    del folder.files[RUN]
    folder.now = at(90)
    journals.read(format_, folder).read(format_, folder)
    assert journals.reason() == reason
    assert journals.lines()[-1]["ts"] == at(90)


def test_outcomes_come_from_crashes_and_signals(journals: Journals) -> None:
    logs = {
        name(1): log(1, 10, "DONE", 0),
        name(2): log(2, 20, "STUCK", 0),
        name(3): log(3, 30, "ROTATE", crash="empty output from agent"),
        name(4): log(4, 40, "ROTATE", error="Claude invocation timed out", crash="empty output from agent"),
    }
    journals.read(RalphLoop(), MemoryFolder(logs))
    finished = journals.of_type("iteration.finished")
    assert [line["outcome"] for line in finished] == ["success", "failure", "failure", "timeout"]
    assert [line.get("error_type") for line in finished] == [None, "stuck", "agent_crash", "agent_crash"]
    assert finished[2]["exit_code"] == 1
    assert [line["files_changed"] for line in journals.of_type("progress.measured")] == [0, 0, 2, 2]


def test_an_exit_code_of_a_test_command_is_one_test(journals: Journals) -> None:
    journals.read(RalphLoop(), MemoryFolder({name(1): log(1, 10, tests=0), name(2): log(2, 20, tests=2)}))
    assert [(line["passed"], line["failed"]) for line in journals.of_type("tests.finished")] == [(1, 0), (0, 1)]


def test_history_is_read_without_a_process(journals: Journals) -> None:
    folder = MemoryFolder({name(number): log(number, 10 * number) for number in (1, 2, 3)})
    folder.put(CONFIG, {"max_iterations": 3})
    folder.put(STATE, state(3))
    metrics = journals.read(RalphLoop(), folder).metrics()
    assert metrics.total_iterations == 3
    assert journals.reason() == "max_iterations"


def test_logs_of_earlier_runs_are_a_run_of_their_own(journals: Journals) -> None:
    folder = MemoryFolder({name(1): log(1, 10), name(2): log(2, 20, "STUCK"), name(3): log(3, 130)})
    folder.put(RUN, running(4, 131, began=100))
    journals.read(RalphLoop(), folder)
    assert [journals.metrics(run).total_iterations for run in (0, 1)] == [2, 1]
    assert [journals.reason(run) for run in (0, 1)] == ["no_progress", None]


def test_another_process_is_another_run_and_the_one_before_was_killed(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphLoop()
    folder.put(RUN, running(1, 1))
    journals.read(format_, folder)
    folder.put(name(1), log(1, 30))
    folder.put(RUN, running(2, 101, pid=4712, began=100))
    journals.read(format_, folder)
    assert [journals.reason(run) for run in (0, 1)] == ["crashed", None]
    assert journals.metrics(0).total_iterations == 1


def test_a_turn_of_a_system_spec_is_part_of_its_iteration(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphLoop()
    folder.put(RUN, running(1, 1, agent="Claude [SYSTEM]"))
    journals.read(format_, folder)
    folder.put(name(1, "lint.every-1"), log(1, 5, "IDLE", agent="Claude [SYSTEM]"))
    folder.put(RUN, running(1, 6))
    journals.read(format_, folder)
    folder.put(name(1), log(1, 31))
    journals.read(format_, folder)
    [finished] = journals.of_type("iteration.finished")
    assert finished["duration"] == 30.0


def test_a_log_that_is_half_written_waits_and_one_that_stays_so_is_counted(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphLoop()
    folder.put(name(1), log(1, 10)[:-30])
    assert journals.read(format_, folder).paths() == []
    assert format_.bad == 0
    folder.now = at(60)
    journals.read(format_, folder)
    assert format_.bad == 1


def test_it_is_found_by_its_files() -> None:
    assert RalphLoop.here(MemoryFolder({CONFIG: "{}"}))
    assert RalphLoop.here(MemoryFolder({name(1): ""}))
    assert not RalphLoop.here(MemoryFolder({STATE: "{}"}))
