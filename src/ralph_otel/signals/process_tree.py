"""A process and all processes below it: which they are, and what they use.

An agent is a whole tree of processes, and the tree is asked for again and again. psutil reads every process of the
machine to find it. Linux keeps a list of children with each thread (`/proc/<pid>/task/<tid>/children`, see proc(5)),
so that only the tree itself need be read. Elsewhere psutil finds it. What a process uses, psutil says everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

from ralph_otel.events import ROLES

RUNNER, AGENT = ROLES
PROC = "/proc"
LIMIT = 4096
"""The most processes that are looked for; a larger tree is cut off."""

T = TypeVar("T")


def descendants(pid: int) -> list[int]:
    """The ids of all processes below `pid`, parents before their children; empty if there is no such process.

    Zombies are included. A process whose parent has ended belongs to another tree (init's) and is not found. In a tree
    that changes meanwhile a process may be missed, but is never there twice. Raises nothing.
    """
    if os.access(f"{PROC}/thread-self/children", os.R_OK):
        return _from_kernel(pid)
    return _from_psutil(pid)


def _from_kernel(pid: int) -> list[int]:
    found = [pid]
    seen = {pid}
    for parent in found:
        for child in _children(parent):
            if child not in seen and len(seen) <= LIMIT:
                seen.add(child)
                found.append(child)
    return found[1:]


def _children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads; empty if it has ended."""
    tasks = f"{PROC}/{pid}/task"
    children: list[int] = []
    try:
        # A folder's link count is 2 and one for each folder in it: 3 means one thread, which has the process's id.
        # Asking costs a quarter of a listing. os, not pathlib, which takes longer than the kernel does.
        alone = os.stat(tasks).st_nlink == 3  # noqa: PTH116 - for speed
        for thread in (pid,) if alone else os.listdir(tasks):  # noqa: PTH208 - for speed
            children += map(int, _content(f"{tasks}/{thread}/children").split())
    except OSError:  # ended meanwhile
        pass
    return children


def _content(path: str) -> bytes:
    """A small file's content; empty if it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        content = b""
        while chunk := os.read(file, 65536):
            content += chunk
        return content
    except OSError:  # ESRCH: ended between the two calls
        return b""
    finally:
        os.close(file)


def _from_psutil(pid: int) -> list[int]:
    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)][:LIMIT]
    except (psutil.Error, OSError, ValueError):  # ValueError: no possible process id
        return []


def probe(read: Callable[[], T]) -> T | None:
    """A value, or None where it cannot be had: access denied, process gone, not on this platform."""
    try:
        return read()
    except Exception:  # noqa: BLE001 - whatever is wrong with one probe, the others go on
        return None


def find(pid: int | None) -> psutil.Process | None:
    """The process with this id (None: this process), or None if there is none."""
    return probe(lambda: psutil.Process(pid))


@dataclass(frozen=True)
class CpuTimes:
    """The CPU seconds of a process since it began: its own, and those of ended children it has waited for."""

    own: float
    ended: float


@dataclass(frozen=True)
class Process:
    """What was read of one process; None: not known."""

    ident: psutil.Process
    """Equal for the same process, not for a later one with the same id."""
    alive: bool
    cpu: CpuTimes | None
    memory: int | None
    threads: int | None


def _read(process: psutil.Process) -> Process:
    return Process(
        ident=process,
        # A zombie's CPU times still count: its parent has them only once it has waited.
        alive=probe(process.status) not in (None, psutil.STATUS_ZOMBIE),
        cpu=probe(lambda: _cpu_times(process)),
        memory=probe(lambda: int(process.memory_info().rss)),
        threads=probe(process.num_threads),
    )


def read_runner(process: psutil.Process | None) -> Process | None:
    """The runner; None if it has ended, though its id may be another process's now."""
    if process is None or not probe(process.is_running):
        return None
    runner = _read(process)
    return runner if runner.alive else None


def read_below(runner: psutil.Process) -> list[Process]:
    """All processes below the runner, save this process and its own.

    Parents first: a child that ends meanwhile is then never counted twice.
    """
    pids = descendants(runner.pid)
    if os.getpid() in pids:
        ours = {os.getpid(), *descendants(os.getpid())}
        pids = [pid for pid in pids if pid not in ours]
    return [_read(process) for process in map(find, pids) if process is not None]


def _cpu_times(process: psutil.Process) -> CpuTimes:
    times = process.cpu_times()
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return CpuTimes(times.user + times.system, ended)


@dataclass
class CpuRound:
    """All CPU times at one moment; CPU values come from two rounds."""

    at: float
    """Monotonic seconds."""
    runner: Hashable
    times: Mapping[Any, CpuTimes]
    """Of the runner and every process below it, by anything that is equal for the same process."""
    machine: tuple[float, float] | None = None
    """Seconds that the machine's processors were idle, and all seconds."""
    owed: float = 0.0
    """Seconds of processes that had gone when no parent had counted them as ended yet; set by `agent_seconds`."""


def agent_seconds(before: CpuRound, now: CpuRound) -> float:
    """The CPU seconds that the processes below the runner used between two rounds; never negative.

    Of the living: the growth of their own times. Of those that ended, seen by a round or not: when a parent waits for
    its child, the kernel adds all of the child's times to the parent's `ended`. So it is the growth of `ended`, in the
    runner and the living, less what is known of those that are gone. That is negative if a process went and no parent
    counted it. Either the parent was read a moment too early: then the next growth holds the whole life of the child,
    and what is `owed` is taken off it. Or nobody waited (an orphan, an ignored SIGCHLD; on macOS `ended` is always 0):
    then the time since the round before is lost.
    """
    used = ended = 0.0
    for process, times in now.times.items():
        unseen = times if process == now.runner else CpuTimes(0.0, 0.0)
        earlier = before.times.get(process, unseen)
        ended += times.ended - earlier.ended
        if process != now.runner:
            used += max(0.0, times.own - earlier.own)
    gone = sum(times.own + times.ended for process, times in before.times.items() if process not in now.times)
    now.owed = max(0.0, gone - ended)
    return used + max(0.0, ended - gone - before.owed)


def cores_in_use(before: CpuRound | None, now: CpuRound, cores: int) -> dict[str, float]:
    """Processor cores in use between two rounds, by role; a role is absent if it is not known. At most `cores`."""
    if before is None:
        return {}
    seconds = {AGENT: agent_seconds(before, now)}
    if now.runner in now.times and now.runner in before.times:
        seconds[RUNNER] = max(0.0, now.times[now.runner].own - before.times[now.runner].own)
    return {role: min(used / (now.at - before.at), cores) for role, used in seconds.items()}


def machine_utilization(before: CpuRound | None, now: CpuRound) -> float | None:
    """The fraction of the machine's processor time between two rounds that was not idle, 0 to 1; None: not known."""
    if before is None or before.machine is None or now.machine is None:
        return None
    idle, everything = (new - old for new, old in zip(now.machine, before.machine, strict=True))
    return min(max(1 - idle / everything, 0.0), 1.0) if everything > 0 else None


def machine_times() -> tuple[float, float]:
    """The machine's idle and all CPU seconds. A guest's are in the user's already; waiting for a disk is idle."""
    times = psutil.cpu_times()
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return times.idle + getattr(times, "iowait", 0.0), sum(times) - guests
