"""What a machine can run out of: the loop does not notice, and what is dropped is counted and said."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_launch import RUNNERS, Launched, launched
from fault_scene import Ended, Scene, ended_with
from fault_table import BY_HAND, OURS, Fault, assert_known, stages

from ralph_otel.runs import fold
from support.receiver import points

SECTION = "resources"
ITERATIONS = 200


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of that size at the folder; skips the test where nothing may be mounted."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


def judge(fault: Fault, telemetry: str, scene: Scene, ended: Ended) -> None:
    """Ours has not been noticed and has arrived; what came of the other is in the table."""
    felt = "nothing"
    if telemetry == OURS:
        felt = FELT.get(fault.name, felt)
        assert (ended.code, ended.stdout) == (0, "done\n"), ended.stderr
        assert all(line.startswith("ralph-otel: ") for line in ended.stderr.splitlines()), ended.stderr
    elif ended.code:
        felt = f"`{ended.stderr.splitlines()[-1].partition(':')[0]}` ends it"
    emitted = str(len(scene.account("ended")))
    at_once = scene.arrived()
    if telemetry == OURS and at_once.spans < ITERATIONS and scene.journals():
        scene.next_start()
        assert scene.leftovers() == []
    assert_known(fault, telemetry, emitted, stages(at_once=at_once, next_start=scene.arrived()), felt)


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
def test_what_is_seen_of_a_full_disk(telemetry: str, scene: Scene) -> None:
    with small_disk(scene.home, "64k"):
        ended = scene.run(Scene.loop(telemetry, ITERATIONS))
        judge(Fault(SECTION, "disk full", "200 iterations, a disk of 64 KiB"), telemetry, scene, ended)
        if telemetry == OURS:
            assert "events are kept in memory until that works again" in ended.stderr


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
def test_what_is_seen_of_a_home_that_cannot_be_written(telemetry: str, scene: Scene) -> None:
    scene.home.write_text("a file")
    ended = scene.run(Scene.loop(telemetry, ITERATIONS))
    fault = Fault(SECTION, "home cannot be written", "a file is where the folder of the journals should be")
    judge(fault, telemetry, scene, ended)
    if telemetry == OURS:
        assert "set RALPH_OTEL_HOME" in ended.stderr


FELT = {"slow disk": "each event takes 5 ms longer"}
"""What the host feels of ours, but for nothing."""
LIMITS = (
    ("no file handle left", "all are taken before anything is set up, until the end", "file_handles"),
    ("no file handle left later", "all are taken when the loop begins, until it has ended", "file_handles_later"),
    ("no memory left", "`RLIMIT_AS`: none for the stack of another thread", "threads"),
    ("files may not grow", "`RLIMIT_FSIZE`: 64 KiB a file", "file_size"),
    ("slow disk", "each write to the journal takes 5 ms", "slow_disk"),
)


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
@pytest.mark.parametrize(("name", "done", "limit"), LIMITS, ids=[name for name, _, _ in LIMITS])
def test_what_is_seen_of_a_limit(name: str, done: str, limit: str, telemetry: str, scene: Scene) -> None:
    scene.variables["FAULT_LIMIT"] = limit
    ended = scene.run(Scene.loop(telemetry, ITERATIONS))
    judge(Fault(SECTION, name, done), telemetry, scene, ended)


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
def test_what_is_seen_of_a_clock_that_is_set(telemetry: str, scene: Scene) -> None:
    scene.variables["FAULT_LIMIT"] = "clock"
    ended = scene.run(Scene.loop(telemetry, ITERATIONS))
    assert (ended.code, ended.stderr) == (0, "")
    spans = scene.received.spans()
    took = [(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 for span in spans]
    wrong = sum(not 0 <= each < ended.seconds for each in took)
    if telemetry == OURS:
        assert wrong == 0
        [path] = scene.journals()
        assert 0 <= fold(path).run.metrics().total_execution_time < ended.seconds
    fault = Fault(SECTION, "clock is set", "forwards by an hour within an iteration, and back within a later one")
    arrived = {**stages(at_once=scene.arrived()), "wrong durations": [wrong, wrong]}
    assert_known(fault, telemetry, str(ITERATIONS), arrived, "nothing")


def test_events_that_neither_journal_nor_queue_can_take_are_counted(scene: Scene) -> None:
    scene.variables.update(RALPH_OTEL_JOURNAL="false", RALPH_OTEL_QUEUE_SIZE="50")
    ended = scene.run(Scene.loop(OURS, ITERATIONS))
    assert (ended.code, ended.stdout) == (0, "done\n")
    [said] = ended.stderr.splitlines()
    assert "more than 50 events wait" in said
    health = {
        name: points(metric).get(frozenset(), 0)
        for name, metric in scene.received.metrics().items()
        if "_otel." in name
    }
    events = 2 * ITERATIONS + 2
    assert health["ralph_otel.events"] + health["ralph_otel.dropped_events"] == events
    arrived = f"those that fit; the others are in `ralph_otel.dropped_events`, {events} together"
    fault = Fault(SECTION, "queue overflows", "no journal is kept, and 50 events may wait")
    assert_known(fault, OURS, str(ITERATIONS), arrived, "nothing")


def end_of(launched: Launched) -> Ended:
    """A launched runner's end."""
    return Scene.end(launched.process, 0)


def test_a_launch_on_a_full_disk_says_so_and_does_not_blame_the_command(scene: Scene) -> None:
    with small_disk(scene.home, "64k"):
        fill(scene.home)
        it = launched(scene, "a script", recorded=False)
        with ended_with(it.process):
            it.go_on()
            ended = end_of(it)
        assert (ended.code, ended.stdout) == (0, "done\n")
        [said] = ended.stderr.splitlines()
        assert said.startswith("ralph-otel: no telemetry: ")
        assert "No space left on device" in said
        assert "RALPH_OTEL_HOME" in said


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("room", [True, False], ids=["for a while", "to the end"])
def test_what_a_launch_cannot_write_waits_until_the_disk_has_room(room: bool, runner: str, scene: Scene) -> None:
    with small_disk(scene.home, "64k"):
        it = launched(scene, runner)
        with ended_with(it.process):
            fill(scene.home)
            it.go_on(6)
            scene.wait_for("waits", 2)
            if room:
                (scene.home / "filler").unlink()
            it.go_on(7)
            ended = end_of(it)
        assert ended.code == 0
        assert all(line.startswith("ralph-otel: ") for line in ended.stderr.splitlines())
        missing = f"what came last may be missing in {scene.home / 'runs'}: No space left on device; "
        assert (scene.journaled() == 7, missing in ended.stderr) == (room, not room)
        there = scene.arrived()
        assert there.counted == scene.journaled() >= 5
    name = "disk full " + ("for a while" if room else "to the end")
    done = "in the sixth of 7 iterations; " + ("room in the seventh" if room else "never room again")
    arrived = stages(at_once=there) if room else "5 or more; that the rest is missing is said"
    assert_known(Fault(f"run, {runner}", name, done), OURS, "7", arrived, "nothing")
