"""What the README and the pages of `docs/` say is so: commands, options, settings, links, and every snippet."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import pytest

from ralph_otel import MetricsConfig, reference
from ralph_otel.agents import PARSERS
from ralph_otel.cli import cli
from ralph_otel.events import STOP_REASONS
from ralph_otel.model import LoopMetrics
from ralph_otel.runners import RUNNERS
from ralph_otel.runs import fold, journals
from support.seen import FILE, SIGNALS
from support.tape import lines_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for folder in (ROOT, ROOT / "docs", ROOT / "collector-config")
    for path in folder.glob("*.md")
}
CONTEXT = click.Context(cli)
COMMANDS = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in a language."""
    return [text for name, text in BLOCK.findall(PAGES[page]) if name == language]


def code(page: str) -> Iterator[str]:
    """Everything on a page that is code: each line of a block, each piece in a line."""
    for name, text in BLOCK.findall(PAGES[page]):
        if name in ("sh", ""):
            yield from text.replace("\\\n", " ").splitlines()
    yield from (" ".join(text.split()) for text in INLINE.findall(BLOCK.sub("", PAGES[page])))


def table(heading: str) -> list[list[str]]:
    """The rows of the README's table below a heading, without its head."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.M)]
    return rows[2:]


# -- commands and settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_and_options_that_a_page_names_exist(page: str) -> None:
    for text in code(page):
        for name, rest in re.findall(r"\bralph-otel ([a-z]+)([^;|&<>)]*)", text):
            command = COMMANDS.get(name)
            assert command is not None, f"{page}: {text}"
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            words = shlex.split(rest.replace("…", ""))
            words = words[: words.index("--")] if "--" in words else words
            assert {word for word in words if word.startswith("-")} <= known, f"{page}: {text}"


def test_the_table_of_commands_has_each_command() -> None:
    named = [re.findall(r"ralph-otel ([a-z]+)", row[0]) for row in table("Commands")]
    assert sorted(name for (name,) in named) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_the_targets_of_make_that_a_page_names_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^(\w+):", makefile, re.M)
    for text in code(page):
        for target in re.findall(r"^make (\w+)", text):
            assert target in targets, f"{page}: {text}"


def test_the_table_of_settings_has_each_field_with_its_variable_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RALPH_OTEL_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    defaults = MetricsConfig()
    rows = table("Configuration")
    fields = [name for name in MetricsConfig.__slots__ if name != "sources"]
    assert sorted(row[0] for row in rows) == sorted(f"`{name}`" for name in fields)
    for name, variables, default, meaning in rows:
        field = name.strip("`")
        assert variables.startswith(f"`RALPH_OTEL_{field.upper()}`")
        assert meaning
        value = getattr(defaults, field)
        if default:
            monkeypatch.setenv(f"RALPH_OTEL_{field.upper()}", default.strip("`"))
            said = MetricsConfig()
            assert said.sources[field] == f"RALPH_OTEL_{field.upper()}"
            assert getattr(said, field) == value
        else:
            assert value is None


def test_the_standard_variables_that_the_readme_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_SERVICE_NAME": "mine",
    }
    for field, variables, *_ in table("Configuration"):
        for variable in re.findall(r"OTEL_(?<!RALPH_OTEL_)\w+", variables):
            monkeypatch.setenv(variable, values[variable])
            assert MetricsConfig().sources[field.strip("`")] == variable


# -- links and texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_links_to_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", BLOCK.sub("", PAGES[page])):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    for name in INLINE.findall(PAGES["CONTRIBUTING.md"]):
        if re.fullmatch(r"[\w./]+/(\w+\.\w+)?", name):
            assert (ROOT / name).exists(), name


def test_the_map_of_the_architecture_has_every_folder_and_no_file_that_is_gone() -> None:
    package = ROOT / "src" / "ralph_otel"
    named = set(re.findall(r"`(\w+(?:\.py|/))`", PAGES["docs/architecture.md"].partition("## Rooms")[2]))
    assert {f"{path.parent.name}/" for path in package.glob("*/*.py")} <= named
    places = (*package.rglob("*"), *ROOT.iterdir())
    there = {f"{path.name}/" if path.is_dir() else path.name for path in places}
    assert named <= there


# -- snippets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a prompt; `claude` is a command that does nothing, and nothing listens."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "PROMPT.md").write_text("Fix it.")
    agent = tmp_path / "bin" / "claude"
    agent.parent.mkdir()
    agent.write_text("#!/bin/sh\nexit 0\n")
    agent.chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(agent.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    return folder


def run(*command: str) -> str:
    """Run a snippet to its end; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def only_run(home: Path) -> LoopMetrics:
    """What the only run came to; every line of it is right."""
    (journal,) = journals(home)
    folded = fold(journal)
    assert folded.bad == []
    assert folded.run.stop_reason in STOP_REASONS
    return folded.run.metrics()


PYTHON = [(page, text) for page in PAGES for text in blocks(page, "python")]


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[f"{page}-{number}" for number, (page, _) in enumerate(PYTHON)])
def test_every_snippet_of_python_runs(page: str, text: str, project: Path) -> None:
    run(sys.executable, "-c", text)


def test_the_snippet_of_a_runner_records_what_it_says(project: Path, home: Path) -> None:
    printed = run(sys.executable, "-c", blocks("README.md", "python")[0])
    metrics = only_run(home)
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.session.sessions_created) == (3, 3, 3)
    assert (metrics.tests.passing_tests, metrics.tests.failing_tests, metrics.progress.files_changed) == (41, 1, 9)
    assert metrics.rollups["all"].cost == pytest.approx(3 * 0.0123)
    assert printed.startswith(f"{41 / 42}\n# HELP ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_snippet_of_a_shell_script_records_what_it_says(project: Path, home: Path) -> None:
    (text,) = [text for text in blocks("README.md", "sh") if "emit loop.started" in text]
    run("bash", "-euc", text)
    metrics = only_run(home)
    assert (metrics.total_iterations, metrics.successful_iterations) == (1, 1)
    assert (metrics.tests.passing_tests, metrics.tests.failing_tests) == (41, 1)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
def test_the_writer_in_javascript_writes_a_journal(project: Path, home: Path) -> None:
    (text,) = blocks("docs/journal.md", "js")
    run("node", "-e", text)
    metrics = only_run(home)
    assert (metrics.total_iterations, metrics.avg_iteration_duration) == (3, 0.5)
    (journal,) = journals(home)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", journal.stem)
    assert (journal.stat().st_mode & 0o777, journal.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    schema = json.loads(reference.journal_schema())
    for line in lines_of(journal):
        jsonschema.validate(line, schema)


def test_every_line_of_a_journal_that_is_shown_is_right(tmp_path: Path) -> None:
    schema = json.loads(reference.journal_schema())
    shown = blocks("docs/journal.md", "json")
    assert len(shown) == 2
    for number, text in enumerate(shown):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(text)
        for line in lines_of(path):
            jsonschema.validate(line, schema)
        assert fold(path).bad_lines == 0
    assert fold(tmp_path / "0.jsonl").run.metrics().total_iterations == 1


def test_the_smallest_run_that_is_shown_comes_to_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(blocks("docs/journal.md", "json")[0])
    state = fold(path).run
    assert (state.stop_reason, state.runner, state.passing_tests) == ("max_iterations", "my-runner", 41)


def test_prometheus_finds_loops_where_the_readme_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RALPH_OTEL_HOME")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/you")
    (text,) = blocks("README.md", "yaml")
    assert f"- files: [{MetricsConfig().home}/targets/*.json]" in text


def test_the_page_of_runners_shows_what_the_tests_have_seen() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "runners_page.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_adapter_has_been_seen_in_each_version_that_counts_as_tested() -> None:
    known = json.loads(FILE.read_text())
    assert known["signals"] == list(SIGNALS)
    assert list(known["tables"]["runners"]) == [f"{each.distribution} {v}" for each in RUNNERS for v in each.tested]
    assert all(seen and set(seen) <= set(SIGNALS) for table in known["tables"].values() for seen in table.values())


def test_the_page_of_runners_names_each_agent_whose_output_is_understood() -> None:
    page = PAGES["docs/runners.md"].lower()
    assert all(agent in page for agent in PARSERS)
