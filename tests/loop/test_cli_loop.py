"""`ralph-otel loop` as its user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from scripted_loops import CLI, Workshop, claude_says

from ralph_otel.loop.options import LoopOptions, OptionError
from ralph_otel.runs import fold


@pytest.fixture(autouse=True)
def no_exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_journal_tells_the_same_as_the_summary(workshop: Workshop, home: Path) -> None:
    agent = workshop.script(claude_says(percent=90, cost=0.25), "claude")
    done = typed("-n", "3", "--test", "echo '= 1 failed, 3 passed in 1s ='; exit 1", "--name", "fix", "--", agent, "-p")
    assert done.returncode == 0
    (path,) = (home / "runs").iterdir()
    assert f"journal    {path}" in done.stderr
    folded = fold(path)
    metrics = folded.run.metrics()
    assert (folded.run.name, folded.run.runner, folded.run.stop_reason) == ("fix", "ralph-otel", "max_iterations")
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.total_reboots) == (3, 3, 2)
    assert (metrics.tests.passing_tests, metrics.tests.failing_tests, metrics.tests.failure_streak) == (3, 1, 3)
    assert metrics.session.sessions_created == 3
    assert metrics.rollups["all"].cost == 0.75


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("-n", "1", "--", "true"), 0),
        (("-n", "1", "true"), 0),
        (("--test", "true", "--", "true"), 0),
        (("--until-command", "true", "--", "true"), 0),
        (("--max-duration", "200ms", "--", "sleep", "60"), 0),
        (("--max-failures", "2", "--", "false"), 1),
        (("--max-failure-streak", "1", "--test", "false", "--", "true"), 1),
        (("--", "no-such-agent"), 127),
        (("--", "./PROMPT.md"), 126),
    ],
)
def test_the_exit_code_says_how_it_ended(workshop: Workshop, arguments: tuple[str, ...], exit_code: int) -> None:
    done = typed("-q", *arguments)
    assert done.returncode == exit_code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-n", "0"), "--max-iterations: 0 will not do; it must be a whole number from 1 to 10000000"),
        (("--timeout", "soon"), "--timeout: 'soon' will not do; it must be a duration such as 10s, 1m30s or 500ms"),
        (("--timeout", "0"), "--timeout: 0.0 will not do; it must be a duration above 0, such as 90s or 1h30m"),
        (
            ("--max-cost", "nan"),
            "--max-cost: nan will not do; it must be an amount of US dollars above 0, such as 2.50",
        ),
        (("--redline", "-1"), "--redline: -1.0 will not do; it must be a percentage above 0, such as 85"),
        (("--until-output", "("), "--until-output: '(' will not do; it must be a regular expression, such as '^OK$'"),
        (("--test", " "), "--test: ' ' will not do; it must be a shell command, such as 'pytest -q'"),
        (("--max-failures", "-1"), "--max-failures: -1 will not do; it must be a whole number, or 0 for no limit"),
        (("--resume-args", "'"), '--resume-args: "\'" will not do: No closing quotation; quote it as for a shell'),
        (("--reboot-after", "3"), "--reboot-after: does nothing without --resume-args; give that too, or leave it out"),
        (("--junit", "x.xml"), "--junit: does nothing without --test; give that too, or leave it out"),
        (("--name", "a\x1bb"), "--name: 'a\\x1bb' will not do; it must be a text of printable characters"),
        (("--prompt", "x"), "--prompt: x does not exist; write the prompt into it, or name another file"),
        (("--prompt", "empty"), "--prompt: empty is empty; write the prompt into it"),
        (("--prompt", "."), "--prompt: . is no file; name the file that holds the prompt"),
    ],
)
def test_a_wrong_option_is_named_with_the_remedy(
    workshop: Workshop, home: Path, arguments: tuple[str, ...], says: str
) -> None:
    (workshop.folder / "empty").write_text(" \n")
    done = typed(*arguments, "--", workshop.script("touch ran"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"ralph-otel: {says}\n")
    assert not (workshop.folder / "ran").exists()
    assert not home.exists(), "nothing was begun"


def test_what_is_no_number_is_said_too(workshop: Workshop) -> None:
    done = typed("-n", "many", "--", "true")
    assert done.returncode == 2
    assert "'many' is not a valid integer" in done.stderr


def test_options_of_the_agent_are_the_agents(workshop: Workshop) -> None:
    typed("-n", "1", workshop.script("printf '%s,' \"$@\" > arguments"), "-n", "5", "--timeout", "x y")
    assert workshop.read("arguments") == "-n,5,--timeout,x y,"


def test_help_has_an_example_and_the_exit_codes() -> None:
    done = typed("--help")
    assert done.returncode == 0
    assert "ralph-otel loop -n 30 --test" in done.stdout
    assert "130 after ctrl-C" in done.stdout


def test_telemetry_that_is_turned_off_changes_nothing_else(
    workshop: Workshop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    done = typed("-n", "2", "--", workshop.script("echo x"))
    assert (done.returncode, done.stdout) == (0, "x\nx\n")
    assert "journal" not in done.stderr
    assert not home.exists()


def test_a_journal_in_the_work_tree_is_not_the_agents_work(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    monkeypatch.setenv("RALPH_OTEL_HOME", str(workshop.folder / "telemetry"))
    typed("-n", "1", "--", workshop.script("true"))
    (path,) = (workshop.folder / "telemetry" / "runs").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["files_changed"] for line in lines if line["type"] == "progress.measured"] == [0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("command", []), ("command", "claude -p"), ("command", ["a\0b"]), ("max_iterations", True), ("timeout", "1m")],
)
def test_options_made_in_python_are_checked_too(field: str, value: object) -> None:
    fields = {"command": ["true"], field: value}
    with pytest.raises(OptionError, match=f"^{field}: "):
        LoopOptions(**fields)  # type: ignore[arg-type]  # wrong on purpose
