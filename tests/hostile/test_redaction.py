"""What a user wants in no signal is in none, whoever has written it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from terminal import call

from ralph_otel import MetricsCollector, MetricsConfig, redaction
from ralph_otel.events import EVENTS, Line, problem_with
from ralph_otel.hooks.project import append
from ralph_otel.journal import decode, encode
from ralph_otel.redaction import VARIABLE, redacted
from support.hosts import LOOP, run
from support.receiver import HttpReceiver
from support.strategies import valid_line
from support.tape import Tape, lines_of

SECRET = "sk-canary0123"
EXPRESSION = r"sk-\w+"


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests redact nothing."""
    yield
    redaction.use(())


def test_it_is_in_no_signal_of_a_collector(
    make_collector: Callable[..., MetricsCollector], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpReceiver() as receiver:
        collector = make_collector(
            export_format="otlp", export_target=receiver.url, redact=[EXPRESSION], capture_logging=True
        )
        assert collector.wait_ready()
        with collector.loop(f"fix {SECRET}", runner=SECRET, attributes={SECRET: SECRET}) as loop:
            with loop.iteration() as iteration, iteration.agent(SECRET, model=f"m-{SECRET}") as agent:
                agent.tool(SECRET)
                iteration.tests(0, 1, results={f"test[{SECRET}]": False})
                logging.getLogger("runner").warning("the key is %s", SECRET)
                iteration.fail(SECRET)
            collector.increment("own", 1, {"a": SECRET, SECRET: "b"})
        scraped = collector.export("prometheus")
        collector.shutdown(10)
        sent = b"".join(request.message.SerializeToString() for request in receiver.requests)
    journal = b"".join(path.read_bytes() for path in (home / "runs").iterdir())
    for where in (sent, journal, scraped.encode()):
        assert SECRET.encode() not in where
        assert b"fix [redacted]" in where
    assert b"the key is [redacted]" in sent


def test_a_runner_in_another_process_gets_it_by_the_variable(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = LOOP.replace('"l"', f'"{SECRET}"')
    assert run(script, tmp_path, env={VARIABLE: EXPRESSION, "RALPH_OTEL_EXPORT_FORMAT": "none"}).code == 0
    [journal] = (home / "runs").iterdir()
    assert lines_of(journal)[0]["name"] == "[redacted]"


def test_it_is_in_nothing_that_is_made_of_anothers_journal(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Tape(SECRET, run="r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ralph-otel.toml").write_text(f"redact = ['{EXPRESSION}', 'other']\n")
    for command in (["runs"], ["report", "r"], ["export", "r"], ["stream", "r"], ["top", "--once"]):
        assert call(*command) == 0
        printed = capsys.readouterr().out
        assert SECRET not in printed, command
        assert "redacted" in printed, command


def test_a_hook_writes_it_into_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redaction.use([EXPRESSION])
    monkeypatch.setenv(VARIABLE, EXPRESSION)
    path = tmp_path / "runs" / "r.jsonl"
    append(str(path), [{"v": 1, "type": "tool.called", "ts": 1, "loop": "r", "tool": SECRET, "outcome": "success"}])
    assert json.loads(path.read_text())["tool"] == "[redacted]"


def hook(project: Path, home: Path, *inputs: dict[str, object], **variables: str) -> bytes:
    """Have hooks run in a project; every byte that they leave."""
    for given_ in inputs:
        said = {"session_id": "s1", "cwd": str(project), **given_}
        subprocess.run(
            [sys.executable, "-m", "ralph_otel", "hook"], cwd=project, env={**os.environ, **variables},
            input=json.dumps(said).encode(), timeout=60, check=True,
        )  # fmt: skip
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


TURN: tuple[dict[str, object], ...] = (
    {"hook_event_name": "SessionStart", "source": "startup", "model": f"m-{SECRET}"},
    {"hook_event_name": "UserPromptSubmit", "prompt": "go"},
    {"hook_event_name": "SubagentStart", "agent_id": "a", "agent_type": f"kind-{SECRET}"},
    {"hook_event_name": "PostToolUse", "tool_name": f"Tool-{SECRET}", "tool_input": {}, "tool_response": {}},
)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ralph-otel.toml", f"redact = ['{EXPRESSION}']\n"),
        ("pyproject.toml", f"[tool.ralph-otel]\nredact = '{EXPRESSION}'\n"),
    ],
)
def test_a_hook_takes_it_from_the_projects_configuration_file(file: str, text: str, tmp_path: Path, home: Path) -> None:
    project = tmp_path / f"project-{SECRET}"
    project.mkdir()
    assert SECRET.encode() in hook(project, home, *TURN)  # the same, as long as nobody wants anything
    shutil.rmtree(home)
    (project / file).write_text(text)
    left = hook(project, home, *TURN)
    assert SECRET.encode() not in left
    for name in ("Tool-", "m-", "kind-", "project-"):
        assert f"{name}[redacted]".encode() in left


def test_a_hook_of_a_loops_agent_takes_it_from_the_loop(
    make_collector: Callable[..., MetricsCollector], tmp_path: Path, home: Path
) -> None:
    collector = make_collector(redact=[EXPRESSION], export_format="none")
    with collector.loop("l") as loop, loop.iteration() as iteration, iteration.agent("claude") as agent:
        left = hook(tmp_path, home, TURN[0], *TURN[3:], {"hook_event_name": "Stop"}, **agent.environment())
    assert SECRET.encode() not in left
    assert b"Tool-[redacted]" in left


def test_what_is_wrong_in_a_configuration_file_costs_a_hook_nothing(tmp_path: Path, home: Path) -> None:
    for text in ("redact = [", "redact = 5", "redact = ['a(']", "redact = " + "[" * 100_000):
        (tmp_path / "ralph-otel.toml").write_text(text)
        assert f"Tool-{SECRET}".encode() in hook(tmp_path, home, *TURN)
        shutil.rmtree(home)


@pytest.mark.parametrize("said", ["a(", "(?P<n>", "[", "(?z)x", "a{1,99999999999999999999}"])
def test_what_is_no_expression_is_one_line_and_the_loop_goes_on(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    monkeypatch.setenv(VARIABLE, said)
    assert MetricsConfig().redact is None
    assert len(heard) == 1
    assert heard[0].startswith(f"ralph-otel: {VARIABLE}: ")
    ended = run(LOOP, tmp_path, env={VARIABLE: said, "RALPH_OTEL_EXPORT_FORMAT": "none"})
    assert ended.code == 0
    assert len(ended.stderr.splitlines()) == 1


def test_several_expressions_stand_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a|b\n  \nc$")
    assert MetricsConfig().redact == ("a|b", "c$")
    redaction.use(MetricsConfig().redact)
    assert redaction.redacted_text("abcxc") == "[redacted][redacted]cx[redacted]"


@given(st.one_of([valid_line(event) for event in EVENTS]))
def test_a_line_without_its_texts_is_a_line_still(line: Line) -> None:
    redaction.use([r"(?s).+"])
    try:
        written = encode(line)
    finally:
        redaction.use(())
    assert problem_with(decode(written)) is None
    for name in ("type", "loop", "trace_id", "outcome", "reason"):
        assert decode(written).get(name) == line.get(name)


def test_doctor_does_not_show_the_expressions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, f"{SECRET}\nb")
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    assert call("doctor") == 0
    printed = "".join(capsys.readouterr())
    assert SECRET not in printed
    assert "redact = 2 expressions, not shown" in printed


def test_where_nothing_is_wanted_lines_are_not_touched() -> None:
    line = {"name": SECRET}
    assert redacted(line) is line
    assert VARIABLE not in os.environ
