"""Below `ralph-otel run`: whoever of runner and recorder is killed, the other one goes on, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fault_launch import RUNNERS, Launched, launched
from fault_scene import Ended, Scene, ended_with
from fault_table import OURS, Fault, assert_known, stages

from support.waiting import until

SECTION = "run"
_TIMES = re.compile(r"\d+\.\d+s")


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class Harm:
    """What is done to a launch while its sixth iteration goes on.

    Args:
        name: the row.
        number: the signal.
        runner: whether the runner gets it.
        recorder: whether the recorder does.
    """

    name: str
    number: int
    runner: bool = False
    recorder: bool = False

    @property
    def done(self) -> str:
        """What was done, for the table."""
        return f"`kill -{signal.Signals(self.number).name.removeprefix('SIG')}` in the sixth of 7 iterations"

    @property
    def spares_the_runner(self) -> bool:
        """Whether the runner goes on."""
        return self.number == signal.SIGKILL and not self.runner

    def do(self, to: Launched) -> None:
        """Do it. Where both are meant, the whole process group is: a terminal does that, and the machine's end."""
        if self.runner and self.recorder:
            os.killpg(to.process.pid, self.number)
        elif self.runner or not to.below:
            to.runner().send_signal(self.number)
        else:
            to.process.send_signal(self.number)


HARMS = (
    Harm("ctrl-C", signal.SIGINT, runner=True, recorder=True),
    Harm("SIGTERM of the runner", signal.SIGTERM, runner=True),
    Harm("SIGTERM of the recorder, which passes it on", signal.SIGTERM, recorder=True),
    Harm("SIGHUP of both", signal.SIGHUP, runner=True, recorder=True),
    Harm("SIGKILL of the runner", signal.SIGKILL, runner=True),
    Harm("SIGKILL of the recorder", signal.SIGKILL, recorder=True),
    Harm("SIGKILL of both", signal.SIGKILL, runner=True, recorder=True),
)


def suffer(harm: Harm | None, scene: Scene, runner: str, below: bool) -> Ended:
    """A launch that is harmed, to the end of everybody."""
    began = time.monotonic()
    it = launched(scene, runner, below)
    with ended_with(it.process):
        below_it = psutil.Process(it.process.pid).children(recursive=True)
        if harm is not None:
            runner_process = it.runner()
            harm.do(it)
            if harm.number != signal.SIGINT:  # after that one some runners wait for their agent
                dead = it.process if harm.spares_the_runner and below else runner_process
                until(lambda: is_gone(dead.pid), what=f"for the end of {dead}")
        it.go_on()
        ended = Scene.end(it.process, began)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.wait_procs(below_it, 100)
        return ended


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.name)
def test_what_is_seen_of_a_launch_that_is_harmed(harm: Harm, runner: str, scene: Scene, tmp_path: Path) -> None:
    bare = suffer(None if harm.spares_the_runner else harm, Scene(tmp_path / "bare", scene.received), runner, False)
    ended = suffer(harm, scene, runner, True)
    assert _TIMES.sub("", ended.stdout) == _TIMES.sub("", bare.stdout)
    assert ended.code == (-signal.SIGKILL if harm.spares_the_runner else bare.code)
    done, begun = len(scene.account("ended")), len(scene.account("began"))
    at_once = scene.arrived()
    scene.next_start()
    later = scene.arrived()
    scene.replay()
    arrived = stages(at_once=at_once, next_start=later, replay=scene.arrived())
    assert scene.arrived().counted == scene.journaled() <= scene.arrived().spans <= begun
    if harm.number == signal.SIGKILL and harm.recorder:  # nobody was left to remove the agents' stand-ins
        scene.next_launch()
    assert scene.leftovers() == []
    emitted = str(done) if done == begun else f"{done}, {begun - done} open"
    assert_known(Fault(f"{SECTION}, {runner}", harm.name, harm.done), OURS, emitted, arrived, "nothing")
