"""What a shell completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
    assert completed(command, "bbb") == [("bbbbbb", "b")]
    assert completed(command, "la") == [("latest", None)]
    assert [value for value, _ in completed(command, "")] == ["mine", "cccccc", "bbbbbb", "aaaaaa", "latest"]


def test_commands_and_options_are_completed() -> None:
    assert [value for value, _ in completed("stre")] == ["stream"]
    assert [value for value, _ in completed("runs", "--so")] == ["--sort"]
    assert [value for value, _ in completed("runs", "--sort", "c")] == ["cost"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_us(shell: str) -> None:
    result = call("completion", shell)
    assert result.code == 0
    assert f"_RALPH_OTEL_COMPLETE={shell}_complete" in result.out


_BASH = """
eval "$(ralph-otel completion bash)"
compopt() { :; }
COMP_WORDS=(ralph-otel report %s) COMP_CWORD=2
_ralph_otel_completion ralph-otel %s report
printf '%%s\\n' "${COMPREPLY[@]}"
"""
_FISH = "ralph-otel completion fish | source; complete -C 'ralph-otel report %s' | cut -f1"
_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -d %s; eval "$(ralph-otel completion zsh)"'
zpty -w shell 'preexec() { print -r -- "R""AN ${${=1}[-1]} "; exit }'
zpty -n -w shell $'ralph-otel report %s\\t\\n'
while zpty -r shell line && [[ $line != *RAN* ]]; do :; done
print -r -- ${${line##*RAN }%%%% *}
"""


@pytest.fixture
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is found by its name."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.mark.usefixtures("runs", "on_the_path")
@pytest.mark.parametrize(("typed", "meant"), [("bbb", "bbbbbb"), ("lat", "latest")])
@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_shell_completes_a_run(shell: str, typed: str, meant: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    scripts = {"bash": _BASH % (typed, typed), "fish": _FISH % typed, "zsh": _ZSH % (tmp_path / "dump", typed)}
    options = {"bash": ["--norc"], "fish": ["--no-config"], "zsh": ["-f"]}
    words = [shell, *options[shell], "-c", scripts[shell]]
    result = subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (result.stdout.strip(), result.stderr) == (meant, "")


def test_another_shell_is_refused_with_those_that_are_known() -> None:
    result = call("completion", "tcsh")
    assert result.code == 2
    assert "bash" in result.err
