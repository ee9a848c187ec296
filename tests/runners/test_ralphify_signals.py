"""What the table says of ralphify, seen in a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from workplace import WORKS, Stage, Workplace, assert_seen_is_known

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
