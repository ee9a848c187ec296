"""The journal's writing end and its lines; what reads it on is in `test_follower.py`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import stat
import threading
from dataclasses import asdict
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel import journal
from ralph_otel.escapes import all_spelled_out
from ralph_otel.events import Event, Line
from ralph_otel.journal import BadLine, Journal, decode, encode, has_end
from support.strategies import json_values, some_event
from support.tape import T0, Tape, lines_of
from support.waiting import until


def line(**fields: Any) -> Line:
    return {"v": 1, "type": "gauge.set", "ts": T0, "loop": "run-1", "name": "n", "value": 1, **fields}


# -- where journals are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"RALPH_OTEL_HOME": "/data/r", "XDG_STATE_HOME": "/state"}, Path("/data/r")),
        ({"RALPH_OTEL_HOME": "~/r"}, Path.home() / "r"),
        ({"XDG_STATE_HOME": "/state"}, Path("/state/ralph-otel")),
        ({"XDG_STATE_HOME": "relative"}, Path.home() / ".local/state/ralph-otel"),
        ({"RALPH_OTEL_HOME": ""}, Path.home() / ".local/state/ralph-otel"),
        ({}, Path.home() / ".local/state/ralph-otel"),
    ],
)
def test_the_home_folder(environment: dict[str, str], folder: Path) -> None:
    assert journal.home(environment) == folder
    assert journal.runs_folder(folder) == folder / "runs"


def test_run_ids_are_good_file_names_that_sort_by_age() -> None:
    ids = [journal.new_run_id() for _ in range(50)]
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run_id) for run_id in ids)
    assert len(set(ids)) == 50
    assert sorted(run_id[:16] for run_id in ids) == [run_id[:16] for run_id in ids]


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(tmp_path / "home" / "runs" / "r.jsonl").append(line())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "home" / "runs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "runs" / "r.jsonl").stat().st_mode) == 0o600


# -- appending --------------------------------------------------------------------------------------------------------


def test_every_line_is_there_at_once_and_its_size_is_returned(tmp_path: Path) -> None:
    written = Journal(tmp_path / "r.jsonl")
    sizes = [written.append(line(value=number)) for number in range(3)]
    assert written.path.read_bytes() == b"".join(encode(line(value=number)) + b"\n" for number in range(3))
    assert sum(sizes) == written.path.stat().st_size


def test_a_journal_goes_on_where_an_earlier_one_ended(tmp_path: Path) -> None:
    for number in range(3):
        opened = Journal(tmp_path / "r.jsonl")
        opened.append(line(value=number))
        opened.close()
    assert [each["value"] for each in lines_of(tmp_path / "r.jsonl")] == [0, 1, 2]


def test_a_line_after_closing_opens_the_file_again(tmp_path: Path) -> None:
    closed = Journal(tmp_path / "r.jsonl")
    closed.close()
    closed.close()
    assert closed.append(line(value=7)) > 0
    assert [each["value"] for each in lines_of(closed.path)] == [7]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "r.jsonl").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="a link is not followed"):
        Journal(tmp_path / "r.jsonl")
    assert (tmp_path / "target").read_text() == "precious"


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        Journal(tmp_path / "home" / "runs" / "r.jsonl")


def test_a_disk_that_becomes_full_harms_one_line_only(tmp_path: Path) -> None:
    opened = Journal(tmp_path / "r.jsonl")
    size = opened.append(line(value=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        assert opened.append(line(value=2)) == 0
        assert opened.problem == os.strerror(errno.ENOSPC)
        assert opened.append(line(value=3)) == 0
        assert opened.problem == os.strerror(errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert opened.append(line(value=4)) > 0
    assert opened.append(line(value=5)) > 0
    raws = opened.path.read_bytes().splitlines()
    assert [decode(raws[index])["value"] for index in (0, -2, -1)] == [1, 4, 5]
    for torn in raws[1:-2]:
        with pytest.raises(BadLine):
            decode(torn)


def test_a_line_that_comes_after_the_end_is_written_and_leaves_no_file_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "r.jsonl")
    journal.append(line(value=1))
    journal.close()
    opened = set(Path("/proc/self/fd").iterdir())
    for value in (2, 3):
        assert journal.append(line(value=value)) > 0
    until(lambda: set(Path("/proc/self/fd").iterdir()) <= opened)
    assert [decode(raw)["value"] for raw in journal.path.read_bytes().splitlines()] == [1, 2, 3]


def test_a_disk_that_is_full_loses_lines_and_raises_nothing() -> None:
    full = Journal(Path("/dev/full"))
    assert full.append(line()) == 0
    assert full.problem == os.strerror(errno.ENOSPC)
    full.close()


def test_a_torn_line_of_a_killed_process_is_closed_off_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(encode(line(value=1)) + b'\n{"v":1,"type":"gau')
    opened = Journal(path)
    opened.append(line(value=2))
    raws = path.read_bytes().splitlines()
    assert len(raws) == 3
    assert [decode(raws[0])["value"], decode(raws[2])["value"]] == [1, 2]


def test_threads_lose_nothing_and_mix_nothing(tmp_path: Path) -> None:
    opened = Journal(tmp_path / "r.jsonl")
    padding = {"labels": {"text": "x" * 3000}}

    def write(thread: int) -> None:
        for number in range(200):
            opened.append(line(value=thread * 1000 + number, **padding))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [each["value"] for each in lines_of(opened.path)]
    assert sorted(values) == sorted(thread * 1000 + number for thread in range(20) for number in range(200))
    for thread_number in range(20):
        own = [value for value in values if value // 1000 == thread_number]
        assert own == sorted(own)


def test_a_journal_is_claimed_by_one_until_it_is_closed(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "r.jsonl"), Journal(tmp_path / "r.jsonl")
    assert first.lock()
    assert not second.lock()
    assert second.append(line()) > 0  # that needs no claim
    first.close()
    assert second.lock()
    second.close()


# -- encoding ---------------------------------------------------------------------------------------------------------


@given(some_event())
def test_every_event_comes_back_as_it_went(event: Event) -> None:
    sent = {"v": 1, "type": event.type, "ts": T0, "loop": "run-1", **asdict(event)}
    raw = encode(sent)
    assert b"\n" not in raw
    assert raw.isascii()
    if "\\ud" not in raw.decode():
        assert decode(raw) == all_spelled_out(sent)
    else:  # halves of characters become U+FFFD, whole ones stay
        assert json.loads(raw) == sent
        decode(raw)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_whatever_is_written_is_one_line_of_json(anything: Line) -> None:
    raw = encode(anything)
    assert b"\n" not in raw
    assert isinstance(json.loads(raw, parse_constant=pytest.fail), dict)


class Number:
    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Index:
    def __index__(self) -> int:
        return 42


class Refuses:
    def __float__(self) -> float:
        raise RuntimeError("a tensor with two elements, say")


class Colour(IntEnum):
    RED = 3


class Word(StrEnum):
    REDLINE = "redline"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (Number(2.5), 2.5),
        (Number(float("nan")), None),
        (Index(), 42),
        (Refuses(), None),
        (Colour.RED, 3),
        (Word.REDLINE, "redline"),
        (object(), None),
        (b"bytes", None),
        ({1, 2}, None),
        (1 + 2j, None),
        (10**30, 10**30),
        ({"a": Index(), 2: float("nan")}, {"a": 42, "2": None}),
        ({("a", 1): True}, {"('a', 1)": True}),
        ({"a": {"b": {"c": {"d": {"e": object()}}}}}, {"a": {"b": {"c": None}}}),
    ],
)
def test_what_json_does_not_know_becomes_a_number_or_null(value: Any, written: Any) -> None:
    assert json.loads(encode({"value": value})) == {"value": written}


def test_a_value_that_holds_itself_is_cut() -> None:
    labels: dict[str, Any] = {"a": 1}
    labels["self"] = labels
    assert json.loads(encode({"labels": labels}))["labels"]["a"] == 1


# -- decoding ---------------------------------------------------------------------------------------------------------


@given(st.binary())
def test_arbitrary_bytes_are_a_line_or_a_bad_line(raw: bytes) -> None:
    with pytest.raises(BadLine):
        decode(raw)


@given(st.data())
def test_a_damaged_line_is_a_line_or_a_bad_line(data: st.DataObject) -> None:
    raw = bytearray(encode(line(labels={"text": "ä\ud800😀", "deep": 1.5})))
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(raw) - 1))
        raw[index : index + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5)) or b"\\"
    with contextlib.suppress(BadLine):
        assert decode(bytes(raw))["v"] == 1


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not a line of JSON: b''"),
        (b"nonsense", "not a line of JSON: b'nonsense'"),
        (b"[1]", "a line must be an object, got list of 1"),
        (b"3", "a line must be an object, got 3"),
        (b'{"v":1', """not a line of JSON: b'{"v":1'"""),
        (b'{"v":1} {}', """more than one value in a line: b'{"v":1} {}'"""),
        (b'{"v":NaN}', "NaN is not a JSON number"),
        (b'{"v":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"v":"\xff"}', "not a line of JSON: "),
        (b'{"v":"\xed\xa0\x80"}', "not a line of JSON: "),
        (b'{"v":' + b"1" * 5000 + b"}", "not a line of JSON: "),
        (b'{"v":1,"x":' + b"[" * 100_000, "not a line of JSON: "),
        (
            b'{"v":1,"x":' + b"[" * 800 + b'"\\ud800"' + b"]" * 800 + b"}",
            "",
        ),  # which of its faults is found first is Python's own affair
        (b"{}", "type must be a text, got None"),
        (b'{"v":1,"type":"loop.paused","ts":1}', "loop must be the run id, got None"),
        (encode(line(value=1e400)), "gauge.set: value is missing"),
        (encode(line()).replace(b'"value":1', b'"value":1e400'), "gauge.set: value must be a finite number, got inf"),
        (encode(line(value=2**63)), "gauge.set: value must be a finite number, got 9223372036854775808"),
    ],
)
def test_a_line_that_will_not_do_is_said_to_be_so(raw: bytes, said: str) -> None:
    with pytest.raises(BadLine) as error:
        decode(raw)
    assert str(error.value).startswith(said)
    assert len(str(error.value)) < 160


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"a\ud800b"', "a\ufffdb"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\uD83D"', "\ufffd"),
        (r'"\\ud800"', "\\ud800"),
        (r'"\ufeff"', "\ufeff"),
    ],
)
def test_half_characters_become_the_replacement_character(written: str, read: str) -> None:
    raw = encode(line()).replace(b'"n"', written.encode())
    assert decode(raw)["name"] == read
    labels = (
        encode(line(labels={"KEY": "VALUE"})).replace(b'"KEY"', written.encode()).replace(b'"VALUE"', written.encode())
    )
    assert decode(labels)["labels"] == {read: read}


def test_blanks_around_a_line_are_no_matter() -> None:
    assert decode(b" \t" + encode(line()) + b"\r") == line()


# -- whether a run has ended ------------------------------------------------------------------------------------------


_ENDED = Tape().add(1, "loop.stopped", reason="completed")


@pytest.mark.parametrize(
    ("tape", "end"),
    [
        (Tape(), False),
        (Tape("loop.stopped"), False),
        (_ENDED, True),
        (Tape().add(1, "loop.stopped", reason="error").add(2, "error.raised", error_type="Late"), True),
        (Tape().add(1, "loop.stopped", reason="error").add(2, "error.raised", error_type="loop.started"), True),
        (Tape().add(1, "loop.stopped", reason="error").add(2, "loop.started", name="again"), False),
    ],
)
def test_a_journals_tail_says_whether_its_run_has_ended(tape: Tape, end: bool, tmp_path: Path) -> None:
    assert has_end(tape.write(tmp_path / "run-1.jsonl")) is end


def test_an_end_that_was_torn_is_none(tmp_path: Path) -> None:
    path = _ENDED.write(tmp_path / "run-1.jsonl")
    path.write_bytes(path.read_bytes()[:-3])
    assert not has_end(path)
    path.write_bytes(b"")
    assert not has_end(path)


def test_of_a_long_journal_only_the_tail_is_read(tmp_path: Path) -> None:
    tape = Tape().add(1, "tests.finished", passed=9000, failed=0, results={f"test_{i:05}": True for i in range(9000)})
    assert has_end(tape.add(2, "loop.stopped", reason="completed").write(tmp_path / "run-1.jsonl"))


@pytest.mark.parametrize("opened", [False, True])
def test_a_host_that_closes_all_files_loses_no_line_and_gets_none_into_its_own(opened: bool, tmp_path: Path) -> None:
    """As a program does that becomes a daemon."""
    journal = Journal(tmp_path / "r.jsonl")
    assert journal.append({"v": 1, "n": 1})
    number = journal._fd
    os.close(number)
    if opened:
        theirs = os.open(tmp_path / "theirs", os.O_RDWR | os.O_CREAT)
        assert theirs == number
    assert journal.append({"v": 1, "n": 2})
    journal.close()
    assert [json.loads(line)["n"] for line in journal.path.read_bytes().splitlines()] == [1, 2]
    if opened:
        assert os.fstat(theirs).st_size == 0
        os.close(theirs)


def test_closing_what_the_host_has_closed_costs_it_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "r.jsonl")
    os.close(journal._fd)
    with (tmp_path / "theirs").open("wb", buffering=0) as theirs:
        journal.close()
        theirs.write(b"still open")


def test_a_folder_that_is_removed_is_made_again_but_not_the_home_around_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "home" / "runs" / "r.jsonl")
    assert journal.append({"v": 1, "n": 1})
    shutil.rmtree(journal.path.parent)
    assert journal.append({"v": 1, "n": 2})
    assert [json.loads(line)["n"] for line in journal.path.read_bytes().splitlines()] == [2]
    shutil.rmtree(tmp_path / "home")
    assert not journal.append({"v": 1, "n": 3})
    assert "No such file" in journal.problem
    assert not (tmp_path / "home").exists()
    journal.close()
