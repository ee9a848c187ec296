"""Kills at random moments: what the loop's own account says was done is in the journal, and arrives once.

The variable FAULTS_RUNS says how many; another FAULTS_SEED has other moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from fault_launch import launched
from fault_scene import Scene, ended_with
from fault_table import BY_HAND, OURS, Fault, assert_known

from support.receiver import HttpReceiver

RUNS = int(os.environ.get("FAULTS_RUNS", "6"))
SEED = int(os.environ.get("FAULTS_SEED", "1"))
LONGEST = 1.5
"""Seconds after its first iteration within which a program is killed."""


def moments(kind: str) -> list[float]:
    """When the kills are, in seconds after the first iteration."""
    dice = random.Random(f"{SEED} {kind}")
    return [dice.uniform(0, LONGEST) for _ in range(RUNS)]


def killed_after(seconds: float, scene: Scene, telemetry: str) -> tuple[int, int]:
    """How many iterations had ended and begun when a program of as many as it can was killed."""
    process = scene.start(Scene.loop(telemetry, float("inf")))
    with ended_with(process):
        scene.wait_for("ended")
        time.sleep(seconds)
        process.kill()
        process.wait(20)
    return len(scene.account("ended")), len(scene.account("began"))


def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    for number, seconds in enumerate(moments(OURS)):
        with HttpReceiver() as received:
            scene = Scene(tmp_path / str(number), received)
            done, begun = killed_after(seconds, scene, OURS)
            what = f"killed after {seconds:.3f} s, FAULTS_SEED={SEED}"
            assert done <= scene.journaled() <= begun, what
            scene.next_start()
            arrived = scene.arrived()
            assert arrived.counted == scene.journaled(), what
            assert arrived.counted <= arrived.spans <= begun, what
            assert scene.leftovers() == [], what
    fault = Fault("ends", "SIGKILL at random moments", "within 1.5 s, during thousands of iterations")
    assert_known(fault, OURS, "what the account says", "all, with the next start", "nothing")


def test_a_kill_of_the_plain_sdk_at_any_moment(tmp_path: Path) -> None:
    for number, seconds in enumerate(moments(BY_HAND)[:3]):
        with HttpReceiver() as received:
            scene = Scene(tmp_path / str(number), received)
            done, _ = killed_after(seconds, scene, BY_HAND)
            assert scene.arrived().counted < done
    fault = Fault("ends", "SIGKILL at random moments", "within 1.5 s, during thousands of iterations")
    assert_known(fault, BY_HAND, "what the account says", "less", "nothing")


@pytest.mark.parametrize("who", ["runner", "recorder", "both"])
def test_a_kill_below_a_launch_at_any_moment_loses_nothing(who: str, tmp_path: Path) -> None:
    for number, seconds in enumerate(moments(who)[: max(2, RUNS // 3)]):
        with HttpReceiver() as received:
            scene = Scene(tmp_path / str(number), received)
            it = launched(scene, "ralphify")
            it.go_on()
            with ended_with(it.process):
                time.sleep(seconds / 3)
                with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess, ValueError):
                    if who == "both":
                        os.killpg(it.process.pid, signal.SIGKILL)
                    elif who == "runner":
                        it.runner().kill()
                    else:
                        it.process.kill()
                it.process.wait(60)
            scene.wait_for_the_end_of_all()
            done, begun = len(scene.account("ended")), len(scene.account("began"))
            what = f"killed after {seconds / 3:.3f} s, FAULTS_SEED={SEED}"
            assert done - 1 <= scene.journaled() <= begun, what
            scene.next_start()
            arrived = scene.arrived()
            assert arrived.counted == scene.journaled(), what
            assert arrived.counted <= arrived.spans <= begun + 1, what  # one begins before its agent can say so
            scene.next_launch()
            assert scene.leftovers() == [], what
