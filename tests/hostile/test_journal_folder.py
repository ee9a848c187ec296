"""What somebody else has put into the folder of journals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal import call

from ralph_otel.config import MetricsConfig
from ralph_otel.journal import Follower, Journal
from ralph_otel.recorder.recorder import Recorder
from ralph_otel.recorder.recovery import recover
from ralph_otel.runs import LATEST, find
from support.tape import Tape

OURS = "20260101T000000Z-aaaaaa"
THEIRS = "20260102T000000Z-bbbbbb"
CANARY = "canary-of-a-file-elsewhere"


def link(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere.jsonl"
    Tape(CANARY, run=THEIRS).iteration(1, 1).write(elsewhere)
    path.symlink_to(elsewhere)


def foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    Tape(CANARY, run=THEIRS).iteration(1, 1).write(path)
    os.chown(path, 12_345, 12_345)


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "link": (link, "a link is not followed"),
    "foreign": (foreign, "it belongs to user 12345, and is not trusted"),
    "pipe": (os.mkfifo, "it is no file"),
}


@pytest.fixture(params=PLANTED)
def planted(request: pytest.FixtureRequest, home: Path) -> tuple[Path, str]:
    """A file that somebody has put beside our journal, and what is said of it."""
    runs = home / "runs"
    Tape("ours", run=OURS).iteration(1, 1).add(3, "loop.stopped", reason="completed").write(runs / f"{OURS}.jsonl")
    make, said = PLANTED[request.param]
    make(runs / f"{THEIRS}.jsonl")
    return runs / f"{THEIRS}.jsonl", said


def test_it_is_neither_read_nor_written(planted: tuple[Path, str]) -> None:
    path, said = planted
    for opened in (lambda: Follower(path).read(), lambda: Journal(path)):
        with pytest.raises(OSError) as error:
            opened()
        assert said in str(error.value.strerror)


def test_the_newest_run_is_ours(planted: tuple[Path, str], home: Path) -> None:
    assert find(LATEST, home).stem == OURS


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["report", THEIRS],
        ["export", THEIRS],
        ["stream", THEIRS],
        ["stream", "--after", f"{THEIRS}:0"],
        ["top", "--once"],
        ["report", "latest"],
    ],
    ids=" ".join,
)
def test_no_command_shows_what_is_in_it(
    command: list[str], planted: tuple[Path, str], capsys: pytest.CaptureFixture[str], heard: list[str]
) -> None:
    code = call(*command)
    out, err = capsys.readouterr()
    assert CANARY not in out
    names_it = any(THEIRS in word for word in command)
    assert (code != 0) == names_it
    if names_it:
        assert out == ""
        [line] = err.splitlines()
        assert planted[1] in line or "no run" in line  # a pipe is not even listed


def test_neither_the_recorder_nor_a_recovery_is_stopped_by_it(
    planted: tuple[Path, str], home: Path, heard: list[str]
) -> None:
    path, said = planted
    recorder = Recorder(MetricsConfig(export_format="none", resources=False), "x", export=False)
    recorder.follow(path)
    recorder.follow(home / "runs" / f"{OURS}.jsonl")
    recorder.start()
    assert recorder.barrier(20)
    recorder.stop(20)
    assert list(recorder.states.by_run) == [OURS]
    assert recover(home) == []
    assert len([line for line in heard if said in line]) >= 1
    assert all("\n" not in line for line in heard)


def test_root_reads_the_journals_of_a_user_where_they_are(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = Tape("n", run=OURS).iteration(1, 1).write(home / "runs" / f"{OURS}.jsonl")
    os.chown(path, 12_345, 12_345)
    os.chown(path.parent, 12_345, 12_345)
    assert len(Follower(path).read()) == 3
