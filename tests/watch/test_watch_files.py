from __future__ import annotations

import os
from pathlib import Path

import pytest

from ralph_otel.watch.files import EDGE, DiskFolder


@pytest.fixture
def folder(tmp_path: Path) -> DiskFolder:
    return DiskFolder(tmp_path / "proj")


def test_a_folder_that_is_not_there_yet_is_empty_and_then_is_not(folder: DiskFolder) -> None:
    assert list(folder.lines("a.jsonl")) == []
    assert folder.document("b.json") is None
    assert folder.names("*") == []
    assert folder.content("b.json") is None
    folder.path.mkdir()
    (folder.path / "a.jsonl").write_text("1\n2\n")
    assert list(folder.lines("a.jsonl")) == [b"1", b"2"]
    assert folder.names("*.jsonl") == ["a.jsonl"]
    assert folder.name == "proj"


def test_lines_come_once_and_whole(folder: DiskFolder) -> None:
    folder.path.mkdir()
    file = folder.path / "a.jsonl"
    file.write_text("1\n2")
    assert list(folder.lines("a.jsonl")) == [b"1"]
    with file.open("a") as more:
        more.write("2\n3\n")
    assert list(folder.lines("a.jsonl")) == [b"22", b"3"]
    assert list(folder.lines("a.jsonl")) == []


@pytest.mark.parametrize("how", ["truncated", "replaced", "rotated"])
def test_a_file_that_begins_anew_is_read_from_its_start(how: str, folder: DiskFolder) -> None:
    folder.path.mkdir()
    file = folder.path / "a.jsonl"
    file.write_text("1\n2\n3\n")
    list(folder.lines("a.jsonl"))
    if how == "truncated":
        file.write_text("4\n")
    elif how == "replaced":
        (folder.path / "new").write_text("4\n5\n6\n7\n")
        (folder.path / "new").replace(file)
    else:
        file.rename(folder.path / "a.jsonl.1")
        assert list(folder.lines("a.jsonl")) == []
        file.write_text("4\n")
    assert next(iter(folder.lines("a.jsonl"))) == b"4"


def test_a_document_comes_when_it_has_changed_and_is_whole(folder: DiskFolder) -> None:
    folder.path.mkdir()
    file = folder.path / "s.json"
    file.write_text('{"a": 1}')
    assert folder.document("s.json") == {"a": 1}
    assert folder.document("s.json") is None
    file.write_text('{"a":')
    assert folder.document("s.json") is None
    file.write_text('{"a": 22}')
    assert folder.document("s.json") == {"a": 22}
    file.write_text("[1]")
    assert folder.document("s.json") is None


def test_long_files_are_read_at_their_edges(folder: DiskFolder) -> None:
    folder.path.mkdir()
    (folder.path / "log").write_bytes(b"a" + b"x" * 2 * EDGE + b"z")
    assert folder.head("log")[:2] == b"ax"
    assert folder.tail("log")[-2:] == b"xz"
    assert len(folder.head("log")) == len(folder.tail("log")) == EDGE


def test_what_is_no_file_is_not_waited_for(folder: DiskFolder) -> None:
    folder.path.mkdir()
    os.mkfifo(folder.path / "pipe")
    (folder.path / "folder").mkdir()
    for name in ("pipe", "folder"):
        assert folder.content(name) is None
        assert list(folder.lines(name)) == []
        assert folder.document(name) is None
        assert folder.head(name) == b""


def test_a_file_that_may_not_be_read_is_said_once(folder: DiskFolder, heard: list[str]) -> None:
    folder.path.mkdir()
    (folder.path / "target").write_text("1\n")
    (folder.path / "link").symlink_to(folder.path / "target")
    assert list(folder.lines("link")) == list(folder.lines("link")) == []  # a journal's follower does not follow links
    assert len(heard) == 1
    assert "link" in heard[0]
