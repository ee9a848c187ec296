"""`ralph-otel enable`: runners that register themselves, in environments of any supported Python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sites import Site, loop, put_runner

from ralph_otel.launch import enabling
from ralph_otel.runners.launched import INJECTED, VARIABLE
from support.pythons import OLDER, VERSIONS, needed
from support.receiver import Received, points
from support.tape import lines_of
from support.waiting import until

COMMAND = [sys.executable, "-m", "ralph_otel"]


class Prepared:
    """A virtual environment that has something like ralphify, and not ralph-otel.

    Args:
        python: the Python that it is made with.
        folder: where; made.
        home: the folder of the journals.
    """

    def __init__(self, python: str, folder: Path, home: Path) -> None:
        subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.folder = folder
        self.python = str(folder / "bin" / "python")
        [packages] = folder.glob("lib/python*/site-packages")
        self.site = put_runner(Site(packages))
        self.file = packages / enabling.NAME
        self._home = home

    def call(self, command: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
        """`ralph-otel enable` or `disable` for it."""
        return said(command, python or str(self.folder))

    def run(self, code: str, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run code in it, with nothing exported."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {**environment, "RALPH_OTEL_EXPORT_FORMAT": "none", **changes}
        command = [self.python, *options, "-c", code]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def loop(self, *options: str, **changes: str) -> list[Any]:
        """Run a loop in it; the environment and the path that its agent was given."""
        done = self.run(loop(self.site), *options, **changes)
        assert (done.returncode, done.stderr) == (0, "")
        given: list[Any] = json.loads(done.stdout)
        return given

    def journals(self) -> list[Path]:
        """The journals there are."""
        return sorted((self._home / "runs").glob("*.jsonl"))


def said(command: str, python: str) -> subprocess.CompletedProcess[str]:
    words = [*COMMAND, command, "--python", python]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def prepared(tmp_path: Path, home: Path) -> Prepared:
    made = Prepared(sys.executable, tmp_path / "environment", home)
    assert made.call("enable").returncode == 0
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_a_runner_registers_itself_and_its_agents_see_only_the_trace(version: str, tmp_path: Path, home: Path) -> None:
    made = Prepared(needed(version), tmp_path / "environment", home)
    before, path = made.loop()
    assert made.call("enable").returncode == 0
    after, path_after = made.loop()

    [journal] = made.journals()
    lines = lines_of(journal)
    [agent] = [line for line in lines if line["type"] == "agent.started"]
    assert after.pop("TRACEPARENT") == f"00-{agent['trace_id']}-{agent['span_id']}-01"
    assert (after, path_after) == (before, path)
    assert (lines[0]["runner"], lines[-1]["reason"]) == ("ralphify", "max_iterations")


def test_its_loops_are_exported_to_their_end(prepared: Prepared, receiver: Received) -> None:
    prepared.loop(RALPH_OTEL_EXPORT_FORMAT="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    until(lambda: "loop fake" in [span.name for span in receiver.spans()], what="for the loop's span")
    until(lambda: figure(receiver, "ralph_loop.runs") == 1, what="for the run to be counted")
    assert figure(receiver, "ralph_loop.iterations") == 1
    assert receiver.resource("metrics")["service.instance.id"] == prepared.journals()[0].stem


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_configuration_file_wants_in_no_signal_is_in_none(
    version: str, tmp_path: Path, home: Path, receiver: Received
) -> None:
    made = Prepared(needed(version), tmp_path / "environment", home)
    assert made.call("enable").returncode == 0
    (made.folder / "ralph-otel.toml").write_text("redact = ['fak.']\n")
    made.loop(RALPH_OTEL_EXPORT_FORMAT="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    until(lambda: "loop [redacted]" in [span.name for span in receiver.spans()], what="for the loop's span")
    until(lambda: figure(receiver, "ralph_loop.runs") == 1, what="for the run to be counted")
    assert not any(b"fake" in request.message.SerializeToString() for request in receiver.requests)
    [journal] = made.journals()
    reads_toml = tuple(map(int, version.split("."))) >= (3, 11)
    assert lines_of(journal)[0]["name"] == ("[redacted]" if reads_toml else "fake")


def figure(receiver: Received, name: str) -> float:
    """The sum of a metric's series."""
    metric = receiver.metrics().get(name)
    return float(sum(points(metric).values())) if metric is not None else 0


def test_a_killed_loop_is_ended_for_it(prepared: Prepared) -> None:
    prepared.site.module("agent.py", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)\n")
    assert prepared.run(loop(prepared.site)).returncode == -9
    [journal] = prepared.journals()
    until(lambda: lines_of(journal)[-1]["type"] == "loop.stopped", what="for the loop to be ended")
    assert lines_of(journal)[-1]["reason"] == "crashed"


def test_what_records_goes_when_the_runner_has_gone(prepared: Prepared) -> None:
    prepared.site.module("agent.py", "print(1)\n")
    prepared.loop()
    [journal] = prepared.journals()
    until(lambda: not companions(journal.stem), what="for the process beside the runner to end")


def test_what_records_can_be_ended_and_the_runner_goes_on(prepared: Prepared, tmp_path: Path) -> None:
    go = tmp_path / "go"
    waits = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('[1]')\n"
    prepared.site.module("agent.py", waits)
    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(prepared.loop)
        until(lambda: any(companions(path.stem) for path in prepared.journals()), what="for what records")
        [journal] = prepared.journals()
        until(lambda: lines_of(journal)[-1]["type"] == "agent.started", what="for the agent")
        os.kill(int(companions(journal.stem)[0]), signal.SIGTERM)
        until(lambda: not companions(journal.stem), what="for it to end")
        assert lines_of(journal)[-1]["type"] == "agent.started"
        go.touch()
        assert looping.result() == [1]
    assert lines_of(journal)[-1]["type"] == "loop.stopped"


def test_what_records_can_be_asked_to_end_while_it_is_set_up(tmp_path: Path) -> None:
    code = """
import os, signal
from ralph_otel.launch import beside, companion

def start_recorder(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    print("set up", flush=True)

beside.start_recorder, companion.GRACE = start_recorder, 0.0
beside.stop_recorder = lambda recorder: print("stopped", flush=True)
"""
    call = f"companion.main('r', {str(tmp_path)!r}, {str(os.getpid())!r}, '1')"
    done = subprocess.run([sys.executable, "-c", code + call], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("set up\nstopped\n", "", 0)


def companions(run_id: str) -> list[str]:
    """The processes that record a run."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_text().split("\0")
        except OSError:
            continue
        if words[1:4] == ["-EP", "-m", "ralph_otel.launch.companion"] and run_id in words:  # not the shell before it
            found.append(file.parent.name)
    return found


def test_an_agent_that_is_such_a_runner_is_not_another_loop(prepared: Prepared) -> None:
    inner = loop(prepared.site).replace("agent.py", "inner.py")
    prepared.site.module("inner.py", "print('[1]')\n")
    prepared.site.module("agent.py", inner)
    prepared.loop()
    assert len(prepared.journals()) == 1


def test_a_trace_from_outside_is_no_loop(prepared: Prepared) -> None:
    outside = f"00-{'ab' * 16}-{'cd' * 8}-01"
    for _ in range(2):
        environment, _path = prepared.loop(TRACEPARENT=outside)
        assert environment["TRACEPARENT"].startswith(outside[:36])
    assert len(prepared.journals()) == 2


def test_below_a_launch_it_is_the_launch_that_records(prepared: Prepared) -> None:
    done = subprocess.run(
        [*COMMAND, "run", "-v", "--", prepared.python, "-c", loop(prepared.site)],
        env={**os.environ, "RALPH_OTEL_EXPORT_FORMAT": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    [journal] = prepared.journals()
    assert f"ralph-otel: run {journal.stem}" in done.stderr
    environment, _path = json.loads(done.stdout)
    assert VARIABLE not in environment


@pytest.mark.parametrize("option", ["-E", "-I"])
def test_a_python_that_ignores_variables_registers_nevertheless(prepared: Prepared, option: str) -> None:
    prepared.loop(option)
    prepared.loop(option, **{VARIABLE: f"launch-1|ralphify.engine|0|{prepared.journals()[0].parent}"})
    first, second = prepared.journals()
    assert second.stem == "launch-1"
    assert lines_of(first)[-1]["type"] == lines_of(second)[-1]["type"] == "loop.stopped"


@pytest.mark.parametrize("variable", [("RALPH_OTEL_ENABLED", "false"), ("OTEL_SDK_DISABLED", "true")])
def test_what_is_switched_off_is_off(prepared: Prepared, variable: tuple[str, str]) -> None:
    environment, _path = prepared.loop(**dict([variable]))
    assert "TRACEPARENT" not in environment
    assert prepared.journals() == []


IN_PROCESS = """
import json, sys, types
sys.path.append({source!r})
sys.path.extend({packages!r})
import ralph_otel
collector = ralph_otel.register()
{more}
"""


def in_process(prepared: Prepared, more: str) -> list[str]:
    """The runners of the journals after a program with ralph-otel in its own process."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    source = str(Path(INJECTED).parents[1])
    code = IN_PROCESS.format(source=source, packages=packages, more=more)
    done = prepared.run(code, site=str(prepared.site.folder))
    assert (done.returncode, done.stderr) == (0, "")
    return [str(lines_of(journal)[0].get("runner")) for journal in prepared.journals()]


CALL = "import ralphify\nralphify.run_loop(types.SimpleNamespace(agent='true', max_iterations=1), None)\n"


def test_a_loop_that_the_program_reports_itself_is_not_reported_again(prepared: Prepared) -> None:
    by_hand = "import ralphify\nwith collector.loop('by hand', runner='mine') as l, l.iteration():\n    "
    assert in_process(prepared, by_hand + CALL.splitlines()[1]) == ["mine"]


def test_an_instrumented_program_keeps_its_loops(prepared: Prepared) -> None:
    instrumented = "ralph_otel.RalphInstrumentor().instrument()\n"
    assert in_process(prepared, instrumented + CALL) == ["ralphify"]
    [journal] = prepared.journals()
    assert companions(journal.stem) == []


def test_of_a_removed_installation_nothing_is_noticed(prepared: Prepared) -> None:
    gone = prepared.file.read_text().replace(INJECTED, "/nonexistent").replace(sys.executable, "/nonexistent/python")
    prepared.file.write_text(gone)
    environment, _path = prepared.loop()
    assert "TRACEPARENT" not in environment


def test_of_a_removed_recorder_only_the_journal_is_left(prepared: Prepared) -> None:
    prepared.file.write_text(prepared.file.read_text().replace(sys.executable, "/nonexistent/python"))
    prepared.loop()
    [journal] = prepared.journals()
    assert lines_of(journal)[-1]["type"] == "loop.stopped"


@pytest.mark.parametrize("version", [*OLDER, *VERSIONS])
@pytest.mark.parametrize("options", [[], ["-S"], ["-E"], ["-s"]])
def test_no_python_says_a_word_at_its_start(version: str, options: list[str], tmp_path: Path) -> None:
    python, folder = needed(version), tmp_path / "site"
    folder.mkdir()
    (folder / enabling.NAME).write_bytes(enabling.content())
    code = "import site, sys; site.addsitedir(sys.argv[1]); print('ralph_otel_hook' in sys.modules)"
    done = subprocess.run([python, *options, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{version not in OLDER}\n", "")


def test_a_python_that_is_no_runner_imports_one_small_module(prepared: Prepared) -> None:
    code = "import json, sys; print(json.dumps(list(sys.modules)))"
    after = set(json.loads(prepared.run(code).stdout))
    prepared.call("disable")
    assert after - set(json.loads(prepared.run(code).stdout)) == {"ralph_otel_hook"}


# -- enable, disable, doctor -------------------------------------------------------------------------------------------


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_disable_removes_what_enable_has_put_and_both_can_be_called_again(prepared: Prepared) -> None:
    again = prepared.call("enable")
    assert (again.returncode, "enabled already" in again.stdout) == (0, True)
    assert again.stdout.endswith("\nrunners there: ralphify 0.3.0\n")
    enabled = content_of(prepared.folder)
    assert prepared.call("disable").returncode == 0
    assert set(enabled) - set(content_of(prepared.folder)) == {str(prepared.file)}
    again = prepared.call("disable")
    assert (again.returncode, "not enabled" in again.stdout) == (0, True)
    environment, _path = prepared.loop()
    assert "TRACEPARENT" not in environment


def scripts(prepared: Prepared, tmp_path: Path) -> dict[str, Path]:
    """Commands of the environment as installers write them."""
    first_lines = {
        "plain": f"#!{prepared.python}\n",
        "options": f"#!{prepared.python} -I\n",
        "long": f"#!/bin/sh\n'''exec' {prepared.python} \"$0\" \"$@\"\n' '''\n",
        "quoted": f"#!/bin/sh\n'''exec' '{prepared.python}' \"$0\" \"$@\"\n' '''\n",
    }
    made = {}
    for name, first in first_lines.items():
        made[name] = tmp_path / name
        made[name].write_text(f"{first}import sys\n")
        made[name].chmod(0o755)
    made["link"] = tmp_path / "link"
    made["link"].symlink_to(made["plain"])
    made["python"] = Path(prepared.python)
    made["folder"] = prepared.folder
    return made


@pytest.mark.parametrize("kind", ["plain", "options", "long", "quoted", "link", "python", "folder"])
def test_an_environment_is_named_by_a_python_a_folder_or_a_command(
    prepared: Prepared, tmp_path: Path, kind: str
) -> None:
    found = enabling.environment(str(scripts(prepared, tmp_path)[kind]))
    assert found.file == prepared.file


def test_a_command_is_found_on_the_path(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(scripts(prepared, tmp_path)["plain"], folder / "ralph")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ralph").mkdir()  # that of a project, say
    assert enabling.environment("ralph").file == prepared.file


def test_a_relative_path_is_noted_as_a_whole(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepared.folder.parent)
    assert enabling.environment(f"./{prepared.folder.name}").python == prepared.python


def test_what_is_no_python_is_named_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "ralph"
    script.write_text("#!/usr/bin/env bash\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    for given, part in {
        "no-such-command": "there is no no-such-command",
        str(empty): "without bin/python",
        str(script): "its first line names none",
        "/bin/true": "is no Python",
    }.items():
        done = said("enable", given)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("ralph-otel: ")
        assert part in line


@pytest.mark.parametrize("version", OLDER)
def test_an_environment_that_is_too_old_is_refused(version: str) -> None:
    done = said("enable", needed(version))
    assert done.returncode == 1
    assert "Python 3.9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_of_somebody_else_stays(prepared: Prepared) -> None:
    prepared.file.write_text("import os\n")
    done = prepared.call("disable")
    assert done.returncode == 1
    assert "it stays" in done.stderr
    assert prepared.file.exists()


def test_the_doctor_says_where_and_whether_it_is_current(prepared: Prepared) -> None:
    def doctor() -> list[dict[str, str]]:
        words = [*COMMAND, "doctor", "--json"]
        environment = {**os.environ, "RALPH_OTEL_EXPORT_FORMAT": "none"}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return [each for each in json.loads(done.stdout)["findings"] if each["check"] == "enabled"]

    [finding] = doctor()
    assert finding["level"] == "ok"
    assert str(prepared.file) in finding["text"]
    prepared.file.write_text(prepared.file.read_text().replace("ralphify.engine", "another"))
    [finding] = doctor()
    assert finding["level"] == "warning"
    assert finding["remedy"] == f"ralph-otel enable --python {prepared.python}"
    prepared.call("disable")
    [finding] = doctor()
    assert (finding["level"], "enable" in finding["text"]) == ("ok", True)
