"""Private folders for temporary files: they go with their makers, or with the next launch of whom they belong to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ralph_otel import temporary
from ralph_otel.shims.command import SHIMS, SOCKET
from ralph_otel.shims.folder import Folder
from ralph_otel.temporary import TemporaryFolder, sweep

MAKE = """
import signal, sys
from ralph_otel.temporary import TemporaryFolder
print(TemporaryFolder().path, flush=True)
signal.pause()
"""


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files are: the only place that is looked at."""
    with tempfile.TemporaryDirectory(prefix="r-") as name:  # short, for sockets
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setattr(temporary, "parents", lambda home: [Path(name)])
        yield Path(name)


@pytest.fixture
def maker(parent: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has made a folder, and lives."""
    environment = {**os.environ, "TMPDIR": str(parent)}
    with subprocess.Popen([sys.executable, "-c", MAKE], env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def left_by(maker: subprocess.Popen[str]) -> Path:
    """The folder of a process that is killed now, filled as a launch fills it."""
    assert maker.stdout is not None
    path = Path(maker.stdout.readline().strip())
    (path / SHIMS).mkdir()
    (path / SHIMS / "claude").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / SOCKET))
    maker.kill()
    maker.wait(20)
    return path


def test_what_a_killed_process_has_left_is_removed(parent: Path, maker: subprocess.Popen[str], home: Path) -> None:
    path = left_by(maker)
    assert sweep(home) == [path]
    assert list(parent.iterdir()) == []


def test_what_a_living_process_holds_stays(parent: Path, maker: subprocess.Popen[str], home: Path) -> None:
    assert maker.stdout is not None
    path = Path(maker.stdout.readline().strip())
    assert sweep(home) == []
    assert path.exists()
    os.kill(maker.pid, signal.SIGSTOP)  # however long it does nothing
    assert sweep(home) == []


@pytest.mark.parametrize("variable", ["PATH", "RALPH_OTEL_LAUNCH"])
def test_what_somebody_finds_his_agents_or_journals_in_stays_until_he_has_ended(
    variable: str, parent: Path, maker: subprocess.Popen[str], home: Path
) -> None:
    path = left_by(maker)
    environment = {**os.environ, variable: f"{os.environ['PATH']}:{path}/x"}
    with subprocess.Popen(["/bin/sh", "-c", "read line"], env=environment, stdin=subprocess.PIPE) as user:
        assert sweep(home) == []
        assert user.stdin is not None
        user.stdin.close()
        user.wait(20)
    assert sweep(home) == [path]


def test_a_folder_that_is_not_ours_stays(parent: Path, home: Path) -> None:
    theirs = parent / "ralph-otel-abcdefgh"  # as an installer unpacks itself, say
    theirs.mkdir(mode=0o700)
    (theirs / "lock").write_text("123\n")
    for name in ("ralph-otel-short", "ralph-otel-agents", "other-abcdefgh"):
        (parent / name).mkdir(mode=0o700)
        (parent / name / "lock").touch()
    shared = parent / "ralph-otel-12345678"
    shared.mkdir(mode=0o755)
    (shared / "lock").touch()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700, parents=True)
    (elsewhere / "lock").touch()
    (parent / "ralph-otel-87654321").symlink_to(elsewhere)
    before = sorted(parent.rglob("*"))
    assert sweep(home) == []
    assert sorted(parent.rglob("*")) == before
    assert (elsewhere / "lock").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a folder of somebody else's")
def test_a_folder_of_somebody_else_stays(parent: Path, home: Path) -> None:
    made = TemporaryFolder(parent)
    made.release()
    os.chown(made.path, 65534, 65534)
    assert sweep(home) == []
    os.chown(made.path, os.geteuid(), os.getegid())
    assert sweep(home) == [made.path]


def test_one_that_got_no_lock_goes_when_it_is_old_for_somebody_may_be_making_it(parent: Path, home: Path) -> None:
    path = Path(tempfile.mkdtemp(prefix="ralph-otel-"))
    assert sweep(home) == []
    os.utime(path, (0, 0))
    assert sweep(home) == [path]


def test_a_launch_that_ends_before_a_loop_in_the_background_leaves_its_stand_ins_to_it(
    parent: Path, home: Path
) -> None:
    folder = Folder({"claude": "/bin/true"}, home)
    with subprocess.Popen(
        ["/bin/sh", "-c", "read line"], env=folder.environment(os.environ), stdin=subprocess.PIPE
    ) as user:
        folder.close()
        assert sweep(home) == []
        assert (folder.path / SHIMS / "claude").exists()
        assert user.stdin is not None
        user.stdin.close()
        user.wait(20)
    assert sweep(home) == [folder.path]


def test_one_that_is_seen_while_it_is_made_is_never_taken_for_left_over(
    parent: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another launch sweeps before and after the lock is taken."""
    taken, within = temporary._taken, list[Path]()

    def looked_at(fd: int) -> bool:
        if within:  # this is the other launch's look
            return taken(fd)
        within.append(parent)
        assert sweep(home) == []
        found = taken(fd)
        assert sweep(home) == []
        return found

    monkeypatch.setattr(temporary, "_taken", looked_at)
    made = TemporaryFolder(parent)
    assert within
    assert sweep(home) == []
    made.remove()
    assert list(parent.iterdir()) == []
