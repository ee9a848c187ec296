"""At a terminal, an agent below `ralph-otel run` has the terminal itself, and a shell has its jobs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from scripts import Workplace, goes_on, is_stopped, launched
from terminals import CTRL_BACKSLASH, CTRL_C, CTRL_Z, Terminal

from support.waiting import until

Open = Callable[[Workplace, list[str]], Terminal]


@pytest.fixture
def terminal() -> Iterator[Open]:
    """Opens terminals."""
    opened: list[Terminal] = []

    def open_(place: Workplace, command: list[str]) -> Terminal:
        opened.append(Terminal(place, command))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def test_the_agent_has_the_terminal_itself(place: Workplace, bare: Workplace, terminal: Open) -> None:
    shown = []
    for each, command in ((bare, ["bash", "-c"]), (place, launched("bash", "-c"))):
        session = terminal(each, [*command, "claude out:a err:b json:1; claude out:c | cat; claude out:d > log"])
        assert session.wait() == 0
        shown.append((session.seen, [start["shown"] for start in each.account("argv")]))
    assert shown[1] == shown[0]
    first, second, third = shown[1][1]
    assert first == [[0, True, True], [1, True, True], [2, True, True]]
    assert second[1] == third[1] == [1, False, None]


def test_what_goes_to_a_terminal_is_not_read(place: Workplace, terminal: Open) -> None:
    assert terminal(place, launched("bash", "-c", "claude json:1; claude json:2 | cat")).wait() == 0
    assert [line["input_tokens"] for line in place.lines("usage.measured")] == [20]
    assert len(place.lines("iteration.finished")) == 2


def test_what_is_typed_goes_to_the_agent(place: Workplace, terminal: Open) -> None:
    session = terminal(place, launched("bash", "-c", "claude out:ready line"))
    session.read_until(b"ready\r\n")
    session.type(b"hello\n")
    assert session.wait() == 0
    assert place.account("line")[0]["line"] == "hello\n"


@pytest.mark.parametrize(("key", "number"), [(CTRL_C, signal.SIGINT), (CTRL_BACKSLASH, signal.SIGQUIT)])
def test_a_key_is_one_signal(place: Workplace, terminal: Open, key: bytes, number: int) -> None:
    script = f"trap : INT QUIT; claude catch:{number} out:ready wait:go; echo over"
    session = terminal(place, launched("bash", "-c", script))
    session.read_until(b"ready\r\n")
    session.type(key)
    place.await_account("caught")
    (place.folder / "go").touch()
    session.read_until(b"over")
    assert [line["caught"] for line in place.account("caught")] == [number]


def test_another_window_size_is_one_signal(place: Workplace, terminal: Open) -> None:
    session = terminal(place, launched("bash", "-c", f"claude catch:{signal.SIGWINCH:d} out:ready wait:go; echo over"))
    session.read_until(b"ready\r\n")
    session.resize(33, 77)
    place.await_account("caught")
    (place.folder / "go").touch()
    session.read_until(b"over")
    assert len(place.account("caught")) == 1


def test_ctrl_c_ends_a_script_as_without(place: Workplace, bare: Workplace, terminal: Open) -> None:
    endings = []
    for each, command in ((bare, ["bash", "-c"]), (place, launched("bash", "-c"))):
        session = terminal(each, [*command, "claude out:ready wait:never; echo not reached"])
        session.read_until(b"ready\r\n")
        session.type(CTRL_C)
        endings.append((session.wait(), session.seen))
    assert endings[1] == endings[0]
    assert endings[1][0] == -signal.SIGINT


JOBS = {
    "script": "bash -c 'claude out:ready wait:go out:over; echo end'",
    "agent": "claude out:ready wait:go out:over",
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("inside", [False, True], ids=["run in the shell", "the shell in run"])
def test_a_job_is_stopped_and_goes_on(
    place: Workplace, bare: Workplace, terminal: Open, job: str, inside: bool
) -> None:
    for each in (bare, place):
        shell = ["bash", "--norc", "--noprofile", "-i"]
        line = JOBS[job]
        if each is place:
            shell = launched(*shell) if inside else shell
            line = line if inside else " ".join(launched(patient=False)) + " " + line
        session = terminal(each, shell)
        session.read_until(b"$ ")
        session.type(line.encode() + b"\n")
        session.read_until(b"ready\r\n")
        [agent] = each.await_account("argv")
        session.type(CTRL_Z)
        session.read_until(b"Stopped")
        session.read_until(b"$ ")
        until(partial(is_stopped, agent["pid"]))
        session.type(b"jobs\n")
        session.read_until(b"[1]+  Stopped")
        session.read_until(b"$ ")
        session.type(b"fg\n")
        until(partial(goes_on, agent["pid"]))
        (each.folder / "go").touch()
        session.read_until(b"over\r\n")
        session.read_until(b"$ ")
        session.type(b"echo code $?\n")
        session.read_until(b"code 0")
        session.type(b"exit\n")
        assert session.wait() == 0
    assert [line["outcome"] for line in place.lines("iteration.finished")] == ["success"]


def test_an_agent_that_stops_itself_is_a_stopped_job(place: Workplace, terminal: Open) -> None:
    session = terminal(place, launched("bash", "--norc", "--noprofile", "-i"))
    session.read_until(b"$ ")
    for number in (signal.SIGTSTP, signal.SIGSTOP):
        session.type(f"claude stop:{number:d} out:over\n".encode())
        session.read_until(b"Stopped")
        session.read_until(b"$ ")
        session.type(b"fg\n")
        session.read_until(b"over\r\n")
        session.read_until(b"$ ")
    session.type(b"exit\n")
    assert session.wait() == 0
    assert len(place.lines("iteration.finished")) == 2


def knows_of_a_stopped_job(session: Terminal) -> bool:
    """Whether the shell at that terminal says that a job is stopped."""
    session.type(b"jobs\n")
    return b"Stopped" in session.read_until(b"$ ")


@pytest.mark.parametrize("inside", [False, True], ids=["run in the shell", "the shell in run"])
def test_a_job_in_the_background_may_not_read_the_terminal(place: Workplace, terminal: Open, inside: bool) -> None:
    shell = ["bash", "--norc", "--noprofile", "-i"]
    session = terminal(place, launched(*shell) if inside else shell)
    session.read_until(b"$ ")
    session.type(
        " ".join(["claude", "line", "&"] if inside else launched("claude", "line", "&", patient=False)).encode() + b"\n"
    )
    session.read_until(b"$ ")
    [agent] = place.await_account("argv")
    until(partial(knows_of_a_stopped_job, session))  # without, `fg` takes it for running
    session.type(b"fg\n")
    until(partial(goes_on, agent["pid"]))
    session.type(b"hello\n")
    place.await_account("line")
    session.type(b"exit\n")
    assert session.wait() == 0
