"""An agent's output goes through `ralph-otel run` byte for byte, as it is written, and holds nobody up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import Process, Workplace, launched

from support.waiting import until


def read(process: Process, size: int) -> bytes:
    """What a process writes next, as soon as it does."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], 60)[0], "nothing comes"
    return os.read(process.stdout.fileno(), size)


@pytest.mark.parametrize("script", ["claude raw:60", "claude raw:60 | cat", "claude raw:60 > out; cat out"])
def test_every_byte_is_passed_on(place: Workplace, bare: Workplace, script: str) -> None:
    expected = bare.run(["bash", "-c", script])
    found = place.run(launched("bash", "-c", script))
    assert len(found.stdout) == 6_000_000
    assert found == expected


def test_output_and_errors_keep_their_order(place: Workplace) -> None:
    words = [word for number in range(300) for word in (f"out:{number}", f"err:{number}x")]
    expected = "".join(f"{number}\n{number}x\n" for number in range(300)).encode()
    assert place.run(launched("claude", *words), stderr=subprocess.STDOUT).stdout == expected


def test_output_is_passed_on_as_it_is_written(place: Workplace) -> None:
    process = place.start(launched("bash", "-c", "claude out:one wait:go out:two wait:on json:1"))
    assert read(process, 100) == b"one\n"
    (place.folder / "go").touch()
    assert read(process, 100) == b"two\n"
    (place.folder / "on").touch()
    process.communicate(timeout=60)


def test_what_it_says_is_known_while_it_works(place: Workplace) -> None:
    process = place.start(launched("bash", "-c", "claude json:1 wait:go"))
    until(lambda: place.journals() and place.lines("usage.measured"), what="for the usage")
    assert place.account("exit") == []
    (place.folder / "go").touch()
    process.communicate(timeout=60)


def test_a_reader_that_leaves_ends_the_agent_as_without(place: Workplace, bare: Workplace) -> None:
    for each, command in ((bare, ["bash", "-c"]), (place, launched("bash", "-c"))):
        process = each.start([*command, "claude out:a wait:go raw:50; echo $? >&2"])
        assert read(process, 100) == b"a\n"
        assert process.stdout is not None
        process.stdout.close()
        (each.folder / "go").touch()
        assert process.stderr is not None
        assert process.stderr.read() == b"141\n"
    assert place.lines("agent.finished")[0]["exit_code"] == -signal.SIGPIPE


def test_an_agent_that_waits_for_its_reader_to_leave_sees_it(place: Workplace) -> None:
    program = (
        f"#!{sys.executable} -ISE\n"
        "import os, select\n"
        "os.write(1, b'a\\n')\n"
        "poll = select.poll()\n"
        "poll.register(1, 0)\n"
        "os._exit(5 if poll.poll(60000) else 6)\n"
    )
    (place.bin / "claude").write_text(program)
    process = place.start(launched("bash", "-c", "claude; echo $? >&2"))
    assert read(process, 100) == b"a\n"
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b"5\n"


def test_what_an_agent_leaves_behind_may_go_on_writing(place: Workplace) -> None:
    script = "claude out:a leave:go exit:3; echo code $?"
    process = place.start(launched("bash", "-c", script, patient=False))  # who has patience waits for what is left
    assert read(process, 2) == b"a\n"
    until(lambda: place.journals() and place.lines("loop.stopped"), what="for the loop's end")
    assert process.wait(timeout=60) == 0
    assert read(process, 100) == b"code 3\n"
    (place.folder / "go").touch()
    assert process.communicate(timeout=60)[0] == b"late\n"
    assert [line["exit_code"] for line in place.lines("agent.finished")] == [3]


def test_a_slow_reader_slows_the_agent_and_loses_nothing(place: Workplace, bare: Workplace) -> None:
    process = place.start(launched("bash", "-c", "claude raw:60"))
    place.await_account("argv")
    assert len(read(process, 10)) == 10
    assert place.account("exit") == []
    assert process.stdout is not None
    rest = process.stdout.read()
    assert len(rest) == 6_000_000 - 10
    assert rest == bare.run(["claude", "raw:60"]).stdout[10:]


def test_an_output_that_does_not_block_loses_nothing(place: Workplace, bare: Workplace) -> None:
    """Somebody with the same pipe has made it so."""
    code = "import os, sys; os.set_blocking(1, False); os.execvp('claude', ['claude', 'raw:20'])"
    process = place.start(launched(sys.executable, "-c", code))
    place.await_account("argv")
    assert process.communicate(timeout=60)[0] == bare.run(["claude", "raw:20"]).stdout


def test_a_launch_that_does_not_listen_holds_up_nobody(place: Workplace, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        process = place.start(
            launched("bash", "-c", "claude wait:go json:1; claude raw:100; claude out:end"), stdout=out
        )
    place.await_account("argv")
    os.kill(process.pid, signal.SIGSTOP)
    (place.folder / "go").touch()
    place.await_account("exit", 3)
    until(lambda: (tmp_path / "out").read_bytes().endswith(b"end\n"))
    os.kill(process.pid, signal.SIGCONT)
    process.communicate(timeout=60)
    assert sorted(line["iteration"] for line in place.lines("iteration.finished")) == [1, 2, 3]
    assert place.lines("usage.measured")[0]["input_tokens"] == 10


def test_an_agent_that_is_not_understood_has_the_file_itself(place: Workplace) -> None:
    program = f"#!{sys.executable} -ISE\nimport os\nprint(os.readlink('/dev/fd/1'))\n"
    for name in ("aider", "claude"):
        (place.bin / name).write_text(program)
    place.run(launched("bash", "-c", "aider > one; claude > two"))
    assert (place.folder / "one").read_text() == f"{place.folder}/one\n"
    assert (place.folder / "two").read_text().startswith("pipe:")
