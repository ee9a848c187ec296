"""`ralph-otel` itself: help, unknown commands, what goes wrong outside of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import click
import pytest
from command_line import call, command, python

import ralph_otel
from ralph_otel.cli import cli
from support.tape import Tape

COMMANDS = cli.list_commands(click.Context(cli))


def test_every_file_of_the_folder_is_a_command() -> None:
    files = {path.stem for path in (Path(ralph_otel.__file__).parent / "cli").glob("[a-z]*.py")}
    assert set(COMMANDS) == {name.removesuffix("_") for name in files}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    result = call(name, "--help")
    assert result.code == 0
    assert re.search(rf"Examples?\b.*ralph-otel {name}", result.out, re.DOTALL)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_it_lists_them(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert (result.code, result.err) == (0, "")
    listed = [line.split()[0] for line in result.out.partition("Commands:\n")[2].splitlines() if line.strip()]
    assert listed == sorted(COMMANDS)


def test_says_its_version() -> None:
    assert call("--version").out == f"ralph-otel, version {ralph_otel.__version__}\n"


def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    result = call("exprot")
    assert result.code == 2
    assert result.out == ""
    assert "'exprot'" in result.err
    assert all(name in result.err for name in COMMANDS)
    assert "Traceback" not in result.err


def test_a_wrong_setting_is_one_plain_line_and_the_command_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Tape(run="r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    monkeypatch.setenv("RALPH_OTEL_COLLECTION_INTERVAL", "soon")
    result = call("export", "--format", "json")
    assert result.code == 0
    assert json.loads(result.out)["total_iterations"] == 1
    assert result.err.startswith(
        "ralph-otel: RALPH_OTEL_COLLECTION_INTERVAL: 'soon' will not do; it must be a duration"
    )
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("export", "r"), ("catalog", "--format", "schema"), ("runs",)])
def test_a_reader_that_goes_away_is_no_reason_for_a_word(home: Path, arguments: tuple[str, ...]) -> None:
    Tape(run="r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    ours, theirs = os.pipe()
    os.close(ours)
    process = subprocess.Popen(command(*arguments), stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [("export", "r"), ("catalog",), ("runs",)])
def test_a_full_disk_is_said_in_one_line(home: Path, arguments: tuple[str, ...]) -> None:
    Tape(run="r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("ralph-otel: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_emit_which_scripts_call_often_imports_no_sdk() -> None:
    code = """
import sys
from ralph_otel.cli import main
try:
    main(["emit", "loop.started", "name=quick"])
finally:
    print([name for name in sys.modules if name.startswith(("opentelemetry", "rich", "prometheus_client"))])
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "[]"


@pytest.mark.parametrize("name", ["runs", "top", "report"])
def test_where_standard_output_is_closed_nothing_is_said(name: str, home: Path) -> None:
    Tape("fix-bugs", "r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    words = ["sh", "-c", f'exec "$@" {name} <&- >&-', "sh", *command()]
    result = subprocess.run(words, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_the_encoding_does_not_know_is_spelled_out(encoding: str, home: Path) -> None:
    Tape("修復", "r").iteration(1, 1).write(home / "runs" / "r.jsonl")
    for words in (["runs"], ["top", "--once"], ["report", "--format", "markdown"]):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        result = subprocess.run(command(*words), capture_output=True, timeout=60, env=environment)
        assert (result.returncode, result.stderr) == (0, b"")
        assert any(text in result.stdout for text in ("修復".encode(), rb"\u4fee\u5fa9"))
