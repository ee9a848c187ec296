"""`ralph-otel hook` as Claude Code runs it: a process that is quick, says nothing, and exits with 0."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hooked import SECRET, Claude
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ralph_otel
from ralph_otel import hooks
from ralph_otel.events import problem_with
from ralph_otel.hooks import handling, turns
from ralph_otel.hooks.reading import parse
from ralph_otel.runs import fold, journals
from support.pythons import python
from support.strategies import json_values
from support.tape import lines_of

COMMAND = [sys.executable, "-m", "ralph_otel", "hook"]
_PATIENT = """
import runpy, sys
from ralph_otel import hooks
hooks.PATIENCE = 60.0
sys.argv[:] = ["ralph-otel", "hook"]
runpy.run_module("ralph_otel", run_name="__main__", alter_sys=True)
"""
PATIENT = [sys.executable, "-c", _PATIENT]
"""The same, with time enough on the busiest machine: what it would give up is not there to be looked at."""
SOURCE = Path(ralph_otel.__file__).parent
BASE = {"session_id": "s1", "cwd": "/x/proj"}
PROMPT = {**BASE, "hook_event_name": "UserPromptSubmit", "prompt": SECRET}


def hook(data: bytes | dict[str, Any], command: list[str] = PATIENT, **environment: str) -> None:
    """Run one hook; whatever it gets, it is quiet and content."""
    done = subprocess.run(
        command,
        input=data if isinstance(data, bytes) else json.dumps(data).encode(),
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def tool(number: int, **more: Any) -> dict[str, Any]:
    return {**BASE, "hook_event_name": "PostToolUse", "tool_name": f"Tool{number}", **more}


def test_it_records(home: Path) -> None:
    hook(PROMPT)
    hook(tool(1, tool_input={"command": SECRET}, tool_response={"stdout": SECRET}, duration_ms=250))
    hook({**BASE, "hook_event_name": "Stop", "last_assistant_message": SECRET})
    [path] = journals(home)
    assert fold(path).run.total_iterations == 1
    assert [line["type"] for line in lines_of(path)].count("tool.called") == 1
    for file in [path, *(home / "hooks").iterdir()]:
        assert SECRET not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home, home / "runs", home / "hooks")} == {0o700}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"nonsense", b"{", b"[]", b"null", b'"x"', b"5", b"[" * 200_000, b"\xff\xfe\x00", b"{}",
        b'{"session_id": 5, "hook_event_name": "Stop"}', b'{"session_id": "s1"}', b'{"hook_event_name": "Stop"}',
        b'{"session_id": "s1", "hook_event_name": ["Stop"], "cwd": {}}',
    ],
)  # fmt: skip
def test_what_is_no_input_is_nothing(home: Path, data: bytes) -> None:
    hook(data)
    assert not home.exists()


@pytest.mark.parametrize("closed", ["<&-", "</dev/null"])
def test_there_may_be_no_input_at_all(home: Path, closed: str) -> None:
    hook(b"", ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND])
    assert not home.exists()


def test_it_needs_nowhere_to_say_anything(home: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *PATIENT], input=json.dumps(PROMPT).encode(), timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(journals(home)) == 1


@pytest.mark.parametrize("obstacle", ["file", "missing", "run", "state"])
def test_where_it_cannot_write_it_is_as_quiet(tmp_path: Path, home: Path, obstacle: str) -> None:
    folder = home
    if obstacle == "file":
        home.write_text("a file")
    elif obstacle == "missing":
        folder = Path("/proc/no-such-folder")
    elif obstacle == "run":
        home.mkdir()
        (home / "runs").write_text("a file")
    else:
        (home / "hooks").mkdir(parents=True)
        (home / "hooks").rmdir()
        (home / "hooks").symlink_to(tmp_path / "nowhere")
    hook(PROMPT, RALPH_OTEL_HOME=str(folder))


def test_a_project_s_own_modules_are_not_imported(tmp_path: Path, home: Path) -> None:
    """A hook runs in the project's folder, by the installed command: a `json.py` there is not ours."""
    (tmp_path / "json.py").write_text("raise SystemExit('mine')")
    path = f"import sys; sys.path[:] = [p for p in sys.path if p]  # {home}"
    entry = f"{path}\nfrom ralph_otel import hooks\nhooks.PATIENCE = 60.0\nhooks.main()"
    done = subprocess.run(
        [sys.executable, "-c", entry], input=json.dumps(PROMPT).encode(), cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 0
    assert len(journals(home)) == 1


@pytest.mark.parametrize("size", [2 << 20, 100 << 20])
def test_a_long_input_is_read_to_a_limit(home: Path, size: int) -> None:
    """What matters comes first; Claude Code may get a broken pipe for the rest."""
    hook(PROMPT)
    with subprocess.Popen(PATIENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        head = json.dumps(tool(1, tool_input={"content": ""}))[:-3]
        try:
            process.stdin.write(head.encode())
            for _ in range(size >> 20):
                process.stdin.write(b"x" * (1 << 20))
            process.stdin.write(b'"}}')
        except BrokenPipeError:
            pass
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (0, b"", b"")
    [path] = journals(home)
    assert [line["tool"] for line in lines_of(path) if line["type"] == "tool.called"] == ["Tool1"]


def test_an_input_that_never_ends_is_given_up() -> None:
    began = time.monotonic()
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 0
    assert time.monotonic() - began >= hooks.PATIENCE / 2


def test_a_lock_that_is_never_free_is_given_up(home: Path) -> None:
    hook(PROMPT)
    [lock] = (home / "hooks").glob("*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        hook(tool(1), COMMAND)
    hook(tool(2))
    [path] = journals(home)
    assert [line["tool"] for line in lines_of(path) if line["type"] == "tool.called"] == ["Tool2"]


def test_hooks_side_by_side_lose_nothing(home: Path) -> None:
    hook(PROMPT)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: hook(tool(number)), range(40)))
    hook({**BASE, "hook_event_name": "Stop"})
    [path] = journals(home)
    lines = lines_of(path)
    tools = [line for line in lines if line["type"] == "tool.called"]
    assert {line["tool"] for line in tools} == {f"Tool{number}" for number in range(40)}
    assert len(tools) == 40
    assert len({line["span_id"] for line in tools}) == 40
    assert [line["type"] for line in lines].count("iteration.started") == 1


def test_the_first_hooks_side_by_side_make_one_loop(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: hook(tool(number)), range(16)))
    [path] = journals(home)
    assert [line["type"] for line in lines_of(path)].count("tool.called") == 16


def test_hooks_that_are_killed_leave_a_journal_that_can_be_read(home: Path) -> None:
    hook(PROMPT)
    for number in range(20):
        with subprocess.Popen(COMMAND, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(tool(number)).encode())
            process.stdin.close()
            try:
                process.wait(number * 0.003)
            except subprocess.TimeoutExpired:
                process.kill()
    hook({**BASE, "hook_event_name": "Stop"})
    [path] = journals(home)
    tools = [line["tool"] for line in lines_of(path) if line["type"] == "tool.called"]
    assert len(tools) == len(set(tools))
    assert fold(path).run.total_iterations == 1


def test_little_is_imported(home: Path) -> None:
    """The time depends on the machine; this one is generous, for an interpreter that takes 10 ms to start."""
    script = """if 1:
        import sys
        before = set(sys.modules)
        sys.argv = ["ralph-otel", "hook"]
        import os
        os._exit = lambda code: None
        from ralph_otel import __main__ as entry
        entry.hooks.main()
        print(sorted(set(sys.modules) - before))
    """
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(PROMPT).encode(), capture_output=True, timeout=60, check=True
    )
    imported = ast.literal_eval(done.stdout.decode())
    heavy = {"click", "rich", "opentelemetry", "psutil", "pathlib", "asyncio", "logging", "dataclasses"}
    assert not heavy.intersection(name.partition(".")[0] for name in imported)
    assert len(journals(home)) == 1


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13"])
def test_it_runs_by_other_pythons(version: str, home: Path, tmp_path: Path) -> None:
    found = python(version)
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    command = [found, "-W", "error", "-c", _PATIENT]
    environment = {"PYTHONPATH": str(SOURCE.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    for event in turns._HANDLERS:
        said = {**BASE, "hook_event_name": event, "tool_name": "Bash", "agent_id": "a", "agent_type": "Plan"}
        hook({**said, "session_id": "s1" if event != "StopFailure" else "s2"}, command, **environment)
    [path] = journals(home)
    types = [line["type"] for line in lines_of(path)]
    assert types.count("tool.called") == 2
    assert types.count("iteration.finished") == 2
    for command_line in (["install"], ["uninstall"]):
        script = (
            f"from pathlib import Path; from ralph_otel.hooks import settings as s; p = Path({str(tmp_path / 's')!r})"
        )
        call = "s.install(p, s.command(True))" if command_line == ["install"] else "s.uninstall(p)"
        subprocess.run(
            [found, "-W", "error", "-c", f"{script}; assert {call} is True"],
            env={**os.environ, **environment}, timeout=60, check=True,
        )  # fmt: skip


def test_the_figures_are_there_for_prometheus(claude: Claude) -> None:
    for number in range(3):
        claude.prints(f"s{number}", 10, tools=("Bash", "Bash", "Edit"))
    claude.says("UserPromptSubmit", 1, "s9", prompt=SECRET)
    claude.says("PreCompact", 5, "s9", trigger="auto")
    claude.says("SessionStart", 20, "s9", source="compact")
    claude.says("StopFailure", 5, "s9", error="rate_limit")
    done = subprocess.run(
        [sys.executable, "-m", "ralph_otel", "export", "latest"], capture_output=True, text=True, timeout=60, check=True
    )

    def total(name: str, *labels: str) -> float:
        lines = [line for line in done.stdout.splitlines() if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in labels))

    assert total("ralph_loop_iterations_total", 'outcome="success"') == 3
    assert total("ralph_loop_iterations_total", 'outcome="failure"') == 1
    assert total("ralph_loop_reboots_total", 'reason="redline"') == 1
    assert total("ralph_loop_sessions_created_total") == 5
    assert total("ralph_loop_tool_calls_total", 'tool_name="Bash"') == 6
    assert total("ralph_loop_reboot_duration_seconds_sum") == pytest.approx(20)


# -- damaged input -----------------------------------------------------------------------------------------------------

_FIELDS = """session_id hook_event_name cwd source trigger tool_name tool_response duration_ms agent_id agent_type
    error model prompt last_assistant_message reason is_interrupt"""
_fields = st.sampled_from(_FIELDS.split())
_inputs = st.fixed_dictionaries(
    {"session_id": st.sampled_from(["s1", "s2"]), "hook_event_name": st.sampled_from(sorted(turns._HANDLERS))}
)
_names = {"tool_name": "Bash", "agent_id": "a1", "agent_type": "Plan", "source": "compact", "duration_ms": 5}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(st.tuples(_inputs, st.dictionaries(_fields, json_values, max_size=4)), max_size=25))
def test_any_input_in_any_order_makes_valid_lines(
    said: list[tuple[dict[str, str], dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    for known, odd in said:
        whole = {**_names, **known, "cwd": "/x/proj", **odd}
        handling.handle(json.dumps(whole).encode(), {"RALPH_OTEL_HOME": str(home)})
    for path in journals(home):
        lines = lines_of(path)
        assert [problem_with(line) for line in lines] == [None] * len(lines)
        spans = [line["span_id"] for line in lines if line["type"].endswith((".started", ".called"))]
        assert len(spans) == len(set(spans))


@given(
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | json_values.map(lambda v: json.dumps(v).encode())
)
def test_anything_can_be_parsed(data: bytes) -> None:
    for limit in (0, 1 << 20):
        said = parse(data, limit)
        assert said is None or isinstance(said["session_id"], str)


@given(st.integers(0, 400))
def test_an_input_that_was_cut_off_tells_what_is_whole(at: int) -> None:
    whole = json.dumps(tool(1, tool_input={"a": "x" * 200}, tool_response="y" * 100)).encode()
    said = parse(whole[:at], at)
    if at > whole.index(b'"tool_input":') + len(b'"tool_input":'):
        assert said is not None
        assert said["tool_name"] == "Tool1"
        assert at >= len(whole) or "tool_input" not in said
