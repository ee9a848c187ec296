"""What a shell completes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from command_line import call

from ralph_otel.cli import cli
from support.tape import Tape


def completed(*words: str) -> list[tuple[str, str | None]]:
    """What is offered for the last of the words, and what is said of each."""
    shell = ShellComplete(cli, {}, "ralph-otel", "_RALPH_OTEL_COMPLETE")
    return [(item.value, item.help) for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def runs(home: Path) -> None:
    """Three runs."""
    for run, name in (("20261101T000000Z-aaaaaa", "a\x1b[31m"), ("20261102T000000Z-bbbbbb", "b"), ("mine", "c")):
        Tape(name, run).write(home / "runs" / f"{run}.jsonl")
    (home / "runs" / "20261103T000000Z-cccccc.jsonl").write_bytes(b"\xff\n")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("command", ["export", "stream"])
def test_a_run_is_completed_by_its_beginning_or_its_end(command: str) -> None:
    assert completed(command, "2026110") == [
        ("20261103T000000Z-cccccc", ""),
        ("20261102T000000Z-bbbbbb", "b"),
        ("20261101T000000Z-aaaaaa", "a\\x1b[31m"),
    ]
    assert completed(command, "bbb") == [("20261102T000000Z-bbbbbb", "b")]
    assert completed(command, "la") == [("latest", None)]
    assert len(completed(command, "")) == 5


def test_commands_and_options_are_completed() -> None:
    assert [value for value, _ in completed("stre")] == ["stream"]
    assert [value for value, _ in completed("runs", "--so")] == ["--sort"]
    assert [value for value, _ in completed("runs", "--sort", "c")] == ["cost"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_us(shell: str) -> None:
    result = call("completion", shell)
    assert result.code == 0
    assert f"_RALPH_OTEL_COMPLETE={shell}_complete" in result.out


def test_bash_understands_its_script() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    script = call("completion", "bash").out + "\ncomplete -p ralph-otel"
    result = subprocess.run([bash, "--norc", "-c", script], capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stderr) == (0, "")
    assert "_ralph_otel_completion" in result.stdout


def test_another_shell_is_refused_with_those_that_are_known() -> None:
    result = call("completion", "tcsh")
    assert result.code == 2
    assert "bash" in result.err
