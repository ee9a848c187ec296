"""However a program ends, what its loop did arrives, now or with the next start, and it ends as it would without."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_scene import Ended, Scene
from fault_table import BY_HAND, OURS, Fault, assert_known, stages

SECTION = "ends"


@dataclass(frozen=True)
class Ending:
    """How a program is brought to its end.

    Args:
        name: the row.
        done: what was done.
        how: the program's own part, see `fault_program.ENDINGS`.
        signals: what is sent to it, each when it waits for one.
    """

    name: str
    done: str
    how: str
    signals: tuple[int, ...] = ()


ENDINGS = (
    Ending("normal exit", "the program returns", "return"),
    Ending("exception", "`ValueError` leaves the program", "raise"),
    Ending("SIGINT", "`kill -INT`", "signalled", (signal.SIGINT,)),
    Ending("SIGINT twice", "once more while the first is worked off", "interrupted_twice", (signal.SIGINT,) * 2),
    Ending("SIGTERM", "`kill`", "signalled", (signal.SIGTERM,)),
    Ending("SIGHUP", "the terminal goes", "signalled", (signal.SIGHUP,)),
    Ending("SIGKILL", "`kill -9`", "signalled", (signal.SIGKILL,)),
    Ending("os._exit", "`os._exit(3)`", "os_exit"),
    Ending("os.execv", "another program takes its place", "exec"),
    Ending("fork", "a forked child does 2 iterations more and leaves by `os._exit`", "fork"),
    Ending("fork and exec", "`subprocess.run`", "fork_and_exec"),
    Ending("multiprocessing, fork", "2 children do 2 iterations each", "multiprocessing_fork"),
    Ending("multiprocessing, spawn", "2 children run a loop each, of 2 iterations", "multiprocessing_spawn"),
    Ending("daemon threads", "3 are in the middle of an iteration when the program returns", "daemon_threads"),
)


def difference(ended: Ended, bare: Ended) -> str:
    """What of a program's end is other than without telemetry. Where exactly a signal came in it, is chance."""
    said, usual = ([line for line in each.stderr.splitlines() if not line.startswith(" ")] for each in (ended, bare))
    kinds = {
        "another exit code": ended.code != bare.code,
        "another output": ended.stdout != bare.stdout,
        "lines on stderr": len(said) > len(usual),
    }
    return ", ".join(kind for kind, holds in kinds.items() if holds) or "nothing"


@pytest.mark.parametrize("telemetry", [OURS, BY_HAND])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
def test_what_is_seen_of_an_ending(ending: Ending, telemetry: str, scene: Scene, tmp_path: Path) -> None:
    bare = Scene(tmp_path / "bare", scene.received).run(Scene.loop("none", 20, ending.how), *ending.signals)
    ended = scene.run(Scene.loop(telemetry, 20, ending.how), *ending.signals)
    felt = difference(ended, bare)
    done, begun = len(scene.account("ended")), len(scene.account("began"))
    at_once = scene.arrived()
    if telemetry == BY_HAND:
        arrived = stages(at_once=at_once)
    else:
        assert felt == "nothing", ended.stderr
        assert done <= scene.journaled() <= begun
        scene.next_start()
        later = scene.arrived()
        scene.replay()
        arrived = stages(at_once=at_once, next_start=later, replay=scene.arrived())
        assert scene.arrived() == (scene.journaled(), scene.journaled())
        assert scene.leftovers() == []
    emitted = str(done) if done == begun else f"{done}, {begun - done} open"
    assert_known(Fault(SECTION, ending.name, ending.done), telemetry, emitted, arrived, felt)
