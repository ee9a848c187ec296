"""What `docs/streaming.md` shows does what it says, and so does the reader in `examples/`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.tape import Tape
from support.waiting import until
from support.watched import loop_process

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
RUN = "20261101T000000Z-bce148"


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command is found, nothing listens, and the working directory is empty."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    monkeypatch.chdir(tmp_path)


def blocks(language: str) -> list[str]:
    """The page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def printed(*command: str) -> list[str]:
    """The lines that a command prints, which must succeed and complain of nothing."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def different(lines: list[str]) -> list[str]:
    """The lines without those that say the same again: at the end, or at an interval on a slow machine."""
    return list(dict.fromkeys(lines))


def test_a_subscriber_on_a_thread_sees_each_broadcast(home: Path) -> None:
    said = printed(sys.executable, "-c", blocks("python")[0])
    assert different(said) == ["1 iterations, 0 failed", "2 iterations, 1 failed", "3 iterations, 1 failed"]


def test_a_subscriber_in_asyncio_sees_each_broadcast(home: Path) -> None:
    assert different(printed(sys.executable, "-c", blocks("python")[1])) == ["1", "2", "3"]


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq here")
def test_the_commands_of_the_page_give_what_it_says(home: Path) -> None:
    tape = Tape("fix-bugs", RUN).iteration(1, 1).add(3, "usage.measured", cost_usd=0.5)
    tape.add(4, "loop.stopped", reason="completed").write(home / "runs" / f"{RUN}.jsonl")
    whole, quick, figures, events, after = (text for block in blocks("sh") for text in block.splitlines())
    for command in (whole, quick):
        (line,) = printed("sh", "-c", command)
        assert json.loads(line)["metrics"]["total_iterations"] == 1
    keys = {name for row in re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(json.loads(line)) == keys
    assert [json.loads(line) for line in printed("sh", "-c", figures)] == [["fix-bugs", "stopped", 1, 0.5]]
    found = [json.loads(line) for line in printed("sh", "-c", events)]
    assert [each["type"] for each in found] == [line["type"] for line in tape.lines]
    shown = re.search(rf"{RUN}:\d+", after)
    assert shown is not None
    late = printed("sh", "-c", after.replace(shown[0], found[2]["id"]))
    assert [json.loads(line) for line in late] == found[3:]


def test_the_reader_goes_on_where_it_was_and_says_nothing_twice(home: Path) -> None:
    words = [sys.executable, str(ROOT / "examples" / "follow.py"), RUN]
    with loop_process(home / "runs" / f"{RUN}.jsonl") as loop:
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            for number, outcome in ((1, "success"), (2, "timeout")):
                loop.add("iteration.finished", iteration=number, outcome=outcome, duration=1.0)
                assert reader.stdout.readline() == f"iteration {number}: {outcome}\n"
            until(lambda: Path("follow.last").read_text() == f"{RUN}:{loop.journal.stat().st_size}")
            reader.terminate()
        loop.add("iteration.finished", iteration=3, outcome="failure", duration=1.0)
        loop.add("loop.stopped", reason="no_progress")
    assert printed(*words) == ["iteration 3: failure"]
    assert printed(*words) == []
