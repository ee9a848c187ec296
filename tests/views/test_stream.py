"""`ralph-otel stream`: runs as lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from click.testing import CliRunner

from ralph_otel.cli.stream import command
from ralph_otel.journal import MAX_LINE
from ralph_otel.model import LoopMetrics
from ralph_otel.views.stream import Stream
from support.tape import Tape
from support.waiting import until
from support.watched import ago, loop_process


def write(home: Path, tape: Tape) -> Path:
    """A journal in the home folder."""
    return tape.write(home / "runs" / f"{tape.run}.jsonl")


def ended(run: str) -> Tape:
    """A run that has ended."""
    return Tape("fix-bugs", run, runner="ralphify").iteration(1, 1).add(5, "loop.stopped", reason="completed")


def objects(stream: Stream) -> list[dict[str, Any]]:
    """What has changed."""
    return [json.loads(line) for line in stream.poll()]


class Streaming:
    """`ralph-otel stream` in a process of its own; every line is taken as it comes."""

    def __init__(self, *arguments: str) -> None:
        words = [sys.executable, "-c", "from ralph_otel.cli import main; main()", "stream", "--interval=50ms"]
        self.process = subprocess.Popen([*words, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self) -> dict[str, Any]:
        """The next object."""
        found = json.loads(self._lines.get(timeout=60))
        assert isinstance(found, dict)
        return found

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first object with these values."""
        while True:
            found = self.next()
            if all(found[name] == value for name, value in wanted.items()):
                return found

    def end(self) -> tuple[int, str]:
        """Wait for its end: exit code, and what it said on stderr."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with self.process.stdout, self.process.stderr:
            said = self.process.stderr.read()
            self._reader.join(60)
        return self.process.wait(60), said


def test_a_run_that_has_ended_is_one_object(home: Path) -> None:
    path = write(home, ended("r"))
    result = CliRunner().invoke(command, ["r"])
    assert result.exit_code == 0
    (found,) = map(json.loads, result.output.splitlines())
    assert found.pop("ts") > found["last_event"]
    metrics = LoopMetrics.from_dict(found.pop("metrics"))
    assert (metrics.total_iterations, metrics.total_execution_time) == (1, 5.0)
    assert found == {
        "run": "r",
        "name": "fix-bugs",
        "runner": "ralphify",
        "state": "stopped",
        "stop_reason": "completed",
        "last_event": 1_700_000_005_000_000_000,
        "journal": str(path),
    }


def test_a_run_is_streamed_until_it_ends(home: Path) -> None:
    with loop_process(home / "runs" / "20261101T000000Z-bce148.jsonl") as loop:
        streaming = Streaming("bce148")
        assert streaming.next()["state"] == "running"
        loop.add("iteration.started", iteration=1)
        loop.add("iteration.finished", iteration=1, outcome="success", duration=1)
        found = streaming.next()
        while found["metrics"]["total_iterations"] < 1:
            found = streaming.next()
        loop.add("loop.stopped", reason="tests_passed")
        assert streaming.until(state="stopped")["stop_reason"] == "tests_passed"
        assert streaming.end() == (0, "")


def test_a_run_that_is_killed_ends_the_stream_as_dead(home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl") as loop:
        streaming = Streaming()
        streaming.until(state="running")
        loop.kill()
        streaming.until(state="dead")
        assert streaming.end() == (0, "")


def test_without_a_run_all_that_are_running_are_streamed_and_those_that_begin(home: Path) -> None:
    write(home, ended("over"))
    write(home, ago(Tape("a", "a"), 60))
    stream = Stream(home)
    assert [(each["run"], each["state"]) for each in objects(stream)] == [("a", "running")]
    assert not stream.ended
    write(home, ago(Tape("b", "b").add(1, "loop.stopped", reason="completed"), 30))
    found = list[dict[str, Any]]()

    def look() -> bool:
        found.extend(objects(stream))
        return bool(found)

    until(look)
    assert [(each["run"], each["state"]) for each in found] == [("b", "stopped")]
    write(home, ago(Tape("a", "a").add(20, "loop.stopped", reason="completed"), 60))
    until(lambda: objects(stream))
    assert [stream.ended] == [True]
    stream.close()


def test_nothing_is_said_while_nothing_happens(home: Path) -> None:
    path = write(home, ago(Tape("a", "a"), 60))
    stream = Stream(home)
    assert len(objects(stream)) == 1
    assert objects(stream) == []
    with path.open("ab") as file:
        for line in ago(Tape("", "a").iteration(5, 1), 60).lines:
            file.write(json.dumps(line).encode() + b"\n")
    assert [each["metrics"]["total_iterations"] for each in objects(stream)] == [1]  # one object for two events


def test_events_are_the_journals_lines_each_with_its_id(home: Path) -> None:
    tape = ended("r")
    path = write(home, tape)
    path.write_bytes(path.read_bytes() + b"bad\n\n")
    found = streamed("r", "--events")
    assert [{name: value for name, value in each.items() if name != "id"} for each in found] == tape.lines
    assert len({each["id"] for each in found}) == len(found)


def streamed(*arguments: str) -> list[dict[str, Any]]:
    """What the command prints of a run that has ended."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def test_a_reader_that_comes_back_gets_what_it_has_not_seen(home: Path) -> None:
    path = write(home, ended("r"))
    long = json.dumps({"v": 1, "type": "gauge.set", "x": "y" * MAX_LINE}).encode()
    path.write_bytes(b"\n".join([b"bad", b"", long, path.read_bytes()]))
    found = streamed("r", "--events")
    assert len(found) == 4
    for seen, each in enumerate(found, 1):
        assert streamed("--after", each["id"]) == streamed("r", "--after", each["id"]) == found[seen:]


def test_of_a_line_that_is_half_written_nothing_is_given_yet(home: Path) -> None:
    path = write(home, ago(Tape("a", "a"), 60))
    whole = path.read_bytes()
    late = json.dumps(ago(Tape("", "a").add(2, "loop.paused"), 60).lines[0]).encode()
    path.write_bytes(whole + late)
    stream = Stream(home, events=True)
    (first,) = objects(stream)
    path.write_bytes(whole + late + b"\n")
    (second,) = objects(stream)
    assert (first["id"], second["id"]) == (f"a:{len(whole)}", f"a:{len(whole) + len(late) + 1}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--after", "r"], "'r' is no event's id"),
        (["--after", "r:x"], "'r:x' is no event's id"),
        (["--after", "r:3"], "no event of r.jsonl ends at 3"),
        (["--after", "r:99999999"], "no event of r.jsonl ends at 99999999"),
        (["other", "--after", "r:10"], "an event of another run than other"),
        (["--after", "nobody:10"], "no run 'nobody'"),
    ],
)
def test_an_id_that_means_nothing_is_one_line(arguments: list[str], said: str, home: Path) -> None:
    write(home, ended("r"))
    write(home, ended("other"))
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code != 0
    assert said in result.output.splitlines()[-1]


def test_new_events_are_those_that_come_from_now_on(home: Path) -> None:
    path = write(home, ago(Tape("a", "a").add(1, "iteration.started", iteration=1), 60))
    for new, types in ((False, ["loop.started", "iteration.started"]), (True, [])):
        stream = Stream(home, events=True, new=new)
        assert [each["type"] for each in objects(stream)] == types
        with path.open("ab") as file:
            file.write(json.dumps(ago(Tape("", "a").add(2, "loop.paused"), 60).lines[0]).encode() + b"\n")
        assert [each["type"] for each in objects(stream)] == ["loop.paused"]
        stream.close()
        write(home, ago(Tape("a", "a").add(1, "iteration.started", iteration=1), 60))


def test_what_a_terminal_would_obey_is_escaped(home: Path) -> None:
    write(home, Tape("\x9b31m\u202e\x1b", "r").add(1, "loop.stopped", reason="completed"))
    for options in ([], ["--events"]):
        output = CliRunner().invoke(command, ["r", *options]).output
        assert output.isascii()
        assert all(line.isprintable() for line in output.splitlines())


def test_without_a_running_loop_there_is_nothing_but_a_hint(home: Path) -> None:
    write(home, ended("r"))
    streaming = Streaming()
    assert streaming.end() == (0, "ralph-otel: no loop is running; --follow waits for one\n")


def test_follow_waits_for_a_loop(home: Path) -> None:
    streaming = Streaming("--follow")
    with loop_process(home / "runs" / "r.jsonl") as loop:
        streaming.until(state="running")
        loop.add("loop.stopped", reason="completed")
        streaming.until(state="stopped")
    with loop_process(home / "runs" / "s.jsonl"):
        assert streaming.until(state="running")["run"] == "s"
    streaming.process.terminate()
    streaming.end()


@pytest.mark.parametrize("options", [[], ["--events"]])
def test_a_reader_that_goes_away_ends_it_even_when_nothing_happens(home: Path, options: list[str]) -> None:
    with loop_process(home / "runs" / "r.jsonl"):
        code = "from ralph_otel.cli import main; main()"
        words = [sys.executable, "-c", code, "stream", "--interval", "60s", *options]
        ours, theirs = os.pipe()
        with subprocess.Popen(words, stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
            os.close(theirs)
            assert os.read(ours, 10)
            os.close(ours)
            assert process.wait(60) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_an_unknown_run_or_interval_is_one_line(home: Path) -> None:
    for arguments, said in ((["nobody"], "no run 'nobody'"), (["--interval", "soon"], "--interval")):
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code != 0
        assert said in result.output.splitlines()[-1]
