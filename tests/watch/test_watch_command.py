"""`ralph-otel watch` in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_watch_orchestrator import row
from test_watch_orchestrator_rpc import LOOP, TERMINATE, begin, ends
from watched import claude_result

from ralph_otel.runs import fold, journals
from support.ports import free_port
from support.receiver import HttpReceiver, attributes
from support.tape import Tape
from support.waiting import until

COMMAND = [sys.executable, "-m", "ralph_otel"]
EVENTS = ".ralph/events-20231114-221320.jsonl"
NOW = time.time()
_TIME = re.compile(r'"ts": "[^"]*"')


def start() -> str:
    return fresh(row(0, "task.start", triggered="planner", payload="SECRET"))


def summary(number: int) -> str:
    metrics = {"duration_ms": 100, "cost_usd": 0.25, "input_tokens": 5, "output_tokens": 7}
    return fresh(row(0, "iteration.summary", number, metrics))


def end() -> str:
    return fresh(row(0, "loop.terminate", 1, "## Reason\ncompleted\n"))


def fresh(text: str) -> str:
    """The row as of now: nothing of it is long ago."""
    stamp = time.time_ns()
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp // 10**9))
    return _TIME.sub(f'"ts": "{when}.{stamp % 10**9:09d}+00:00"', text)


class Watching:
    """A watch that runs, and what it says."""

    def __init__(self, *arguments: str, port: int = 0, **options: object) -> None:
        self.port = port or free_port()
        environment = {
            **os.environ,
            "RALPH_OTEL_EXPORT_TARGET": f"prometheus=127.0.0.1:{self.port}",
            "RALPH_OTEL_COLLECTION_INTERVAL": "200ms",
        }
        self.process = subprocess.Popen(
            [*COMMAND, "watch", *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,  # type: ignore[call-overload]  # what Popen takes
        )

    def figure(self, name: str) -> float | None:
        """The sum of a metric's series; None while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        values = [line.rpartition(" ")[2] for line in text.splitlines() if re.match(rf"{name}(?:\{{|\s)", line)]
        return sum(map(float, values)) if values else None

    def wait_for(self, name: str, value: float) -> None:
        """Return once a metric has a value."""
        until(lambda: self.figure(name) == value, what=f"for {name} = {value}, which is {self.figure(name)}")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it; its exit code and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


Watch = Callable[..., Watching]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Begin to watch; all of them end with the test."""
    watching: list[Watching] = []

    def begin_(*arguments: str, **options: object) -> Watching:
        watching.append(Watching(*arguments, **options))  # type: ignore[arg-type]  # as Watching takes them
        return watching[-1]

    yield begin_
    for one in watching:
        with contextlib.suppress(OSError):
            one.process.kill()
        one.process.communicate()


def once(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "watch", "--once", *arguments],
        env={**os.environ, "RALPH_OTEL_EXPORT_FORMAT": "none", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def export(run: str = "latest") -> dict[str, float]:
    """The figures of `ralph-otel export`, by series."""
    done = subprocess.run([*COMMAND, "export", run], capture_output=True, text=True, timeout=60, check=True)
    pairs = (line.rpartition(" ")[::2] for line in done.stdout.splitlines() if line[:1] != "#")
    return {series: float(value) for series, value in pairs}


def total(figures: dict[str, float], name: str) -> float:
    return sum(value for series, value in figures.items() if series.partition("{")[0] == name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "proj" / ".ralph").mkdir(parents=True)
    return tmp_path / "proj"


def append(project: Path, *rows: str) -> None:
    with (project / EVENTS).open("a") as file:
        for one in rows:
            file.write(one)
            file.flush()


def test_a_loop_that_runs_is_exported_with_what_was_before(project: Path, watch: Watch) -> None:
    append(project, start(), summary(1))
    watching = watch(str(project))
    watching.wait_for("ralph_loop_iterations_total", 1)
    append(project, summary(2), summary(3))
    watching.wait_for("ralph_loop_iterations_total", 3)
    watching.wait_for("ralph_loop_cost_USD_total", 0.75)
    append(project, end())
    watching.wait_for("ralph_loop_runs_total", 1)
    code, said = watching.stop()
    assert code == 0
    assert said.splitlines()[0].startswith("ralph-otel: loop proj (ralph-orchestrator), run ")
    assert len(said.splitlines()) == 1


def test_files_and_folders_that_come_later_are_seen(tmp_path: Path, watch: Watch) -> None:
    watching = watch(str(tmp_path / "proj"))
    watching.wait_for("ralph_otel_events_total", 0)
    (tmp_path / "proj" / ".ralph").mkdir(parents=True)
    append(tmp_path / "proj", start(), summary(1))
    watching.wait_for("ralph_loop_iterations_total", 1)


def test_where_nothing_tells_of_changes_it_looks_itself(project: Path, watch: Watch) -> None:
    watching = watch("--poll", str(project))
    append(project, start())
    watching.wait_for("ralph_loop_active_runs", 1)
    append(project, summary(1))
    watching.wait_for("ralph_loop_iterations_total", 1)


@pytest.mark.parametrize("how", ["truncated", "replaced"])
def test_a_file_that_is_rotated_counts_nothing_twice(how: str, project: Path, watch: Watch) -> None:
    rows = [start(), summary(1), summary(2)]
    append(project, *rows)
    watching = watch(str(project))
    watching.wait_for("ralph_loop_iterations_total", 2)
    file = project / EVENTS
    if how == "truncated":
        file.write_text(rows[2])
    else:
        (project / "copy").write_text("".join(rows) * 2)
        (project / "copy").replace(file)
    append(project, summary(3))
    watching.wait_for("ralph_loop_iterations_total", 3)
    assert watching.stop()[0] == 0
    assert total(export(), "ralph_loop_iterations_total") == 3


def test_killed_again_and_again_it_neither_loses_nor_doubles(project: Path, watch: Watch) -> None:
    append(project, start())
    for number in range(1, 13):
        append(project, summary(number))
        if number % 3 == 0:
            watching = watch(str(project))
            until(lambda: list(journals(Path(os.environ["RALPH_OTEL_HOME"]))), what="for a journal")
            if number % 2:
                watching.wait_for("ralph_loop_iterations_total", number)
            watching.process.kill()
            watching.process.wait()
    append(project, end())
    assert once(str(project)).returncode == 0
    [path] = journals(Path(os.environ["RALPH_OTEL_HOME"]))
    state = fold(path).run
    assert (state.total_iterations, state.stop_reason) == (12, "completed")
    assert len({line["source"]["key"] for line in map(json.loads, path.read_text().splitlines())}) == len(
        path.read_text().splitlines()
    )
    figures = export()
    assert total(figures, "ralph_loop_iterations_total") == 12
    assert total(figures, "ralph_loop_cost_USD_total") == pytest.approx(3.0)
    assert total(figures, "ralph_loop_sessions_created_total") == 12


def test_spans_are_exported_once_over_restarts(project: Path) -> None:
    append(project, start(), summary(1), summary(2))
    with HttpReceiver() as receiver:
        settings = {"RALPH_OTEL_EXPORT_FORMAT": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        settings["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        assert once(str(project), **settings).returncode == 0
        assert sorted(span.name for span in receiver.spans()).count("iteration") == 2
        append(project, summary(3), end())
        assert once(str(project), **settings).returncode == 0
        names = sorted(span.name for span in receiver.spans())
        assert [names.count(name) for name in ("iteration", "session", "loop proj")] == [3, 3, 1]
        assert once(str(project), **settings).returncode == 0
        assert len(receiver.spans()) == len(names)
        assert once(str(project), "--from-start", **settings).returncode == 0
        assert len(receiver.spans()) == len(names)
        by_id = {span.span_id: span for span in receiver.spans()}
        iteration = next(span for span in by_id.values() if span.name == "iteration")
        assert by_id[iteration.parent_span_id].name == "session"
    with HttpReceiver() as another:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = another.url
        assert once(str(project), "--from-start", **settings).returncode == 0
        assert sorted(span.name for span in another.spans()) == names
        assert by_id[by_id[iteration.parent_span_id].parent_span_id].name == "loop proj"
        assert not any("SECRET" in str(attributes(span.attributes)) for span in by_id.values())


def test_everything_that_a_bash_loop_knows_is_in_the_figures(tmp_path: Path) -> None:
    ralph = tmp_path / "proj" / ".ralph"
    (ralph / "logs").mkdir(parents=True)
    now = round(time.time())
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now + offset)) for offset in (-60, -40, -20)]
    rows = [(stamps[0], 1, 10, True), (stamps[1], 2, 10, True), (stamps[2], 3, 10, False)]
    (ralph / "logs" / "metrics.jsonl").write_text(
        "".join(
            json.dumps({"timestamp": ts, "loop": loop, "duration": took, "success": good, "calls": 1}) + "\n"
            for ts, loop, took, good in rows
        )
    )
    for offset in (-70, -50):
        name = time.strftime("claude_output_%Y-%m-%d_%H-%M-%S.log", time.localtime(now + offset))
        (ralph / "logs" / name).write_text(claude_result(cost=0.5))
    analysis = {"has_progress": True, "files_modified": 4}
    (ralph / ".response_analysis").write_text(
        json.dumps({"loop_number": 3, "timestamp": stamps[2], "analysis": analysis})
    )
    (ralph / ".circuit_breaker_state").write_text(
        json.dumps({"current_loop": 3, "last_change": stamps[2], "consecutive_no_progress": 2})
    )
    (ralph / "status.json").write_text(
        json.dumps({"timestamp": stamps[2], "loop_count": 3, "status": "halted", "exit_reason": "stagnation_detected"})
    )
    assert once(str(tmp_path / "proj")).returncode == 0
    figures = export()
    common = 'ralph_loop_name="proj"', 'ralph_runner="ralph-claude-code"'
    assert figures[f'ralph_loop_iterations_total{{{common[0]},ralph_outcome="success",{common[1]}}}'] == 2
    assert figures[f'ralph_loop_iterations_total{{{common[0]},ralph_outcome="failure",{common[1]}}}'] == 1
    assert total(figures, "ralph_loop_iteration_duration_seconds_sum") == 30
    assert total(figures, "ralph_loop_cost_USD_total") == 1.0
    assert total(figures, "ralph_loop_tokens_total") == 2 * 2430
    assert total(figures, "ralph_loop_files_changed_total") == 4
    assert total(figures, "ralph_loop_no_progress_streak") == 2
    assert figures[f'ralph_loop_runs_total{{{common[0]},{common[1]},ralph_stop_reason="no_progress"}}'] == 1


def test_runs_of_the_home_folder_are_followed_as_they_appear(home: Path, watch: Watch) -> None:
    Tape(run="20231114T221320Z-aaaaaa").iteration(1, 1).add(9, "loop.stopped", reason="completed").write(
        home / "runs" / "20231114T221320Z-aaaaaa.jsonl"
    )
    Tape(name="going", run="20231114T221321Z-bbbbbb").iteration(1, 1).write(
        home / "runs" / "20231114T221321Z-bbbbbb.jsonl"
    )
    watching = watch()
    watching.wait_for("ralph_loop_iterations_total", 1)
    emit = [*COMMAND, "emit", "--run", "20991114T221322Z-cccccc"]
    for event in (["loop.started", "name=new"], ["iteration.started"], ["iteration.finished", "outcome=success"]):
        subprocess.run([*emit, *event], check=True, capture_output=True, timeout=60)
    watching.wait_for("ralph_loop_iterations_total", 2)
    _, said = watching.stop()
    assert [line.partition(",")[0] for line in said.splitlines()] == ["ralph-otel: loop going", "ralph-otel: loop new"]


def test_lines_of_a_pipe_are_passed_on_unchanged_and_recorded(home: Path, watch: Watch) -> None:
    lines = [LOOP, begin(1, 0), *ends(1, 1), begin(2, 2), *ends(2, 1), TERMINATE]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"\xff\x00 no line at all"
    watching = watch("-")
    out, said = watching.process.communicate(data, timeout=60)
    assert out == data
    assert watching.process.returncode == 0
    [path] = journals(home)
    state = fold(path).run
    assert (state.name, state.total_iterations, state.stop_reason) == ("proj", 2, "completed")
    assert b"SECRET" not in path.read_bytes()
    assert b"1 lines or files could not be read" in said


def test_what_comes_by_a_pipe_is_passed_on_at_once(watch: Watch) -> None:
    watching = watch("-")
    assert watching.process.stdin is not None
    assert watching.process.stdout is not None
    os.set_blocking(watching.process.stdout.fileno(), False)
    watching.process.stdin.write(b"half a line")
    watching.process.stdin.flush()
    seen = b""

    def came() -> bool:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(watching.process.stdout.fileno(), 100)
        return seen == b"half a line"

    until(came, what=f"for half a line; there is {seen!r}")


def test_ctrl_c_leaves_the_last_word_to_whoever_writes_into_the_pipe(home: Path, watch: Watch) -> None:
    watching = watch("-")
    assert watching.process.stdin is not None
    watching.process.stdin.write(json.dumps(LOOP).encode() + b"\n")
    watching.process.stdin.flush()
    until(lambda: journals(home), what="for a journal")
    watching.process.send_signal(signal.SIGINT)
    last = {"type": "loop_terminated", "reason": "interrupted"}
    watching.process.communicate(json.dumps(last).encode() + b"\n", timeout=60)
    [path] = journals(home)
    assert fold(path).run.stop_reason == "user_signal"


def test_where_nobody_reads_the_pipe_any_more_it_ends(tmp_path: Path) -> None:
    script = f"(while echo '{{}}'; do :; done) | {sys.executable} -m ralph_otel watch - | head -n 3"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "{}\n" * 3


def test_a_loop_whose_process_was_killed_is_not_active_any_more(project: Path, watch: Watch) -> None:
    runner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        (project / ".ralph" / "loop.lock").write_text(json.dumps({"pid": runner.pid, "started": stamp}))
        append(project, start(), summary(1))
        watching = watch(str(project))
        watching.wait_for("ralph_loop_active_runs", 1)
    finally:
        runner.kill()
        runner.wait()
    watching.wait_for("ralph_loop_active_runs", 0)
    assert total(export(), "ralph_loop_runs_total") == 1


def test_a_termination_ends_it_as_well(project: Path, watch: Watch) -> None:
    append(project, start())
    watching = watch(str(project))
    watching.wait_for("ralph_loop_active_runs", 1)
    assert watching.stop(signal.SIGTERM)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "there is no folder nonsense"),
        (["--once", "-"], "--once does not go with -"),
        (["--new", "--from-start"], "exclude each other"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments: list[str], words: str) -> None:
    done = subprocess.run([*COMMAND, "watch", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            ".",
            "has no files of a known runner (ralph-claude-code, ralph-loop, ralph-orch",
        ),
        ("./later", "later has no files of a known runner"),
        ("later.jsonl", "there is no later.jsonl"),
        ("", "there are no runs in "),
    ],
)
def test_where_there_is_nothing_it_says_so(path: str, words: str, tmp_path: Path, watch: Watch) -> None:
    arguments = [path] if path else []
    done = subprocess.run(
        [*COMMAND, "watch", "--once", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    [said] = done.stderr.splitlines()
    assert words in said
    watching = watch(*arguments, cwd=tmp_path)
    assert watching.process.stderr is not None
    assert watching.process.stderr.readline().decode().endswith("; waiting\n")


def test_without_a_journal_it_exports_all_the_same(project: Path, home: Path) -> None:
    append(project, start(), summary(1))
    with HttpReceiver() as receiver:
        done = once(
            str(project), RALPH_OTEL_JOURNAL="false", RALPH_OTEL_EXPORT_FORMAT="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        )  # fmt: skip
        assert done.returncode == 0
        assert "iteration" in [span.name for span in receiver.spans()]
    assert not (home / "runs").exists() or not list((home / "runs").iterdir())


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_it_can_stand_in_a_pipeline() -> None:
    lines = json.dumps(LOOP) + "\n" + json.dumps(TERMINATE) + "\n"
    script = f"printf '%s' \"$LINES_\" | {sys.executable} -m ralph_otel watch - | wc -l"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "LINES_": lines},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == 2
