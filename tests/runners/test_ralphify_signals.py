"""What the table says of ralphify, seen in a real one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from scripted import launched
from workplace import HANGS, WORKS, Stage, Workplace, assert_seen_is_known

from support.waiting import until

PAUSES = """
import threading
from pathlib import Path
from ralphify import EventType, RunConfig, RunState, run_loop
state = RunState("r")

class Pause:
    def emit(self, event):
        if event.type is EventType.ITERATION_COMPLETED and event.data["iteration"] == 1:
            state.request_pause()
        elif event.type is EventType.RUN_PAUSED:
            threading.Timer(0.2, state.request_resume).start()

my = Path("my")
run_loop(RunConfig(agent="claude -p", ralph_dir=my, ralph_file=my / "RALPH.md", max_iterations=2), state, Pause())
"""


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""

    def prepare(place: Workplace) -> None:
        (place.folder / "my" / "RALPH.md").write_text("---\nagent: claude -p\n---\nGo on.\n")

    return Stage("ralphify", tmp_path, prepare)


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    place = stage.play([WORKS], "python", "-c", PAUSES)
    assert_seen_is_known(stage, place)


@pytest.mark.integration
def test_what_an_agent_says_last_after_its_time_is_up_counts(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    place = stage.workplace([{**HANGS, "format": "json"}])  # nothing before the result
    process = place.start(launched(*stage.command("ralph", "run", "my", "-n", "1", "--timeout", "0.1")))
    until(lambda: place.account("waits"), what="for the agent to hang")
    waits = time.monotonic()
    until(lambda: time.monotonic() - waits > 0.2, what="for its time to be up")
    (place.folder / "release").touch()
    process.communicate(timeout=60)

    [iteration] = place.lines("iteration.finished")
    assert iteration["outcome"] == "timeout"
    assert sum(line["cost_usd"] for line in place.lines("usage.measured")) == 0.25
    assert sum(line["output_tokens"] for line in place.lines("usage.measured")) == 1
