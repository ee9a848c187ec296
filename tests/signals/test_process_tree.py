"""The scan for descendants, against real processes and against a made-up /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from ralph_otel.signals import process_tree
from ralph_otel.signals.process_tree import CpuRound, CpuTimes, agent_seconds, cores_in_use, descendants

linux_only = pytest.mark.skipif(
    not Path("/proc/thread-self/children").exists(), reason="this kernel keeps no list of children"
)


@pytest.fixture
def shell() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with two sleepers below it."""
    process = subprocess.Popen(["sh", "-c", "sleep 300 & sleep 300 & echo; wait"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    for child in psutil.Process(process.pid).children():
        child.kill()
    process.communicate(timeout=60)


def write_children(proc: Path, pid: int, children: dict[int, str]) -> None:
    """A made-up process: its threads and the children that each lists."""
    (proc / "thread-self").mkdir(exist_ok=True)
    (proc / "thread-self" / "children").touch()
    for thread, listed in children.items():
        folder = proc / str(pid) / "task" / str(thread)
        folder.mkdir(parents=True)
        (folder / "children").write_text(listed)


def test_children_and_grandchildren_are_found_parents_first(shell: subprocess.Popen[bytes]) -> None:
    sleepers = {child.pid for child in psutil.Process(shell.pid).children()}
    found = descendants(os.getpid())
    assert len(sleepers) == 2
    assert {shell.pid, *sleepers} <= set(found)
    assert all(found.index(shell.pid) < found.index(sleeper) for sleeper in sleepers)
    assert set(descendants(shell.pid)) == sleepers
    assert os.getpid() not in found


@linux_only
def test_the_kernels_list_is_used_and_psutil_is_not(
    shell: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_tree, "_from_psutil", lambda pid: pytest.fail("psutil was asked"))
    assert len(descendants(shell.pid)) == 2


def test_without_the_kernels_list_psutil_finds_the_same(
    shell: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = set(descendants(shell.pid))
    monkeypatch.setattr(process_tree, "PROC", str(tmp_path))
    monkeypatch.setattr(process_tree, "_from_kernel", lambda pid: pytest.fail("the kernel was asked"))
    assert set(descendants(shell.pid)) == expected
    monkeypatch.setattr(process_tree, "LIMIT", 1)
    assert len(descendants(shell.pid)) == 1


def test_children_started_by_any_thread_are_found() -> None:
    script = (
        "import subprocess, sys, threading\n"
        "def start():\n"
        "    child = subprocess.Popen(['sleep', '300'])\n"
        "    sys.stdout.write(f'{child.pid}\\n')\n"
        "    sys.stdout.flush()\n"
        "    child.wait()\n"
        "threads = [threading.Thread(target=start) for _ in range(2)]\n"
        "[thread.start() for thread in threads]\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = {int(process.stdout.readline()) for _ in range(2)}
        found = set(descendants(process.pid))
        for child in children:
            psutil.Process(child).kill()
    assert found == children


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"])
def test_no_such_process_has_no_descendants(proc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    monkeypatch.setattr(process_tree, "PROC", proc)
    assert descendants(process.pid) == []
    assert descendants(-1) == []


def test_a_process_that_vanishes_meanwhile_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_children(tmp_path, 1, {1: "2 3 "})
    write_children(tmp_path, 3, {3: "4 "})
    monkeypatch.setattr(process_tree, "PROC", str(tmp_path))
    assert descendants(1) == [2, 3, 4]


def test_a_thread_that_vanishes_meanwhile_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_children(tmp_path, 1, {1: "2 ", 11: "3 ", 12: "4 "})
    (tmp_path / "1" / "task" / "11" / "children").unlink()
    monkeypatch.setattr(process_tree, "PROC", str(tmp_path))
    assert sorted(descendants(1)) == [2, 4]


def test_a_loop_of_reused_ids_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_children(tmp_path, 1, {1: "2 "})
    write_children(tmp_path, 2, {2: "3 1 "})
    write_children(tmp_path, 3, {3: "2 3 "})
    monkeypatch.setattr(process_tree, "PROC", str(tmp_path))
    assert descendants(1) == [2, 3]


def test_a_huge_tree_is_cut_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_children(tmp_path, 1, {1: " ".join(map(str, range(2, 10_000)))})
    monkeypatch.setattr(process_tree, "PROC", str(tmp_path))
    assert descendants(1) == list(range(2, 4098))


# CPU seconds of a tree. In the rounds below, `r` is the runner.


def tree(at: float = 0.0, owed: float = 0.0, **times: tuple[float, float]) -> CpuRound:
    """A round from (own, ended) CPU seconds by process."""
    return CpuRound(at, "r", {process: CpuTimes(*both) for process, both in times.items()}, owed=owed)


def test_living_processes_count_what_they_used_since() -> None:
    before = tree(r=(9, 0), a=(5, 0))
    assert agent_seconds(before, tree(r=(50, 0), a=(6, 0), b=(2, 0))) == 3


def test_the_runners_past_does_not_count() -> None:
    assert agent_seconds(tree(a=(5, 0)), tree(r=(50, 70), a=(6, 0))) == 1


def test_a_process_that_ended_counts_what_it_used_since() -> None:
    before = tree(r=(9, 0), a=(5, 2))
    assert agent_seconds(before, tree(r=(9, 8))) == 1


def test_a_process_that_came_and_went_unseen_counts() -> None:
    assert agent_seconds(tree(r=(9, 4), a=(1, 1)), tree(r=(9, 7), a=(1, 3))) == 5


def test_a_whole_branch_that_ended_counts_once() -> None:
    before = tree(r=(0, 0), a=(5, 2), b=(3, 0))  # b is below a; it ends at 4, then a at 6
    assert agent_seconds(before, tree(r=(0, 12))) == 2


def test_a_zombie_counts_once() -> None:
    rounds = [tree(r=(0, 0), a=(5, 0)), tree(r=(0, 0), a=(6, 0)), tree(r=(0, 6))]
    assert [agent_seconds(*pair) for pair in pairwise(rounds)] == [1, 0]


def test_a_process_that_ends_while_the_tree_is_read_counts_once() -> None:
    # the runner was read before it collected a, which was gone when its turn came
    rounds = [tree(r=(0, 0), a=(500, 0), b=(0, 0)), tree(r=(0, 0), b=(1, 0)), tree(r=(0, 501), b=(3, 0))]
    assert [agent_seconds(*pair) for pair in pairwise(rounds)] == [1, 3]


def test_a_process_that_leaves_the_tree_takes_nothing_from_the_others() -> None:
    rounds = [tree(r=(0, 0), a=(500, 0), b=(0, 0)), tree(r=(0, 0), b=(1, 0)), tree(r=(0, 0), b=(2, 0)), tree(r=(0, 4))]
    assert [agent_seconds(*pair) for pair in pairwise(rounds)] == [1, 1, 2]


def test_cores_are_seconds_by_elapsed_time_for_each_role() -> None:
    assert cores_in_use(tree(at=1, r=(0, 0)), tree(at=3, r=(1, 0), a=(3, 0)), cores=4) == {"runner": 0.5, "agent": 1.5}


def test_cores_are_never_more_than_there_are() -> None:
    assert cores_in_use(tree(at=1, r=(0, 0)), tree(at=2, r=(3, 99)), cores=2) == {"runner": 2, "agent": 2}


def test_cores_are_unknown_before_the_second_round() -> None:
    assert cores_in_use(None, tree(r=(1, 0)), cores=2) == {}
    assert cores_in_use(tree(at=1), tree(at=2, r=(1, 0)), cores=2) == {"agent": 0}
