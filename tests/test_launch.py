"""`ralph-otel run`: the launch around the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ralph_otel.runners.launched import INJECTED, VARIABLE
from support import patient
from support.ports import free_port, mute_server
from support.tape import lines_of
from support.waiting import until

RUN = [str(Path(sys.executable).parent / "ralph-otel"), "run"]
# A program that runs a loop of ralphify's name without ralphify: what the probe does in a runner below a launch.
LOOP = """
import os, signal, sys
from ralph_otel.runners.launched import take_launch
loop = take_launch(os.environ).loop("looped")
with loop, loop.session(), loop.iteration() as it:
    it.usage(model="m", input_tokens=5, cost_usd=0.5)
    if "crash" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
"""
LOOPING = [sys.executable, "-c", LOOP]


@pytest.fixture(autouse=True)
def nothing_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `ralph-otel run`, or what stands for it, with arguments, in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()

    def call(*arguments: str, program: Sequence[str] = RUN, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **changes}
        return subprocess.run(
            [*program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return call


def journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob("*"))


PRINT = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["--", *PRINT, "-v", "--help", "a b", ""], ["-v", "--help", "a b", ""]),
        ([*PRINT, "-v", "--", "x"], ["-v", "--", "x"]),
        (["--", *PRINT, "--", "--x=1"], ["--", "--x=1"]),
    ],
)
def test_arguments_reach_the_command_as_they_are(run: Run, given: Sequence[str], seen: Sequence[str]) -> None:
    assert run(*given).stdout == f"{seen}\n"


@pytest.mark.parametrize("arguments", [[], ["--"], ["--no-such-option", "true"]])
def test_wrong_use_is_said_in_one_line(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ralph-otel: ")
    assert "Traceback" not in done.stderr


def test_a_loop_leaves_its_journal_and_not_a_word(run: Run, home: Path) -> None:
    done = run("--", *LOOPING)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    [journal] = journals(home)
    assert lines_of(journal)[-1]["reason"] == "completed"


def test_verbosely_it_says_where_things_are(run: Run, home: Path) -> None:
    done = run("-v", "--", *LOOPING)
    [journal] = journals(home)
    assert done.stderr.splitlines() == [f"ralph-otel: run {journal.stem}", f"ralph-otel: journal {journal}"]
    assert done.stdout == ""


def test_without_a_loop_it_says_so_in_one_line(run: Run, home: Path) -> None:
    done = run("--", "sh", "-c", "echo hello; exit 4")
    assert (done.stdout, done.returncode) == ("hello\n", 4)
    [line] = done.stderr.splitlines()
    assert line.startswith("ralph-otel: no loop was seen in sh -c 'echo hello; exit 4'")
    assert "ralphify" in line
    assert "docs/runners.md" in line
    assert journals(home) == []


def test_a_killed_loop_is_closed(run: Run, home: Path) -> None:
    done = run("--", "sh", "-c", '"$@"; exit 0', "sh", *LOOPING, "crash")
    assert done.returncode == 0
    [journal] = journals(home)
    assert lines_of(journal)[-1]["reason"] == "crashed"


@pytest.mark.parametrize(("how", "listed"), [("crash", True), ("well", False)])
def test_prometheus_still_finds_the_target_of_a_loop_that_was_killed(
    run: Run, home: Path, how: str, listed: bool
) -> None:
    # The loop waits until its target is there, for a launch that is over at once may have set nothing up yet.
    ready = f"until [ -s {home}/targets/*.json ]; do sleep 0.01; done"
    endpoint = {"RALPH_OTEL_EXPORT_FORMAT": "prometheus", "RALPH_OTEL_EXPORT_TARGET": f"127.0.0.1:{free_port()}"}
    done = run("--", "sh", "-c", f'{ready}; "$@"; exit 0', "sh", *LOOPING, how, program=patient.RUN, **endpoint)
    assert done.returncode == 0, done.stderr
    assert bool(list((home / "targets").glob("*.json"))) is listed


def test_a_loop_that_outlives_the_command_is_not_closed(run: Run, home: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = LOOP.replace('if "crash"', f"open({str(fifo)!r}).read()\n    if 'crash'")
    ready = f"until [ -s {home}/runs/*.jsonl ]; do sleep 0.01; done"
    done = run("--", "sh", "-c", f'"$@" >/dev/null 2>&1 & {ready}', "sh", sys.executable, "-c", code)
    assert done.returncode == 0
    [journal] = journals(home)
    assert [line["type"] for line in lines_of(journal)][-1] != "loop.stopped"
    fifo.write_text("")
    until(lambda: lines_of(journal)[-1]["type"] == "loop.stopped", what="for the loop to end")
    assert lines_of(journal)[-1]["reason"] == "completed"


def test_nothing_is_put_into_the_environment_where_it_is_switched_off(run: Run, home: Path) -> None:
    code = "import os; print('PYTHONPATH' in os.environ, 'RALPH_OTEL_LAUNCH' in os.environ)"
    environment = {"RALPH_OTEL_ENABLED": "false"}
    os.environ.pop("PYTHONPATH", None)
    done = run("--", sys.executable, "-c", code, **environment)
    assert (done.stdout, done.stderr) == ("False False\n", "")
    assert not home.exists()


def test_the_environment_is_ours_plus_two_variables_and_a_folder_before_the_path(run: Run) -> None:
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    os.environ.pop("PYTHONPATH", None)
    command, environment = [sys.executable, "-c", code], dict(os.environ)
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    before, after = json.loads(plain), json.loads(run("--", *command).stdout)
    assert after.pop("PYTHONPATH") == INJECTED
    assert after.pop(VARIABLE)
    assert f":{after.pop('PATH')}".endswith(f":{before.pop('PATH')}")
    assert {**after, "PWD": 0} == {**before, "PWD": 0}


def test_without_journals_nothing_stays_and_the_figures_are_exported(run: Run, home: Path, tmp_path: Path) -> None:
    figures, temporary = tmp_path / "figures.prom", tmp_path / "tmp"
    temporary.mkdir()
    done = run(
        "--",
        *LOOPING,
        RALPH_OTEL_JOURNAL="false",
        program=patient.RUN,
        TMPDIR=str(temporary),
        RALPH_OTEL_EXPORT_FORMAT="prometheus",
        RALPH_OTEL_EXPORT_TARGET=str(figures),
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert not home.exists()
    assert list(temporary.iterdir()) == []
    [iterations] = [line for line in figures.read_text().splitlines() if line.startswith("ralph_loop_iterations_total")]
    assert 'ralph_loop_name="looped"' in iterations


@pytest.mark.parametrize("seconds", ["0", "3"])
def test_a_launch_without_a_loop_leaves_nothing_that_says_that_it_is_there(run: Run, home: Path, seconds: str) -> None:
    done = run(
        "--",
        "sleep",
        seconds,  # before and after its exporters are there
        program=patient.RUN,
        RALPH_OTEL_EXPORT_FORMAT="prometheus,otlp",
        RALPH_OTEL_EXPORT_TARGET="prometheus=127.0.0.1:0",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
    )
    assert done.returncode == 0
    assert [path for folder in ("targets", "recorders") for path in (home / folder).glob("*")] == []


def test_the_figures_of_a_killed_loop_are_exported_to_its_end(run: Run, tmp_path: Path) -> None:
    figures = tmp_path / "figures.prom"
    run(
        "--",
        *LOOPING,
        "crash",
        program=patient.RUN,
        RALPH_OTEL_EXPORT_FORMAT="prometheus",
        RALPH_OTEL_EXPORT_TARGET=str(figures),
    )
    [runs] = [line for line in figures.read_text().splitlines() if line.startswith("ralph_loop_runs_total")]
    assert 'ralph_stop_reason="crashed"' in runs


def test_a_receiver_that_never_answers_delays_the_end_by_two_seconds_at_most(run: Run, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    code = LOOP + f"import time; open({str(ended)!r}, 'w').write(str(time.time()))"
    with mute_server() as port:
        done = run(
            "--",
            sys.executable,
            "-c",
            code,
            RALPH_OTEL_EXPORT_FORMAT="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        )
        now = time.time()
    assert done.returncode == 0
    assert now - float(ended.read_text()) < 8  # two seconds, and what a busy machine adds; the SDK itself takes ten


def test_a_recorder_that_does_not_work_costs_the_command_nothing(home: Path) -> None:
    code = (
        "import sys, ralph_otel.recorder.recorder\n"
        "def broken(*_): raise RuntimeError('of ours')\n"
        "ralph_otel.recorder.recorder.Recorder = broken\n"
        "from ralph_otel.launch.launch import main\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *LOOPING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "ralph-otel: nothing is exported: RuntimeError: of ours\n"
    assert len(journals(home)) == 1
