"""The reading end: whatever way a journal grows, every line is read once and whole."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.journal import Follower, reading


def read_all(follower: Follower, limit: int = 1 << 20) -> list[bytes]:
    lines = follower.read(limit)
    while not follower.at_end:
        lines += follower.read(limit)
    return lines


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    assert follower.read() == []
    assert follower.at_end
    assert follower.size == 0
    follower.path.write_bytes(b"a\n")
    assert follower.read() == [b"a"]
    assert follower.size == 2


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    with follower.path.open("ab", buffering=0) as file:
        for new, lines in (
            (b"a\nb\n", [b"a", b"b"]),
            (b"", []),
            (b"c", []),
            (b"d\ne", [b"cd"]),
            (b"\n\n", [b"e", b""]),
        ):
            file.write(new)
            assert read_all(follower) == lines
    assert follower.offset == follower.path.stat().st_size
    assert follower.torn == b""


def test_the_beginning_of_a_line_waits_for_its_end(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"whole\nto")
    assert read_all(follower) == [b"whole"]
    assert follower.torn == b"to"


def test_reading_begins_at_an_offset_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b"a\nb\nc\n")
    assert read_all(Follower(tmp_path / "r.jsonl", 4)) == [b"c"]
    assert read_all(Follower(tmp_path / "r.jsonl", 400)) == [b"a", b"b", b"c"]


def test_a_closed_follower_goes_on_where_it_was(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"a\nb")
    assert read_all(follower) == [b"a"]
    follower.close()
    with follower.path.open("ab") as file:
        file.write(b"c\n")
    assert read_all(follower) == [b"bc"]


def test_a_file_that_is_cut_or_replaced_is_read_from_its_start(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"one\ntwo\nthr")
    assert read_all(follower) == [b"one", b"two"]
    os.truncate(follower.path, 0)
    with follower.path.open("ab") as file:
        file.write(b"new\n")
    assert read_all(follower) == [b"new"]
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"other\n")
    fresh.replace(follower.path)
    assert read_all(follower) == [b"other"]


def test_a_file_that_is_removed_ends_there(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"a\n")
    assert read_all(follower) == [b"a"]
    follower.path.unlink()
    assert read_all(follower) == []
    follower.path.write_bytes(b"b\n")
    assert read_all(follower) == [b"b"]


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Follower(tmp_path).read()


contents = st.binary(max_size=200).map(lambda data: data.replace(b"\x00", b"\n"))


@given(contents, st.lists(st.integers(0, 200)), st.data())
def test_however_a_file_is_appended_and_read_the_lines_are_the_same(
    content: bytes, cuts: list[int], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follower, lines = Follower(Path(folder) / "r.jsonl"), list[bytes]()
        places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
        with follower.path.open("ab", buffering=0) as file:
            for start, end in pairwise(places):
                file.write(content[start:end])
                lines += read_all(follower, data.draw(st.integers(1, 64)))
        *whole, rest = content.split(b"\n")
        assert lines == whole
        assert follower.torn == rest
        follower.close()


@given(
    st.lists(st.sampled_from([0, 1, 9, 10, 11, 12, 25, 40])),
    st.lists(st.integers(0, 400), max_size=20),
    st.integers(1, 50),
)
def test_lines_that_are_too_long_are_skipped_and_counted_however_they_come(
    sizes: list[int], cuts: list[int], limit: int
) -> None:
    content = b"".join(b"x" * size + b"\n" for size in sizes)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(reading, "MAX_LINE", 10)
        follower, lines = Follower(Path(folder) / "r.jsonl"), list[bytes]()
        places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
        with follower.path.open("ab", buffering=0) as file:
            for start, end in pairwise(places):
                file.write(content[start:end])
                lines += read_all(follower, limit)
        assert [len(line) for line in lines] == [size for size in sizes if size <= 10]
        assert follower.oversized == sum(size > 10 for size in sizes)
        follower.close()


def test_a_line_of_nine_megabytes_does_not_stay_in_memory(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    with follower.path.open("wb") as file:
        file.write(b"before\n" + b"x" * 9_000_000)
    assert read_all(follower) == [b"before"]
    assert (follower.torn, follower.oversized) == (b"", 1)
    with follower.path.open("ab") as file:
        file.write(b"x" * 10 + b"\nafter\n")
    assert read_all(follower) == [b"after"]
    assert follower.oversized == 1


def test_a_file_that_was_cut_and_has_grown_beyond_what_was_read_is_read_from_its_start(tmp_path: Path) -> None:
    """As logrotate's `copytruncate` does it, where nobody looks in between."""
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"one\ntwo\n")
    assert read_all(follower) == [b"one", b"two"]
    os.truncate(follower.path, 0)
    with follower.path.open("ab") as file:
        file.write(b"three\nfour\nfive\n")
    assert read_all(follower) == [b"three", b"four", b"five"]


def test_what_the_host_opens_where_it_has_closed_the_file_is_not_read(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "r.jsonl")
    follower.path.write_bytes(b"one\n")
    assert read_all(follower) == [b"one"]
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"secret\n")
    os.close(follower._fd)
    with theirs.open("rb", buffering=0) as file:
        assert file.fileno() == follower._fd
        with follower.path.open("ab") as more:
            more.write(b"two\n")
        assert read_all(follower) == [b"two"]
        follower.close()
        assert file.read() == b"secret\n"
