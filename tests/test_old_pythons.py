"""The probe's side in other Pythons, from 3.9 on, with nothing but the standard library."""

from __future__ import annotations

from pathlib import Path

import pytest

import ralph_otel
from support.hosts import run
from support.pythons import VERSIONS, needed
from support.tape import fold, lines_of

SOURCE = Path(ralph_otel.__file__).parent
PROBE = (
    "events", "journal", "notices", "probe", "tracecontext", "version", "agents", "runners", "agents.claude",
    "agents.codex", "agents.gemini", "agents.opencode",
)  # fmt: skip


@pytest.fixture(params=VERSIONS)
def other_python(request: pytest.FixtureRequest) -> str:
    return needed(request.param)


def test_a_loop_runs_and_its_journal_is_the_same(other_python: str, tmp_path: Path) -> None:
    ended = run(
        f"""
        import importlib, sys
        for name in {PROBE!r}:
            importlib.import_module("ralph_otel." + name)
        assert not [name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "psutil", "click", "rich")]

        from pathlib import Path
        from ralph_otel.events import problem_with
        from ralph_otel.journal import Follower, Journal, decode
        from ralph_otel.probe import Loop, current

        journal = Journal(Path(sys.argv[1]))
        try:
            with Loop("old", journal.append, runner="r", max_iterations=3, attributes={{"a": 1}}) as loop:
                for number in range(3):
                    with loop.session(), loop.iteration() as it, it.agent("claude", model="m") as agent:
                        assert current() is agent
                        assert agent.environment()["TRACEPARENT"].startswith("00-")
                        agent.usage(input_tokens=1, output_tokens=2, cost_usd=0.5)
                        it.tests(passed=1, failed=number, results={{"t": True}})
                        it.progress(0.5, files_changed=1)
                        it.context_usage(float("nan") if number else 50.0)
                    loop.reboot("redline", 88)
                raise TimeoutError("secret")
        except TimeoutError:
            pass
        follower, bad = Follower(journal.path), 0
        for raw in follower.read():
            try:
                assert problem_with(decode(raw)) is None
            except ValueError:
                bad += 1
        print(bad)
        """,
        tmp_path,
        str(tmp_path / "r.jsonl"),
        env={"PYTHONPATH": str(SOURCE.parent), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error"},
        python=other_python,
    )
    assert (ended.code, ended.stdout, ended.stderr) == (0, "2\n", "")
    lines = [line for line in read(tmp_path / "r.jsonl") if line]
    metrics = fold(lines).metrics()
    assert (metrics.total_iterations, metrics.total_reboots, metrics.session.sessions_created) == (3, 3, 3)
    assert metrics.tests.failure_streak == 2
    assert metrics.progress.iterations_with_progress == 3
    assert (lines[-1]["type"], lines[-1]["reason"]) == ("loop.stopped", "error")


def read(path: Path) -> list[dict[str, object]]:
    """The lines that will do: two say that the context is not a number."""
    good = [raw for raw in path.read_bytes().splitlines() if b"context.measured" not in raw or b'"percent":50.0' in raw]
    path.write_bytes(b"\n".join(good))
    return lines_of(path)


def test_the_public_face_can_be_imported_by_any_of_them(other_python: str, tmp_path: Path) -> None:
    ended = run(
        "import ralph_otel; print(ralph_otel.__version__, 'register' in dir(ralph_otel))",
        tmp_path,
        env={"PYTHONPATH": str(SOURCE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        python=other_python,
    )
    assert (ended.code, ended.stdout, ended.stderr) == (0, f"{ralph_otel.__version__} True\n", "")
